//! Guests who are in a room when it is closed to them.

mod world;

use linkspan_rooms::Preset;
use linkspan_storage::{Range, catalogue::ClosedToGuests, records::AccountRecord};
use ruma::{OwnedRoomId, OwnedUserId};
use world::{World, new_account, put_account, room_of, user};

const ALICE: &str = "@alice:a.localhost";
const BOB: &str = "@bob:b.localhost";
/// More than one step removes.
const GUESTS: usize = 230;

async fn account(world: &World, user_id: &str, guest: bool) -> OwnedUserId {
    put_account(&world.store, user(user_id), &AccountRecord { guest, ..new_account() }).await;
    user(user_id)
}

/// A room with Alice, Bob and guests of both platforms.
async fn full_room(world: &World) -> OwnedRoomId {
    let alice = account(world, ALICE, false).await;
    let bob = account(world, BOB, false).await;
    let command = room_of(None, Preset::PublicChat);
    let room_id = world.rooms.create_room(&alice, command, 1).await.expect("a room");
    set_guest_access(world, &room_id, "can_join").await;
    world.rooms.join_room(&bob, &room_id, None, 3).await.expect("joined");
    for number in 0..GUESTS {
        let platform = if number % 2 == 0 { "a" } else { "b" };
        let guest = account(world, &format!("@guest{number}:{platform}.localhost"), true).await;
        world.rooms.join_room(&guest, &room_id, None, 4).await.expect("joined");
    }
    room_id
}

async fn set_guest_access(world: &World, room_id: &OwnedRoomId, guest_access: &str) {
    let content = format!(r#"{{"guest_access":"{guest_access}"}}"#);
    let alice = user(ALICE);
    let set = world.rooms.set_state(&alice, room_id, "m.room.guest_access", "", &content, 2);
    set.await.expect("set");
}

async fn members(world: &World, room_id: &OwnedRoomId) -> usize {
    let room = world.rooms.room(room_id).await.expect("read");
    world.rooms.local_members(&room).await.expect("read").len()
}

async fn rooms_to_clear(world: &World) -> usize {
    world.store.keys(Range::<ClosedToGuests>::all()).await.expect("read").len()
}

#[tokio::test]
async fn guests_who_were_not_removed_before_a_stop_are_removed_after_it() {
    let world = World::new().await;
    let room_id = full_room(&world).await;
    set_guest_access(&world, &room_id, "forbidden").await;
    assert_eq!((members(&world, &room_id).await, rooms_to_clear(&world).await), (GUESTS + 2, 1));

    let world = world.copy().await;
    world.rooms.remove_guests(5).await.expect("removed");
    assert_eq!((members(&world, &room_id).await, rooms_to_clear(&world).await), (2, 0));
    assert_eq!(world.rooms.audit().await.expect("read"), Vec::<String>::new());
}

#[tokio::test]
async fn a_room_that_is_open_again_keeps_its_guests() {
    let world = World::new().await;
    let room_id = full_room(&world).await;
    set_guest_access(&world, &room_id, "forbidden").await;
    set_guest_access(&world, &room_id, "can_join").await;
    world.rooms.remove_guests(5).await.expect("nothing to do");
    assert_eq!((members(&world, &room_id).await, rooms_to_clear(&world).await), (GUESTS + 2, 0));
}
