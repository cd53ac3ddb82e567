//! Rooms whose graph forks: the state must be the one that the specification's resolution gives, whatever the
//! order in which events come in, and all tables must say the same.

mod world;

use std::collections::HashMap;

use linkspan_rooms::Inserted;
use linkspan_storage::{Range, catalogue::AwaitedRedactions};
use ruma::{
    OwnedEventId, OwnedUserId, RoomVersionId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::json;
use world::{Graph, Random, State, VERSIONS, World, permutations, user};

const ALICE: &str = "@alice:a.localhost";
const BOB: &str = "@bob:b.localhost";
const CAROL: &str = "@carol:far.example";
const DAVE: &str = "@dave:far.example";
const TIMER: &str = "com.beeper.disappearing_timer";

fn entry(event_type: StateEventType, state_key: &str) -> (StateEventType, String) {
    (event_type, state_key.to_owned())
}

/// What must be the same after every order.
#[derive(Debug, PartialEq)]
struct Outcome {
    state: State,
    members: std::collections::BTreeMap<OwnedUserId, MembershipState>,
    counts: (u64, u64),
}

async fn outcome(world: &World, graph: &Graph) -> Outcome {
    let head = world.head(&graph.room_id).await;
    Outcome {
        state: world.current(&graph.room_id).await,
        members: world.members(&graph.room_id).await,
        counts: (head.joined, head.invited),
    }
}

/// Inserts the events in each of the orders into copies of the world, and checks that it made no difference.
async fn in_any_order(
    world: &World,
    graph: &Graph,
    orders: Vec<Vec<OwnedEventId>>,
    context: &str,
) -> (Outcome, Vec<HashMap<OwnedEventId, Inserted>>) {
    let mut first: Option<Outcome> = None;
    let mut all = Vec::new();
    for (number, order) in orders.into_iter().enumerate() {
        let context = format!("{context}, order {number}");
        let copy = world.copy().await;
        all.push(copy.insert_all(graph, &order).await);
        copy.check(graph, &context).await;
        let found = outcome(&copy, graph).await;
        match &first {
            Some(first) => assert_eq!(*first, found, "{context}"),
            None => first = Some(found),
        }
    }
    (first.expect("an order"), all)
}

#[tokio::test]
async fn of_two_topics_set_at_once_the_later_one_stays() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let here = graph.topic(BOB, "here", &[]);
        let there = graph.topic(CAROL, "there", &[]);
        let orders = permutations(&[here, there.clone()]);
        let (outcome, became) = in_any_order(&world, &graph, orders, &format!("version {version}")).await;
        // The same power and the same mainline: the later time decides.
        assert_eq!(outcome.state[&entry(StateEventType::RoomTopic, "")], there);
        assert!(became.iter().all(|all| all.values().all(|it| matches!(it, Inserted::InTimeline(_)))));
    }
}

#[tokio::test]
async fn a_ban_beats_what_the_banned_user_did_meanwhile() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let ban = graph.member(ALICE, CAROL, "ban", &[]);
        let topic = graph.topic(CAROL, "carol was here", &[]);
        let message = graph.message(CAROL, "and more", &[&topic]);
        let orders = permutations(&[ban.clone(), topic.clone(), message.clone()]);
        let before = graph.events[&graph.base].after.clone();
        let (outcome, became) = in_any_order(&world, &graph, orders, &format!("version {version}")).await;
        let topic_entry = entry(StateEventType::RoomTopic, "");
        assert_eq!(outcome.state[&topic_entry], before[&topic_entry]);
        assert_eq!(outcome.members[&user(CAROL)], MembershipState::Ban);
        assert_eq!(outcome.counts.0, 3);
        // What comes after the ban is hidden, not refused: it stands in a part of the graph where it was right.
        for all in became {
            assert!(matches!(all[&ban], Inserted::InTimeline(_)));
            let message_place = &all[&message];
            assert!(
                matches!(message_place, Inserted::InTimeline(_) | Inserted::SoftFailed(_)),
                "{message_place:?}"
            );
        }
        let copy = world.copy().await;
        let became = copy.insert_all(&graph, &[ban, topic, message.clone()]).await;
        assert!(matches!(became[&message], Inserted::SoftFailed(_)));
        assert!(copy.rooms.event(&graph.room_id, &message).await.expect("read").is_none());
    }
}

