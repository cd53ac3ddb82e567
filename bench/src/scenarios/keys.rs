//! Looking up devices, and claiming their one-time keys until there are none: how fast it is, and that every
//! key is handed out exactly once.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rate_row;
use crate::{
    client::{Client, ErrorCount},
    load::percentile,
    olm::{ONE_TIME, OlmDevice},
    report::{Finding, Row, grouped, ms},
    setup::{Bench, BenchError, During, SETUP_WIDTH, User},
};

/// How many devices there are, each of a user of its own.
const DEVICES: usize = 1_000;
/// How many one-time keys each device has. A client keeps about as many.
const KEYS_EACH: usize = 50;
/// How many of these are claimed by requests for a single device.
const CLAIMED_SINGLY: usize = 5;
/// How many requests are open at the same time, each of another user.
const ASKERS: usize = 10;
/// How many devices the larger requests are for, as when somebody first writes to a room of that size.
const GROUP: usize = 50;
/// How often everybody is looked up in groups, and all at once.
const QUERY_ROUNDS: usize = 20;

const QUERY: &str = "/_matrix/client/v3/keys/query";
const CLAIM: &str = "/_matrix/client/v3/keys/claim";

/// Values by user and device.
type ByDevice<T> = BTreeMap<String, BTreeMap<String, T>>;

/// A device as it was published.
struct Published {
    user: User,
    identity: String,
}

/// All devices, and which of their keys were handed out.
struct Stock {
    devices: Vec<Published>,
    /// The device of every one-time key, and how often it was handed out.
    keys: HashMap<String, (usize, u64)>,
    /// How many keys were handed out that no device published, or another one.
    foreign: u64,
}

/// Requests and their answers.
struct Asked {
    /// The answers in the order of the requests. None stands for one that failed.
    answers: Vec<Option<Bytes>>,
    /// How long each request took, sorted, in microseconds.
    took_us: Vec<u32>,
    elapsed: Duration,
}

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let (count, each) = (bench.settings.count(DEVICES, 60), bench.settings.count(KEYS_EACH, 10));
    let users = bench.users(count).await?;
    let mut stock = publish(users, each).await?;
    let group = GROUP.min(count / 2);
    let before = bench.usage();
    let (mut rows, absent) = look_up(bench, &stock, group).await?;

    let singly: Vec<String> = (0..CLAIMED_SINGLY)
        .flat_map(|_| stock.devices.chunks(1).map(claim_body).collect::<Vec<_>>())
        .collect();
    // Requests that follow each other are for the same devices, so that those who claim are in each other's
    // way.
    let rest: Vec<String> = stock
        .devices
        .chunks(group)
        .flat_map(|devices| vec![claim_body(devices); each - CLAIMED_SINGLY])
        .collect();
    for (what, bodies) in [("of one device", singly), (&format!("of {group} devices"), rest)] {
        let asked = ask_all(bench, &stock, CLAIM, bodies).await?;
        let handed_out = stock.enter(&asked)?;
        rows.extend(rates("claim", what, &asked, Some(handed_out)));
    }
    let used = (before, bench.usage());
    // What is left now should have been handed out before. After this there must be nothing.
    let mut late = 0;
    for _ in 0..each {
        match stock.enter(&ask_all(bench, &stock, CLAIM, vec![claim_body(&stock.devices)]).await?)? {
            0 => break,
            keys => late += keys,
        }
    }
    let mut finding = stock.finding(rows, late, absent);
    finding.use_since(used.0, used.1);
    finding.describe(format!(
        "{} devices of as many users on all platforms, each with an Olm account's keys and {each} one-time \
         keys; {ASKERS} users ask at the same time, one request each. Every answer to /keys/query must hold \
         the identity key that every device published. The first {CLAIMED_SINGLY} keys of a device are \
         claimed one device at a time, the others {group} devices at a time by claimers who ask for the \
         same ones at the same time. Each key must be handed out once, and belong to the device asked for.",
        grouped(count as u64),
    ));
    Ok(finding)
}

