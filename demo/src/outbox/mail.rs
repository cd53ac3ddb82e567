//! A mail server that takes every mail. It speaks as much SMTP (RFC 5321) as a server needs that sends to it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use super::{Message, Sent, now_ts};

/// How much is read from one connection, in bytes: many mails come over one.
const CONNECTION_BYTES: u64 = 16 << 20;
/// How many connections are served at the same time; others wait.
const CONNECTIONS: usize = 32;

/// Takes mails for as long as the demo runs.
pub(super) async fn take_all(listener: TcpListener, sent: Arc<watch::Sender<Sent>>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((connection, _)) = listener.accept().await else { continue };
        let sent = sent.clone();
        tokio::spawn(async move {
            // A connection that breaks off has nothing more to say.
            let _ = serve(connection, &sent).await;
            drop(permit);
        });
    }
}

async fn serve(mut connection: TcpStream, sent: &watch::Sender<Sent>) -> std::io::Result<()> {
    let (read, mut write) = connection.split();
    let mut lines = BufReader::new(read.take(CONNECTION_BYTES)).lines();
    write.write_all(b"220 the demo's outbox\r\n").await?;
    let (mut from, mut to) = (String::new(), String::new());
    while let Some(line) = lines.next_line().await? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "MAIL" => {
                from = address_in(&line);
                b"250 fine\r\n"
            }
            "RCPT" => {
                to = address_in(&line);
                b"250 fine\r\n"
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let mut mail = Vec::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    // A full stop at the beginning of a line is sent twice.
                    mail.push(line.strip_prefix('.').unwrap_or(&line).to_owned());
                }
                let message = read_mail(&from, &to, &mail);
                sent.send_modify(|sent| sent.take(message));
                b"250 taken\r\n"
            }
            "QUIT" => {
                return write.write_all(b"221 bye\r\n").await;
            }
            _ => b"250 fine\r\n",
        };
        write.write_all(answer).await?;
    }
    Ok(())
}

/// The address between the angle brackets of a command.
fn address_in(line: &str) -> String {
    let rest = line.split_once('<').map_or("", |(_, rest)| rest);
    rest.split('>').next().unwrap_or_default().to_owned()
}

/// Reads a mail: headers, an empty line, and a text. It is of the platform in whose name it is sent.
fn read_mail(from: &str, to: &str, lines: &[String]) -> Message {
    let end = lines.iter().position(String::is_empty).unwrap_or(lines.len());
    let (head, text) = lines.split_at(end);
    let text = text.get(1..).unwrap_or_default().join("\n");
    let text = match header(head, "content-transfer-encoding").to_ascii_lowercase().as_str() {
        "quoted-printable" => unquote(&text),
        "base64" => STANDARD.decode(text.replace('\n', "")).map_or(text, |text| readable(&text)),
        _ => text,
    };
    Message {
        number: 0,
        sent_ts: now_ts(),
        platform: from.rsplit('@').next().unwrap_or_default().to_owned(),
        to: to.to_owned(),
        subject: Some(header(head, "subject")),
        text,
        id: None,
    }
}

fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// The value of a header, which may go on in lines that begin with a space.
fn header(head: &[String], name: &str) -> String {
    let is_it =
        |line: &&String| line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
    let mut lines = head.iter().skip_while(|line| !is_it(line));
    let Some((_, first)) = lines.next().and_then(|line| line.split_once(':')) else { return String::new() };
    let more = lines.take_while(|line| line.starts_with([' ', '\t'])).map(|line| line.trim());
    let words = std::iter::once(first.trim()).chain(more).flat_map(|part| part.split(' ')).map(decode_word);
    words.collect::<Vec<_>>().join(" ")
}

/// Decodes a word that stands for text which is not ASCII (RFC 2047), as the server's library writes it.
fn decode_word(word: &str) -> String {
    let encoded = word.strip_prefix("=?utf-8?b?").and_then(|rest| rest.strip_suffix("?="));
    let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    decoded.map_or_else(|| word.to_owned(), |text| readable(&text))
}

/// Decodes quoted-printable text (RFC 2045, section 6.7).
fn unquote(text: &str) -> String {
    let text = text.replace("=\n", "");
    let mut parts = text.split('=');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match byte {
            Some(byte) => decoded.extend(std::iter::once(byte).chain(part.bytes().skip(2))),
            None => decoded.extend(std::iter::once(b'=').chain(part.bytes())),
        }
    }
    readable(&decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn mails_are_taken_one_after_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(watch::Sender::default());
        tokio::spawn(take_all(listener, sent.clone()));
        let mut connection = TcpStream::connect(address).await.expect("it is reached");
        let said = "EHLO here\r\nMAIL FROM:<hello@messenger.localhost>\r\nRCPT TO:<ben@example.org>\r\nDATA\r\n\
                    Subject: Confirm\r\n your address\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                    Gr=C3=BC=C3=9Fe=\r\n: 1=3D1\r\n..hidden\r\n.\r\n\
                    mail from:<hello@whatsapp.localhost>\r\nrcpt to:<a@b>\r\ndata\r\nSubject: =?utf-8?b?WsO8?=\r\n\r\nx\r\n.\r\n\
                    QUIT\r\n";
        connection.write_all(said.as_bytes()).await.expect("it is sent");
        let mut answers = String::new();
        connection.read_to_string(&mut answers).await.expect("it answers");
        assert!(answers.ends_with("250 taken\r\n221 bye\r\n"), "{answers}");
        let sent = sent.borrow();
        let [second, first] = [&sent.messages[0], &sent.messages[1]];
        assert_eq!((first.platform.as_str(), first.to.as_str()), ("messenger.localhost", "ben@example.org"));
        assert_eq!(first.subject.as_deref(), Some("Confirm your address"));
        assert_eq!(first.text, "Grüße: 1=1\n.hidden");
        assert_eq!((second.subject.as_deref(), second.platform.as_str()), (Some("Zü"), "whatsapp.localhost"));
    }
}