#[tokio::test]
async fn a_demotion_beats_the_use_of_the_power_meanwhile() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let demotion = graph.levels(json!({ BOB: 50, CAROL: 0 }), &[]);
        let grab = graph.levels_by(CAROL, json!({ BOB: 50, CAROL: 50, DAVE: 50 }), &[]);
        let used = graph.topic(DAVE, "dave's", &[&grab]);
        let orders = permutations(&[demotion.clone(), grab, used]);
        let (outcome, _) = in_any_order(&world, &graph, orders, &format!("version {version}")).await;
        assert_eq!(outcome.state[&entry(StateEventType::RoomPowerLevels, "")], demotion);
        let topic = entry(StateEventType::RoomTopic, "");
        assert_eq!(outcome.state[&topic], graph.events[&graph.base].after[&topic]);
    }
}

#[tokio::test]
async fn joins_at_once_are_all_joins() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let joins: Vec<_> = ["@e:far.example", "@f:other.example", "@g:b.localhost", "@h:a.localhost"]
            .map(|it| graph.member(it, it, "join", &[]))
            .into();
        let orders = permutations(&joins);
        let (outcome, _) = in_any_order(&world, &graph, orders, &format!("version {version}")).await;
        assert_eq!(outcome.counts.0, 8);
        assert_eq!(outcome.members.values().filter(|it| **it == MembershipState::Join).count(), 8);
    }
}

#[tokio::test]
async fn joins_while_the_room_is_closed_do_not_hold() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let closed = graph.event(ALICE, "m.room.join_rules", Some(""), json!({ "join_rule": "invite" }), &[]);
        let one = graph.member("@e:far.example", "@e:far.example", "join", &[]);
        let two = graph.member("@f:b.localhost", "@f:b.localhost", "join", &[]);
        let merged = graph.message(ALICE, "closed", &[&closed, &one, &two]);
        let orders = permutations(&[closed.clone(), one, two, merged]);
        let (outcome, _) = in_any_order(&world, &graph, orders, &format!("version {version}")).await;
        assert_eq!(outcome.state[&entry(StateEventType::RoomJoinRules, "")], closed);
        assert_eq!((outcome.counts, outcome.members.len()), ((4, 0), 4));
    }
}

#[tokio::test]
async fn a_local_event_follows_all_ends_and_merges_them() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let forks: Vec<_> = (0..4).map(|fork| graph.topic(CAROL, &format!("fork {fork}"), &[])).collect();
        world.insert_all(&graph, &forks).await;
        let room_id = graph.room_id.clone();
        assert_eq!(world.head(&room_id).await.extremities.len(), 4);
        let before = world.current(&room_id).await;
        let name = r#"{"name":"merged"}"#;
        let merge =
            world.rooms.set_state(&user(ALICE), &room_id, "m.room.name", "", name, 9_000).await.expect("set");
        let head = world.head(&room_id).await;
        assert_eq!(head.extremities, std::slice::from_ref(&merge));
        let event = world.rooms.event(&room_id, &merge).await.expect("read").expect("an event");
        let mut prev = event.pdu.prev_events.clone();
        let mut expected = forks.clone();
        prev.sort();
        expected.sort();
        assert_eq!(prev, expected);
        assert_eq!(event.pdu.depth, graph.pdu(&forks[0]).depth + 1);
        let mut after = before;
        after.insert(entry(StateEventType::RoomName, ""), merge);
        assert_eq!(world.current(&room_id).await, after);
        world.check_tables("after the merge").await;
    }
}

