//! Nothing acknowledged is lost. The server is killed at random moments under load, again and again. Each
//! time everything that it had acknowledged is there once, and clients that sync go on without a gap.
//!
//! `LINKSPAN_CRASH_SEED` chooses the moments and the load, `LINKSPAN_CRASH_KILLS` how often it is killed, which is 50 times
//! by itself. `make kills` does it 1,000 times, which takes an hour or two, and tells after each store what was checked;
//! `make kills KILLS=200` does it 200 times. The server is the test's own, with its own folder and with ports that the
//! system chooses.

mod accounts;
mod backup;
mod checks;
mod journal;
mod key_backups;
mod key_claims;
mod load;
mod sync;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::Method;
use linkspan_tests::{Body, Http, Platform, Server};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{sync::Mutex, task::JoinSet};

use crate::{
    accounts::{Registrar, Stage, new_person, register},
    checks::{Extent, check_place, check_rest},
    journal::{Membership, Person, Place, World},
    key_backups::KeyBackups,
    load::{Creator, Doors, Messages, Settings},
    sync::{SyncClient, TIMELINE_LIMIT},
};

/// How often the server is killed.
const KILLS: usize = 50;
/// How often it is killed over the same store. Then it begins with a new one, because each check reads all of a room,
/// which grows.
const KILLS_OF_A_STORE: usize = 100;
/// How many people send. They are the first ones of all.
const SENDERS: usize = 12;
/// How many people there are.
const PEOPLE: usize = 122;
/// How many people are in the big rooms from the start. Under load they pass the threshold of 100 members.
const BIG: usize = 97;
/// The number of the room that people come to and go from.
const DOOR: usize = 3;
/// The number of the first big room. The others are opened one after the other.
const FIRST_BIG: usize = 4;
/// How many big rooms there are.
const BIG_ROOMS: usize = 3;
/// The number of a person who is in a room, syncs, and never reads or says anything.
const LURKER: usize = SENDERS;
/// How many lanes have people who come and go.
const DOORS: usize = 8;
/// How many people back up keys. They are the first ones of all.
const BACKING_UP: usize = 4;
/// How many requests of the preparations run at once.
const AT_ONCE: usize = 8;
/// After how many rounds the client that sleeps is woken.
const SLEEP_ROUNDS: usize = 8;
/// After how many rounds the tables are audited.
const AUDIT_ROUNDS: usize = 10;

/// Everything that the clients know.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) messages: Vec<Messages>,
    pub(crate) settings: Vec<Settings>,
    pub(crate) doors: Vec<Doors>,
    pub(crate) creators: Vec<Creator>,
    pub(crate) registrar: Registrar,
    pub(crate) backups: Vec<KeyBackups>,
    pub(crate) clients: Vec<SyncClient>,
    pub(crate) lurker: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    let started = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = setting("LINKSPAN_CRASH_SEED").unwrap_or(now.as_micros() as u64);
    let kills = setting("LINKSPAN_CRASH_KILLS").map_or(KILLS, |kills| kills as usize);
    println!("LINKSPAN_CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut killed, mut tally) = (0, Tally::default());
    while killed < kills {
        killed += kill_over_one_store((kills - killed).min(KILLS_OF_A_STORE), &mut tally, &mut rng).await;
        println!("killed {killed} times after {:.1?}; so far: {tally:?}", started.elapsed());
    }
    for (what, count) in tally.0 {
        assert!(count > 0, "the load has left something out: {what}");
    }
}

