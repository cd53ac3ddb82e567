//! What people of two platforms notice while somebody on a third one tries to use up what all share.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use clap::ValueEnum;
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{meet_in_pairs, only_with_own_server, settle};
use crate::{
    attack::{Attack, Result as AttackResult, Target},
    client::{Client, encode},
    load::{Exchange, Outcome, Pace, Plan, exchange, percentile},
    report::{Finding, MIB, Row, grouped, ms},
    server::{Limits, usage},
    setup::{
        Bench, BenchError, During, User, call_patiently, create_room, join_room, post_patiently, send_text,
    },
};

/// How many messages all people of the other platforms send in a second together. Each may send ten.
const RATE: f64 = 40.0;
/// How many people of each of the other platforms write.
const PEOPLE: usize = 4;
/// How many accounts the attacker has. Each may send a hundred messages at once, and ten in a second.
const ACCOUNTS: usize = 7;
/// How many devices the attacker's first account has: nearly as many as it may have, so that none gives way.
const DEVICES: usize = 190;
/// The long messages in the attacker's room.
const LONG_MESSAGES: usize = 600;
/// The large entries of the state of another room, which nearly fill what a room may have.
const LARGE_ENTRIES: usize = 500;
/// How long a text is that nearly fills an event, in bytes.
const LONG_TEXT: usize = 62_000;
/// How long an attack lasts after it has begun, so that it is under way all the time that is measured.
const LEAD: Duration = Duration::from_secs(1);
/// How long draining after a load may take, while the attack goes on.
const DRAIN: Duration = Duration::from_secs(8);
/// How often the server's memory is looked at.
const WATCH: Duration = Duration::from_millis(100);

/// What a send may take at the 99th percentile while somebody else attacks, in microseconds.
const SEND_TARGET_US: u32 = 40_000;
/// How much more memory the server may use than when it is quiet.
const MEMORY_TARGET: u64 = 512 * MIB;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let Some(mut fresh) = bench.on_fresh_server_with(Limits::Usual).await? else {
        return Ok(only_with_own_server());
    };
    let pid = fresh.pid().ok_or_else(|| BenchError::Other("the server has no process".to_owned()))?;
    let people = people(&mut fresh).await?;
    let target = prepare(&mut fresh).await?;
    let length = fresh.settings.load.min(Duration::from_secs(10));
    let plan = Plan { pace: Pace::Rate(RATE), length, gap_closers: usize::MAX };

    let mut finding = Finding::default();
    let quiet = exchange(&mut fresh, &people, &plan).await?;
    let quiet_memory = usage(pid).map_or(0, |usage| usage.rss_bytes);
    note(&mut finding, &quiet);
    finding.rows.push(Row::new("quiet: sends p50 / p99, arrivals p50 / p99").figure(times(&quiet)));
    for attack in Attack::value_variants() {
        let name = attack.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        eprintln!("  {name} …");
        let mut child = begin(*attack, &target, LEAD + length + DRAIN)?;
        let before = (usage(pid), Instant::now());
        sleep(LEAD).await;
        let peak = Arc::new(AtomicU64::new(0));
        let watching = tokio::spawn(watch_memory(pid, peak.clone()));
        let outcome = exchange(&mut fresh, &people, &plan).await;
        watching.abort();
        let outcome = outcome?;
        let after = (usage(pid), Instant::now());
        let attacker_ms = usage(child.id()).map_or(0, |usage| usage.cpu_ms);
        let result = end(&mut child);
        let spent = |ms: u64| format!("{:.0} %", 100.0 * ms as f64 / (after.1 - before.1).as_millis() as f64);
        let server_ms = match (before.0, after.0) {
            (Some(before), Some(after)) => after.cpu_ms - before.cpu_ms,
            _ => 0,
        };
        note(&mut finding, &outcome);
        let sent = percentile(&outcome.ack_us, 0.99);
        let all_sent = outcome.acked == outcome.due;
        finding.rows.push(
            Row::new(&format!("{name}: sends p50 / p99, arrivals p50 / p99"))
                .figure(times(&outcome))
                .target("sends p99 < 40 ms", all_sent && sent < SEND_TARGET_US),
        );
        let more = peak.load(Relaxed).saturating_sub(quiet_memory);
        finding.rows.push(
            Row::new(&format!(
                "{name}: memory over quiet; server and attacker of one core; answered, refused, failed"
            ))
            .figure(format!(
                "{} MiB; {} and {}; {}, {}, {}",
                more / MIB,
                spent(server_ms),
                spent(attacker_ms),
                grouped(result.answered),
                grouped(result.refused),
                grouped(result.failed)
            ))
            .target("memory < 512 MiB", more < MEMORY_TARGET),
        );
        settle(&fresh).await;
    }
    finding.describe(format!(
        "{} people of messenger.localhost and whatsapp.localhost send {RATE} messages per second while a process on \
         instagram.localhost attacks the same server, which has the limits that it has by itself. Sends are \
         measured from the request to the acknowledgement; syncs by arrivals, from the time a message was due \
         until its receiver had read the sync that brings it. Memory is the highest that was seen, less what the server had \
         before the first attack. The attacker runs on the same {} cores as the server, and takes what is told of \
         one of them.",
        2 * PEOPLE,
        std::thread::available_parallelism().map_or(1, usize::from),
    ));
    Ok(finding)
}

