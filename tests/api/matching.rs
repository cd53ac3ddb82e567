//! Address books, matched without being handed over: with the library that apps use, over the same requests.

use std::{collections::BTreeSet, sync::Arc};

use http::Method;
use linkspan_accounts::AddressIndex;
use linkspan_address_book::{
    Address, Answer, Blinded, Call, FindError, Found, Secret, bucket_of, find_people,
    wire::{MAX_BUCKETS, MAX_ELEMENTS, decode_element, encode_element},
};
use linkspan_domain::Audience;
use linkspan_matching::{ELEMENTS_PER_DAY, Index};
use linkspan_platforms::Identity;
use linkspan_storage::{
    Memory, Store, WriteSet,
    catalogue::{MatchingEntries, TABLES},
};
use linkspan_wire::now_ts;
use ruma::{OwnedUserId, thirdparty::Medium};
use serde_json::{Value, json};

use crate::{
    keys::proof,
    network::{Client, INSTAGRAM, MESSENGER, Network, PASSWORD, WHATSAPP, list, text},
};

const WITH_MAILS: &str = "email = { smtp = 'smtp://localhost', from = 'robot@example.org' }";
const PARAMETERS: &str = "/_linkspan/client/v1/matching/parameters";
const EVALUATE: &str = "/_linkspan/client/v1/matching/evaluate";
const BUCKETS: &str = "/_linkspan/client/v1/matching/buckets";
pub(crate) const DISCOVERY: &str = "/_linkspan/client/v1/discovery";
/// This is an element of the group, and nothing else.
const ELEMENT: &str = "YJoK5owVo89pA3ZkYTB+XIuy+V5+ZVDh/6LcmeQSgDw";

/// Three platforms, of which one knows its people by their phone numbers, and has them found by all their addresses.
pub(crate) async fn open() -> Network {
    Network::open_with(WITH_MAILS).await.reopen_changed(known_by_number).await
}

fn known_by_number(settings: &mut linkspan_platforms::Settings) {
    if settings.server_name == WHATSAPP {
        settings.identity = Identity::Phone;
        settings.discovery.email = Some(Audience::Everyone);
    }
}

/// Registers somebody with an e-mail address.
pub(crate) async fn register(network: &Network, platform: &'static str, name: &str, address: &str) -> Client {
    let request = json!({ "client_secret": "monkeys", "email": address, "send_attempt": 1 });
    let sid = validate(network, platform, "/v3/register/email/requestToken", request).await;
    let creds = json!({ "sid": sid, "client_secret": "monkeys" });
    let auth = json!({ "type": "m.login.email.identity", "threepid_creds": creds });
    let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
    let session = network.call(platform, None, Method::POST, "/v3/register", Some(body)).await.ok();
    network.client(platform, &session)
}

/// Asks for a mail and confirms that it has come; gives the id of the session.
async fn validate(network: &Network, platform: &str, path: &str, request: Value) -> Value {
    let number = network.mails.count();
    let sid = network.call(platform, None, Method::POST, path, Some(request)).await.ok()["sid"].clone();
    let mail = network.mails.nth(number).await.text;
    let link = mail.lines().find(|line| line.starts_with("http")).expect("a link");
    let (status, page) = network.browse(Method::POST, link).await;
    assert!(status.is_success(), "{page}");
    sid
}

/// Gives somebody of Instagram one more address.
async fn add_address(network: &Network, user: &Client, address: &str) {
    let request = json!({ "client_secret": "monkeys", "email": address, "send_attempt": 1 });
    let sid = validate(network, INSTAGRAM, "/v3/account/3pid/email/requestToken", request).await;
    let add = json!({ "sid": sid, "client_secret": "monkeys", "auth": proof(user, &Value::Null) });
    user.post("/v3/account/3pid/add", add).await.ok();
}

pub(crate) async fn say_findable(user: &Client, findable: bool) {
    let audience = if findable { "everyone" } else { "nobody" };
    user.put(DISCOVERY, json!({ "phone": audience, "email": audience })).await.ok();
}

async fn call(user: &Client, call: Call) -> Result<Answer, String> {
    let method = Method::from_bytes(call.method.as_bytes()).expect("a method");
    let (status, body) = user.call_raw(method, call.path, call.body).await;
    Ok(Answer { status: status.as_u16(), body: body.to_vec() })
}