/// Lets a server over a new store be killed so often, or once more. Returns how often it was.
async fn kill_over_one_store(kills: usize, tally: &mut Tally, rng: &mut StdRng) -> usize {
    let started = Instant::now();
    let seed = rng.random();
    let mut server = Server::start();
    let world = Arc::new(prepare(Http::new(server.addresses())).await);
    let mut journal = open_journal(&world, seed).await;
    println!("prepared after {:.1?}", started.elapsed());

    let (mut killed, mut round) = (0, 0);
    let mut spent = [Duration::ZERO; 3];
    while killed < kills {
        let mut since = Instant::now();
        let mut lap = |phase: usize| {
            spent[phase] += since.elapsed();
            since = Instant::now();
        };
        round += 1;
        for doors in &mut journal.doors {
            doors.closed_from = FIRST_BIG + 1 + killed * BIG_ROOMS / kills;
        }
        journal = run_until_killed(&world, journal, &mut server, rng).await;
        killed += 1;
        lap(0);
        if round % AUDIT_ROUNDS == 0 {
            audit(&server);
        }
        if rng.random_bool(0.1) {
            server.stumble(Duration::from_millis(rng.random_range(0..150))).await;
            killed += 1;
        }
        server.restart();
        world.http.moved(server.addresses());
        lap(1);
        for client in &mut journal.clients {
            client.is_awake = !client.sleeps || round % SLEEP_ROUNDS == 0;
            client.catch_up(&world).await;
        }
        check_place(&world, &journal, rng.random_range(0..world.places.len())).await;
        check_rest(&world, &journal, Extent::Sample).await;
        lap(2);
    }
    let [load, start, check] = spent;
    println!("{load:.1?} of load, {start:.1?} of starts, {check:.1?} of checks");
    for client in &mut journal.clients {
        client.is_awake = true;
        client.catch_up(&world).await;
    }
    for place in 0..world.places.len() {
        check_place(&world, &journal, place).await;
    }
    check_rest(&world, &journal, Extent::All).await;
    tally.add(&journal);

    server.kill();
    audit(&server);
    for line in server.log() {
        assert!(!line.contains("ERROR") && !line.contains("panicked"), "the server says: {line}");
    }
    killed
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Lets everybody do things, and kills the server meanwhile.
async fn run_until_killed(
    world: &Arc<World>,
    journal: Journal,
    server: &mut Server,
    rng: &mut StdRng,
) -> Journal {
    let is_early = rng.random_bool(0.15);
    let delay_ms = if is_early { rng.random_range(0..60) } else { rng.random_range(200..1_300) };
    run_meanwhile(world, journal, server, tokio::time::sleep(Duration::from_millis(delay_ms))).await
}

/// Lets everybody do things while something else is done, and then kills the server.
async fn run_meanwhile(
    world: &Arc<World>,
    journal: Journal,
    server: &mut Server,
    meanwhile: impl Future<Output = ()>,
) -> Journal {
    let Journal { messages, settings, doors, creators, registrar, backups, clients, lurker } = journal;
    let messages = spawn_all(messages, |lane| lane.run(world.clone()));
    let settings = spawn_all(settings, |lane| lane.run(world.clone()));
    let doors = spawn_all(doors, |lane| lane.run(world.clone()));
    let creators = spawn_all(creators, |lane| lane.run(world.clone()));
    let backups = spawn_all(backups, |lane| lane.run(world.clone()));
    let clients = spawn_all(clients, |client| client.run(world.clone()));
    let registrar = tokio::spawn(registrar.run(world.clone()));

    meanwhile.await;
    server.kill();
    world.http.gone();
    Journal {
        messages: all(messages).await,
        settings: all(settings).await,
        doors: all(doors).await,
        creators: all(creators).await,
        registrar: registrar.await.expect("a lane found something wrong"),
        backups: all(backups).await,
        clients: all(clients).await,
        lurker,
    }
}

type Lanes<T> = Vec<tokio::task::JoinHandle<T>>;

fn spawn_all<T, F>(lanes: Vec<T>, run: impl Fn(T) -> F) -> Lanes<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    lanes.into_iter().map(|lane| tokio::spawn(run(lane))).collect()
}

async fn all<T>(lanes: Lanes<T>) -> Vec<T> {
    let mut done = Vec::new();
    for lane in lanes {
        done.push(lane.await.expect("a lane found something wrong"));
    }
    done
}

/// Checks that the tables agree with each other.
fn audit(server: &Server) {
    let audit = server.command(&["audit"]).output().expect("the program runs");
    let (told, error) = (String::from_utf8_lossy(&audit.stdout), String::from_utf8_lossy(&audit.stderr));
    assert!(audit.status.success(), "the tables do not agree:\n{told}{error}");
}

/// Registers everybody and makes the rooms that are there from the start.
async fn prepare(http: Http) -> World {
    let mut world = World { http, people: Vec::new(), places: Vec::new() };
    world.people = register_all(&world).await;
    let senders: Vec<usize> = (0..SENDERS).collect();
    let small =
        |first: usize| senders.iter().copied().filter(|sender| sender % 2 == first).collect::<Vec<_>>();
    let mut rooms: Vec<(bool, Vec<usize>, Vec<usize>)> = vec![
        (false, small(0), vec![LURKER]),
        (false, small(1), vec![]),
        (true, senders.clone(), vec![]),
        (false, senders[..3].to_vec(), vec![]),
    ];
    // In a room below the threshold, each member's inbox gets every event, so few people talk there.
    rooms.extend((0..BIG_ROOMS).map(|number| {
        let talkers = if number == 0 { SENDERS } else { 3 };
        (false, senders[..talkers].to_vec(), (talkers..BIG).collect())
    }));
    for (is_busy, senders, others) in rooms {
        let body = json!({
            "preset": "public_chat",
            "power_level_content_override": { "state_default": 0 },
        });
        let path = "/_matrix/client/v3/createRoom";
        let room =
            world.call(senders[0], Method::POST, path, Body::Json(body)).await.expect("the server runs");
        let id = room["room_id"].as_str().expect("a room id").to_owned();
        let members: Vec<_> = senders[1..].iter().chain(&others).copied().collect();
        world.places.push(Place { id, is_busy, senders, acknowledged: Mutex::default() });
        let room = &world.places.last().expect("it was just put there").id;
        for members in members.chunks(AT_ONCE) {
            let joins = members.iter().map(async |member| {
                let path = format!("/_matrix/client/v3/rooms/{room}/join");
                world
                    .call(*member, Method::POST, &path, Body::Json(json!({})))
                    .await
                    .expect("the server runs")
            });
            futures_util::future::join_all(joins).await;
        }
    }
    world
}

