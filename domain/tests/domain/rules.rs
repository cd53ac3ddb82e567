//! Authorisation, power levels, visibility and state resolution.

use std::collections::{HashMap, HashSet};

use linkspan_domain::{
    Arena, HistoryVisibility, PowerLevels, Seen, SharedPdu, StateKey, auth_event_keys, authorize,
    check_auth_events, check_form, resolve, versions,
};
use ruma::{
    OwnedEventId, RoomVersionId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::{Value, json, value::to_raw_value};

use crate::{ALICE, BOB, Maker, user};

fn allowed(maker: &Maker, event: &SharedPdu, state: &[&SharedPdu]) -> bool {
    let state: HashMap<StateKey, SharedPdu> = state
        .iter()
        .copied()
        .chain([&maker.create])
        .map(|event| (event.state_entry().expect("a state event"), event.clone()))
        .collect();
    authorize(&maker.rules, event, |event_type, key| {
        state.get(&(event_type.clone(), key.to_owned())).cloned()
    })
    .is_ok()
}

#[test]
fn who_may_make_a_create_event_differs_by_version() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let number: u32 = version.as_str().parse().expect("a number");
        let passes = |content: Value| {
            let maker = Maker::new(rules.clone(), content);
            check_auth_events(&rules, &maker.create, |_| None).is_ok()
        };
        assert!(passes(json!({ "room_version": version, "creator": ALICE })), "{version}");
        assert_eq!(passes(json!({ "room_version": version })), number >= 11, "{version}");
        let with = |creators: Value| json!({ "creator": ALICE, "additional_creators": creators });
        assert!(passes(with(json!([BOB]))));
        assert_eq!(passes(with(json!(["not a user id"]))), number < 12, "{version}");
        assert_eq!(passes(with(json!("@b:c"))), number < 12, "{version}");
    }
}

#[test]
fn what_no_sender_is_allowed_has_no_form() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let number: u32 = version.as_str().parse().expect("a number");
        let content = json!({ "room_version": version, "creator": ALICE, "additional_creators": [BOB] });
        let mut maker = Maker::new(rules.clone(), content.clone());
        let create = maker.create.clone();
        assert!(check_form(&rules, &create, &create).is_ok());
        for (field, value) in [("m.federate", json!("no")), ("additional_creators", json!(5))] {
            let mut content = content.clone();
            content[field] = value;
            let made = Maker::new(rules.clone(), content).create;
            let passes = field == "additional_creators" && number < 12;
            assert_eq!(check_form(&rules, &made, &made).is_ok(), passes, "{version}: {field}");
        }
        let mut passes = |event_type: &str, key: Option<&str>, content: Value| {
            let (event, _) = maker.make(BOB, event_type, key, content, &[]);
            check_form(&rules, &event, &create).is_ok()
        };
        assert!(!passes("m.room.create", Some(""), content));

        let member = |membership: &str| json!({ "membership": membership });
        for membership in ["join", "invite", "leave", "ban"] {
            assert!(passes("m.room.member", Some(ALICE), member(membership)));
            assert!(!passes("m.room.member", Some("alice"), member(membership)));
            assert!(!passes("m.room.member", None, member(membership)));
        }
        assert_eq!(passes("m.room.member", Some(ALICE), member("knock")), number >= 7, "{version}");
        assert!(!passes("m.room.member", Some(ALICE), member("guest")));
        assert!(!passes("m.room.member", Some(ALICE), json!({})));

        let mut levels = |content: Value| passes("m.room.power_levels", Some(""), content);
        assert!(levels(
            json!({ "users": { "@c:d": 5 }, "events": { "x": 1 }, "notifications": { "room": 2 } })
        ));
        assert_eq!(levels(json!({ "kick": "5", "users": { "@c:d": "5" } })), number < 10, "{version}");
        for creator in [ALICE, BOB] {
            assert_eq!(levels(json!({ "users": { creator: 100 } })), number < 12, "{version}");
        }
        for field in
            ["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite", "events"]
        {
            assert!(!levels(json!({ field: "high" })), "{version}: {field}");
        }
        // Events of types that no rule asks about may have any content.
        assert!(passes("org.example.levels", Some(""), json!({ "users": 5 })));
    }
}

