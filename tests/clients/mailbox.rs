//! A mail server that takes every mail, for tests that read them. It speaks as much SMTP (RFC 5321) as is
//! needed.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use crate::driver::PATIENCE;

/// A mail, with its headers and its text.
#[derive(Debug)]
pub(crate) struct Mail(String);

impl Mail {
    /// The link in it, which has a line of its own.
    pub(crate) fn link(&self) -> &str {
        let link = self.0.lines().find(|line| line.starts_with("http"));
        link.unwrap_or_else(|| panic!("there is no link in {}", self.0))
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
