//! Whatever comes in, nothing panics. The environment variable `LINKSPAN_TEST_SEED` names a seed; otherwise
//! it is a fixed one.

use linkspan_domain::{
    HistoryVisibility, Pdu, PowerLevels, auth_event_keys, authorize, check_auth_events, check_form,
    parse_content, redact, sign_for_departure, versions,
};
use ruma::{CanonicalJsonObject, OwnedEventId, room_version_rules::RoomVersionRules};
use serde_json::{Value, json};

use crate::{ALICE, BOB, Maker};

struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let given = std::env::var("LINKSPAN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(given.unwrap_or(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// Prints the seed if the test fails while this is alive.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to see this again: LINKSPAN_TEST_SEED={}", self.0);
        }
    }
}

const NASTY: [&str; 22] = [
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "1e999",
    "9007199254740992",
    "-9007199254740993",
    "18446744073709551616",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"@a:b\"",
    "\"$x\"",
    "\"!r:s\"",
    "[]",
    "[[]]",
    "{}",
    "{\"a\":{}}",
    "[1,\"x\",null]",
    "\"50\"",
    "\" 1 \"",
];

fn nasty(random: &mut Random) -> Value {
    serde_json::from_str(NASTY[random.below(NASTY.len())]).unwrap_or(Value::Null)
}

/// Changes some part of a value.
fn mutate(value: &mut Value, random: &mut Random) {
    let deeper = random.below(3) != 0;
    match value {
        Value::Object(map) if !map.is_empty() && deeper => {
            let key = map.keys().nth(random.below(map.len())).cloned().unwrap_or_default();
            match random.below(8) {
                0 => {
                    map.remove(&key);
                }
                1 => {
                    map.insert(format!("{key}x"), json!(1));
                }
                _ => map.get_mut(&key).into_iter().for_each(|inner| mutate(inner, random)),
            }
        }
        Value::Array(list) if !list.is_empty() && deeper => {
            let at = random.below(list.len());
            match random.below(4) {
                0 => {
                    list.remove(at);
                }
                1 => list.push(list[at].clone()),
                _ => mutate(&mut list[at], random),
            }
        }
        value => *value = nasty(random),
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = b"{}[]\",:\\0"[random.below(9)],
            3 => {
                let nasty = NASTY[random.below(NASTY.len())];
                bytes.splice(at..at, nasty.bytes());
            }
            _ => {
                let nested = "[".repeat(random.below(300));
                bytes.splice(at..at, nested.bytes());
            }
        }
    }
}

/// Runs everything that reads an event's JSON.
fn read_all(text: &str, rules: &RoomVersionRules) -> bool {
    let id: OwnedEventId = format!("${}", "A".repeat(43)).try_into().expect("an id");
    let _ = parse_content(text).map(|content| serde_json::to_string(&content));
    if let Ok(pdu) = Pdu::from_stored(id.clone(), text) {
        let _ = (pdu.state_entry(), pdu.membership(), HistoryVisibility::of(Some(&pdu)));
        let levels = PowerLevels::new(rules, &pdu, Some(&pdu));
        let _ = (levels.users(), levels.user(&pdu.sender), levels.needed_for_event("x", true));
    }
    let _ = redact(text, rules, &id);
    let _ = sign_for_departure(text, rules, |_| None);
    let Ok(object) = serde_json::from_str::<CanonicalJsonObject>(text) else { return false };
    match Pdu::from_received(&object, rules) {
        Ok(pdu) => {
            let again = serde_json::to_string(&object).expect("JSON");
            let stored =
                Pdu::from_stored(pdu.event_id.clone(), &again).expect("what is received can be stored");
            assert_eq!(stored.room_id, pdu.room_id);
            let redacted = redact(&again, rules, &pdu.event_id).expect("what is received can be redacted");
            let redacted = serde_json::from_str(&redacted).expect("JSON");
            let redacted = Pdu::from_received(&redacted, rules).expect("and is an event then");
            assert_eq!(redacted.event_id, pdu.event_id);
            true
        }
        Err(_) => false,
    }
}

fn samples(rules: &RoomVersionRules, version: &str) -> Vec<String> {
    let mut maker = Maker::new(rules.clone(), json!({ "room_version": version, "creator": ALICE }));
    let create = maker.create.clone();
    let levels =
        json!({ "users": { ALICE: 100 }, "events": { "x": 1 }, "ban": 50, "notifications": { "room": 1 } });
    let third = json!({
        "membership": "invite",
        "third_party_invite": { "signed": { "mxid": BOB, "token": "t", "signatures": { "a": { "ed25519:1": "x" } } } },
    });
    let events = [
        ("m.room.member", Some(ALICE), json!({ "membership": "join", "displayname": "é" })),
        ("m.room.member", Some(BOB), third),
        ("m.room.power_levels", Some(""), levels),
        ("m.room.join_rules", Some(""), json!({ "join_rule": "restricted", "allow": [{ "type": "x" }] })),
        (
            "m.room.message",
            None,
            json!({ "body": "x", "m.relates_to": { "rel_type": "m.thread", "event_id": "$x" } }),
        ),
        ("m.room.redaction", None, json!({ "redacts": "$x" })),
        ("m.room.history_visibility", Some(""), json!({ "history_visibility": "joined" })),
    ];
    events.into_iter().map(|(of, key, content)| maker.make(ALICE, of, key, content, &[&create]).1).collect()
}

