//! A client of XMPP servers: one stream for each account, which sends and receives messages and waits for
//! acknowledgements (XEP-0198).
//!
//! It knows only what a load needs of the protocol, speaks without TLS, and is for servers on this machine.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::client::CallError;

/// The most bytes that an element may have.
const MAX_ELEMENT_BYTES: u64 = 1024 * 1024;
/// How long registering or logging in may take.
const LOGIN_LIMIT: Duration = Duration::from_secs(30);
/// How many bytes are read from the network at once.
const READ_BYTES: usize = 16 * 1024;

/// An element of a stream with all that is in it. Names have no prefix, and namespaces are ignored.
#[derive(Debug)]
pub(crate) struct Element {
    /// Its local name.
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    /// The element's own text without that of its children. References to characters are left out.
    pub(crate) text: String,
}

impl Element {
    fn of(tag: &BytesStart) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let attributes = tag.attributes().flatten();
        Self {
            name: text(tag.local_name().as_ref()),
            attributes: attributes.map(|at| (text(at.key.as_ref()), text(&at.value))).collect(),
            children: Vec::new(),
            text: String::new(),
        }
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Whether the element is one that acknowledgements count.
    pub(crate) fn is_stanza(&self) -> bool {
        matches!(self.name.as_str(), "message" | "presence" | "iq")
    }

    /// The element's name and the names of what is in it, for errors.
    pub(crate) fn outline(&self) -> String {
        let inner: Vec<String> = self.children.iter().map(Self::outline).collect();
        if inner.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, inner.join(" ")) }
    }
}

/// The receiving side of a stream.
pub(crate) struct Elements {
    reader: Reader<BufReader<OwnedReadHalf>>,
    buffer: Vec<u8>,
}

impl Elements {
    fn new(inner: BufReader<OwnedReadHalf>) -> Self {
        Self { reader: Reader::from_reader(inner), buffer: Vec::new() }
    }

    /// The same connection, on which a new document begins.
    fn restart(self) -> Self {
        Self::new(self.reader.into_inner())
    }

    /// The next element below the stream, or the beginning of the stream. The end of the stream is an error.
    pub(crate) async fn next(&mut self) -> Result<Element, CallError> {
        let mut open: Vec<Element> = Vec::new();
        let began = self.reader.buffer_position();
        loop {
            self.buffer.clear();
            let event = self.reader.read_event_into_async(&mut self.buffer).await.map_err(broken)?;
            let closed = match event {
                Event::Start(tag) => {
                    let element = Element::of(&tag);
                    if open.is_empty() && element.name == "stream" {
                        return Ok(element);
                    }
                    open.push(element);
                    None
                }
                Event::Empty(tag) => Some(Element::of(&tag)),
                Event::End(_) => Some(open.pop().ok_or_else(ended)?),
                Event::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&String::from_utf8_lossy(&text));
                    }
                    None
                }
                Event::Eof => return Err(ended()),
                _ => None,
            };
            if self.reader.buffer_position() - began > MAX_ELEMENT_BYTES {
                return Err(CallError::TooLarge);
            }
            match (closed, open.last_mut()) {
                (Some(element), Some(parent)) => parent.children.push(element),
                (Some(element), None) => return Ok(element),
                (None, _) => {}
            }
        }
    }

    /// The next element of this name. A refusal before it is an error.
    async fn wait_for(&mut self, name: &str) -> Result<Element, CallError> {
        loop {
            let element = self.next().await?;
            let refused = matches!(element.name.as_str(), "error" | "failure" | "failed");
            if refused || element.attribute("type") == Some("error") {
                return Err(CallError::Stream(element.outline()));
            }
            if element.name == name {
                return Ok(element);
            }
        }
    }
}

fn broken(error: quick_xml::Error) -> CallError {
    CallError::Stream(error.to_string())
}

fn ended() -> CallError {
    CallError::Stream("the server ended it".to_owned())
}

