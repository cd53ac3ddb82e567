//! What is done anew because what it was decided by has changed before it was on disk.

mod world;

use std::pin::Pin;

use linkspan_rooms::{DelayAction, DelayStatus, Inserted, NewDelayedEvent, RoomsError};
use linkspan_storage::records::AccountRecord;
use ruma::{
    OwnedDeviceId, OwnedRoomId, RoomVersionId,
    events::{StateEventType, room::member::MembershipState},
};
use world::{Graph, World, new_account, put_account, user};

const ALICE: &str = "@alice:a.localhost";
const BOB: &str = "@bob:b.localhost";
const CAROL: &str = "@carol:far.example";
const EVE: &str = "@eve:b.localhost";

type Task<T> = Pin<Box<dyn Future<Output = Result<T, RoomsError>> + Send>>;

/// Eve's account changes and she joins by what it was before: what is queued behind her falls with her.
fn failing_join(world: &World, room_id: &OwnedRoomId) -> Vec<Task<()>> {
    let (store, rooms, room_id) = (world.store.clone(), world.rooms.clone(), room_id.clone());
    let change = async move {
        put_account(&store, user(EVE), &AccountRecord { created_ts: 1, ..new_account() }).await;
        Ok(())
    };
    let join = async move { rooms.join_room(&user(EVE), &room_id, None, 5_000).await };
    vec![Box::pin(change), Box::pin(join)]
}

async fn world_with_eve() -> (World, Graph) {
    let world = World::new().await;
    for user_id in [ALICE, BOB, EVE] {
        put_account(&world.store, user(user_id), &new_account()).await;
    }
    let graph = Graph::start(&world, &RoomVersionId::V12).await;
    (world, graph)
}

#[tokio::test]
async fn an_event_from_elsewhere_behind_a_join_that_fails_comes_in() {
    let (world, mut graph) = world_with_eve().await;
    let topic = graph.topic(CAROL, "from far", &[]);
    let mut tasks = failing_join(&world, &graph.room_id);
    let (rooms, room_id) = (world.rooms.clone(), graph.room_id.clone());
    let object = graph.events[&topic].object.clone();
    tasks.push(Box::pin(async move {
        let became = rooms.insert_event(&room_id, &object, 5_000).await?;
        assert!(matches!(became, Inserted::InTimeline(_)), "{became:?}");
        Ok(())
    }));
    for outcome in world.at_once(tasks).await {
        outcome.expect("it is done");
    }
    assert_eq!(world.current(&graph.room_id).await[&(StateEventType::RoomTopic, String::new())], topic);
    assert_eq!(world.members(&graph.room_id).await.get(&user(EVE)), Some(&MembershipState::Join));
    world.check_tables("an event behind a join").await;
}

/// The second finds the state as it wants it, but that is not on disk yet, and never will be.
#[tokio::test]
async fn state_that_is_set_again_behind_a_join_that_fails_is_set() {
    const TOPIC: &str = r#"{"topic":"the same"}"#;
    let (world, graph) = world_with_eve().await;
    let mut tasks = failing_join(&world, &graph.room_id);
    for _ in 0..2 {
        let (rooms, room_id) = (world.rooms.clone(), graph.room_id.clone());
        tasks.push(Box::pin(async move {
            rooms.set_state(&user(ALICE), &room_id, "m.room.topic", "", TOPIC, 5_000).await.map(drop)
        }));
    }
    for outcome in world.at_once(tasks).await {
        outcome.expect("it is done");
    }
    let topic = world.current(&graph.room_id).await[&(StateEventType::RoomTopic, String::new())].clone();
    let event = world.rooms.event(&graph.room_id, &topic).await.expect("read").expect("it is there");
    assert_eq!(event.pdu.content.get(), TOPIC);
    world.check_tables("state behind a join").await;
}