#[test]
fn auth_events_are_chosen_as_the_version_says() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let number: u32 = version.as_str().parse().expect("a number");
        let keys = |event_type: &str, key: Option<&str>, content: Value| -> HashSet<(String, String)> {
            let raw = to_raw_value(&content).expect("JSON");
            let keys = auth_event_keys(&rules, &event_type.into(), &user(ALICE), key, &raw).expect("keys");
            keys.into_iter().map(|(event_type, key)| (event_type.to_string(), key)).collect()
        };
        let expected = |others: &[(&str, &str)]| -> HashSet<(String, String)> {
            let mut all = vec![("m.room.power_levels", ""), ("m.room.member", ALICE)];
            if number < 12 {
                all.push(("m.room.create", ""));
            }
            all.extend(others);
            all.into_iter().map(|(event_type, key)| (event_type.to_owned(), key.to_owned())).collect()
        };
        assert!(keys("m.room.create", Some(""), json!({})).is_empty());
        assert_eq!(keys("m.room.message", None, json!({})), expected(&[]));
        assert_eq!(keys("m.room.topic", Some(""), json!({})), expected(&[]));
        let invite = keys("m.room.member", Some(BOB), json!({ "membership": "invite" }));
        assert_eq!(invite, expected(&[("m.room.member", BOB), ("m.room.join_rules", "")]));
        let kick = keys("m.room.member", Some(BOB), json!({ "membership": "leave" }));
        assert_eq!(kick, expected(&[("m.room.member", BOB)]));
        let join = json!({ "membership": "join", "join_authorised_via_users_server": BOB });
        let mut wanted = expected(&[("m.room.join_rules", "")]);
        if number >= 8 {
            wanted.insert(("m.room.member".to_owned(), BOB.to_owned()));
        }
        assert_eq!(keys("m.room.member", Some(ALICE), join), wanted, "{version}");
    }
}

#[test]
fn power_levels_have_the_defaults_of_the_specification() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let privileged = version == RoomVersionId::V12;
        let mut maker =
            Maker::new(rules.clone(), json!({ "room_version": version, "additional_creators": [BOB] }));
        let none = PowerLevels::new(&rules, &maker.create, None);
        assert_eq!(none.user(&user(ALICE)), if privileged { i64::MAX } else { 100 });
        assert_eq!(none.user(&user(BOB)), if privileged { i64::MAX } else { 0 });
        assert_eq!(none.user(&user("@c:d")), 0);
        assert_eq!(none.creators().len(), if privileged { 2 } else { 1 });
        // Without the event, sending state and messages needs level 0. The defaults hold for the rest.
        assert_eq!((none.needed_for_event("m.room.topic", true), none.needed_for_event("x", false)), (0, 0));
        assert_eq!((none.needed_to_invite(), none.needed_to_kick(), none.needed_to_ban()), (0, 50, 50));

        let empty = maker.state(ALICE, "m.room.power_levels", "", json!({}));
        let empty = PowerLevels::new(&rules, &maker.create, Some(&empty));
        assert_eq!(empty.user(&user(ALICE)), if privileged { i64::MAX } else { 0 });
        assert_eq!(
            (empty.needed_for_event("m.room.topic", true), empty.needed_for_event("x", false)),
            (50, 0)
        );
        assert_eq!((empty.needed_to_redact(), empty.needed_to_notify("room")), (50, 50));

        let content = json!({
            "users": { "@c:d": 7 }, "users_default": 3, "events": { "m.room.topic": 9 }, "state_default": 8,
            "events_default": 2, "invite": 4, "kick": 5, "ban": 6, "redact": 1, "notifications": { "room": 20 },
        });
        let full = maker.state(ALICE, "m.room.power_levels", "", content);
        let full = PowerLevels::new(&rules, &maker.create, Some(&full));
        assert_eq!((full.user(&user("@c:d")), full.user(&user("@e:f"))), (7, 3));
        assert_eq!(
            (full.needed_for_event("m.room.topic", true), full.needed_for_event("m.room.name", true)),
            (9, 8)
        );
        assert_eq!((full.needed_for_event("m.room.message", false), full.needed_to_invite()), (2, 4));
        assert_eq!((full.needed_to_kick(), full.needed_to_ban(), full.needed_to_redact()), (5, 6, 1));
        assert_eq!(full.needed_to_notify("room"), 20);
    }
}

#[test]
fn levels_that_are_text_count_where_the_version_lets_them() {
    // Up to version 9, and only as whole numbers.
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let number: u32 = version.as_str().parse().expect("a number");
        let mut maker = Maker::new(rules.clone(), json!({ "room_version": version, "creator": ALICE }));
        let join = maker.member(ALICE, ALICE, "join");
        let bob = maker.member(BOB, BOB, "join");
        let content = json!({ "users": { BOB: "50" }, "state_default": " 50 " });
        let levels = maker.state(ALICE, "m.room.power_levels", "", content);
        let set = allowed(&maker, &levels, &[&join]);
        assert_eq!(set, number < 10, "{version}");
        if set {
            let topic = maker.state(BOB, "m.room.topic", "", json!({}));
            assert!(allowed(&maker, &topic, &[&join, &bob, &levels]), "{version}");
            let read = PowerLevels::new(&rules, &maker.create, Some(&levels));
            assert_eq!(
                (read.user(&user(BOB)), read.needed_for_event("m.room.topic", true)),
                (50, 50),
                "{version}"
            );
        }
    }
}