async fn publish(users: Vec<User>, each: usize) -> Result<Stock, BenchError> {
    let made: Vec<(Published, Vec<String>)> = stream::iter(users)
        .map(async |user| {
            let mut device = OlmDevice::new(&user);
            let keys = device.publish(&mut user.client(), each).await?;
            let identity = device.account.curve25519_key().to_base64();
            let keys = keys.iter().map(|key| key.to_base64()).collect();
            Ok::<_, BenchError>((Published { user, identity }, keys))
        })
        .buffered(SETUP_WIDTH)
        .try_collect()
        .await?;
    let mut stock = Stock { devices: Vec::new(), keys: HashMap::new(), foreign: 0 };
    for (index, (device, keys)) in made.into_iter().enumerate() {
        stock.devices.push(device);
        stock.keys.extend(keys.into_iter().map(|key| (key, (index, 0))));
    }
    Ok(stock)
}

/// Makes rows about `/keys/query`, and counts the devices that were missing from the answers.
async fn look_up(bench: &Bench, stock: &Stock, group: usize) -> Result<(Vec<Row>, u64), BenchError> {
    let (mut rows, mut absent) = (Vec::new(), 0);
    let rounds = bench.settings.count(QUERY_ROUNDS, 2);
    for size in [group, stock.devices.len()] {
        let groups: Vec<&[Published]> = stock.devices.chunks(size).collect();
        let bodies = (0..rounds).flat_map(|_| groups.iter().map(|devices| query_body(devices))).collect();
        let asked = ask_all(bench, stock, QUERY, bodies).await?;
        for (devices, answer) in groups.iter().cycle().zip(&asked.answers) {
            absent += match answer {
                Some(answer) => count_absent(devices, answer)?,
                None => devices.len() as u64,
            };
        }
        rows.extend(rates("query", &format!("of {} people", grouped(size as u64)), &asked, None));
    }
    Ok((rows, absent))
}

fn query_body(devices: &[Published]) -> String {
    let users: Map<_, _> = devices.iter().map(|device| (device.user.id.clone(), json!([]))).collect();
    json!({ "device_keys": users }).to_string()
}

fn claim_body(devices: &[Published]) -> String {
    let of_user = |user: &User| (user.id.clone(), json!({ &user.device_id: ONE_TIME }));
    let wanted: Map<_, _> = devices.iter().map(|device| of_user(&device.user)).collect();
    json!({ "one_time_keys": wanted }).to_string()
}