#[tokio::test]
async fn an_upgrade_behind_a_join_that_fails_replaces_the_room() {
    let (world, graph) = world_with_eve().await;
    let mut tasks = failing_join(&world, &graph.room_id);
    let (rooms, room_id) = (world.rooms.clone(), graph.room_id.clone());
    tasks.push(Box::pin(async move {
        rooms.upgrade_room(&user(ALICE), &room_id, RoomVersionId::V12, Vec::new(), 5_000).await.map(drop)
    }));
    for outcome in world.at_once(tasks).await {
        outcome.expect("it is done");
    }
    assert!(
        world.current(&graph.room_id).await.contains_key(&(StateEventType::RoomTombstone, String::new()))
    );
    world.check_tables("an upgrade behind a join").await;
}

fn device() -> OwnedDeviceId {
    "DEVICE".into()
}

fn delayed(room_id: &OwnedRoomId, txn_id: &str) -> NewDelayedEvent {
    NewDelayedEvent {
        attached: Vec::new(),
        room_id: room_id.clone(),
        event_type: "m.room.message".into(),
        state_key: None,
        content: "{}".into(),
        delay_ms: 60_000,
        endpoint: "delayed_event",
        txn_id: Some(txn_id.into()),
    }
}

#[tokio::test]
async fn a_delayed_event_that_is_scheduled_twice_at_once_is_one() {
    let (world, graph) = world_with_eve().await;
    let schedule = |txn_id: &'static str| -> Task<String> {
        let (rooms, room_id) = (world.rooms.clone(), graph.room_id.clone());
        Box::pin(async move {
            rooms.schedule_event(&user(ALICE), &device(), delayed(&room_id, txn_id), 5_000).await
        })
    };
    let ids = world.at_once([schedule("same"), schedule("same"), schedule("other")]).await;
    let ids: Vec<_> = ids.into_iter().map(|id| id.expect("scheduled")).collect();
    let mut listed: Vec<_> = world
        .rooms
        .list_delayed_events(&user(ALICE), &Default::default())
        .await
        .expect("listed")
        .into_iter()
        .map(|event| event.delay_id)
        .collect();
    listed.sort_unstable();
    let mut different = ids.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!((different.len(), listed), (2, different));
}

#[tokio::test]
async fn a_delayed_event_ends_once_whatever_is_done_to_it_at_once() {
    let (world, graph) = world_with_eve().await;
    for first in [DelayAction::Send, DelayAction::Cancel, DelayAction::Restart] {
        let (rooms, platform) = (&world.rooms, user(ALICE).server_name().to_owned());
        let txn_id = format!("{first:?}");
        let (alice, device, event) = (user(ALICE), device(), delayed(&graph.room_id, &txn_id));
        let delay_id = rooms.schedule_event(&alice, &device, event, 5_000);
        let delay_id = delay_id.await.expect("scheduled");
        let before = world.head(&graph.room_id).await.seq;
        let act = |action: DelayAction| -> Task<DelayAction> {
            let (rooms, platform, delay_id) = (rooms.clone(), platform.clone(), delay_id.clone());
            Box::pin(async move {
                rooms.act_on_delayed_event(&platform, &delay_id, action, 6_000).await.map(|()| action)
            })
        };
        let rest = [DelayAction::Send, DelayAction::Cancel, DelayAction::Send, DelayAction::Restart];
        let outcomes = world.at_once([first].into_iter().chain(rest).map(act)).await;
        let done = |action| outcomes.iter().any(|outcome| matches!(outcome, Ok(done) if *done == action));
        assert!(done(DelayAction::Send) != done(DelayAction::Cancel), "{first:?}: {outcomes:?}");
        for outcome in &outcomes {
            assert!(matches!(outcome, Ok(_) | Err(RoomsError::Finalised)), "{first:?}: {outcomes:?}");
        }
        let event = rooms.get_delayed_event(&user(ALICE), &delay_id).await.expect("it is there");
        assert_eq!(event.record.event_id.is_some(), done(DelayAction::Send), "{first:?}");
        let sent = world.head(&graph.room_id).await.seq - before;
        assert_eq!(sent, i64::from(done(DelayAction::Send)), "{first:?}: it was sent {sent} times");
    }
    let ended = linkspan_rooms::DelayQuery { status: vec![DelayStatus::Finalised], ..Default::default() };
    assert_eq!(world.rooms.list_delayed_events(&user(ALICE), &ended).await.expect("listed").len(), 3);
    world.check_tables("delayed events").await;
}