#[test]
fn history_shows_itself_by_the_table_of_the_specification() {
    use HistoryVisibility::{Invited, Joined, Shared, WorldReadable};
    use MembershipState::{Ban, Invite, Join, Knock, Leave};
    // Membership then, joined at that time or later; and to whom of the four kinds it shows itself.
    for (membership_then, joined_since, shown) in [
        (Some(Join), true, [true, true, true, true]),
        (Some(Join), false, [true, true, true, true]),
        (Some(Invite), true, [true, true, true, false]),
        (Some(Invite), false, [true, false, true, false]),
        (Some(Leave), true, [true, true, false, false]),
        (Some(Leave), false, [true, false, false, false]),
        (Some(Ban), false, [true, false, false, false]),
        (Some(Knock), false, [true, false, false, false]),
        (None, true, [true, true, false, false]),
        (None, false, [true, false, false, false]),
    ] {
        for (visibility, shown) in [WorldReadable, Shared, Invited, Joined].into_iter().zip(shown) {
            let seen = Seen { membership_then: membership_then.as_ref(), joined_since };
            assert_eq!(visibility.shows(seen), shown, "{visibility:?} {seen:?}");
        }
    }
    let mut maker = Maker::new(RoomVersionId::V12.rules().expect("rules"), json!({}));
    for (content, expected) in [
        (json!({ "history_visibility": "world_readable" }), WorldReadable),
        (json!({ "history_visibility": "invited" }), Invited),
        (json!({ "history_visibility": "joined" }), Joined),
        (json!({ "history_visibility": "shared" }), Shared),
        (json!({ "history_visibility": "else" }), Shared),
        (json!({ "history_visibility": 1 }), Shared),
        (json!({}), Shared),
    ] {
        let event = maker.state(ALICE, "m.room.history_visibility", "", content);
        assert_eq!(HistoryVisibility::of(Some(&event)), expected);
    }
    assert_eq!(HistoryVisibility::of(None), Shared);
}

type State = HashMap<StateKey, OwnedEventId>;

fn state_of(events: &[&SharedPdu]) -> State {
    events.iter().map(|event| (event.state_entry().expect("state"), event.event_id.clone())).collect()
}

/// A room made by hand. Alice has level 100 and Bob has 50, and both are joined.
struct Small {
    maker: Maker,
    arena: Arena,
    base: Vec<SharedPdu>,
}

impl Small {
    fn new(version: &RoomVersionId) -> Self {
        let rules = versions::rules(version).expect("rules");
        let maker = Maker::new(rules, json!({ "room_version": version, "creator": ALICE }));
        let mut small = Self { arena: Arena::default(), base: vec![maker.create.clone()], maker };
        small.arena.insert(small.maker.create.clone());
        let alice = small.add(ALICE, "m.room.member", ALICE, json!({ "membership": "join" }), &[]);
        small.base.push(alice.clone());
        let levels = small.levels(ALICE, 50, &[&alice]);
        small.base.push(levels.clone());
        let public = json!({ "join_rule": "public" });
        let rules = small.add(ALICE, "m.room.join_rules", "", public, &[&alice, &levels]);
        small.base.push(rules.clone());
        let bob = small.add(BOB, "m.room.member", BOB, json!({ "membership": "join" }), &[&levels, &rules]);
        small.base.push(bob);
        small
    }

    fn levels(&mut self, sender: &str, bob: i64, auth: &[&SharedPdu]) -> SharedPdu {
        let mut users = json!({ BOB: bob });
        if !self.maker.rules.authorization.explicitly_privilege_room_creators {
            users[ALICE] = json!(100);
        }
        let content = json!({ "users": users, "events": { "m.room.power_levels": 50 } });
        self.add(sender, "m.room.power_levels", "", content, auth)
    }

    fn add(
        &mut self,
        sender: &str,
        event_type: &str,
        key: &str,
        content: Value,
        auth: &[&SharedPdu],
    ) -> SharedPdu {
        let create = self.maker.create.clone();
        let mut auth = auth.to_vec();
        if !self.maker.rules.authorization.room_create_event_id_as_room_id {
            auth.push(&create);
        }
        let (event, _) = self.maker.make(sender, event_type, Some(key), content, &auth);
        self.arena.insert(event.clone());
        event
    }

    /// The base state, with these events put into it.
    fn state(&self, events: &[&SharedPdu]) -> State {
        let mut state = state_of(&self.base.iter().collect::<Vec<_>>());
        state.extend(state_of(events));
        state
    }

