//! The same load over XMPP. Pairs of accounts on two hosts of one server write to each other. Sending, timing
//! and the account of losses are those of [`crate::load`].

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::{task::JoinSet, time::timeout};

use super::xmpp::{Account, Elements, Outgoing};
use crate::{
    client::{CALL_LIMIT, CallError},
    load::{
        ExchangeRoom, Lane, Outcome, Phase, Plan, Received, compare, send_and_drain, short_id, take_records,
    },
    setup::{Bench, BenchError, During, SETUP_WIDTH},
};

/// How many accounts are asked what their archives hold.
pub(crate) const ARCHIVES: usize = 8;
/// How long counting an archive may take.
const ARCHIVE_LIMIT: Duration = Duration::from_secs(20);

/// How many messages of a load the archives should hold, and how many they do hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Archived {
    /// The acknowledged messages from and to the accounts that were asked.
    pub(crate) expected: u64,
    /// The number by which their archives grew.
    pub(crate) found: u64,
}

struct Sender {
    phase: Arc<Phase>,
    outgoing: Arc<Outgoing>,
    to: String,
    user: u32,
    lane: u32,
}

impl Lane for Sender {
    async fn send(&mut self, number: u32, scheduled: std::time::Instant) -> Result<u64, CallError> {
        let (user, lane) = (self.user, self.lane);
        let id = format!("{}-{user}.{lane}.{number}", self.phase.name());
        let text = self.phase.text((user, lane, number), scheduled);
        let message =
            format!("<message type='chat' to='{}' id='{id}'><body>{text}</body></message>", self.to);
        let acknowledged = self.outgoing.stanza(&message);
        let answer = timeout(CALL_LIMIT, acknowledged).await.map_err(|_| CallError::Timeout)?;
        answer.map_err(|_| CallError::Stream("it broke before the acknowledgement".to_owned()))?;
        Ok(short_id(&id))
    }
}

/// Makes accounts in pairs; the two of a pair are on different hosts.
pub(crate) async fn register(
    bench: &mut Bench,
    hosts: &[Account],
    count: usize,
) -> Result<Vec<Account>, BenchError> {
    let accounts: Vec<Account> = (0..count)
        .map(|index| Account { name: bench.new_name(), ..hosts[index % hosts.len()].clone() })
        .collect();
    stream::iter(&accounts)
        .map(async |account| account.register().await.during("register"))
        .buffered(SETUP_WIDTH)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(accounts)
}

/// Runs the load between neighbours in the list.
pub(crate) async fn exchange(
    bench: &mut Bench,
    accounts: &[Account],
    plan: &Plan,
) -> Result<(Outcome, Archived), BenchError> {
    let phase = Phase::new(bench, None);
    let streams: Vec<(Elements, Arc<Outgoing>)> = stream::iter(accounts)
        .map(async |account| {
            let (elements, outgoing) = account.log_in().await.during("log in")?;
            Ok::<_, BenchError>((elements, Arc::new(outgoing)))
        })
        .buffered(SETUP_WIDTH)
        .try_collect()
        .await?;
    let mut receivers = JoinSet::new();
    let (mut records, mut lines) = (Vec::new(), Vec::new());
    for (user, (elements, outgoing)) in streams.into_iter().enumerate() {
        let record: Arc<Mutex<Received>> = Arc::default();
        receivers.spawn(receive(phase.clone(), user as u32, elements, outgoing.clone(), record.clone()));
        records.push(record);
        lines.push(outgoing);
    }
    let before = archive_counts(&lines).await;
    // The server sends nothing of a message to its sender, so each direction is a room with one member.
    let rooms: Vec<ExchangeRoom> = (0..accounts.len())
        .map(|user| ExchangeRoom { id: String::new(), members: vec![partner(user)], senders: vec![user] })
        .collect();
    let mut lanes = Vec::new();
    for lane in 0..bench.settings.in_flight as u32 {
        for (user, outgoing) in lines.iter().enumerate() {
            let (phase, outgoing, to) = (phase.clone(), outgoing.clone(), accounts[partner(user)].jid());
            lanes.push((user, Sender { phase, outgoing, to, user: user as u32, lane }));
        }
    }
    let (mut outcome, sent) = send_and_drain(bench, &phase, &rooms, plan, lanes).await?;
    let mut archived = Archived::default();
    for (user, (before, after)) in before.iter().zip(archive_counts(&lines).await).enumerate() {
        archived.expected += (sent[user].len() + sent[partner(user)].len()) as u64;
        archived.found += after.saturating_sub(*before);
    }
    lines.iter().for_each(|outgoing| outgoing.close());
    receivers.shutdown().await;
    compare(&rooms, &sent, take_records(&records), &mut outcome);
    Ok((outcome, archived))
}

/// The user whom a user writes to. Neighbours are pairs.
fn partner(user: usize) -> usize {
    user ^ 1
}