/// Counts the devices that an answer does not have, or has with another identity.
fn count_absent(devices: &[Published], answer: &[u8]) -> Result<u64, BenchError> {
    #[derive(Deserialize)]
    struct Device {
        keys: BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    struct Answer {
        device_keys: ByDevice<Device>,
    }
    let answer: Answer = serde_json::from_slice(answer).during("keys/query")?;
    let absent = devices.iter().filter(|Published { user, identity }| {
        let device = answer.device_keys.get(&user.id).and_then(|devices| devices.get(&user.device_id));
        let name = format!("curve25519:{}", user.device_id);
        device.and_then(|device| device.keys.get(&name)) != Some(identity)
    });
    Ok(absent.count() as u64)
}

/// Sends all bodies, in order, over the askers' connections.
async fn ask_all(bench: &Bench, stock: &Stock, path: &str, bodies: Vec<String>) -> Result<Asked, BenchError> {
    let mut clients = Vec::new();
    for device in &stock.devices[..ASKERS] {
        let mut client = device.user.client();
        client.connect().await.during("connect an asker")?;
        clients.push(client);
    }
    let mut asked = Asked { answers: vec![None; bodies.len()], took_us: Vec::new(), elapsed: Duration::ZERO };
    let queue = Mutex::new(bodies.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let started = Instant::now();
    join_all(clients.into_iter().map(|client| ask(client, path, &queue, &done, &bench.errors))).await;
    asked.elapsed = started.elapsed();
    for (index, took_us, answer) in done.into_inner() {
        asked.took_us.push(took_us);
        asked.answers[index] = Some(answer);
    }
    asked.took_us.sort_unstable();
    Ok(asked)
}

/// Takes bodies from the queue until it is empty. A failed request is noted, and its body is not sent again.
async fn ask(
    mut client: Client,
    path: &str,
    queue: &Mutex<impl Iterator<Item = (usize, String)>>,
    done: &Mutex<Vec<(usize, u32, Bytes)>>,
    errors: &ErrorCount,
) {
    loop {
        let next = queue.lock().next();
        let Some((index, body)) = next else { return };
        let started = Instant::now();
        match client.post(path, body).await {
            Ok(answer) => {
                let took_us = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
                done.lock().push((index, took_us, answer));
            }
            Err(error) => errors.note("keys", &error),
        }
    }
}

fn rates(action: &str, what: &str, asked: &Asked, keys: Option<u64>) -> Vec<Row> {
    let seconds = asked.elapsed.as_secs_f64().max(0.001);
    let (p50, p99) = (percentile(&asked.took_us, 0.5), percentile(&asked.took_us, 0.99));
    let mut rows = vec![rate_row(&format!("{action} {what}"), asked.took_us.len() as f64 / seconds, None)];
    if let Some(keys) = keys {
        rows.push(rate_row(&format!("{action} {what}, keys"), keys as f64 / seconds, None));
    }
    let times = format!("{} / {}", ms(p50), ms(p99));
    rows.push(Row::new(&format!("{action} {what}, p50 / p99")).figure(times));
    rows
}

impl Stock {
    /// Notes what was handed out, and returns how many keys that were.
    fn enter(&mut self, asked: &Asked) -> Result<u64, BenchError> {
        #[derive(Deserialize)]
        struct Answer {
            one_time_keys: ByDevice<BTreeMap<String, Value>>,
        }
        let mut handed_out = 0;
        for answer in asked.answers.iter().flatten() {
            let answer: Answer = serde_json::from_slice(answer).during("keys/claim")?;
            for (user_id, devices) in answer.one_time_keys {
                for key in devices.values().flat_map(BTreeMap::values) {
                    handed_out += 1;
                    self.enter_key(&user_id, key["key"].as_str().unwrap_or_default());
                }
            }
        }
        Ok(handed_out)
    }

    fn enter_key(&mut self, user_id: &str, key: &str) {
        match self.keys.get_mut(key) {
            Some((device, times)) if self.devices[*device].user.id == user_id => *times += 1,
            _ => self.foreign += 1,
        }
    }

    /// The account of all keys, after the rows of figures.
    fn finding(&self, mut rows: Vec<Row>, late: u64, absent: u64) -> Finding {
        let total = self.keys.len() as u64;
        let once = self.keys.values().filter(|(_, times)| *times > 0).count() as u64;
        let again = self.keys.values().map(|(_, times)| times.saturating_sub(1)).sum::<u64>();
        rows.push(
            Row::new("one-time keys handed out, of those published")
                .figure(format!("{} of {}", grouped(once), grouped(total)))
                .target("all", once == total)
                .always(),
        );
        rows.push(
            Row::new("handed out twice / only when asked again / not of the device")
                .figure(format!("{again} / {late} / {}", self.foreign))
                .target("0 / 0 / 0", again == 0 && late == 0 && self.foreign == 0)
                .always(),
        );
        rows.push(
            Row::new("devices missing from answers to queries")
                .figure(grouped(absent))
                .target("0", absent == 0)
                .always(),
        );
        let lost = (total - once) + late + self.foreign + absent;
        Finding { rows, lost, duplicated: again, ..Finding::default() }
    }
}
