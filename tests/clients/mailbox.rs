//! A mail server that takes every mail, and a gateway that takes every SMS, for tests that read them. The one
//! speaks as much SMTP (RFC 5321) as is needed, the other as much HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use serde_json::Value;

use crate::driver::PATIENCE;

/// A mail, with its headers and its text.
#[derive(Debug)]
pub(crate) struct Mail(String);

/// The code in a message: a word of six digits.
fn code_in(message: &str) -> &str {
    let mut words = message.split_whitespace();
    let code = words.find(|word| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit()));
    code.unwrap_or_else(|| panic!("there is no code in {message}"))
}

impl Mail {
    /// The link in it, which has a line of its own.
    pub(crate) fn link(&self) -> &str {
        let link = self.0.lines().find(|line| line.starts_with("http"));
        link.unwrap_or_else(|| panic!("there is no link in {}", self.0))
    }

    /// The code in it, which stands for the link where the mail is read elsewhere.
    pub(crate) fn code(&self) -> &str {
        code_in(&self.0)
    }
}

/// The mail server. It listens until the tests end.
pub(crate) struct Mailbox {
    address: SocketAddr,
    mails: Receiver<Mail>,
}

impl Mailbox {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("it listens");
        let address = listener.local_addr().expect("an address");
        let (sender, mails) = channel();
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || take_mails(connection, &sender));
            }
        });
        Self { address, mails }
    }

    /// Settings with which a platform sends its mails here.
    pub(crate) fn settings(&self) -> String {
        format!("email = {{ smtp = 'smtp://{}', from = 'robot@example.org' }}", self.address)
    }

    /// Waits for the next mail.
    pub(crate) fn next(&self) -> Mail {
        self.mails.recv_timeout(PATIENCE).expect("a mail comes")
    }
}

/// The gateway for SMS. It listens until the tests end.
pub(crate) struct Phones {
    address: SocketAddr,
    messages: Receiver<Value>,
}

impl Phones {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("it listens");
        let address = listener.local_addr().expect("an address");
        let (sender, messages) = channel();
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || take_messages(connection, &sender));
            }
        });
        Self { address, messages }
    }

    /// Settings with which a platform sends its SMS here.
    pub(crate) fn settings(&self) -> String {
        format!("sms = {{ gateway = 'http://{}/', secret = 'a secret of the tests' }}", self.address)
    }

    /// Waits for the next SMS, which has to be for this number, and gives its code.
    pub(crate) fn next_code(&self, number: &str) -> String {
        let message = self.messages.recv_timeout(PATIENCE).expect("an SMS comes");
        assert_eq!(message["to"], number);
        code_in(message["text"].as_str().expect("a text")).to_owned()
    }
}

fn take_messages(connection: TcpStream, messages: &Sender<Value>) -> Option<()> {
    let mut answers = connection.try_clone().ok()?;
    let mut reader = BufReader::new(connection);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).ok()? > 2 {
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        messages.send(serde_json::from_slice(&body).ok()?).ok()?;
        answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

fn take_mails(connection: TcpStream, mails: &Sender<Mail>) -> Option<()> {
    let mut answers = connection.try_clone().ok()?;
    let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
    answers.write_all(b"220 here\r\n").ok()?;
    while let Some(line) = lines.next() {
        let answer = match line.get(..4).unwrap_or_default() {
            "DATA" => {
                answers.write_all(b"354 go on\r\n").ok()?;
                let text: Vec<_> = lines.by_ref().take_while(|line| line != ".").collect();
                mails.send(Mail(decode(&text.join("\n")))).ok()?;
                "250 taken\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
        answers.write_all(answer.as_bytes()).ok()?;
    }
    Some(())
}

/// Decodes quoted-printable text (RFC 2045, section 6.7), in which lines are short.
fn decode(text: &str) -> String {
    let whole_lines = text.replace("=\n", "");
    let mut parts = whole_lines.split('=');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code {
            Some(code) => decoded.extend([char::from(code).to_string().as_str(), &part[2..]]),
            None => decoded.extend(["=", part]),
        }
    }
    decoded
}