/// Who of an address book is found.
pub(crate) async fn find(user: &Client, book: &[Address]) -> Vec<Found> {
    find_people(book, async |request| call(user, request).await).await.expect("they are looked for")
}

/// The user ids of those who are found by e-mail addresses.
async fn find_by_mail(user: &Client, book: &[&str]) -> Vec<String> {
    let book: Vec<_> = book.iter().map(|address| email(address)).collect();
    find(user, &book).await.into_iter().map(|found| found.user_id).collect()
}

fn email(address: &str) -> Address {
    Address::email(address).expect("an address")
}

fn number(number: usize) -> Address {
    Address::phone_number(&format!("+4930{number:07}")).expect("a number")
}

/// Lets somebody of a phone platform be found by a number, as the accounts service does.
async fn put_number(network: &Network, name: &str, number: usize) {
    let index = Index::open(network.store.clone(), network.app.platforms.clone(), 0).await.expect("it opens");
    let user_id: OwnedUserId = format!("@{name}:{WHATSAPP}").try_into().expect("a user id");
    let mut writes = WriteSet::new();
    let number = format!("4930{number:07}");
    let (medium, audience) = (Medium::Msisdn, Audience::Everyone);
    index.put_address(&mut writes, &user_id, &medium, &number, audience).await.expect("it is read");
    network.store.commit(writes).await.expect("it is written");
}

/// The secrets of addresses, as an app gets them.
async fn secrets(user: &Client, book: &[Address]) -> Vec<Secret> {
    let blind = |address| Blinded::new(address, &mut rand_core_06::OsRng);
    let blinded: Vec<_> = book.iter().map(blind).collect();
    let elements: Vec<_> = blinded.iter().map(|blinded| encode_element(&blinded.element)).collect();
    let version = user.get(PARAMETERS).await.ok()["version"].clone();
    let answer = user.post(EVALUATE, json!({ "version": version, "elements": elements })).await.ok();
    let finish = |(blinded, element): (&Blinded, &Value)| {
        blinded.finish(&decode_element(&text(element)).expect("bytes")).expect("an element")
    };
    blinded.iter().zip(list(&answer["elements"])).map(finish).collect()
}

#[tokio::test]
async fn people_of_all_platforms_are_found_as_far_as_they_want() {
    let network = open().await;
    let anna = register(&network, INSTAGRAM, "anna", "Anna@Example.org").await;
    let ben = register(&network, MESSENGER, "ben", "ben@example.org").await;
    let cleo = register(&network, WHATSAPP, "cleo", "cleo@example.org").await;
    let book = ["anna@example.org", "BEN@example.org", "cleo@example.org", "nobody@example.org"];
    assert_eq!(anna.get(DISCOVERY).await.ok()["platform"]["email"], "nobody");
    assert_eq!(cleo.get(DISCOVERY).await.ok()["platform"]["email"], "everyone");
    assert_eq!(find_by_mail(&ben, &book).await, [cleo.user_id.as_str()], "others have to say so");

    say_findable(&anna, true).await;
    say_findable(&ben, true).await;
    let all = [anna.user_id.clone(), ben.user_id.clone(), cleo.user_id.clone()];
    for searcher in [&anna, &ben, &cleo] {
        assert_eq!(find_by_mail(searcher, &book).await, all);
    }
    say_findable(&cleo, false).await;
    assert_eq!(find_by_mail(&anna, &book).await, all[..2]);
    assert_eq!(cleo.get(DISCOVERY).await.ok()["own"], json!({ "phone": "nobody", "email": "nobody" }));

    // All get the same entries, so somebody whom only some may find is in none.
    for audience in ["contacts", "platform"] {
        cleo.put(DISCOVERY, json!({ "email": audience })).await.ok();
        assert_eq!(find_by_mail(&anna, &book).await, all[..2], "{audience}");
    }
    cleo.put(DISCOVERY, json!({})).await.ok();
    assert_eq!(find_by_mail(&anna, &book).await, all, "what is not said is as the platform has it");
    say_findable(&cleo, false).await;

    // One address may be several people's, each on a platform of their own.
    let second = register(&network, MESSENGER, "anna", "anna@example.org").await;
    say_findable(&second, true).await;
    let found = find_by_mail(&ben, &["anna@example.org"]).await;
    assert_eq!(found, [anna.user_id.clone(), second.user_id.clone()]);
}