    fn resolve(&self, states: &[State]) -> State {
        let there = resolve(&self.maker.rules, states, &self.arena).expect("a resolution");
        let back: Vec<_> = states.iter().rev().cloned().collect();
        assert_eq!(resolve(&self.maker.rules, &back, &self.arena).expect("a resolution"), there, "the order");
        there
    }
}

#[test]
fn a_fork_resolves_as_worked_out_by_hand() {
    for version in versions::SUPPORTED {
        let mut small = Small::new(&version);
        let [_, alice, levels, _, bob] = &small.base.clone()[..] else { panic!("five events") };
        let topic = (StateEventType::RoomTopic, String::new());

        // Both sides have the same state, and one side has one entry more.
        let one = small.add(BOB, "m.room.topic", "", json!({ "topic": "1" }), &[levels, bob]);
        let (with, without) = (small.state(&[&one]), small.state(&[]));
        assert_eq!(small.resolve(&[with.clone(), with.clone()]), with);
        assert_eq!(small.resolve(&[with.clone(), without]), with);

        // Both sides set a topic under the same power levels. The later one holds.
        let two = small.add(BOB, "m.room.topic", "", json!({ "topic": "2" }), &[levels, bob]);
        let resolved = small.resolve(&[with.clone(), small.state(&[&two])]);
        assert_eq!(resolved[&topic], two.event_id, "{version}");

        // Alice takes Bob's power. His topic on the other side does not hold, however late it is.
        let demotion = small.levels(ALICE, 0, &[alice, levels]);
        let late = small.add(BOB, "m.room.topic", "", json!({ "topic": "late" }), &[levels, bob]);
        let resolved = small.resolve(&[small.state(&[&demotion]), small.state(&[&late])]);
        assert_eq!(resolved.get(&topic), None, "{version}");
        assert_eq!(resolved[&(StateEventType::RoomPowerLevels, String::new())], demotion.event_id);

        // Both change the levels at once. The change of the user with the greater power comes first, and then
        // Bob lacks the power for his.
        let bobs = small.levels(BOB, 40, &[levels, bob]);
        let resolved = small.resolve(&[small.state(&[&demotion]), small.state(&[&bobs])]);
        assert_eq!(
            resolved[&(StateEventType::RoomPowerLevels, String::new())],
            demotion.event_id,
            "{version}"
        );

        // One side bans a user who leaves on the other side.
        let ban =
            small.add(ALICE, "m.room.member", BOB, json!({ "membership": "ban" }), &[alice, levels, bob]);
        let leave = small.add(BOB, "m.room.member", BOB, json!({ "membership": "leave" }), &[levels, bob]);
        let resolved = small.resolve(&[small.state(&[&ban]), small.state(&[&leave])]);
        assert_eq!(resolved[&(StateEventType::RoomMember, BOB.to_owned())], ban.event_id, "{version}");
    }
}

/// Since version 12, what lies between conflicted events counts as conflicted. Otherwise the state would fall
/// back to what both sides had left behind.
#[test]
fn the_conflicted_subgraph_holds_what_lies_between() {
    let mut small = Small::new(&RoomVersionId::V12);
    let [_, alice, levels, rules, bob] = &small.base.clone()[..] else { panic!("five events") };
    // The order is `levels`, `second`, `third`. One side has `levels`, the other has `third`, and `second`
    // lies between.
    let second = small.levels(ALICE, 60, &[alice, levels]);
    let third = small.levels(ALICE, 70, &[alice, &second]);
    let key = (StateEventType::RoomPowerLevels, String::new());
    let resolved = small.resolve(&[small.state(&[]), small.state(&[&third])]);
    assert_eq!(resolved[&key], third.event_id);
    // One side went back to an older state, and the other has a topic that needed what lies between.
    let topic = small.add(BOB, "m.room.topic", "", json!({ "topic": "60" }), &[&second, bob]);
    let resolved = small.resolve(&[small.state(&[&topic, &second]), small.state(&[&third])]);
    assert_eq!(resolved[&key], third.event_id);
    assert_eq!(resolved[&(StateEventType::RoomTopic, String::new())], topic.event_id);
    assert_eq!(resolved[&(StateEventType::RoomJoinRules, String::new())], rules.event_id);
}

#[test]
fn a_resolution_that_lacks_events_fails_or_does_without_but_never_panics() {
    let small = Small::new(&RoomVersionId::V12);
    let mut other = Small::new(&RoomVersionId::V12);
    let topic = other.add(ALICE, "m.room.topic", "", json!({}), &[]);
    let states = [small.state(&[]), small.state(&[&topic])];
    let _ = resolve(&small.maker.rules, &states, &small.arena);
    let _ = resolve(&small.maker.rules, &states, &Arena::default());
    resolve(&RoomVersionId::V1.rules().expect("rules"), &states, &small.arena).expect_err("not version 2");
}
