//! Whatever people do, one after the other or at once.

use linkspan_domain::{EncryptionRule, Pdu};
use linkspan_rooms::RoomsError;
use ruma::events::StateEventType;
use serde_json::json;

use crate::saying::sayings;
use crate::scene::*;
use crate::world::{Random, user};

#[tokio::test]
async fn nothing_slips_in_while_somebody_comes() {
    for round in 0..8 {
        let scene = Scene::open(&PLATFORMS, round % 2 == 0, "public").await;
        let mut tasks = Vec::<std::pin::Pin<Box<dyn Future<Output = Result<(), RoomsError>> + Send>>>::new();
        for number in 0..12 {
            let (rooms, room_id) = (scene.world.rooms.clone(), scene.room_id.clone());
            tasks.push(Box::pin(async move {
                let content = said("hello").to_string();
                let (sender, txn_id) =
                    (user(if number % 2 == 0 { ALICE } else { BOB }), format!("n{number}"));
                let device = device();
                let sent = rooms.send_message(
                    &sender,
                    &device,
                    &room_id,
                    "m.room.message",
                    &content,
                    Vec::new(),
                    &txn_id,
                    6_000,
                );
                sent.await.map(drop)
            }));
            if number == 5 && round % 2 == 1 {
                let (rooms, room_id) = (scene.world.rooms.clone(), scene.room_id.clone());
                tasks.push(Box::pin(async move {
                    let content = algorithm().to_string();
                    rooms
                        .set_state(&user(ALICE), &room_id, "m.room.encryption", "", &content, 6_000)
                        .await
                        .map(drop)
                }));
            }
            if number == round {
                let (rooms, room_id) = (scene.world.rooms.clone(), scene.room_id.clone());
                tasks
                    .push(Box::pin(async move { rooms.join_room(&user(RITA), &room_id, None, 6_000).await }));
            }
        }
        let results = scene.world.at_once(tasks).await;
        let outcomes = results.into_iter().map(|result| outcome(result, "at once"));
        let refused = outcomes.filter(Result::is_err).count();
        assert!(refused > 0, "round {round}: nobody was late");
        let head = scene.world.head(&scene.room_id).await;
        let mut rita_is_in = false;
        for event in scene.world.rooms.timeline(&scene.room_id, 0, head.seq, usize::MAX).await.expect("read")
        {
            rita_is_in |= event.pdu.is_state(&StateEventType::RoomMember, RITA);
            let readable = EncryptionRule::Required.hides(&event.pdu);
            assert!(!rita_is_in || !readable, "round {round}: {:?}", event.pdu);
        }
        scene.world.check_tables(&format!("round {round}")).await;
    }
}

/// What the model knows of a room: who is in it or invited, and whether it is encrypted.
#[derive(Default)]
pub(crate) struct Model {
    people: std::collections::BTreeMap<&'static str, &'static str>,
    encrypted: bool,
}

impl Model {
    pub(crate) fn has(&self, rule: &str) -> bool {
        self.people.iter().any(|(who, how)| matches!(*how, "join" | "invite") && rule_of(who) == rule)
    }

    pub(crate) fn newcomer(&self, who: &str) -> Outcome {
        match rule_of(who) {
            REQUIRED if self.has(FORBIDDEN) => Err(EXCLUDE),
            FORBIDDEN if self.has(REQUIRED) => Err(EXCLUDE),
            REQUIRED if !self.encrypted => Err(REQUIRED),
            FORBIDDEN if self.encrypted => Err(FORBIDDEN),
            _ => Ok(()),
        }
    }

    pub(crate) fn is(&self, who: &str) -> &'static str {
        self.people.get(who).copied().unwrap_or("leave")
    }
}

pub(crate) fn rule_of(who: &str) -> &'static str {
    match who {
        RITA | ROLF => REQUIRED,
        FINN | FRED => FORBIDDEN,
        _ => "",
    }
}