/// An account, and where its server is.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// The address at which the server listens.
    pub(crate) address: SocketAddr,
    /// The host of the account, which is one of the server's.
    pub(crate) host: String,
    /// The name on that host.
    pub(crate) name: String,
}

impl Account {
    /// The address that others write to.
    pub(crate) fn jid(&self) -> String {
        format!("{}@{}", self.name, self.host)
    }

    fn password(&self) -> String {
        format!("{}-Pass-1", self.name)
    }

    fn header(&self) -> String {
        format!(
            "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>",
            self.host
        )
    }

    async fn open(&self) -> Result<(Elements, OwnedWriteHalf), CallError> {
        let connection = TcpStream::connect(self.address).await?;
        connection.set_nodelay(true)?;
        let (read, mut write) = connection.into_split();
        write.write_all(self.header().as_bytes()).await?;
        let mut elements = Elements::new(BufReader::with_capacity(READ_BYTES, read));
        elements.wait_for("features").await?;
        Ok((elements, write))
    }

    /// Registers the account (XEP-0077).
    pub(crate) async fn register(&self) -> Result<(), CallError> {
        let register = async {
            let (mut elements, mut write) = self.open().await?;
            let request = format!(
                "<iq type='set' id='register' to='{}'><query xmlns='jabber:iq:register'>\
                 <username>{}</username>\
                 <password>{}</password></query></iq>",
                self.host,
                self.name,
                self.password()
            );
            write.write_all(request.as_bytes()).await?;
            elements.wait_for("iq").await?;
            write.write_all(b"</stream:stream>").await?;
            Ok(())
        };
        timeout(LOGIN_LIMIT, register).await.map_err(|_| CallError::Timeout)?
    }

    /// Logs in and says that messages are welcome. From then on both sides count stanzas.
    pub(crate) async fn log_in(&self) -> Result<(Elements, Outgoing), CallError> {
        let log_in = async {
            let (mut elements, mut write) = self.open().await?;
            let secret = BASE64_STANDARD.encode(format!("\0{}\0{}", self.name, self.password()));
            let auth =
                format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>");
            write.write_all(auth.as_bytes()).await?;
            elements.wait_for("success").await?;
            let mut elements = elements.restart();
            write.write_all(self.header().as_bytes()).await?;
            elements.wait_for("features").await?;
            let bind = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
            write.write_all(bind.as_bytes()).await?;
            elements.wait_for("iq").await?;
            write.write_all(b"<enable xmlns='urn:xmpp:sm:3'/>").await?;
            elements.wait_for("enabled").await?;
            let outgoing = Outgoing::new(write);
            outgoing.stanza("<presence/>");
            Ok((elements, outgoing))
        };
        timeout(LOGIN_LIMIT, log_in).await.map_err(|_| CallError::Timeout)?
    }
}

/// The sending side of a stream, shared by all who send on it.
pub(crate) struct Outgoing(Mutex<Line>);

struct Line {
    /// How many stanzas were sent since both sides count.
    sent: u32,
    /// The tasks that wait until this many stanzas are acknowledged, in order. There are no more of them than
    /// open sends.
    waiting: VecDeque<(u32, oneshot::Sender<()>)>,
    /// The task that waits for the answer to a question. There is one at a time.
    asking: Option<oneshot::Sender<Element>>,
    /// The way to the task that writes. It holds no more than the open sends and what the server has asked
    /// for.
    queue: mpsc::UnboundedSender<String>,
}

impl Outgoing {
    fn new(write: OwnedWriteHalf) -> Self {
        let (queue, texts) = mpsc::unbounded_channel();
        tokio::spawn(write_all(write, texts));
        Self(Mutex::new(Line { sent: 0, waiting: VecDeque::new(), asking: None, queue }))
    }

    /// Sends a stanza. The receiver that it returns is told when the server has acknowledged it.
    pub(crate) fn stanza(&self, text: &str) -> oneshot::Receiver<()> {
        let (done, acknowledged) = oneshot::channel();
        let mut line = self.0.lock();
        line.sent = line.sent.wrapping_add(1);
        let count = line.sent;
        line.waiting.push_back((count, done));
        line.write(format!("{text}<r xmlns='urn:xmpp:sm:3'/>"));
        acknowledged
    }

