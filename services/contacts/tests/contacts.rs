//! Contacts in a store: how many somebody may have, how they are listed, and what becomes of them.

use std::sync::Arc;

use linkspan_contacts::{Contacts, How, MAX_CONTACTS};
use linkspan_domain::Source;
use linkspan_platforms::Platforms;
use linkspan_storage::{
    Memory, Store, WriteSet,
    catalogue::{Accounts, ContactKey, Contacts as ContactsTable, UserKey},
    records::{AccountRecord, ContactRecord},
};
use ruma::OwnedUserId;
use serde_json::json;

fn user(name: &str) -> OwnedUserId {
    format!("@{name}:a.example").try_into().expect("a user id")
}

async fn open() -> (Store, Contacts) {
    let store = Store::in_memory(Memory::new().expect("a store"));
    let settings = ["a", "b"].map(|name| {
        let settings = json!({ "name": name, "server_name": format!("{name}.example") });
        serde_json::from_value(settings).expect("settings")
    });
    let platforms = Platforms::open(&store, settings.to_vec(), 1).await.expect("platforms");
    let contacts =
        Contacts::new(store.clone(), Arc::new(platforms), linkspan_accounts::Accounts::new(store.clone()));
    (store, contacts)
}

/// Writes an account as old as can be.
fn put_account(writes: &mut WriteSet, user_id: &OwnedUserId) {
    let account = AccountRecord {
        password_hash: None,
        created_ts: 0,
        deactivated: false,
        admin: false,
        suspended: false,
        locked: false,
        guest: false,
    };
    writes.put::<Accounts>(&UserKey { user_id: user_id.clone() }, &account);
}

/// Adds contacts of a user, without asking how many there are.
async fn fill(store: &Store, user_id: &OwnedUserId, count: usize) {
    let mut writes = WriteSet::new();
    for number in 0..count {
        let key = ContactKey { user_id: user_id.clone(), other: user(&format!("c{number:05}")) };
        let record = ContactRecord { since_ts: 1, how: "accepted".to_owned() };
        writes.put::<ContactsTable>(&key, &record);
        put_account(&mut writes, &user(&format!("c{number:05}")));
    }
    store.commit(writes).await.expect("written");
}

async fn add(store: &Store, contacts: &Contacts, user_id: &OwnedUserId, other: &OwnedUserId, now_ts: u64) {
    let mut writes = WriteSet::new();
    contacts.add_contact(&mut writes, user_id, other, How::WroteFirst, now_ts).await.expect("added");
    store.commit(writes).await.expect("written");
}

#[tokio::test]
async fn nobody_has_more_contacts_than_the_limit() {
    let (store, contacts) = open().await;
    let (anna, ben, carl) = (user("anna"), user("ben"), user("carl"));
    fill(&store, &anna, MAX_CONTACTS - 1).await;
    let mut writes = WriteSet::new();
    [&anna, &ben, &carl].into_iter().for_each(|user_id| put_account(&mut writes, user_id));
    store.commit(writes).await.expect("written");
    for (other, is_contact) in [(&ben, true), (&carl, false)] {
        assert!(!contacts.is_contact(&anna, other).await.expect("read"));
        add(&store, &contacts, &anna, other, 2).await;
        assert_eq!(contacts.is_contact(&anna, other).await.expect("read"), is_contact);
    }
    contacts.remove_contact(&anna, &ben).await.expect("removed");
    add(&store, &contacts, &anna, &carl, 3).await;
    assert!(contacts.is_contact(&anna, &carl).await.expect("read"));
    assert!(!contacts.is_contact(&carl, &anna).await.expect("read"), "it is one-sided");
}

#[tokio::test]
async fn contacts_are_listed_by_pages_and_go_with_the_user() {
    let (store, contacts) = open().await;
    let (anna, ben) = (user("anna"), user("ben"));
    fill(&store, &anna, 5).await;
    fill(&store, &ben, 1).await;
    // Who is a contact remains one since the first time.
    add(&store, &contacts, &anna, &user("c00003"), 9).await;
    add(&store, &contacts, &anna, &anna, 9).await;
    let page = contacts.list_contacts(&anna, None, 3).await.expect("listed");
    assert_eq!(
        page.iter().map(|contact| contact.user_id.localpart()).collect::<Vec<_>>(),
        ["c00000", "c00001", "c00002"]
    );
    let page = contacts.list_contacts(&anna, page.last().map(|last| &last.user_id), 3).await.expect("listed");
    let listed: Vec<_> = page.iter().map(|contact| (contact.user_id.localpart(), contact.since_ts)).collect();
    assert_eq!(listed, [("c00003", 1), ("c00004", 1)]);
    contacts.remove_user(&anna).await.expect("removed");
    assert!(contacts.list_contacts(&anna, None, 3).await.expect("listed").is_empty());
    assert!(!contacts.is_contact(&anna, &user("c00003")).await.expect("read"));
    assert!(contacts.is_contact(&ben, &user("c00000")).await.expect("read"));
}

#[tokio::test]
async fn where_somebody_comes_from_is_seen_by_the_server_name() {
    let (_, contacts) = open().await;
    for (other, source) in [
        ("@x:a.example", Source::OwnPlatform),
        ("@x:b.example", Source::HostedPlatform),
        ("@x:c.example", Source::OtherServer),
    ] {
        assert_eq!(contacts.source(&user("anna"), other.try_into().expect("a user id")), source);
    }
}
