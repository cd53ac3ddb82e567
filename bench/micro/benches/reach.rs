//! What it costs to decide how somebody reaches a user who has as many contacts as one may have: looking up
//! whether they are a contact, and asking the rules.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use linkspan_accounts::Accounts;
use linkspan_contacts::{Contacts, MAX_CONTACTS};
use linkspan_domain::{Approach, ReachKind, Relation};
use linkspan_platforms::Platforms;
use linkspan_storage::{
    Memory, Store, WriteSet,
    catalogue::{ContactKey, Contacts as ContactsTable},
    records::ContactRecord,
};
use ruma::OwnedUserId;
use serde_json::json;

fn user(number: usize) -> OwnedUserId {
    format!("@user{number}:messenger.localhost").try_into().expect("a user id")
}

async fn contacts(user_id: &OwnedUserId) -> Contacts {
    let store = Store::in_memory(Memory::new().expect("a store"));
    let mut writes = WriteSet::new();
    for number in 0..MAX_CONTACTS {
        let key = ContactKey { user_id: user_id.clone(), other: user(number) };
        let record = ContactRecord { since_ts: 1, how: "accepted".to_owned() };
        writes.put::<ContactsTable>(&key, &record);
    }
    store.commit(writes).await.expect("written");
    let settings = json!({ "name": "messenger", "server_name": "messenger.localhost" });
    let settings = vec![serde_json::from_value(settings).expect("settings")];
    let platforms = Arc::new(Platforms::open(&store, settings, 1).await.expect("platforms"));
    Contacts::new(store.clone(), platforms, Accounts::new(store))
}

fn reach(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let anna: OwnedUserId = "@anna:messenger.localhost".try_into().expect("a user id");
    let contacts = runtime.block_on(contacts(&anna));
    // Half of those who ask are contacts; each is asked about for the first time once, and is then in memory.
    let mut next = 0;
    criterion.bench_function("how somebody reaches a user with 10,000 contacts", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % (2 * MAX_CONTACTS);
            let other = user(next);
            runtime.block_on(async {
                let is_contact = contacts.is_contact(&anna, &other).await.expect("read");
                let relation = if is_contact { Relation::Contact } else { Relation::Stranger };
                let (source, server) = (contacts.source(&anna, &other), other.server_name());
                let approach = Approach { source, server, relation, kind: ReachKind::DirectChat };
                black_box(contacts.choices(&anna).await.expect("read").by_rules(&approach))
            })
        });
    });
}

criterion_group!(benches, reach);
criterion_main!(benches);
