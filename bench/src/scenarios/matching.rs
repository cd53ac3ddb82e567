//! What it takes to match an address book of a thousand contacts against a million people, with the library
//! that apps use.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Method;
use linkspan_accounts::AddressIndex;
use linkspan_address_book::{Address, Answer, Call, find_people};
use linkspan_domain::Audience;
use linkspan_matching::Index;
use linkspan_platforms::Platforms;
use linkspan_storage::{StorageError, Store, WriteSet};
use serde_json::json;

use super::only_with_own_server;
use crate::{
    client::{CALL_LIMIT, CallError, Client},
    report::{Finding, Measure, Row, grouped},
    server::PLATFORMS,
    setup::{Bench, BenchError},
};

/// How many people can be found.
const PEOPLE: usize = 1_000_000;
/// How many contacts the book has. Every second is one of the people.
const CONTACTS: usize = 1_000;
/// How often the book is matched: a day allows no more.
const ROUNDS: usize = 4;
/// How many people are written with one commit.
const PORTION: usize = 2_000;
/// What a client may have to wait and to transfer.
const TIME_LIMIT: Duration = Duration::from_secs(2);
const BYTES_LIMIT: usize = 1_000_000;

/// One round, as the client saw it.
struct Round {
    took: Duration,
    bytes: usize,
    found: usize,
    server_us: Option<u32>,
}

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let Some(mut bench) = bench.on_fresh_server().await? else { return Ok(only_with_own_server()) };
    let (people, contacts) = (bench.settings.count(PEOPLE, 10_000), bench.settings.count(CONTACTS, 200));
    let server = bench.server.as_mut().expect("it was started for this");
    let started = Instant::now();
    server.restart_after(async |data| fill(data, people).await).await?.map_err(BenchError::Other)?;
    let filling = started.elapsed();

    let mut client = bench.fresh_user(0).await?.client();
    let book: Vec<Address> = (0..contacts).map(|contact| contact_number(contact, people)).collect();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(match_book(&bench, &mut client, &book).await?);
    }
    let slowest = rounds.iter().map(|round| round.took).max().unwrap_or_default();
    let bytes = rounds.iter().map(|round| round.bytes).max().unwrap_or_default();
    let missing: usize = rounds.iter().map(|round| (contacts / 2).abs_diff(round.found)).sum();
    let server_us = rounds.iter().filter_map(|round| round.server_us).max();
    let rows = vec![
        Row::new("time to match, slowest of four")
            .figure(format!("{:.3} s", slowest.as_secs_f64()))
            .target("< 2 s", slowest < TIME_LIMIT)
            .compared(Measure::Cost(slowest.as_secs_f64())),
        Row::new("bytes for the client, both ways")
            .figure(grouped(bytes as u64))
            .target("< 1,000,000", bytes < BYTES_LIMIT),
        Row::new("processor time of the server, greatest of four")
            .figure(server_us.map_or("–".to_owned(), |micros| format!("{} ms", micros / 1000))),
        Row::new("contacts found wrongly or not found")
            .figure(format!("{missing} of {}", ROUNDS * contacts))
            .target("0", missing == 0)
            .always(),
    ];
    let mut finding = Finding { rows, lost: missing as u64, server: bench.usage(), ..Finding::default() };
    finding.describe(format!(
        "{} people of three platforms can be found by a phone number; their entries were written into the \
         store in {:.0} s before the server was started on it. A person matches an address book of {} numbers, \
         of which every second is somebody's, with the Rust library and over one connection: blinding, five \
         requests, and opening the entries are in the time. Bytes are those of bodies; heads of requests and \
         answers come on top. The server has just been started, so the first round reads the index from the \
         disk.",
        grouped(people as u64),
        filling.as_secs_f64(),
        grouped(contacts as u64),
    ));
    Ok(finding)
}

async fn match_book(bench: &Bench, client: &mut Client, book: &[Address]) -> Result<Round, BenchError> {
    let mut bytes = 0;
    let started = Instant::now();
    let mut took = Duration::ZERO;
    let matching = async {
        let found = find_people(book, async |request: Call| {
            bytes += request.body.len();
            let method = if request.method == "GET" { Method::GET } else { Method::POST };
            let reply = client.call(method, request.path, Bytes::from(request.body), CALL_LIMIT).await?;
            bytes += reply.body.len();
            Ok::<_, CallError>(Answer { status: reply.status.as_u16(), body: reply.body.to_vec() })
        });
        let found = found.await;
        took = started.elapsed();
        found
    };
    let (found, server_us) = bench.server_time_of(matching).await;
    let found = found.map_err(|error| BenchError::Other(error.to_string()))?.len();
    Ok(Round { took, bytes, found, server_us })
}

/// The contacts are spread over the people; those in between are nobody's.
fn contact_number(contact: usize, people: usize) -> Address {
    let person = contact.wrapping_mul(7919) % people;
    let number = if contact.is_multiple_of(2) { number_of(person) } else { format!("49301{person:07}") };
    Address::third_party("msisdn", &number).expect("a number")
}

fn number_of(person: usize) -> String {
    format!("49170{person:07}")
}

/// Writes so many people into the index, as the accounts service has it done one by one.
async fn fill(data: &Path, people: usize) -> Result<(), String> {
    let explain = |error: &dyn std::fmt::Display| format!("the index cannot be filled: {error}");
    let store = Store::open(&data.join("store")).map_err(|error| explain(&error))?;
    // The kind of identity says who is found unless somebody has chosen. If it were another one here, the program would
    // fill the index anew, from its accounts.
    let settings = PLATFORMS.iter().map(|(name, server_name, identity)| {
        let settings = json!({ "name": name, "server_name": server_name, "identity": identity });
        serde_json::from_value(settings).expect("these are settings")
    });
    let platforms = Platforms::open(&store, settings.collect(), 0).await.map_err(|error| explain(&error))?;
    let index = Index::open(store.clone(), Arc::new(platforms), 0).await.map_err(|error| explain(&error))?;
    let next = AtomicUsize::new(0);
    let work = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().map_err(|error| explain(&error))?;
        loop {
            let first = next.fetch_add(PORTION, Ordering::Relaxed);
            if first >= people {
                return Ok(());
            }
            let portion = first..people.min(first + PORTION);
            runtime.block_on(put_people(&store, &index, portion)).map_err(|error| explain(&error))?;
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("filling does not panic"))
    })
}

async fn put_people(
    store: &Store,
    index: &Index,
    portion: std::ops::Range<usize>,
) -> Result<(), StorageError> {
    let mut writes = WriteSet::new();
    for person in portion {
        let (_, server_name, _) = PLATFORMS[person % PLATFORMS.len()];
        // As long as the names that are generated.
        let user_id = format!("@u{person:07}:{server_name}").try_into().expect("a user id");
        let (medium, number) = ("msisdn".into(), number_of(person));
        index.put_address(&mut writes, &user_id, &medium, &number, Audience::Everyone).await?;
    }
    store.commit(writes).await?;
    Ok(())
}