#[tokio::test]
async fn an_event_follows_at_most_twenty_ends() {
    let world = World::new().await;
    let mut graph = Graph::start(&world, &RoomVersionId::V11).await;
    let forks: Vec<_> = (0..27).map(|fork| graph.message(CAROL, &format!("fork {fork}"), &[])).collect();
    world.insert_all(&graph, &forks).await;
    for left in [8, 1] {
        let content = format!(r#"{{"topic":"{left} ends"}}"#);
        let set =
            world.rooms.set_state(&user(ALICE), &graph.room_id, "m.room.topic", "", &content, 9_000).await;
        let event =
            world.rooms.event(&graph.room_id, &set.expect("set")).await.expect("read").expect("an event");
        assert!(event.pdu.prev_events.len() <= 20);
        assert_eq!(world.head(&graph.room_id).await.extremities.len(), left);
    }
    world.check_tables("after two merges").await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_nothing_is_kept() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let first = graph.topic(CAROL, "first", &[]);
        let second = graph.message(CAROL, "second", &[&first]);
        assert_eq!(world.insert(&graph, &second).await, Inserted::Missing(vec![first.clone()]));
        assert!(world.rooms.event_place(&second).await.expect("read").is_none());
        assert!(matches!(world.insert(&graph, &first).await, Inserted::InTimeline(_)));
        assert!(matches!(world.insert(&graph, &second).await, Inserted::InTimeline(_)));
        assert_eq!(world.insert(&graph, &second).await, Inserted::Known);
        assert_eq!(world.insert(&graph, &first).await, Inserted::Known);
        world.check(&graph, "both are there").await;
    }
}

#[tokio::test]
async fn the_same_event_many_times_at_once_is_one_event() {
    let world = World::new().await;
    let mut graph = Graph::start(&world, &RoomVersionId::V12).await;
    let topic = graph.topic(CAROL, "once", &[]);
    let seq = world.head(&graph.room_id).await.seq;
    let mut tasks = Vec::<std::pin::Pin<Box<dyn Future<Output = _> + Send>>>::new();
    for _ in 0..16 {
        let (rooms, room_id) = (world.rooms.clone(), graph.room_id.clone());
        let object = graph.events[&topic].object.clone();
        tasks.push(Box::pin(async move {
            rooms.insert_event(&room_id, &object, 5_000).await.expect("an answer")
        }));
    }
    let became = world.at_once(tasks).await;
    assert_eq!(became.iter().filter(|it| **it == Inserted::InTimeline(seq + 1)).count(), 1);
    assert_eq!(became.iter().filter(|it| **it == Inserted::Known).count(), 15);
    world.check(&graph, "once").await;
}

#[tokio::test]
async fn rejected_events_change_nothing_and_what_allows_itself_by_them_is_rejected() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let before = world.current(&graph.room_id).await;
        // Dave has no power; the topic is his all the same.
        let refused = graph.topic(DAVE, "mine", &[]);
        assert!(matches!(world.insert(&graph, &refused).await, Inserted::Rejected(_)));
        let levels = graph.levels_by(DAVE, json!({ DAVE: 100 }), &[&refused]);
        assert!(matches!(world.insert(&graph, &levels).await, Inserted::Rejected(_)));
        let state = &graph.events[&graph.base].after;
        let mut auth_events: Vec<_> =
            [entry(StateEventType::RoomMember, DAVE)].map(|key| state[&key].clone()).into();
        if version != RoomVersionId::V12 {
            auth_events.push(state[&entry(StateEventType::RoomCreate, "")].clone());
        }
        auth_events.push(levels);
        let base = graph.base.clone();
        let content = json!({ "topic": "by a rejected event" });
        let built = graph.event_with(DAVE, "m.room.topic", Some(""), content, &[&base], auth_events);
        assert!(matches!(world.insert(&graph, &built).await, Inserted::Rejected(_)));
        assert_eq!(world.current(&graph.room_id).await, before);
        // An event that follows a rejected one is as good as any, and the end that both follow is one no more.
        let after = graph.message(CAROL, "goes on", &[&refused]);
        assert!(matches!(world.insert(&graph, &after).await, Inserted::InTimeline(_)));
        assert_eq!(world.head(&graph.room_id).await.extremities, [after]);
        assert_eq!(world.current(&graph.room_id).await, before);
        world.check_tables(&format!("version {version}")).await;
    }
}