/// How much the archives of the first accounts hold, or 0 if the server does not say.
async fn archive_counts(lines: &[Arc<Outgoing>]) -> Vec<u64> {
    let mut counts = Vec::new();
    for outgoing in lines.iter().take(ARCHIVES) {
        let answer = timeout(ARCHIVE_LIMIT, outgoing.ask_archive()).await;
        let count = answer.ok().and_then(Result::ok).and_then(|answer| {
            answer.child("fin")?.child("set")?.child("count")?.text.trim().parse::<u64>().ok()
        });
        counts.push(count.unwrap_or(0));
    }
    counts
}

/// Reads the stream until it ends.
async fn receive(
    phase: Arc<Phase>,
    user: u32,
    mut elements: Elements,
    outgoing: Arc<Outgoing>,
    record: Arc<Mutex<Received>>,
) {
    let mut received = 0_u32;
    loop {
        let element = match elements.next().await {
            Ok(element) => element,
            Err(error) => {
                phase.errors.note("receive", &error);
                outgoing.broke();
                return;
            }
        };
        let arrived_us = phase.now_us();
        received = received.wrapping_add(u32::from(element.is_stanza()));
        let failed = element.attribute("type") == Some("error") || element.name == "error";
        match element.name.as_str() {
            _ if failed => phase.errors.note("receive", &CallError::Stream(element.outline())),
            "message" => {
                let origin = element.child("body").and_then(|body| phase.origin(&body.text));
                if let (Some(origin), Some(id)) = (origin, element.attribute("id")) {
                    record.lock().enter(&phase, user, short_id(id), origin, arrived_us);
                }
            }
            "iq" => outgoing.answered(element),
            "r" => outgoing.tell_received(received),
            "a" => {
                if let Some(count) = element.attribute("h").and_then(|count| count.parse().ok()) {
                    outgoing.acknowledged(count);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashMap;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    };

    use super::*;
    use crate::{load::Pace, setup::Settings};

    /// The users who are logged in, by name.
    type Online = Arc<tokio::sync::Mutex<HashMap<String, OwnedWriteHalf>>>;

    /// Acknowledges everything, loses the first message to the first account, and doubles the first one to
    /// any other.
    async fn serve(stream: TcpStream, name: String, online: Online) {
        let (mut read, mut write) = stream.into_split();
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        for (until, answer) in [
            ("streams'>", "<stream:stream><stream:features/>"),
            ("</auth>", "<success/>"),
            ("streams'>", "<stream:stream><stream:features/>"),
            ("</iq>", "<iq type='result'/>"),
            ("<enable xmlns='urn:xmpp:sm:3'/>", "<enabled/>"),
        ] {
            while !text.contains(until) {
                let count = read.read(&mut piece).await.unwrap();
                text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
            }
            text = text.split_once(until).unwrap().1.to_owned();
            write.write_all(answer.as_bytes()).await.unwrap();
        }
        online.lock().await.insert(name.clone(), write);
        let (mut handled, mut first) = (0, true);
        loop {
            while let Some((stanza, rest)) = text.split_once("<r xmlns='urn:xmpp:sm:3'/>") {
                handled += 1;
                let mut online = online.lock().await;
                if let Some(to) = stanza.split("to='").nth(1).and_then(|to| to.split('@').next()) {
                    let copies = if !first {
                        1
                    } else if to == "a" {
                        0
                    } else {
                        2
                    };
                    first = false;
                    let receiver = online.get_mut(to).unwrap();
                    receiver.write_all(stanza.repeat(copies).as_bytes()).await.unwrap();
                } else if stanza.starts_with("<iq") {
                    online.get_mut(&name).unwrap().write_all(b"<iq type='result'/>").await.unwrap();
                }
                let acknowledgement = format!("<a h='{handled}'/>");
                online.get_mut(&name).unwrap().write_all(acknowledgement.as_bytes()).await.unwrap();
                text = rest.to_owned();
            }
            match read.read(&mut piece).await {
                Ok(count) if count > 0 => text.push_str(std::str::from_utf8(&piece[..count]).unwrap()),
                _ => return,
            }
        }
    }

    #[tokio::test]
    async fn a_lost_and_a_doubled_message_are_counted() {
        let online = Online::default();
        let mut accounts = Vec::new();
        for name in ["a", "b"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            accounts.push(Account { address, host: "one.localhost".to_owned(), name: name.to_owned() });
            let online = online.clone();
            tokio::spawn(async move {
                serve(listener.accept().await.unwrap().0, name.to_owned(), online).await;
            });
        }
        let load = Duration::from_millis(200);
        let settings = Settings { quick: true, in_flight: 2, load };
        let mut bench = Bench::new(Vec::new(), None, Vec::new(), settings, "test".to_owned());
        let plan = Plan { pace: Pace::Rate(100.0), length: load, gap_closers: 0 };
        let (outcome, _) = exchange(&mut bench, &accounts, &plan).await.unwrap();
        assert_eq!((outcome.acked, outcome.due), (20, 20), "{:?}", bench.errors.take());
        assert_eq!((outcome.missing, outcome.duplicated), (1, 1));
        assert_eq!(outcome.latency_us.len(), 19);
    }
}