#[tokio::test]
async fn an_address_that_goes_takes_its_entry_along() {
    let network = open().await;
    let anna = register(&network, INSTAGRAM, "anna", "old@example.org").await;
    let ben = network.register(MESSENGER, "ben").await;
    say_findable(&anna, true).await;
    add_address(&network, &anna, "new@example.org").await;
    let book = ["old@example.org", "new@example.org"];
    assert_eq!(find_by_mail(&ben, &book).await, [anna.user_id.clone(), anna.user_id.clone()]);
    let old = json!({ "medium": "email", "address": "old@example.org" });
    anna.post("/v3/account/3pid/delete", old).await.ok();
    assert_eq!(find_by_mail(&ben, &["old@example.org"]).await, [""; 0]);

    // Whoever gets the address then is somebody else.
    let carl = register(&network, INSTAGRAM, "carl", "old@example.org").await;
    assert_eq!(find_by_mail(&ben, &["old@example.org"]).await, [""; 0]);
    say_findable(&carl, true).await;
    assert_eq!(find_by_mail(&ben, &book).await, [anna.user_id.clone(), carl.user_id.clone()]);

    let deactivate = json!({ "auth": proof(&anna, &Value::Null) });
    anna.post("/v3/account/deactivate", deactivate).await.ok();
    assert_eq!(find_by_mail(&ben, &book).await, [carl.user_id.as_str()]);
    assert_eq!(network.rows::<MatchingEntries>().await, 1);
}

#[tokio::test]
async fn a_restart_changes_nothing_and_a_new_key_only_the_version() {
    let network = open().await;
    let cleo = register(&network, WHATSAPP, "cleo", "cleo@example.org").await;
    let anna = register(&network, INSTAGRAM, "anna", "anna@example.org").await;
    let gone = register(&network, WHATSAPP, "gone", "gone@example.org").await;
    gone.post("/v3/account/deactivate", json!({ "auth": proof(&gone, &Value::Null) })).await.ok();
    let book = ["anna@example.org", "cleo@example.org", "gone@example.org"];
    let network = network.reopen().await;
    let anna = anna.on(&network);
    assert_eq!(find_by_mail(&anna, &book).await, [cleo.user_id.as_str()]);

    let before = secrets(&anna, &[email("cleo@example.org")]).await;
    let index = Index::open(network.store.clone(), network.app.platforms.clone(), 0).await.expect("it opens");
    index.rotate_key(now_ts()).await.expect("it is written");
    let network = network.reopen().await;
    let anna = anna.on(&network);
    assert_eq!(anna.get(PARAMETERS).await.ok()["version"], 2);
    let old = json!({ "version": 1, "elements": [ELEMENT] });
    assert_eq!(anna.post(EVALUATE, old).await.status, 409);
    assert!(secrets(&anna, &[email("cleo@example.org")]).await != before, "there is another key");
    assert_eq!(find_by_mail(&anna, &book).await, [cleo.user_id.as_str()]);
    assert_eq!(network.rows::<MatchingEntries>().await, 1);
}

#[tokio::test]
async fn there_are_more_buckets_when_there_are_more_people() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for person in 0..150 {
        put_number(&network, &format!("user{person}"), person).await;
    }
    let book: Vec<_> = (100..200).map(number).collect();
    assert_eq!(find(&anna, &book).await.len(), 50);
    // The number changes just when the app has asked for it.
    let mut asked = 0;
    let found = find_people(&book, async |request: Call| {
        let answer = call(&anna, request).await;
        asked += 1;
        if asked == 1 {
            network.app.matching.fit_buckets().await.expect("they are counted");
        }
        answer
    });
    assert_eq!(found.await.expect("it is begun anew").len(), 50);
    let parameters = anna.get(PARAMETERS).await.ok();
    assert_eq!(parameters["bucket_bits"], 3, "150 people in eight buckets");
    let buckets = json!({ "version": 1, "bucket_bits": 0, "buckets": [0] });
    assert_eq!(anna.post(BUCKETS, buckets).await.status, 409, "nobody gets all of them as one");
}

