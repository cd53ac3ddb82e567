//! The directory on the in-memory store: three platforms, one of them known by phone numbers.

use std::sync::Arc;

use linkspan_directory::{Directory, DirectoryError};
use linkspan_domain::{Audience, Discovery};
use linkspan_platforms::{Identity, Platforms, Settings};
use linkspan_storage::{CommitError, Memory, Store, WriteSet};
use ruma::{OwnedUserId, RoomAliasId, RoomId, UserId, room_id, server_name, user_id};

struct World {
    store: Store,
    directory: Directory,
}

fn settings(name: &str, identity: Identity) -> Settings {
    let text = serde_json::json!({
        "name": name, "server_name": format!("{name}.example"), "discovery": { "name": "everyone" },
    });
    let mut settings: Settings = serde_json::from_value(text).expect("settings");
    settings.identity = identity;
    settings
}

async fn world() -> World {
    let store = Store::in_memory(Memory::new().expect("store"));
    let all = vec![
        settings("insta", Identity::Handle),
        settings("messenger", Identity::Account),
        settings("phones", Identity::Phone),
    ];
    let platforms = Platforms::open(&store, all, 1).await.expect("platforms");
    World { store: store.clone(), directory: Directory::new(store, Arc::new(platforms)) }
}

impl World {
    async fn index(&self, user_id: &UserId, displayname: Option<&str>) {
        let mut writes = WriteSet::new();
        self.directory.index_user(&mut writes, user_id, displayname).await.expect("read");
        self.store.commit(writes).await.expect("commit");
    }

    async fn choose(&self, user_id: &UserId, own: Discovery) {
        let mut writes = WriteSet::new();
        self.directory.index_choice(&mut writes, user_id, own).await.expect("read");
        self.store.commit(writes).await.expect("commit");
    }

    async fn search(&self, term: &str) -> Vec<OwnedUserId> {
        let searcher = user_id!("@searcher:messenger.example");
        self.directory.search_users(searcher, &[], term).await.expect("search").0
    }
}

#[tokio::test]
async fn people_of_all_platforms_are_found_by_prefixes_of_words() {
    let world = world().await;
    let anna = user_id!("@anna.k:insta.example");
    let zoe = user_id!("@u1:phones.example");
    world.index(anna, Some("Anna Kovács")).await;
    world.index(zoe, Some("Zoë Kovacs")).await;

    assert_eq!(world.search("KOV").await, [anna, zoe]);
    assert_eq!(world.search("kovács an").await, [anna]);
    assert_eq!(world.search("zoe").await, [zoe]);
    assert_eq!(world.search("ovacs").await, [""; 0]);
    assert_eq!(world.search("kovacs bert").await, [""; 0]);
    assert_eq!(world.search(" \0 !").await, [""; 0]);
    assert_eq!(world.search("@anna.k").await, [anna]);
}

#[tokio::test]
async fn nobody_is_found_by_a_number() {
    let world = world().await;
    let zoe = user_id!("@4917012345:phones.example");
    world.index(zoe, Some("Zoe +49 170 12345")).await;

    for term in ["4917012345", "49 170", "12345", "@4917012345"] {
        assert_eq!(world.search(term).await, [""; 0], "{term}");
    }
    assert_eq!(world.search("zoe").await, [zoe]);
}

#[tokio::test]
async fn a_changed_name_replaces_the_old_words() {
    let world = world().await;
    let anna = user_id!("@anna:insta.example");
    world.index(anna, Some("Old Anna")).await;
    world.index(anna, Some("New Anna")).await;

    assert_eq!(world.search("old").await, [""; 0]);
    assert_eq!(world.search("new anna").await, [anna]);

    world.index(anna, None).await;
    assert_eq!(world.search("new").await, [""; 0]);
    assert_eq!(world.search("anna").await, [anna]);
}

