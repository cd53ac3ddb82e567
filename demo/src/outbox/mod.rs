//! The outbox: the demo's mail server and SMS gateway. What the platforms send is delivered to nobody, but
//! shown on a page, where the people of the conversation and whoever tries the demo read it.

mod mail;
mod page;
mod web;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{net::TcpListener, sync::watch};

use crate::{Failure, config::Post};

/// How many messages are kept; older ones are forgotten.
const KEPT: usize = 200;
/// How many digits a code has.
const CODE_DIGITS: usize = 6;
/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A platform as the page shows it.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) server_name: String,
    pub(crate) style: String,
    pub(crate) colour: String,
}

/// A message that a platform has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    /// How many came before it.
    number: usize,
    /// The time at which it came, in milliseconds since the Unix epoch.
    sent_ts: u64,
    /// The server name of the platform.
    platform: String,
    to: String,
    /// A mail has one, an SMS has none.
    subject: Option<String>,
    text: String,
    /// The name by which a gateway knows an SMS again.
    id: Option<String>,
}

impl Message {
    /// The code in it: a word of digits.
    fn code(&self) -> Option<&str> {
        let mut words = self.text.split_whitespace();
        words.find(|word| word.len() == CODE_DIGITS && word.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// What was sent, the newest first.
#[derive(Debug, Default)]
struct Sent {
    messages: VecDeque<Message>,
    count: usize,
}

impl Sent {
    /// Takes a message. An SMS that has come before is not taken again.
    fn take(&mut self, mut message: Message) {
        if message.id.is_some() && self.messages.iter().any(|known| known.id == message.id) {
            return;
        }
        message.number = self.count;
        self.count += 1;
        self.messages.push_front(message);
        self.messages.truncate(KEPT);
    }
}

/// Takes what the platforms send, for as long as the demo runs.
pub(crate) struct Outbox {
    /// The address of the page.
    pub(crate) address: String,
    sent: Arc<watch::Sender<Sent>>,
}

impl Outbox {
    /// Opens the outbox at the addresses to which the server sends.
    pub(crate) fn open(post: Post, senders: Vec<Sender>) -> Result<Self, Failure> {
        let address = format!("http://{}", post.sms.local_addr()?);
        let sent = Arc::new(watch::Sender::default());
        let web = TcpListener::from_std(post.sms)?;
        tokio::spawn(web::serve(web, web::Web { sent: sent.clone(), secret: post.secret, senders }));
        tokio::spawn(mail::take_all(TcpListener::from_std(post.mails)?, sent.clone()));
        Ok(Self { address, sent })
    }

    /// How many messages have come until now.
    pub(crate) fn count(&self) -> usize {
        self.sent.borrow().count
    }

    /// The code in a message to somebody that comes after the first `from`, or came already.
    pub(crate) async fn code_for(&self, to: &str, from: usize) -> Result<String, Failure> {
        let mut found = None;
        let mut news = self.sent.subscribe();
        let looking = news.wait_for(|sent| {
            let mut new = sent.messages.iter().filter(|message| message.number >= from && message.to == to);
            found = new.find_map(|message| message.code().map(ToOwned::to_owned));
            found.is_some()
        });
        let _ = tokio::time::timeout(PATIENCE, looking).await.map(drop);
        drop(news);
        found.ok_or_else(|| format!("no code came for {to} in {} s", PATIENCE.as_secs()).into())
    }
}

fn now_ts() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn message(id: Option<&str>, text: &str) -> Message {
        Message {
            number: 0,
            sent_ts: 0,
            platform: "whatsapp.localhost".to_owned(),
            to: "+491713920011".to_owned(),
            subject: None,
            text: text.to_owned(),
            id: id.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn a_code_is_a_word_of_six_digits() {
        let code = |text| message(None, text).code().map(ToOwned::to_owned);
        assert_eq!(code("123456 is your code. It works within 10 minutes.").as_deref(), Some("123456"));
        assert_eq!(
            code("http://x/?sid=123456&token=1234567 or enter 654321 there").as_deref(),
            Some("654321")
        );
        assert_eq!(code("no code 12345 1234567 12345a"), None);
    }

    #[test]
    fn what_comes_twice_is_kept_once_and_old_ones_go() {
        let mut sent = Sent::default();
        for (id, text) in [(Some("a"), "one"), (Some("a"), "one"), (None, "two"), (None, "two")] {
            sent.take(message(id, text));
        }
        let numbers: Vec<_> = sent.messages.iter().map(|message| message.number).collect();
        assert_eq!(numbers, [2, 1, 0], "mails have no name by which they are known again");
        (0..KEPT).for_each(|_| sent.take(message(None, "more")));
        assert_eq!((sent.messages.len(), sent.count), (KEPT, KEPT + 3));
    }

    #[tokio::test]
    async fn a_code_is_waited_for() {
        let outbox = Outbox { address: String::new(), sent: Arc::new(watch::Sender::default()) };
        let take = |text: &str| outbox.sent.send_modify(|sent| sent.take(message(None, text)));
        take("111111 is the old one");
        let from = outbox.count();
        let waiting = outbox.code_for("+491713920011", from);
        let (code, ()) = tokio::join!(waiting, async {
            take("nothing to find here");
            take("222222 is the new one");
        });
        assert_eq!(code.expect("it came"), "222222");
    }
}
