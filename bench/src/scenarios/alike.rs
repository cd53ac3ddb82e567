//! What the time of an answer tells: of people who are not there, who hide, who block who asks and who take no
//! invitations, asked about in turn.

use std::time::Instant;

use http::Method;
use serde_json::{Value, json};

use super::only_with_own_server;
use crate::{
    client::{CALL_LIMIT, encode},
    load::percentile,
    olm::OlmDevice,
    report::{Finding, Row, grouped},
    setup::{Bench, BenchError, During, User, create_room},
};

/// How many people there are of each kind.
const PEOPLE: usize = 20;
/// How often each of them is asked about in each way.
const ROUNDS: usize = 100;
/// In how many rounds one less is made of what takes long by design, as hashing a password does.
const SLOW: usize = 10;
/// How many rounds come before the first that is measured.
const WARM_UP: usize = 2;

/// What somebody is to who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Missing,
    /// Missing, too: what differs between the two is chance.
    AlsoMissing,
    Hidden,
    Blocking,
    Unreachable,
}

const KINDS: [Kind; 5] = [Kind::Missing, Kind::AlsoMissing, Kind::Hidden, Kind::Blocking, Kind::Unreachable];

impl Kind {
    fn describe(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::AlsoMissing => "missing, once more",
            Self::Hidden => "hidden",
            Self::Blocking => "blocking",
            Self::Unreachable => "unreachable",
        }
    }

    fn is_missing(self) -> bool {
        matches!(self, Self::Missing | Self::AlsoMissing)
    }
}

/// A way in which somebody is asked about.
struct Way {
    name: &'static str,
    /// It takes long by design.
    is_slow: bool,
    /// Method, path and body, of the room that is new in each round and the person's id.
    call: fn(&str, &str) -> (Method, String, Value),
}

const CLIENT: &str = "/_matrix/client/v3";

const WAYS: [Way; 6] = [
    Way {
        name: "invite",
        is_slow: false,
        call: |room, user_id| {
            let path = format!("{CLIENT}/rooms/{}/invite", encode(room));
            (Method::POST, path, json!({ "user_id": user_id }))
        },
    },
    Way {
        name: "createRoom with an invitation",
        is_slow: false,
        call: |_, user_id| {
            let path = format!("{CLIENT}/createRoom");
            (Method::POST, path, json!({ "is_direct": true, "invite": [user_id] }))
        },
    },
    Way {
        name: "profile",
        is_slow: false,
        call: |_, user_id| (Method::GET, format!("{CLIENT}/profile/{}", encode(user_id)), Value::Null),
    },
    Way {
        name: "keys/query",
        is_slow: false,
        call: |_, user_id| {
            let body = json!({ "device_keys": { user_id: [] } });
            (Method::POST, format!("{CLIENT}/keys/query"), body)
        },
    },
    Way {
        name: "user_directory/search",
        is_slow: false,
        call: |_, user_id| {
            let name = localpart(user_id);
            (Method::POST, format!("{CLIENT}/user_directory/search"), json!({ "search_term": name }))
        },
    },
    Way {
        name: "login with a wrong password",
        is_slow: true,
        call: |_, user_id| {
            let identifier = json!({ "type": "m.id.user", "user": user_id });
            let body = json!({ "type": "m.login.password", "identifier": identifier, "password": "wrong" });
            (Method::POST, format!("{CLIENT}/login"), body)
        },
    },
];

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    // Other servers do not know how people hide.
    if bench.server.is_none() {
        return Ok(only_with_own_server());
    }
    let (people, rounds) = (bench.settings.count(PEOPLE, 4), bench.settings.count(ROUNDS, 50));
    let asker = bench.fresh_user(0).await?;
    let mut groups = Vec::new();
    for kind in KINDS {
        let mut ids = Vec::new();
        for _ in 0..people {
            ids.push(person(bench, kind, &asker).await?);
        }
        groups.push((kind, ids));
    }
    let mut rows = Vec::new();
    for way in &WAYS {
        let rounds = if way.is_slow { rounds.div_ceil(SLOW) } else { rounds };
        let times = ask(way, &asker, &groups, rounds).await?;
        for (kind, of_kind) in KINDS.iter().zip(&times) {
            let row = Row::new(&format!("{}: {}", way.name, kind.describe()));
            let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|part| percentile(of_kind, part));
            let mut figure = format!("{p50} / {p90} / {p99} µs");
            if *kind != Kind::Missing {
                figure.push_str(&format!(", {:.0} %", 100.0 * guessed_right(&times[0], of_kind)));
            }
            rows.push(row.figure(figure));
        }
    }
    let mut finding = Finding { rows, server: bench.usage(), ..Finding::default() };
    finding.describe(format!(
        "Somebody asks about {} people of each kind, all in turn and in a changing order, over one connection. Times \
         are p50 / p90 / p99; the share says how often the best guess from one time would be right, whether it was \
         of such a person or of one who is missing: 50 % tells nothing. The second group of missing people shows what \
         chance makes of that. Those who hide are found by nobody, those who block have the asker on their list, and \
         the unreachable hide and ignore all invitations.",
        grouped(people as u64),
    ));
    Ok(finding)
}