#[tokio::test]
async fn of_two_names_at_once_one_is_left() {
    let world = world().await;
    let anna = user_id!("@anna:insta.example");
    let mut writes = WriteSet::new();
    world.directory.index_new_user(&mut writes, anna, None);
    world.store.commit(writes).await.expect("commit");
    let (mut one, mut other) = (WriteSet::new(), WriteSet::new());
    world.directory.index_user(&mut one, anna, Some("One")).await.expect("read");
    world.directory.index_user(&mut other, anna, Some("Other")).await.expect("read");
    world.store.commit(one).await.expect("commit");
    assert!(matches!(world.store.commit(other).await, Err(CommitError::Conflict(_))));

    world.index(anna, Some("Other")).await;
    assert_eq!(world.search("one").await, [""; 0]);
    assert_eq!(world.search("other").await, [anna]);
}

#[tokio::test]
async fn an_unindexed_user_is_gone() {
    let world = world().await;
    let anna = user_id!("@anna:insta.example");
    world.index(anna, Some("Anna K")).await;
    let mut writes = WriteSet::new();
    world.directory.unindex_user(&mut writes, anna).await.expect("read");
    world.store.commit(writes).await.expect("commit");

    for term in ["anna", "k", "@anna:insta.example"] {
        assert_eq!(world.search(term).await, [""; 0], "{term}");
    }
}

#[tokio::test]
async fn many_who_are_hidden_do_not_cover_one_who_is_not() {
    let world = world().await;
    let nobody = Discovery { name: Some(Audience::Nobody), ..Discovery::default() };
    for number in 0..600 {
        let user_id = UserId::parse(format!("@u{number:04}:insta.example")).expect("a user id");
        world.index(&user_id, Some("Anna")).await;
        world.choose(&user_id, nobody).await;
    }
    let last = user_id!("@z:insta.example");
    world.index(last, Some("Anna")).await;
    let searcher = user_id!("@searcher:messenger.example");
    let found = world.directory.search_users(searcher, &[], "anna").await.expect("search");
    assert_eq!(found, (vec![last.to_owned()], false));
}

#[tokio::test]
async fn words_of_both_kinds_count_as_far_as_each_is_open() {
    let world = world().await;
    let anna = user_id!("@rowan:insta.example");
    world.index(anna, Some("Anna Berg")).await;
    assert_eq!(world.search("berg row").await, [anna]);
    let hidden = Discovery { handle: Some(Audience::Contacts), ..Discovery::default() };
    world.choose(anna, hidden).await;
    for (term, found) in [("berg", true), ("berg row", false), ("row", false), ("@rowan", false)] {
        assert_eq!(!world.search(term).await.is_empty(), found, "{term}");
    }
    let searcher = user_id!("@searcher:messenger.example");
    let contact_of = [anna.to_owned()];
    for term in ["berg", "berg row", "row", "@rowan"] {
        let (found, _) = world.directory.search_users(searcher, &contact_of, term).await.expect("search");
        assert_eq!(found, contact_of, "{term}");
    }
}

#[tokio::test]
async fn the_best_come_first() {
    let world = world().await;
    let exact = user_id!("@sam:insta.example");
    let near = user_id!("@zed:messenger.example");
    let far = user_id!("@abel:insta.example");
    world.index(far, Some("Samuel")).await;
    world.index(near, Some("Samantha")).await;
    world.index(exact, None).await;

    assert_eq!(world.search("Sam").await, [exact, near, far]);
}

#[tokio::test]
async fn an_alias_points_at_one_room() {
    let world = world().await;
    let alias = <&RoomAliasId>::try_from("#tea:insta.example").expect("alias");
    let (tea, coffee) = (room_id!("!tea:insta.example"), room_id!("!coffee:insta.example"));
    let anna = user_id!("@anna:insta.example");
    let directory = &world.directory;

    let (mut first, mut second) = (WriteSet::new(), WriteSet::new());
    directory.put_alias(&mut first, alias, tea, anna).await.expect("free");
    directory.put_alias(&mut second, alias, coffee, anna).await.expect("still free");
    world.store.commit(first).await.expect("commit");
    let race = world.store.commit(second).await;
    assert!(matches!(race, Err(CommitError::Conflict(_))), "{race:?}");
    let taken = directory.put_alias(&mut WriteSet::new(), alias, coffee, anna).await;
    assert!(matches!(taken, Err(DirectoryError::AliasTaken)), "{taken:?}");

    let record = directory.resolve_alias(alias).await.expect("read").expect("there");
    assert_eq!((&*record.room_id, &*record.creator), (tea, anna));

    let mut writes = WriteSet::new();
    directory.move_aliases(&mut writes, &[alias.to_owned()], coffee).await.expect("moved");
    world.store.commit(writes).await.expect("commit");
    assert_eq!(directory.aliases_of(tea).await.expect("read"), [""; 0]);
    assert_eq!(directory.aliases_of(coffee).await.expect("read"), [alias]);

    let mut writes = WriteSet::new();
    directory.delete_alias(&mut writes, alias).await.expect("there");
    world.store.commit(writes).await.expect("commit");
    assert_eq!(directory.resolve_alias(alias).await.expect("read"), None);
    assert_eq!(directory.aliases_of(coffee).await.expect("read"), [""; 0]);
    let gone = directory.delete_alias(&mut WriteSet::new(), alias).await;
    assert!(matches!(gone, Err(DirectoryError::NoSuchAlias)), "{gone:?}");
}