    /// Notes that the server has acknowledged this many stanzas.
    pub(crate) fn acknowledged(&self, count: u32) {
        let mut line = self.0.lock();
        // Counts wrap around.
        while line.waiting.front().is_some_and(|(due, _)| count.wrapping_sub(*due) < u32::MAX / 2) {
            if let Some((_, done)) = line.waiting.pop_front() {
                // A task that has given up waiting does not hear it.
                let _ = done.send(());
            }
        }
    }

    /// Tells the server how many stanzas have come.
    pub(crate) fn tell_received(&self, count: u32) {
        self.0.lock().write(format!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>"));
    }

    /// Asks how many messages the account's archive holds (XEP-0313); the answer goes to [`Self::answered`].
    pub(crate) fn ask_archive(&self) -> oneshot::Receiver<Element> {
        let (asking, answer) = oneshot::channel();
        self.0.lock().asking = Some(asking);
        self.stanza(
            "<iq type='set' id='archive'><query xmlns='urn:xmpp:mam:2'>\
             <set xmlns='http://jabber.org/protocol/rsm'><max>0</max></set></query></iq>",
        );
        answer
    }

    /// Gives the answer to the task that asks.
    pub(crate) fn answered(&self, answer: Element) {
        if let Some(asking) = self.0.lock().asking.take() {
            // A task that has given up waiting does not hear it.
            let _ = asking.send(answer);
        }
    }

    /// Notes that the stream is broken. Nobody gets an acknowledgement any more.
    pub(crate) fn broke(&self) {
        self.0.lock().waiting.clear();
    }

    /// Ends the stream.
    pub(crate) fn close(&self) {
        self.0.lock().write("</stream:stream>".to_owned());
    }
}

impl Line {
    fn write(&self, text: String) {
        // Nobody writes on a broken connection, and its reader tells everyone.
        let _ = self.queue.send(text);
    }
}

/// Writes what is queued. What is there is written at once.
async fn write_all(mut write: OwnedWriteHalf, mut texts: mpsc::UnboundedReceiver<String>) {
    while let Some(mut text) = texts.recv().await {
        while let Ok(more) = texts.try_recv() {
            text.push_str(&more);
        }
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (Elements, Outgoing, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (read, write) = client.into_split();
        (Elements::new(BufReader::new(read)), Outgoing::new(write), server)
    }

    #[tokio::test]
    async fn elements_come_whole_however_they_are_cut() {
        let (mut elements, _outgoing, mut server) = connected().await;
        let text = "<?xml version='1.0'?><stream:stream xmlns:stream='x'>\
                    <stream:features><bind/></stream:features>\
                    <message id='7'><body>at nine</body></message>\n<a h='3'/></stream:stream>";
        tokio::spawn(async move {
            for byte in text.as_bytes() {
                server.write_all(&[*byte]).await.unwrap();
            }
        });
        assert_eq!(elements.next().await.unwrap().name, "stream");
        assert_eq!(elements.next().await.unwrap().outline(), "features (bind)");
        let message = elements.next().await.unwrap();
        assert_eq!(message.attribute("id"), Some("7"));
        assert_eq!(message.child("body").unwrap().text, "at nine");
        assert_eq!(elements.next().await.unwrap().attribute("h"), Some("3"));
        assert!(elements.next().await.is_err());
    }

    #[tokio::test]
    async fn an_acknowledgement_is_for_all_before_it_and_none_behind() {
        let (_elements, outgoing, _server) = connected().await;
        let (mut first, mut second, mut third) =
            (outgoing.stanza("<a1/>"), outgoing.stanza("<a2/>"), outgoing.stanza("<a3/>"));
        outgoing.acknowledged(2);
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(third.try_recv().is_err());
        outgoing.acknowledged(2);
        assert!(third.try_recv().is_err());
        outgoing.acknowledged(3);
        assert!(third.await.is_ok());
    }
}
