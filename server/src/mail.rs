//! Sending mails over SMTP, by the settings of each platform.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::AsyncSmtpTransportBuilder,
};
use linkspan_accounts::Mail;
use linkspan_platforms::{Email, Settings};
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};

use crate::courier::{FIRST_WAIT, Outcome, Tries};

/// How long a mail server may take for each step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends the mails of all platforms.
pub(crate) struct SmtpMailer {
    /// The outboxes that were needed, each with the settings that it was made by.
    outboxes: Mutex<HashMap<OwnedServerName, (Email, Arc<Outbox>)>>,
    first_wait: Duration,
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

    fn letter(&self, mail: Mail) -> Result<Message, String> {
        let to: Mailbox = mail.to.parse().map_err(|error| format!("{error}"))?;
        let letter = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(mail.subject)
            .header(ContentType::TEXT_PLAIN);
        letter.body(mail.text).map_err(|error| error.to_string())
    }

    async fn try_once(&self, letter: Message) -> Outcome {
        match self.transport.send(letter).await {
            Ok(_) => Outcome::Taken,
            // The server says that it will never take this mail.
            Err(error) if error.is_permanent() => Outcome::Refused(error.to_string()),
            Err(error) => Outcome::failed(error.to_string()),
        }
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
    /// A mailer that has sent nothing yet.
    pub(crate) fn new() -> Self {
        Self { outboxes: Mutex::default(), first_wait: FIRST_WAIT }
    }

    /// What sends by these settings of a platform. It keeps connections for the next mail.
    fn outbox(&self, platform: &ServerName, email: &Email) -> Result<Arc<Outbox>, String> {
        let mut outboxes = self.outboxes.lock();
        if let Some((known, outbox)) = outboxes.get(platform)
            && known == email
        {
            return Ok(outbox.clone());
        }
        let outbox = Arc::new(Outbox::new(email)?);
        outboxes.insert(platform.to_owned(), (email.clone(), outbox.clone()));
        Ok(outbox)
    }

    /// Sends a mail of a platform, and tries again where that may help: many mail servers refuse the first try.
    pub(crate) async fn send(&self, platform: &Settings, mail: Mail) -> Result<(), String> {
        let email = platform.email.as_ref().ok_or("this platform sends no mails")?;
        let outbox = self.outbox(&platform.server_name, email)?;
        let letter = outbox.letter(mail)?;
        let mut tries = Tries::new(self.first_wait);
        loop {
            if let ControlFlow::Break(sent) = tries.go_on(outbox.try_once(letter.clone()).await).await {
                return sent;
            }
        }
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

    /// Takes one mail by SMTP (RFC 5321), and returns everything that was said. The first to come is answered with
    /// `greeting`, and turned away if that is not 220.
    async fn take_mail(listener: TcpListener, greeting: &str) -> Vec<String> {
        if greeting != TAKEN {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(format!("{greeting}\r\n").as_bytes()).await.expect("it is sent");
        }
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

    const TAKEN: &str = "220 here";

    fn mail() -> Mail {
        Mail {
            to: "anna@example.org".into(),
            subject: "Hello".into(),
            text: "A link: https://one.localhost/x?sid=1&token=abc\n".into(),
        }
    }

    /// A mailer that does not wait between tries, its platform, and where its mail server listens.
    async fn mailer() -> (SmtpMailer, Settings, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let port = listener.local_addr().expect("an address").port();
        let platform = settings(&format!("smtp://127.0.0.1:{port}"), "One <robot@one.example>");
        let mut mailer = SmtpMailer::new();
        mailer.first_wait = Duration::ZERO;
        (mailer, platform, listener)
    }

    #[tokio::test]
    async fn a_mail_arrives() {
        let (mailer, platform, listener) = mailer().await;
        let taking = tokio::spawn(take_mail(listener, TAKEN));
        mailer.send(&platform, mail()).await.expect("it is taken");
        let heard = taking.await.expect("it ends");
        for expected in [
            "MAIL FROM:<robot@one.example>",
            "RCPT TO:<anna@example.org>",
            "Subject: Hello",
            "A link: https://one.localhost/x?sid=1&token=abc",
        ] {
            assert!(heard.iter().any(|line| line.starts_with(expected)), "{expected}: {heard:#?}");
        }
        let without = Settings { email: None, ..platform };
        mailer.send(&without, mail()).await.expect_err("this platform sends none");
    }

    #[tokio::test]
    async fn a_mail_that_is_not_taken_at_once_is_sent_again() {
        let (mailer, platform, listener) = mailer().await;
        let taking = tokio::spawn(take_mail(listener, "421 come back later"));
        mailer.send(&platform, mail()).await.expect("it is taken");
        assert!(taking.await.expect("it ends").iter().any(|line| line == "Subject: Hello"));
    }

    #[tokio::test]
    async fn a_mail_that_is_never_taken_is_not_sent_again() {
        let (mailer, platform, listener) = mailer().await;
        let taking = tokio::spawn(take_mail(listener, "554 never"));
        let error = mailer.send(&platform, mail()).await.expect_err("it is refused");
        assert!(!error.contains("given up"), "{error}");
        taking.abort();
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
