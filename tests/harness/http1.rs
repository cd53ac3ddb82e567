//! HTTP/1.1 in plain bytes: requests that no proper client would send, and answers taken apart.
//!
//! A test fails if an answer does not come. Nothing here waits for longer than [`PATIENCE`].

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// How long an answer may take before the server counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request, which may be wrong in any way.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path and query, as they stand in the request line.
    pub target: Vec<u8>,
    /// Headers besides `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        let (method, target) = (method.to_owned(), target.as_ref().to_owned());
        Self { method, target, headers: Vec::new(), body: Vec::new() }
    }

    /// The request with a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request with an access token, if there is one.
    pub fn by(self, token: Option<&str>) -> Self {
        match token {
            Some(token) => self.header("Authorization", &format!("Bearer {token}")),
            None => self,
        }
    }

    /// The request with a body that is JSON, or pretends to be.
    pub fn json(self, body: impl AsRef<[u8]>) -> Self {
        let mut request = self.header("Content-Type", "application/json");
        request.body = body.as_ref().to_owned();
        request
    }

    /// The bytes on the wire, to a host.
    pub fn to_bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = format!("{} ", self.method).into_bytes();
        bytes.extend(&self.target);
        let mut head = format!(" HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", self.body.len());
        bytes.extend(head.as_bytes());
        bytes.extend(&self.body);
        bytes
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, with their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, or null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The error code of the specification, or an empty text if there is none.
    pub fn errcode(&self) -> String {
        self.json()["errcode"].as_str().unwrap_or_default().to_owned()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket has a time-out");
        stream.set_nodelay(true).expect("a socket has no delay");
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes. If the server closes the connection before all were sent, its answer tells why.
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            let hung = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!hung, "the server does not read");
        }
    }

    /// Waits until something has come that was not taken yet.
    #[track_caller]
    pub fn wait_for_bytes(&mut self) {
        assert!(!self.received.is_empty() || self.more(), "the server closed the connection");
    }

    /// Whether something has come that was not taken yet.
    pub fn has_bytes(&self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket need not block");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("a socket may block");
        !self.received.is_empty() || peeked.is_ok_and(|bytes| bytes > 0)
    }

    /// Reads the next answer. None means that the server has closed the connection.
    #[track_caller]
    pub fn answer(&mut self) -> Option<Answer> {
        self.receive(true)
    }

    /// Reads the next answer, which is to a HEAD.
    #[track_caller]
    pub fn answer_to_head(&mut self) -> Option<Answer> {
        self.receive(false)
    }

    #[track_caller]
    fn receive(&mut self, with_body: bool) -> Option<Answer> {
        let end = loop {
            match self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None if self.more() => {}
                None => return None,
            }
        };
        let head: Vec<u8> = self.received.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let mut answer = Answer {
            status: status.expect("an answer has a status"),
            headers: headers.collect(),
            body: Vec::new(),
        };
        if answer.status == 100 {
            return self.receive(with_body);
        }
        if with_body && !matches!(answer.status, 204 | 304) {
            answer.body = self.body(&answer)?;
        }
        Some(answer)
    }

    #[track_caller]
    fn body(&mut self, answer: &Answer) -> Option<Vec<u8>> {
        if answer.header("transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let size = self.line()?;
                let size = usize::from_str_radix(size.trim(), 16).expect("a chunk has a size");
                body.extend(self.exactly(size)?);
                self.exactly(2)?;
                if size == 0 {
                    return Some(body);
                }
            }
        }
        match answer.header("content-length") {
            Some(length) => self.exactly(length.parse().expect("a length is a number")),
            None => {
                while self.more() {}
                Some(std::mem::take(&mut self.received))
            }
        }
    }

    #[track_caller]
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    #[track_caller]
    fn exactly(&mut self, size: usize) -> Option<Vec<u8>> {
        while self.received.len() < size {
            if !self.more() {
                return None;
            }
        }
        Some(self.received.drain(..size).collect())
    }

    /// Reads more bytes. Returns false if the connection is over.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.received.extend(&buffer[..read]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no answer within {PATIENCE:?}")
            }
            Err(_) => false,
        }
    }
}

/// A client that keeps its connection for as long as the server does.
#[derive(Debug)]
pub struct Client {
    address: String,
    connection: Option<Connection>,
}

impl Client {
    /// A client of the server at an address.
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), connection: None }
    }

    /// Asks a host. None means that the server has closed the connection without an answer.
    #[track_caller]
    pub fn ask(&mut self, host: &str, request: &Request) -> Option<Answer> {
        let bytes = request.to_bytes(host);
        // The server may just have closed an idle connection. Then a new one is opened, once.
        if let Some(connection) = &mut self.connection {
            connection.send(&bytes);
            if let Some(answer) = receive(connection, request) {
                return self.keep(answer);
            }
        }
        let mut connection = Connection::open(&self.address);
        connection.send(&bytes);
        let answer = receive(&mut connection, request);
        self.connection = Some(connection);
        self.keep(answer?)
    }

    fn keep(&mut self, answer: Answer) -> Option<Answer> {
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.connection = None;
        }
        Some(answer)
    }
}

#[track_caller]
fn receive(connection: &mut Connection, request: &Request) -> Option<Answer> {
    if request.method == "HEAD" { connection.answer_to_head() } else { connection.answer() }
}