#[tokio::test]
async fn a_day_has_a_limit_that_a_restart_does_not_lift() {
    let network = open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "ben").await);
    let whole = json!({ "version": 1, "elements": vec![ELEMENT; MAX_ELEMENTS] });
    for _ in 0..ELEMENTS_PER_DAY as usize / MAX_ELEMENTS {
        anna.post(EVALUATE, whole.clone()).await.ok();
    }
    let one = json!({ "version": 1, "elements": [ELEMENT] });
    let refused = anna.post(EVALUATE, one.clone()).await;
    let wait_ms = refused.json["retry_after_ms"].as_u64().expect("it says when");
    assert!(wait_ms <= 24 * 60 * 60 * 1000, "{wait_ms}");
    refused.fails(429, "M_LIMIT_EXCEEDED");
    let network = network.reopen().await;
    let phone = anna.another_device().await.on(&network);
    phone.post(EVALUATE, one.clone()).await.fails(429, "M_LIMIT_EXCEEDED");
    match find_people(&[number(1)], async |request| call(&phone, request).await).await {
        Err(FindError::Refused(answer)) => assert_eq!(answer.status, 429),
        other => panic!("{other:?}"),
    }
    ben.on(&network).post(EVALUATE, one).await.ok();
}

#[tokio::test]
async fn bad_input_is_refused_and_counts_nothing() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let zero = "A".repeat(43);
    let no_element = "/".repeat(42) + "8";
    for element in
        ["", "AAAA", "not base64!", &zero, &no_element, &format!("{ELEMENT}="), &format!("{ELEMENT}AAAA")]
    {
        let request = json!({ "version": 1, "elements": [ELEMENT, element] });
        let refused = anna.post(EVALUATE, request).await;
        assert!(text(&refused.json["error"]).contains("element 1"), "{}", refused.json);
        refused.fails(400, "M_INVALID_PARAM");
    }
    for count in [0, MAX_ELEMENTS + 1] {
        let request = json!({ "version": 1, "elements": vec![ELEMENT; count] });
        anna.post(EVALUATE, request).await.fails(400, "M_INVALID_PARAM");
    }
    anna.post(EVALUATE, json!({ "elements": [ELEMENT] })).await.fails(400, "M_MISSING_PARAM");
    anna.post(EVALUATE, json!({ "version": 1, "elements": ELEMENT })).await.fails(400, "M_BAD_JSON");
    let too_many: Vec<usize> = (0..=MAX_BUCKETS).collect();
    for buckets in [json!([]), json!([1]), json!([0, 0]), json!([1, 0]), json!(too_many)] {
        let request = json!({ "version": 1, "bucket_bits": 0, "buckets": buckets });
        anna.post(BUCKETS, request).await.fails(400, "M_INVALID_PARAM");
    }
    anna.post(BUCKETS, json!({ "version": 1, "bucket_bits": 0, "buckets": [-1] }))
        .await
        .fails(400, "M_BAD_JSON");
    for (version, bits) in [(2, 0), (0, 0), (1, 1), (1, 33), (1, 255)] {
        let request = json!({ "version": version, "bucket_bits": bits, "buckets": [0] });
        anna.post(BUCKETS, request).await.fails(409, "M_UNKNOWN");
    }
    assert_eq!(network.rows::<linkspan_storage::catalogue::MatchingUses>().await, 0);

    let network = Network::open_with("guests = true").await;
    let guest = network.guest(INSTAGRAM).await;
    let request = json!({ "version": 1, "elements": [ELEMENT] });
    guest.post(EVALUATE, request).await.fails(403, "M_GUEST_ACCESS_FORBIDDEN");
}

/// What the server has in its hands when somebody's book is matched: all requests as they came in, and which
/// tables have changed.
struct Seen {
    requests: Vec<Call>,
    changed: BTreeSet<&'static str>,
    found: Vec<Found>,
}

async fn watch(memory: &Memory, user: &Client, book: &[Address]) -> Seen {
    let before = all_rows(memory);
    let mut requests = Vec::new();
    let found = find_people(book, async |request: Call| {
        requests.push(request.clone());
        call(user, request).await
    });
    let found = found.await.expect("they are looked for");
    let after = all_rows(memory);
    let changed = before.symmetric_difference(&after).map(|(table, ..)| *table).collect();
    Seen { requests, changed, found }
}

/// All that is stored: tables, keys and values.
fn all_rows(memory: &Memory) -> BTreeSet<(&'static str, Vec<u8>, Vec<u8>)> {
    let name = |id| TABLES.iter().find(|table| table.id == id).expect("the catalogue has it").name;
    memory.rows().iter().map(|(table, (key, value))| (name(*table), key.to_vec(), value.to_vec())).collect()
}

