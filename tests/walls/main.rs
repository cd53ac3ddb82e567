//! Platforms are walls: every endpoint, driven by everybody who should get nothing from it, and then by the
//! one it belongs to. The table says what each gets; an endpoint that it does not list fails the test.

mod large_syncs;
mod limits;
mod proof;

use std::collections::BTreeSet;

use linkspan_tests::{
    INSTAGRAM, MESSENGER,
    household::{Household, Person, ROOM_SECRET, SECRET, Town, full_path},
    http1::{Answer, Request},
    table::{Entry, Expected, MISSING_TOKEN, NOT_FOR_GUESTS, UNKNOWN_TOKEN, list_endpoints, table},
};
use linkspan_wire::{Access, EndpointInfo};

#[test]
fn every_endpoint_is_in_the_table() {
    let endpoints: BTreeSet<_> = list_endpoints().iter().map(|info| (info.name, info.method)).collect();
    let entries: BTreeSet<_> = table().iter().map(|entry| (entry.name, entry.method)).collect();
    assert_eq!(endpoints.difference(&entries).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new(), "no entry");
    assert_eq!(
        entries.difference(&endpoints).collect::<Vec<_>>(),
        Vec::<&(&str, &str)>::new(),
        "no endpoint"
    );
    assert_eq!(entries.len(), table().len(), "an entry is there twice");
    for entry in table() {
        assert!(is_at(&full_path(entry.path), endpoint(&entry).path), "{} is elsewhere", entry.name);
    }
}

fn endpoint(entry: &Entry) -> EndpointInfo {
    let endpoints = list_endpoints();
    let found = endpoints.iter().find(|info| (info.name, info.method) == (entry.name, entry.method));
    *found.unwrap_or_else(|| panic!("there is no endpoint {}", entry.name))
}

/// Whether a path of the table fits the pattern of an endpoint.
fn is_at(path: &str, pattern: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    // These names stand for a server name and an id.
    let path = path.replace("{media}", "{server}/{id}").replace("{pending}", "{server}/{id}");
    let (parts, patterns): (Vec<_>, Vec<_>) = (path.split('/').collect(), pattern.split('/').collect());
    parts.len() == patterns.len()
        && parts.iter().zip(patterns).all(|(part, pattern)| pattern.starts_with('{') || *part == pattern)
}

#[test]
fn nobody_gets_through_the_walls() {
    let mut server = Town::server();
    let town = Town::settle(&server);
    let failures: Vec<String> = table().iter().flat_map(|entry| drive(&town, entry)).collect();
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    server.check_health();
}

/// Somebody who calls an endpoint.
struct Caller<'a> {
    who: &'static str,
    platform: &'static str,
    token: Option<&'a str>,
    expected: Expected,
}

/// Calls an endpoint as everybody. Returns what was not as the table says.
fn drive(town: &Town, entry: &Entry) -> Vec<String> {
    let household = Household::settle(town);
    let (ben, carl) = match entry.ends_session {
        true => (town.newcomer(INSTAGRAM), town.newcomer(MESSENGER)),
        false => (town.ben.clone(), town.carl.clone()),
    };
    let guests = match entry.ends_session {
        true => [town.guest(INSTAGRAM), town.guest(MESSENGER)],
        false => town.guests.clone(),
    };
    let outsiders = outsiders(entry, &ben, &carl).into_iter().chain(guest_callers(entry, &guests));
    let mut failures = Vec::new();
    for caller in outsiders {
        let answer = ask(town, &household, entry, caller.platform, caller.token);
        let mut wrong = Vec::from_iter(mismatch(&answer, caller.expected));
        let text = answer.text();
        if text.contains(SECRET) || text.contains(ROOM_SECRET) {
            wrong.push("reads a secret".to_owned());
        }
        if answer.status == 200 && !entry.open && text.contains(&household.room) {
            wrong.push("learns of the room".to_owned());
        }
        failures.extend(wrong.iter().map(|wrong| format!("{}: {} {wrong}: {text}", entry.name, caller.who)));
    }
    let answer = ask(town, &household, entry, INSTAGRAM, Some(&household.anna.token));
    let mut wrong = Vec::from_iter(mismatch(&answer, entry.own));
    let text = answer.text();
    if entry.reveals && !text.contains(SECRET) && !text.contains(ROOM_SECRET) {
        wrong.push("does not read a secret".to_owned());
    }
    failures.extend(wrong.iter().map(|wrong| format!("{}: anna {wrong}: {text}", entry.name)));

    // What a common room shows is the room's own, and nothing else of its members.
    let dora = if entry.ends_session { &ben } else { &town.dora };
    let answer = ask(town, &household, entry, dora.platform, Some(&dora.token));
    if answer.text().contains(SECRET) || answer.status >= 500 {
        failures.push(format!("{}: dora gets {}: {}", entry.name, answer.status, answer.text()));
    }
    failures
}

fn outsiders<'a>(entry: &Entry, ben: &'a Person, carl: &'a Person) -> Vec<Caller<'a>> {
    let (no_token, bad_token) = match endpoint(entry).access {
        Access::Anybody => (entry.others, entry.others),
        Access::MaybeUser => (entry.nobody.unwrap_or(entry.others), UNKNOWN_TOKEN),
        Access::User | Access::Operator | Access::BackEndOperator => (MISSING_TOKEN, UNKNOWN_TOKEN),
    };
    let at_home = [
        ("nobody", None, no_token),
        ("a made-up token", Some("syt_bWFkZQ_up"), bad_token),
        ("carl's token", Some(carl.token.as_str()), bad_token),
        ("ben", Some(ben.token.as_str()), entry.others),
    ];
    let at_home = at_home.map(|(who, token, expected)| Caller { who, platform: INSTAGRAM, token, expected });
    let token = Some(carl.token.as_str());
    let expected = entry.abroad.unwrap_or(entry.others);
    let abroad = Caller { who: "carl", platform: MESSENGER, token, expected };
    let at_home = at_home.into_iter().filter(|_| !entry.proof_in_body);
    at_home.chain([abroad]).collect()
}

/// The guests who call an endpoint. A guest is a stranger to whom less is open.
fn guest_callers<'a>(entry: &Entry, guests: &'a [Person; 2]) -> Vec<Caller<'a>> {
    let info = endpoint(entry);
    let stranger = |who, platform, expected| {
        let token = Some(guests[usize::from(platform == MESSENGER)].token.as_str());
        let expected = match info.access {
            Access::User | Access::Operator | Access::MaybeUser if !info.open_to_guests => NOT_FOR_GUESTS,
            _ => expected,
        };
        Caller { who, platform, token, expected }
    };
    let at_home = stranger("a guest", INSTAGRAM, entry.others);
    let abroad = stranger("a guest of another platform", MESSENGER, entry.abroad.unwrap_or(entry.others));
    let at_home = Some(at_home).into_iter().filter(|_| !entry.proof_in_body);
    at_home.chain([abroad]).collect()
}

fn ask(town: &Town, household: &Household, entry: &Entry, platform: &str, token: Option<&str>) -> Answer {
    let request: Request = household.request(town, entry).by(token);
    town.ask(platform, &request)
}

fn mismatch(answer: &Answer, expected: Expected) -> Option<String> {
    let Expected(status, errcode) = expected;
    let got = (answer.status, answer.errcode());
    (got != (status, errcode.to_owned())).then(|| format!("gets {} {}, not {status} {errcode}", got.0, got.1))
}