#[tokio::test]
async fn local_events_that_are_not_on_disk_yet_are_followed_by_inserted_ones() {
    let world = World::new().await;
    let mut graph = Graph::start(&world, &RoomVersionId::V12).await;
    let room_id = graph.room_id.clone();
    let forks: Vec<_> = (0..6).map(|fork| graph.topic(CAROL, &format!("fork {fork}"), &[])).collect();
    let mut tasks = Vec::<std::pin::Pin<Box<dyn Future<Output = _> + Send>>>::new();
    for (number, fork) in forks.iter().enumerate() {
        let (rooms, room_id, object) =
            (world.rooms.clone(), room_id.clone(), graph.events[fork].object.clone());
        tasks.push(Box::pin(async move {
            let inserted = rooms.insert_event(&room_id, &object, 5_000).await.expect("an answer");
            assert!(matches!(inserted, Inserted::InTimeline(_)), "{inserted:?}");
        }));
        let (rooms, room_id) = (world.rooms.clone(), graph.room_id.clone());
        tasks.push(Box::pin(async move {
            let content = format!(r#"{{"name":"name {number}"}}"#);
            rooms.set_state(&user(ALICE), &room_id, "m.room.name", "", &content, 9_000).await.expect("set");
        }));
    }
    world.at_once(tasks).await;
    world.check_tables("all are there").await;
}

/// A seeded graph of forks, merges, bans, joins and changes of power; all in a shuffled order.
fn grow(graph: &mut Graph, random: &mut Random, events: usize) -> Vec<OwnedEventId> {
    let people = [ALICE, BOB, CAROL, DAVE, "@e:far.example", "@f:b.localhost"];
    let mut made: Vec<OwnedEventId> = vec![graph.base.clone()];
    for number in 0..events {
        let recent = made.len().saturating_sub(6);
        let mut prev = vec![made[recent + random.below(made.len() - recent)].clone()];
        if random.below(4) == 0 {
            let other = made[recent + random.below(made.len() - recent)].clone();
            if !prev.contains(&other) {
                prev.push(other);
            }
        }
        let prev: Vec<&OwnedEventId> = prev.iter().collect();
        let sender = people[random.below(people.len())];
        let target = people[random.below(people.len())];
        let event = match random.below(10) {
            0..=2 => graph.topic(sender, &format!("topic {number}"), &prev),
            3..=4 => graph.message(sender, &format!("message {number}"), &prev),
            5..=6 => graph.member(sender, sender, ["join", "leave"][random.below(2)], &prev),
            7 => graph.member(sender, target, ["ban", "leave", "invite"][random.below(3)], &prev),
            8 => {
                let (bob, carol, dave) = (random.below(2) * 50, random.below(2) * 50, random.below(2) * 50);
                graph.levels_by(sender, json!({ BOB: bob, CAROL: carol, DAVE: dave }), &prev)
            }
            _ => {
                let rule = ["public", "invite"][random.below(2)];
                graph.event(sender, "m.room.join_rules", Some(""), json!({ "join_rule": rule }), &prev)
            }
        };
        made.push(event);
    }
    made.remove(0);
    made
}

#[tokio::test]
async fn any_graph_in_any_order_keeps_the_tables_right() {
    let mut random = Random::seeded(7);
    for version in VERSIONS {
        for _ in 0..6 {
            let seed = random.0;
            let context = format!("LINKSPAN_TEST_SEED={seed}, version {version}");
            let world = World::new().await;
            let mut graph = Graph::start(&world, &version).await;
            let events = grow(&mut graph, &mut random, 40);
            for order in 0..3 {
                let mut order_of = events.clone();
                random.shuffle(&mut order_of);
                let copy = world.copy().await;
                let became = copy.insert_all(&graph, &order_of).await;
                // Whether an event is right where it stands does not depend on when it came.
                for (event_id, became) in &became {
                    let event = &graph.events[event_id];
                    let changed = event.pdu.state_key.is_some() && event.before == event.after;
                    let rejected = matches!(became, Inserted::Rejected(_));
                    assert!(!changed || rejected, "{context}, order {order}: {event_id} became {became:?}");
                }
                copy.check(&graph, &format!("{context}, order {order}")).await;
            }
        }
    }
}

#[tokio::test]
async fn graphs_without_soft_failures_give_the_same_state_in_any_order() {
    let mut random = Random::seeded(11);
    for version in VERSIONS {
        let seed = random.0;
        let context = format!("LINKSPAN_TEST_SEED={seed}, version {version}");
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let mut made = vec![graph.base.clone()];
        for number in 0..30 {
            let recent = made.len().saturating_sub(8);
            let prev = made[recent + random.below(made.len() - recent)].clone();
            let sender = [ALICE, BOB, CAROL][random.below(3)];
            let event = match random.below(3) {
                0 => graph.topic(sender, &format!("topic {number}"), &[&prev]),
                1 => graph.message(sender, "hello", &[&prev]),
                _ => {
                    let joiner = format!("@u{number}:far.example");
                    graph.member(&joiner, &joiner, "join", &[&prev])
                }
            };
            made.push(event);
        }
        made.remove(0);
        let orders = (0..6).map(|_| {
            let mut order = made.clone();
            random.shuffle(&mut order);
            order
        });
        let orders = orders.collect();
        in_any_order(&world, &graph, orders, &context).await;
    }
}

#[tokio::test]
async fn states_told_whole_lose_nothing_in_a_line_or_in_forks() {
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let mut line = Vec::new();
        let mut last = graph.base.clone();
        // A line longer than a chain may be; and beside it forks from everywhere, across the cut too.
        for number in 0..150 {
            let next = graph.topic(CAROL, &format!("line {number}"), &[&last]);
            if number % 9 == 0 {
                line.push(graph.topic(BOB, &format!("fork at {number}"), &[&last]));
                let joiner = format!("@u{number}:far.example");
                line.push(graph.member(&joiner, &joiner, "join", &[&last]));
            }
            line.push(next.clone());
            last = next;
        }
        world.insert_all(&graph, &line).await;
        world.check(&graph, &format!("version {version}, in order")).await;
        // The line alone first: its newest states are cut, then forks come from before and after the cut.
        let fresh = World::new().await;
        let mut graph = Graph::start(&fresh, &version).await;
        let mut last = graph.base.clone();
        for number in 0..140 {
            last = graph.topic(CAROL, &format!("line {number}"), &[&last]);
            fresh.insert(&graph, &last).await;
        }
        let id = last.clone();
        for back in 0..10 {
            let mut at = id.clone();
            for _ in 0..back * 13 {
                at = graph.pdu(&at).prev_events[0].clone();
            }
            let joiner = format!("@w{back}:far.example");
            let fork = graph.member(&joiner, &joiner, "join", &[&at]);
            assert!(matches!(fresh.insert(&graph, &fork).await, Inserted::InTimeline(_)));
        }
        fresh.check(&graph, &format!("version {version}, forks later")).await;
        assert_eq!(fresh.head(&graph.room_id).await.joined, 14);
    }
}