/// A number that belongs to nobody and lies in the same bucket as another.
async fn neighbour(user: &Client, of: &Address) -> Address {
    let bits = user.get(PARAMETERS).await.ok()["bucket_bits"].as_u64().expect("a number") as u8;
    assert!(bits > 0, "with one bucket there is nothing to see");
    let strangers: Vec<_> = (5000..5400).map(number).collect();
    let bucket = bucket_of(secrets(user, std::slice::from_ref(of)).await[0].slot(), bits);
    let slots = secrets(user, &strangers).await;
    let found = strangers.iter().zip(slots).find(|(_, secret)| bucket_of(secret.slot(), bits) == bucket);
    found.expect("one of four hundred").0.clone()
}

/// A test can show no more than this: that what comes in has the same form and the same bucket whether or not
/// the person is here, that blinded addresses differ each time, and that nothing is written but how much was
/// asked for. That a blinded address tells nothing of the address is what RFC 9497 is about.
#[tokio::test]
async fn the_server_sees_neither_numbers_nor_matches() {
    let memory = Memory::new().expect("memory opens");
    let network = Network::over_memory(&memory).await.reopen_changed(known_by_number).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for person in 0..150 {
        put_number(&network, &format!("user{person}"), person).await;
    }
    network.app.matching.fit_buckets().await.expect("they are counted");
    let here = number(77);
    let stranger = neighbour(&anna, &here).await;

    let matched = watch(&memory, &anna, std::slice::from_ref(&here)).await;
    let again = watch(&memory, &anna, std::slice::from_ref(&here)).await;
    let unmatched = watch(&memory, &anna, std::slice::from_ref(&stranger)).await;
    assert_eq!(matched.found[0].user_id, format!("@user77:{WHATSAPP}"));
    assert_eq!((matched.found.len(), unmatched.found.len()), (1, 0));

    let mut elements = BTreeSet::new();
    for seen in [&matched, &again, &unmatched] {
        assert_eq!(seen.changed, BTreeSet::from(["matching_uses", "meta"]));
        let [parameters, evaluate, buckets] = &seen.requests[..] else { panic!("{:?}", seen.requests) };
        assert_eq!(*parameters, matched.requests[0]);
        assert_eq!(*buckets, matched.requests[2], "a match and none ask for the same bucket");
        let evaluate: Value = serde_json::from_slice(&evaluate.body).expect("it is JSON");
        assert_eq!(
            evaluate.as_object().expect("an object").keys().collect::<Vec<_>>(),
            ["elements", "version"]
        );
        assert_eq!(list(&evaluate["elements"]).len(), 1);
        elements.insert(text(&evaluate["elements"][0]));
    }
    assert_eq!(elements.len(), 3, "the same number looks different each time");

    // Neither the number nor whom it belongs to is in what came in, nor in what the index holds.
    let digits = "49300000077";
    let needles = [digits.as_bytes(), b"user77"];
    let holds =
        |bytes: &[u8]| needles.iter().any(|needle| bytes.windows(needle.len()).any(|part| part == *needle));
    let requests = [&matched, &again, &unmatched].into_iter().flat_map(|seen| &seen.requests);
    assert!(requests.clone().all(|request| !holds(&request.body)));
    assert!(all_rows(&memory).iter().all(|(_, key, value)| !holds(key) && !holds(value)));
    assert_eq!(network.rows::<MatchingEntries>().await, 150);
}

/// Both share nothing but the engine, so each hears of a new key and of new buckets by the stream of commits.
#[tokio::test]
async fn two_servers_have_one_key() {
    let memory = Memory::new().expect("memory opens");
    let (one, other) = (Network::over_memory(&memory).await, Network::over_memory(&memory).await);
    let anna = one.register(INSTAGRAM, "anna").await;
    let book = [number(1)];
    assert!(secrets(&anna, &book).await == secrets(&anna.on(&other), &book).await);
    let store = Store::in_memory(Arc::clone(&memory));
    let index = Index::open(store, one.app.platforms.clone(), 0).await.expect("it opens");
    index.rotate_key(now_ts()).await.expect("it is written");
    for server in [&one, &other] {
        assert_eq!(anna.on(server).get(PARAMETERS).await.ok()["version"], 2);
    }
}