/// The most aliases that a room has on one platform.
const OF_PLATFORM: usize = 100;

#[tokio::test]
async fn a_room_has_so_many_aliases_on_each_platform() {
    let world = world().await;
    let room = room_id!("!tea:insta.example");
    let put = async |name: String, creator: &UserId| {
        let alias = RoomAliasId::parse(format!("#{name}:{}", creator.server_name())).expect("an alias");
        let mut writes = WriteSet::new();
        world.directory.put_alias(&mut writes, &alias, room, creator).await?;
        world.store.commit(writes).await.expect("commit");
        Ok(alias)
    };
    let (anna, ben) = (user_id!("@anna:insta.example"), user_id!("@ben:messenger.example"));
    for number in 0..OF_PLATFORM {
        put(format!("tea{number}"), anna).await.expect("one more");
    }
    let refused: Result<_, DirectoryError> = put("one-more".into(), anna).await;
    assert!(matches!(refused, Err(DirectoryError::TooManyAliases)), "{refused:?}");
    put("elsewhere".into(), ben).await.expect("the other platform has room");

    let mut writes = WriteSet::new();
    let gone = RoomAliasId::parse("#tea0:insta.example").expect("an alias");
    world.directory.delete_alias(&mut writes, &gone).await.expect("there");
    world.store.commit(writes).await.expect("commit");
    put("one-more".into(), anna).await.expect("there is room again");
}

#[tokio::test]
async fn aliases_stay_within_their_platform() {
    let world = world().await;
    let (room, anna) = (room_id!("!tea:insta.example"), user_id!("@anna:insta.example"));
    let outsider = user_id!("@eve:elsewhere.example");
    for (alias, creator) in [
        ("#tea:messenger.example", anna),
        ("#tea:elsewhere.example", anna),
        ("#tea:elsewhere.example", outsider),
    ] {
        let alias = RoomAliasId::parse(alias).expect("alias");
        let refused = world.directory.put_alias(&mut WriteSet::new(), &alias, room, creator).await;
        assert!(matches!(refused, Err(DirectoryError::ForeignAlias)), "{alias}: {refused:?}");
    }
}

#[tokio::test]
async fn each_platform_has_its_own_list() {
    let world = world().await;
    let room = RoomId::parse("!tea:insta.example").expect("room");
    let (insta, messenger) = (server_name!("insta.example"), server_name!("messenger.example"));
    let mut writes = WriteSet::new();
    let changed = world.directory.set_published(&mut writes, insta, &room, true).await;
    assert!(changed.expect("read"));
    world.store.commit(writes).await.expect("commit");

    assert!(world.directory.is_published(insta, &room).await.expect("read"));
    assert!(!world.directory.is_published(messenger, &room).await.expect("read"));
    assert_eq!(world.directory.published_rooms(insta).await.expect("read"), [&*room]);
    assert_eq!(world.directory.published_rooms(messenger).await.expect("read"), [""; 0]);

    let mut writes = WriteSet::new();
    let changed = world.directory.set_published(&mut writes, insta, &room, false).await;
    assert!(changed.expect("read"));
    world.store.commit(writes).await.expect("commit");
    assert_eq!(world.directory.published_rooms(insta).await.expect("read"), [""; 0]);
}