#[tokio::test]
async fn long_local_lines_are_told_whole_now_and_then() {
    let world = World::new().await;
    let graph = Graph::start(&world, &RoomVersionId::V12).await;
    for number in 0..140 {
        let content = format!(r#"{{"topic":"{number}"}}"#);
        world
            .rooms
            .set_state(&user(ALICE), &graph.room_id, "m.room.topic", "", &content, 9_000)
            .await
            .expect("set");
    }
    world.check_tables("a long line").await;
    let model = Graph::of_room(&world, &graph.room_id, &RoomVersionId::V12).await;
    world.check(&model, "a long line").await;
}

#[tokio::test]
async fn redactions_from_elsewhere_take_effect_or_are_only_events() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let message = graph.message(BOB, "keep", &[]);
        let own = graph.message(DAVE, "drop", &[&message]);
        let content = json!({ "redacts": message });
        let not_allowed = graph.event(DAVE, "m.room.redaction", None, content, &[&own]);
        let content = json!({ "redacts": own });
        let allowed = graph.event(DAVE, "m.room.redaction", None, content, &[&not_allowed]);
        // It has the field, but is no redaction.
        let odd = json!({ "redacts": message, "body": "not a redaction" });
        let odd = graph.event(ALICE, "m.room.message", None, odd, &[&allowed]);
        let order = [message.clone(), own.clone(), not_allowed, allowed, odd];
        let became = world.insert_all(&graph, &order).await;
        assert!(became.values().all(|it| matches!(it, Inserted::InTimeline(_))), "{version}: {became:?}");
        let kept = world.rooms.event(&graph.room_id, &message).await.expect("read").expect("an event");
        assert!(kept.pdu.redacted_by.is_none(), "version {version}");
        let gone = world.rooms.event(&graph.room_id, &own).await.expect("read").expect("an event");
        assert_eq!(gone.pdu.content.get(), "{}", "version {version}");
        world.check_tables(&format!("version {version}")).await;
    }
}

