//! Sending mails over SMTP, by the settings of each platform.

use std::{collections::HashMap, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::AsyncSmtpTransportBuilder,
};
use linkspan_accounts::Mail;
use linkspan_platforms::{Email, Settings};
use ruma::{OwnedServerName, ServerName};

use crate::Failure;

/// How long a mail server may take for each step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends the mails of all platforms.
pub(crate) struct SmtpMailer {
    outboxes: HashMap<OwnedServerName, Outbox>,
}

struct Outbox {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Outbox {
    fn new(email: &Email) -> Result<Self, String> {
        let builder = transport(&email.smtp)?;
        Ok(Self { transport: builder.timeout(Some(TIMEOUT)).build(), from: sender(&email.from)? })
    }

    async fn send(&self, mail: Mail) -> Result<(), String> {
        let to: Mailbox = mail.to.parse().map_err(|error| format!("{error}"))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text)
            .map_err(|error| error.to_string())?;
        self.transport.send(message).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn transport(smtp: &str) -> Result<AsyncSmtpTransportBuilder, String> {
    let scheme = ["smtp://", "smtps://"].iter().any(|scheme| smtp.starts_with(scheme));
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp).ok().filter(|_| scheme);
    // The URL may hold a password, so it is not repeated.
    builder.ok_or_else(|| "`smtp` is not an smtp:// or smtps:// URL".to_owned())
}

fn sender(from: &str) -> Result<Mailbox, String> {
    let explain = |_| format!("`from` {from:?} is not an e-mail address, with or without a name before it");
    from.parse().map_err(explain)
}

/// What is wrong with the settings of mails. Each error comes with the key that it is about.
pub(crate) fn check(email: &Email) -> impl Iterator<Item = (&'static str, String)> {
    let wrong = [("smtp", transport(&email.smtp).err()), ("from", sender(&email.from).err())];
    wrong.into_iter().filter_map(|(key, reason)| Some((key, reason?)))
}

/// Whether a mail can be sent to this text: an address alone, without a name.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok()
}

impl SmtpMailer {
    /// Makes the mailer for those platforms whose settings say how to send mails.
    pub(crate) fn new(platforms: &[Settings]) -> Result<Self, Failure> {
        let with_email = platforms.iter().filter_map(|platform| Some((platform, platform.email.as_ref()?)));
        let outboxes = with_email.map(|(platform, email)| {
            Outbox::new(email).map(|outbox| (platform.server_name.clone(), outbox)).map_err(Failure::from)
        });
        Ok(Self { outboxes: outboxes.collect::<Result<_, _>>()? })
    }

    /// Sends a mail of a platform, once.
    pub(crate) async fn send(&self, platform: &ServerName, mail: Mail) -> Result<(), String> {
        let outbox = self.outboxes.get(platform).ok_or("this platform sends no mails")?;
        outbox.send(mail).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

    use super::*;

    fn settings(smtp: &str, from: &str) -> Settings {
        let text =
            format!("name = 'one'\nserver_name = 'one.localhost'\n[email]\nsmtp = '{smtp}'\nfrom = '{from}'");
        toml::from_str(&text).expect("settings")
    }

    /// Takes one mail by SMTP (RFC 5321), and returns everything that was said.
    async fn take_mail(listener: TcpListener) -> Vec<String> {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut heard = Vec::new();
        let mut in_data = false;
        write.write_all(b"220 here\r\n").await.expect("it is sent");
        while let Some(line) = lines.next_line().await.expect("a line") {
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                _ if in_data && line == "." => {
                    in_data = false;
                    "250 taken\r\n"
                }
                _ if in_data => "",
                "DATA" => {
                    in_data = true;
                    "354 go on\r\n"
                }
                "QUIT" => "221 bye\r\n",
                _ => "250 fine\r\n",
            };
            heard.push(line);
            write.write_all(answer.as_bytes()).await.expect("it is sent");
            if answer.starts_with("250 taken") {
                break;
            }
        }
        heard
    }

    #[tokio::test]
    async fn a_mail_arrives() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let port = listener.local_addr().expect("an address").port();
        let taking = tokio::spawn(take_mail(listener));
        let platform = settings(&format!("smtp://127.0.0.1:{port}"), "One <robot@one.example>");
        let mailer = SmtpMailer::new(std::slice::from_ref(&platform)).expect("the settings are good");
        let mail = Mail {
            to: "anna@example.org".into(),
            subject: "Hello".into(),
            text: "A link: https://one.localhost/x?sid=1&token=abc\n".into(),
        };
        mailer.send(&platform.server_name, mail.clone()).await.expect("it is taken");
        let heard = taking.await.expect("it ends");
        for expected in [
            "MAIL FROM:<robot@one.example>",
            "RCPT TO:<anna@example.org>",
            "Subject: Hello",
            "A link: https://one.localhost/x?sid=1&token=abc",
        ] {
            assert!(heard.iter().any(|line| line.starts_with(expected)), "{expected}: {heard:#?}");
        }
        let elsewhere = ruma::server_name!("two.localhost");
        mailer.send(elsewhere, mail).await.expect_err("this platform sends none");
    }

    #[test]
    fn wrong_settings_are_found() {
        let keys = |smtp, from| {
            let settings = settings(smtp, from);
            check(settings.email.as_ref().expect("settings")).map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(keys("smtp://localhost", "One <a@example.org>"), Vec::<&str>::new());
        assert_eq!(keys("http://localhost", "a@example.org"), ["smtp"]);
        assert_eq!(keys("localhost:25", "a@example.org"), ["smtp"]);
        assert_eq!(keys("smtp://localhost", "nobody"), ["from"]);
        assert_eq!(keys("", ""), ["smtp", "from"]);
        let hidden = settings("ftp://user:secret@host", "a@example.org");
        for (_, reason) in check(hidden.email.as_ref().expect("settings")) {
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