/// Somebody of a kind, on another platform than the asker; the id.
async fn person(bench: &mut Bench, kind: Kind, asker: &User) -> Result<String, BenchError> {
    if kind.is_missing() {
        let platform = &bench.platforms[1 % bench.platforms.len()];
        let server_name = platform.server_name.clone();
        return Ok(format!("@{}:{server_name}", bench.new_name()));
    }
    let user = bench.fresh_user(1).await?;
    let mut client = user.client();
    OlmDevice::new(&user).publish(&mut client, 1).await?;
    let own = "/_linkspan/client/v1";
    if kind == Kind::Blocking {
        let path = format!("{own}/blocks/{}", encode(&asker.id));
        client.put(&path, "{}".to_owned()).await.during("block")?;
        return Ok(user.id);
    }
    let nobody = json!({ "handle": "nobody", "phone": "nobody", "email": "nobody", "name": "nobody" });
    client.put(&format!("{own}/discovery"), nobody.to_string()).await.during("discovery")?;
    if kind == Kind::Unreachable {
        let rules = json!({ "rules": [{ "reach": "ignored" }] });
        client.put(&format!("{own}/reach"), rules.to_string()).await.during("reach")?;
    }
    Ok(user.id)
}

/// Asks about everybody in one way. The times are in microseconds, sorted, in the order of the groups.
async fn ask(
    way: &Way,
    asker: &User,
    groups: &[(Kind, Vec<String>)],
    rounds: usize,
) -> Result<Vec<Vec<u32>>, BenchError> {
    let mut client = asker.client();
    let mut times = vec![Vec::new(); groups.len()];
    for round in 0..WARM_UP + rounds {
        let room = create_room(&mut client, &json!({ "preset": "private_chat" })).await?;
        for person in 0..groups[0].1.len() {
            for turn in 0..groups.len() {
                let group = (round + person + turn) % groups.len();
                let (method, path, body) = (way.call)(&room, &groups[group].1[person]);
                let body = if body.is_null() { String::new() } else { body.to_string() };
                let started = Instant::now();
                client.call(method, &path, body.into(), CALL_LIMIT).await.during("ask")?;
                let took = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
                if round >= WARM_UP {
                    times[group].push(took);
                }
            }
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    Ok(times)
}

/// How often the best guess is right, from which of two groups a time is. Both are sorted. It is by the greatest
/// distance of the two distributions, which is the statistic of Kolmogorov and Smirnov.
fn guessed_right(one: &[u32], other: &[u32]) -> f64 {
    let share = |times: &[u32], up_to: u32| {
        times.partition_point(|time| *time <= up_to) as f64 / times.len().max(1) as f64
    };
    let distances = one.iter().chain(other).map(|time| (share(one, *time) - share(other, *time)).abs());
    (1.0 + distances.fold(0.0, f64::max)) / 2.0
}

fn localpart(user_id: &str) -> &str {
    user_id.trim_start_matches('@').split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::guessed_right;

    #[test]
    fn what_differs_is_guessed_and_what_is_alike_is_not() {
        let times: Vec<u32> = (0..100).collect();
        let later: Vec<u32> = (100..200).collect();
        let half: Vec<u32> = (50..150).collect();
        assert_eq!(guessed_right(&times, &times), 0.5);
        assert_eq!(guessed_right(&times, &later), 1.0);
        assert_eq!(guessed_right(&half, &times), 0.75);
    }
}