#[tokio::test]
async fn a_redaction_that_comes_first_takes_effect_later() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let base = graph.message(ALICE, "base", &[]);
        // On one fork what is said, on another what takes it away, and something that may not.
        let own = graph.message(DAVE, "drop", &[&base]);
        let kept = graph.message(BOB, "keep", &[&own]);
        let not_allowed = graph.event(DAVE, "m.room.redaction", None, json!({ "redacts": kept }), &[&base]);
        let allowed = graph.event(DAVE, "m.room.redaction", None, json!({ "redacts": own }), &[&not_allowed]);
        let order = [base, not_allowed, allowed.clone(), own.clone(), kept.clone()];
        for event_id in &order {
            let became = world.insert(&graph, event_id).await;
            assert!(matches!(became, Inserted::InTimeline(_)), "{version}: {became:?}");
        }
        for world in [&world, &world.copy().await] {
            let event = |event_id| world.rooms.event(&graph.room_id, event_id);
            let gone = event(&own).await.expect("read").expect("an event");
            assert_eq!(gone.pdu.content.get(), "{}", "version {version}");
            assert_eq!(gone.pdu.redacted_by.as_ref(), Some(&allowed), "version {version}");
            let kept = event(&kept).await.expect("read").expect("an event");
            assert!(kept.pdu.redacted_by.is_none(), "version {version}");
            world.check_tables(&format!("version {version}")).await;
        }
        let left = world.store.keys::<AwaitedRedactions>(Range::all()).await.expect("read");
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn the_timer_of_its_own_fork_holds_for_a_message_from_elsewhere() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let five_seconds = json!({ "type": "after_send", "timer": 5_000 });
        let timer = graph.event(ALICE, TIMER, Some(""), five_seconds, &[]);
        let under = graph.message(DAVE, "drop", &[&timer]);
        let beside = graph.message(CAROL, "keep", &[]);
        // What only another server's clock says keeps nothing for longer.
        graph.clock += 1_000_000;
        let of_tomorrow = graph.message(DAVE, "drop", &[&under]);
        let order = [timer.clone(), beside.clone(), under.clone(), of_tomorrow.clone()];
        let became = world.insert_all(&graph, &order).await;
        assert!(became.values().all(|it| matches!(it, Inserted::InTimeline(_))), "{version}: {became:?}");
        let event = async |event_id: &OwnedEventId| {
            world.rooms.event(&graph.room_id, event_id).await.expect("read").expect("an event")
        };
        let sent_ts = u64::from(event(&under).await.pdu.origin_server_ts.get());
        assert_eq!(event(&under).await.disappears_ts, Some(sent_ts + 5_000), "{version}");
        // It came at the time 5000.
        assert_eq!(event(&of_tomorrow).await.disappears_ts, Some(10_000), "{version}");
        world.rooms.erase_disappeared(10_000).await.expect("erased");
        for gone in [&under, &of_tomorrow] {
            let gone = event(gone).await;
            assert_eq!((gone.pdu.content.get(), gone.pdu.redacted_by.as_ref()), ("{}", Some(&timer)));
        }
        assert!(event(&beside).await.pdu.redacted_by.is_none(), "{version}");
        world.check_tables(&format!("version {version}")).await;
    }
}

#[tokio::test]
async fn a_timer_of_another_kind_keeps_no_room_from_being_replaced() {
    let world = World::new().await;
    let mut graph = Graph::start(&world, &RoomVersionId::V11).await;
    let content = json!({ "type": "after_read", "timer": 5_000 });
    let timer = graph.event(ALICE, TIMER, Some(""), content, &[]);
    let became = world.insert(&graph, &timer).await;
    assert!(matches!(became, Inserted::InTimeline(_)), "{became:?}");
    let (alice, version) = (user(ALICE), RoomVersionId::V12);
    let upgraded = world.rooms.upgrade_room(&alice, &graph.room_id, version, vec![], 6_000).await;
    let new = world.current(&upgraded.expect("it is replaced")).await;
    assert!(new.contains_key(&entry(StateEventType::RoomTopic, "")));
    assert!(!new.contains_key(&entry(TIMER.into(), "")));
}