async fn register_all(world: &World) -> Vec<Person> {
    let mut running = JoinSet::new();
    let mut people = BTreeMap::new();
    for number in 0..PEOPLE {
        let world = World { http: world.http.clone(), people: Vec::new(), places: Vec::new() };
        running.spawn(async move {
            let mut person = new_person(Platform::ALL[number % 3], &format!("person{number}"));
            let answer = register(&world, &person).await.expect("the server runs").json();
            person.token = answer["access_token"].as_str().expect("a token").to_owned();
            person.device_id = answer["device_id"].as_str().expect("a device").to_owned();
            (number, person)
        });
        if running.len() == AT_ONCE {
            let registered = running.join_next().await.expect("there are some");
            people.extend([registered.expect("it is registered")]);
        }
    }
    people.extend(running.join_all().await);
    people.into_values().collect()
}

async fn open_journal(world: &World, seed: u64) -> Journal {
    let awake = [0, 1, 2, 7, LURKER];
    let sleeping = [8, 9];
    let mut clients = Vec::new();
    for person in awake.into_iter().chain(sleeping) {
        let path = format!("/_matrix/client/v3/user/{}/filter", world.people[person].user_id);
        let body = Body::Json(json!({ "room": { "timeline": { "limit": TIMELINE_LIMIT } } }));
        let answer = world.call(person, Method::POST, &path, body).await.expect("the server runs");
        let filter = answer["filter_id"].as_str().expect("a filter id").to_owned();
        let mut client = SyncClient::new(person, sleeping.contains(&person), filter);
        client.catch_up(world).await;
        clients.push(client);
    }
    let recipients: Vec<_> = awake.into_iter().chain(sleeping).collect();
    // Two lanes of each sender; one of these shares its device with the other.
    let messages = (0..2 * SENDERS).map(|number| Messages::new(number % SENDERS, number, seed));
    let settings = (0..SENDERS).map(|person| Settings::new(person, recipients.clone(), seed));
    let out = Membership { acknowledged: "none", tried: None };
    let doors = (0..DOORS).map(|number| {
        let own = move |person: &usize| person % DOORS == number;
        let of_door = (40..72).filter(own).map(|person| ((person, DOOR), out));
        let of_big = (BIG..PEOPLE).filter(own);
        let big_rooms = FIRST_BIG..FIRST_BIG + BIG_ROOMS;
        let of_big =
            of_big.flat_map(move |person| big_rooms.clone().map(move |place| ((person, place), out)));
        Doors::new(number, of_door.chain(of_big).collect(), seed)
    });
    Journal {
        messages: messages.collect(),
        settings: settings.collect(),
        doors: doors.collect(),
        creators: vec![Creator::new(3, recipients.clone(), seed), Creator::new(4, recipients, seed)],
        registrar: Registrar::new(seed),
        backups: (0..BACKING_UP).map(|person| KeyBackups::new(person, seed)).collect(),
        clients,
        lurker: LURKER,
    }
}

/// How many things of each kind were done, and looked for in the end.
#[derive(Debug, Default)]
struct Tally(BTreeMap<&'static str, usize>);

impl Tally {
    /// Counts what is in a journal. What is called acknowledged was found again.
    fn add(&mut self, journal: &Journal) {
        let sent = || journal.messages.iter().flat_map(|lane| &lane.sent);
        let acknowledged = || sent().filter(|sent| sent.event_id.is_some());
        let stages = |stage| journal.registrar.sessions().filter(|session| session.stage == stage).count();
        let lanes = &journal.settings;
        let to_device = lanes.iter().flat_map(|lane| &lane.to_device);
        let receipts = lanes.iter().flat_map(|lane| &lane.receipts);
        let counts = [
            ("acknowledged events", acknowledged().count()),
            ("acknowledged redactions", acknowledged().filter(|sent| sent.send.redacts.is_some()).count()),
            ("events given up", sent().count() - acknowledged().count()),
            ("acknowledged messages to devices", to_device.filter(|message| message.is_acknowledged).count()),
            ("acknowledged receipts", receipts.filter(|receipt| receipt.is_acknowledged).count()),
            ("acknowledged uploads", lanes.iter().map(|lane| lane.uploads.len()).sum()),
            ("rooms", journal.creators.iter().map(|creator| creator.created.len()).sum()),
            ("accounts", journal.registrar.newcomers.len()),
            ("acknowledged log-ins", journal.registrar.log_ins),
            ("acknowledged log-outs", stages(Stage::Ended)),
            ("versions of key backups", journal.backups.iter().map(|lane| lane.versions.len()).sum()),
            ("acknowledged keys in backups", journal.backups.iter().map(|lane| lane.keys).sum()),
        ];
        for (what, count) in counts {
            *self.0.entry(what).or_default() += count;
        }
    }
}