fn note(finding: &mut Finding, outcome: &Outcome) {
    finding.lost += outcome.missing + outcome.unchecked;
    finding.duplicated += outcome.duplicated;
}

fn times(outcome: &Outcome) -> String {
    let of = |times: &[u32]| format!("{} / {}", ms(percentile(times, 0.5)), ms(percentile(times, 0.99)));
    format!("{}, {}", of(&outcome.ack_us), of(&outcome.latency_us))
}

/// People of the second and the third platform, in rooms of two.
async fn people(bench: &mut Bench) -> Result<Exchange, BenchError> {
    let mut users = Vec::new();
    for _ in 0..PEOPLE {
        users.push(bench.fresh_user(1).await?);
        users.push(bench.fresh_user(2).await?);
    }
    meet_in_pairs(users, json!([])).await
}

/// What the attacker has on the first platform: accounts, devices, a room with long messages and one with a large
/// state.
async fn prepare(bench: &mut Bench) -> Result<Target, BenchError> {
    let messages = bench.settings.count(LONG_MESSAGES, 40);
    let mut users = Vec::new();
    for _ in 0..ACCOUNTS {
        users.push(bench.fresh_user(0).await?);
    }
    let first = &users[0];
    // Invitations of people who are not known are limited by the day, joins are not.
    let levels = json!({ "users_default": 100 });
    let body = json!({ "preset": "public_chat", "power_level_content_override": levels });
    let mut rooms = Vec::new();
    for _ in 0..2 {
        let room = create_room(&mut first.client(), &body).await?;
        for user in &users[1..] {
            join_room(&mut user.client(), &room, &first.platform.server_name).await?;
        }
        rooms.push(room);
    }
    let text = "x".repeat(LONG_TEXT);
    for number in 0..messages {
        let client = &mut users[number % ACCOUNTS].client();
        send_text(client, &rooms[0], &format!("long{number}"), &text).await?;
        if number < LARGE_ENTRIES {
            set_state(client, &rooms[1], number, &text).await?;
        }
    }
    add_devices(first, bench.settings.count(DEVICES, 10)).await?;
    let accounts = users.iter().map(|user| (user.id.clone(), user.token().to_owned())).collect();
    let [room, large_state] = <[String; 2]>::try_from(rooms).expect("two rooms were made");
    let platform = &first.platform;
    Ok(Target {
        server_name: platform.server_name.clone(),
        address: platform.address,
        accounts,
        room,
        large_state,
        length_ms: 0,
    })
}

async fn set_state(client: &mut Client, room: &str, number: usize, text: &str) -> Result<(), BenchError> {
    let path = format!("/_matrix/client/v3/rooms/{}/state/org.example.large/{number}", encode(room));
    call_patiently(client, Method::PUT, &path, &json!({ "text": text })).await.during("state")?;
    Ok(())
}

/// Logs a user in until there are so many devices, or no more are allowed. Each log-in comes from an address of its
/// own.
async fn add_devices(user: &User, devices: usize) -> Result<(), BenchError> {
    for number in 1..devices {
        let [_, _, high, low] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        let address = IpAddr::from(Ipv4Addr::new(127, 2, high, low));
        let mut client = Client::anonymous(&user.platform).bound_to(Some(address));
        let body: Value = json!({
            "type": "m.login.password", "password": user.password,
            "identifier": { "type": "m.id.user", "user": user.id },
        });
        if post_patiently(&mut client, "/_matrix/client/v3/login", &body).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Starts the process that attacks.
fn begin(attack: Attack, target: &Target, length: Duration) -> Result<Child, BenchError> {
    let failed =
        |error: std::io::Error| BenchError::Other(format!("the attacker cannot be started: {error}"));
    let value = attack.to_possible_value().expect("every attack has a name");
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["attack", value.get_name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let target =
        Target { length_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX), ..target.clone() };
    let text = serde_json::to_vec(&target).during("attack")?;
    child.stdin.take().expect("it is piped").write_all(&text).map_err(failed)?;
    Ok(child)
}

/// What came of it. It is ended if it has not ended by itself, some time after it should have.
fn end(child: &mut Child) -> AttackResult {
    let until = std::time::Instant::now() + 2 * DRAIN;
    while std::time::Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(WATCH);
    }
    // These fail only if it has ended.
    let _ = child.kill();
    let _ = child.wait();
    let mut text = String::new();
    let read = child.stdout.take().map(|mut output| output.read_to_string(&mut text));
    match read {
        Some(Ok(_)) => serde_json::from_str(&text).unwrap_or_default(),
        _ => AttackResult::default(),
    }
}

/// Keeps the most memory that a process has had.
async fn watch_memory(pid: u32, peak: Arc<AtomicU64>) {
    loop {
        if let Some(usage) = usage(pid) {
            peak.fetch_max(usage.rss_bytes, Relaxed);
        }
        sleep(WATCH).await;
    }
}
