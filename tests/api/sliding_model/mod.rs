//! People do things at random, and clients that follow by sliding sync must have everything right.

mod activity;
mod follower;
mod truth;
mod wants;

use futures_util::FutureExt;
use linkspan_storage::{Faults, Memory};
use linkspan_wire::now_ts;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::{activity::World, follower::Follower, truth::Truth, wants::Shape};
use crate::network::{INSTAGRAM, MESSENGER, Network, WHATSAPP};

/// How often something is done and checked with each seed.
const ROUNDS: usize = 14;
const ACTIONS: usize = 6;
/// The environment variable with further seeds, as `first..last`, for a longer look.
const SEEDS: &str = "LINKSPAN_SLIDING_SEEDS";

async fn run(seed: u64, log: &mut Vec<String>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut memory = Memory::with_faults(Faults::default()).expect("memory opens");
    let mut network = Network::over_memory(&memory).await;
    let mut people = Vec::new();
    for (platform, name) in [(INSTAGRAM, "anna"), (MESSENGER, "ben"), (WHATSAPP, "cleo"), (INSTAGRAM, "dora")]
    {
        people.push(network.register(platform, name).await);
    }
    let mut world = World::new(people);
    // Two clients are of one device, and one is of another person.
    let shapes = [(1, "one", Shape::Stable), (1, "two", Shape::Unstable), (2, "three", Shape::Unstable)];
    let mut followers =
        shapes.map(|(who, name, shape)| (who, Follower::new(name, shape, rng.random_bool(0.5))));
    for round in 0..ROUNDS {
        for _ in 0..rng.random_range(0..=ACTIONS) {
            log.push(world.act(&mut rng).await);
        }
        if rng.random_bool(0.1) {
            log.push("the server crashes".to_owned());
            memory = memory.reopen().expect("memory opens");
            network = Network::over_memory(&memory).await;
            world.moves_to(&network);
            followers.iter_mut().for_each(|(_, follower)| follower.forget_typing());
            // Who types is told to those only who are connected: everybody is back at once.
            for person in &world.people {
                person.get("/v3/sync").await.ok();
            }
        }
        if rng.random_bool(0.05) {
            log.push("connections are forgotten".to_owned());
            network.flush().await;
            network.app.sync.forget_connections(now_ts() + 1).await.expect("it works");
        }
        for (who, follower) in &mut followers {
            let client = world.people[*who].clone();
            if round == 0 || rng.random_bool(0.5) {
                follower.change_wants(&mut rng, &client.user_id, &world.rooms);
            }
            if rng.random_bool(0.2) {
                log.push(format!("{} loses an answer", follower.name));
                follower.ask(&client).await;
                if rng.random_bool(0.5) {
                    log.push(world.act(&mut rng).await);
                }
            }
            if rng.random_bool(0.3) {
                follower.next(&client).await;
                continue;
            }
            log.push(format!("{} is held against what is so: {:?}", follower.name, follower.wants));
            follower.catch_up(&client).await;
            Truth::read(&world, &client, follower).await.check(follower).await;
        }
    }
}

async fn run_all(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let mut log = Vec::new();
        let outcome = std::panic::AssertUnwindSafe(run(seed, &mut log)).catch_unwind().await;
        if let Err(panic) = outcome {
            eprintln!("{}\nseed {seed}", log.join("\n"));
            std::panic::resume_unwind(panic);
        }
    }
}

/// Four tests that do the same with different seeds, so that they run at the same time.
macro_rules! seeds {
    ($($name:ident: $seeds:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            run_all($seeds).await;
        }
    )*};
}

seeds! {
    followers_have_what_is_so_1: 0..10;
    followers_have_what_is_so_2: 10..20;
    followers_have_what_is_so_3: 20..30;
    followers_have_what_is_so_4: 30..40;
}

#[tokio::test]
async fn followers_have_what_is_so_with_further_seeds() {
    let Ok(seeds) = std::env::var(SEEDS) else { return };
    let (first, last) = seeds.split_once("..").expect("first..last");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    run_all(number(first)..number(last)).await;
}