#[test]
fn no_json_and_no_bytes_make_a_reader_panic() {
    let mut random = Random::seeded();
    let mut read = 0;
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let samples = samples(&rules, version.as_str());
        for _ in 0..700 {
            let seed = Seed(random.0);
            let sample = &samples[random.below(samples.len())];
            let mut value: Value = serde_json::from_str(sample).expect("JSON");
            for _ in 0..random.below(4) {
                mutate(&mut value, &mut random);
            }
            read += usize::from(read_all(&value.to_string(), &rules));
            let mut bytes = sample.clone().into_bytes();
            damage(&mut bytes, &mut random);
            read_all(&String::from_utf8_lossy(&bytes), &rules);
            let mut noise: Vec<u8> = (0..random.below(60)).map(|_| random.next() as u8).collect();
            damage(&mut noise, &mut random);
            read_all(&String::from_utf8_lossy(&noise), &rules);
            assert!(
                serde_json::from_slice::<CanonicalJsonObject>(&noise).is_err()
                    || noise.first() == Some(&b'{')
            );
            drop(seed);
        }
        for depth in [10, 100, 126, 127, 128, 129, 1_000, 100_000] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let middle = if open == "[" { "" } else { "1" };
                let text = format!("{{\"a\":{}{middle}{}}}", open.repeat(depth), close.repeat(depth));
                read_all(&text, &rules);
            }
        }
    }
    assert!(read > 500, "the mutations are too wild to test anything: {read}");
}

#[test]
fn authorisation_never_panics_and_agrees_with_itself() {
    let mut random = Random::seeded();
    let people = [ALICE, BOB, "@c:c.example", "@d:a.example"];
    let mut counts = (0, 0);
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        for _ in 0..500 {
            let seed = Seed(random.0);
            let mut create = json!({ "room_version": version, "creator": ALICE });
            if random.below(4) == 0 {
                create["m.federate"] = json!(false);
            }
            let mut maker = Maker::new(rules.clone(), create);
            let mut state = vec![maker.create.clone()];
            for _ in 0..random.below(8) {
                let (sender, event_type, key, content) = random_event(&mut random, &people);
                if let Some(key) = key {
                    let auth: Vec<_> = state.iter().collect();
                    state.push(maker.make(&sender, &event_type, Some(&key), content, &auth[..1]).0);
                }
            }
            let (sender, event_type, key, content) = random_event(&mut random, &people);
            let raw = serde_json::value::to_raw_value(&content).expect("JSON");
            let sender_id = crate::user(&sender);
            let keys = auth_event_keys(&rules, &event_type.as_str().into(), &sender_id, key.as_deref(), &raw);
            let find = |of: &str, key: &str| {
                let fits = |event: &&linkspan_domain::SharedPdu| event.is_state(&of.into(), key);
                state.iter().rev().find(fits).cloned()
            };
            let auth: Vec<_> =
                keys.iter().flatten().filter_map(|(of, key)| find(&of.to_string(), key)).collect();
            let (event, _) =
                maker.make(&sender, &event_type, key.as_deref(), content, &auth.iter().collect::<Vec<_>>());
            let by_all = authorize(&rules, &event, |of, key| find(&of.to_string(), key));
            // Nothing of the state matters but what auth events are chosen from.
            let chosen = |of: &str, key: &str| {
                let create = std::iter::once(&maker.create);
                auth.iter().chain(create).find(|event| event.is_state(&of.into(), key)).cloned()
            };
            let by_chosen = authorize(&rules, &event, |of, key| chosen(&of.to_string(), key));
            assert_eq!(by_all.is_ok(), by_chosen.is_ok(), "{version}: {event:?} {by_all:?} {by_chosen:?}");
            let fetch = |id: &ruma::EventId| state.iter().find(|event| event.event_id == id).cloned();
            let by_form = check_auth_events(&rules, &event, fetch);
            if keys.is_ok() && event_type != "m.room.create" {
                by_form.expect("chosen auth events are the right ones");
            }
            if by_all.is_ok() && event_type != "m.room.create" {
                check_form(&rules, &event, &maker.create)
                    .expect("what is allowed has the form that is asked for");
            }
            if by_all.is_ok() {
                counts.0 += 1
            } else {
                counts.1 += 1
            }
            drop(seed);
        }
    }
    assert!(counts.0 > 100 && counts.1 > 100, "allowed and refused: {counts:?}");
}

fn random_event(random: &mut Random, people: &[&str]) -> (String, String, Option<String>, Value) {
    let (sender, target) = (random.pick(people), random.pick(people));
    let membership = random.pick(&["join", "invite", "leave", "ban", "knock", "other"]);
    let rule =
        random.pick(&["public", "invite", "knock", "restricted", "knock_restricted", "private", "other"]);
    let (event_type, key, mut content) = match random.below(9) {
        0..=2 => ("m.room.member", Some(sender), json!({ "membership": "join" })),
        3 => ("m.room.member", Some(target), json!({ "membership": membership })),
        4 => {
            let content = json!({ "membership": "join", "join_authorised_via_users_server": target });
            ("m.room.member", Some(sender), content)
        }
        5 => ("m.room.join_rules", Some(""), json!({ "join_rule": rule })),
        6 => {
            let levels: Vec<i64> = (0..4).map(|_| [0, 50, 100, -1][random.below(4)]).collect();
            let users = json!({ BOB: levels[0], target: levels[1] });
            let content = json!({ "users": users, "users_default": levels[2], "state_default": levels[3] });
            ("m.room.power_levels", Some(""), content)
        }
        7 => (
            random.pick(&["m.room.message", "m.room.redaction", "m.room.third_party_invite"]),
            None,
            json!({}),
        ),
        _ => (random.pick(&["m.room.topic", "m.room.create", "m.room.aliases"]), Some(target), json!({})),
    };
    if random.below(6) == 0 {
        mutate(&mut content, random);
        if !content.is_object() || serde_json::from_value::<CanonicalJsonObject>(content.clone()).is_err() {
            content = json!({});
        }
    }
    (sender.to_owned(), event_type.to_owned(), key.map(str::to_owned), content)
}