/// One thing that somebody does; what came of it and what the model expects. None: it made no sense just now.
pub(crate) async fn step(
    scene: &mut Scene,
    model: &mut Model,
    random: &mut Random,
) -> Option<(String, Outcome, Outcome)> {
    const PEOPLE: [&str; 5] = [BOB, RITA, ROLF, FINN, FRED];
    let who = PEOPLE[random.below(PEOPLE.len())];
    let rooms = scene.world.rooms.clone();
    let (id, room_id) = (user(who), scene.room_id.clone());
    let sender = if model.is(who) == "join" { who } else { ALICE };
    let what = random.below(14);
    let context = format!("{what} by {who}");
    let (got, expected) = match what {
        0..=2 if model.is(who) != "join" => {
            let expected = model.newcomer(who);
            let got = outcome(rooms.join_room(&id, &room_id, None, scene.now()).await, &context);
            expected.is_ok().then(|| model.people.insert(who, "join"));
            (got, expected)
        }
        3 if model.is(who) == "leave" => {
            let expected = model.newcomer(who);
            let got = outcome(rooms.invite(&user(ALICE), &room_id, &id, None, scene.now()).await, &context);
            expected.is_ok().then(|| model.people.insert(who, "invite"));
            (got, expected)
        }
        4..=5 if model.is(who) != "leave" => {
            model.people.insert(who, "leave");
            (outcome(rooms.leave_room(&id, &room_id, None, scene.now()).await, &context), Ok(()))
        }
        6..=7 => {
            let on = random.below(2) == 0;
            let expected = match on {
                true if model.has(FORBIDDEN) => Err(FORBIDDEN),
                false if model.has(REQUIRED) => Err(REQUIRED),
                _ => Ok(()),
            };
            let content = if on { algorithm() } else { json!({}) };
            if expected.is_ok() {
                model.encrypted = on;
            }
            (outcome(scene.set(ALICE, "m.room.encryption", "", content).await, &context), expected)
        }
        8 => {
            scene.world = scene.world.copy().await;
            (Ok(()), Ok(()))
        }
        9..=13 => {
            let kinds = sayings(&scene.before);
            let (event_type, content, kind, _) = kinds[random.below(kinds.len())].clone();
            let expected = kind.expected(model.has(REQUIRED), model.has(FORBIDDEN));
            let got = match (what, event_type) {
                (_, "m.reaction") => return None,
                (13, _) => scene.inserted(event_type, None, content, random.below(2) == 0).await,
                _ => outcome(scene.send(sender, event_type, content).await, &context),
            };
            (got, expected)
        }
        _ => return None,
    };
    Some((context, got, expected))
}

#[tokio::test]
async fn whatever_people_do_the_rules_hold() {
    let mut random = Random::seeded(67);
    for _ in 0..12 {
        let seed = random.0;
        let mut scene = Scene::open(&PLATFORMS, false, "public").await;
        let mut model = Model::default();
        model.people.insert(BOB, "join");
        let mut refused = 0;
        for number in 0..150 {
            let Some((context, got, expected)) = step(&mut scene, &mut model, &mut random).await else {
                continue;
            };
            assert_eq!(got, expected, "LINKSPAN_TEST_SEED={seed}, step {number}: {context}");
            refused += usize::from(got.is_err());
            for (who, rule) in [(RITA, EncryptionRule::Required), (FINN, EncryptionRule::Forbidden)] {
                if model.is(who) == "join" {
                    let seen = scene.seen(who).await;
                    let wrong: Vec<&Pdu> =
                        seen.iter().map(|pdu| &**pdu).filter(|pdu| rule.hides(pdu)).collect();
                    assert!(
                        wrong.is_empty(),
                        "LINKSPAN_TEST_SEED={seed}, step {number}: {who} sees {wrong:?}"
                    );
                }
            }
        }
        assert!(refused > 10, "LINKSPAN_TEST_SEED={seed}: too tame, {refused} refusals");
        scene.world.check_tables(&format!("LINKSPAN_TEST_SEED={seed}")).await;
    }
}
