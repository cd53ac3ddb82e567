//! Finding people: who finds whom by what, in every way in which somebody can look; and that nobody can tell whoever
//! is hidden from whoever is not there.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Method;
use linkspan_address_book::Address;
use linkspan_domain::{Audience, Discovery};
use linkspan_matching::ELEMENTS_PER_DAY;
use linkspan_platforms::{Email, Identity, Settings};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    identity_lookup::register_by,
    keys::proof,
    matching::{DISCOVERY, find, validate},
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, each, list, text},
    oauth_browser::Browser,
    phone::{confirm, sends_sms},
};

const FIND: &str = "/_linkspan/client/v1/find";
const AUDIENCES: [&str; 4] = ["everyone", "platform", "contacts", "nobody"];
const FIELDS: [&str; 4] = ["handle", "phone", "email", "name"];
const NAME: &str = "Quill Nightingale";

/// A platform of each kind, all of which prove numbers and addresses and have hashes looked up.
fn of_each_kind(one: &mut Settings) {
    one.identity = match one.server_name.as_str() {
        INSTAGRAM => Identity::Handle,
        WHATSAPP => Identity::Phone,
        _ => Identity::Account,
    };
    one.email = Some(Email { smtp: "smtp://localhost".into(), from: "robot@example.org".into() });
    one.identity_lookup = true;
    one.guests = true;
    sends_sms(one);
}

/// Somebody with everything that people can be found by.
struct Person {
    client: Client,
    name: String,
    phone: String,
    email: String,
}

impl Person {
    async fn register(network: &Network, platform: &'static str, number: usize) -> Self {
        let name = format!("rowan{number}");
        let client = network.register(platform, &name).await;
        let (phone, email) = (format!("+49170123450{number}"), format!("{name}@example.org"));
        let displayname = format!("/v3/profile/{}/displayname", client.user_id);
        client.put(&displayname, json!({ "displayname": NAME })).await.ok();
        let request = json!({ "client_secret": "monkeys", "email": email, "send_attempt": 1 });
        let path = "/v3/account/3pid/email/requestToken";
        let sids = [
            validate(network, platform, path, request).await,
            confirm(network, platform, "account/3pid", &phone).await.into(),
        ];
        for sid in sids {
            let add = json!({ "sid": sid, "client_secret": "monkeys", "auth": proof(&client, &Value::Null) });
            client.post("/v3/account/3pid/add", add).await.ok();
        }
        Self { client, name, phone, email }
    }

    /// Begins a direct chat with somebody, who is a contact from then on, and leaves it.
    async fn befriend(&self, other: &Client) {
        let chat = json!({ "is_direct": true, "invite": [other.user_id] });
        let room = self.client.create_room(chat).await;
        self.client.leave(&room).await.ok();
    }

    async fn block(&self, other: &Client) {
        self.client.put(&format!("/_linkspan/client/v1/blocks/{}", other.user_id), json!({})).await.ok();
    }

    async fn choose(&self, choice: Value) {
        self.client.put(DISCOVERY, choice).await.ok();
    }

    /// What somebody types who knows this of the person.
    fn known(&self, field: &str) -> &str {
        match field {
            "handle" => &self.name,
            "phone" => &self.phone,
            "email" => &self.email,
            _ => NAME,
        }
    }
}

/// Whom a search leads somebody to.
async fn search(who: &Client, term: &str) -> Vec<String> {
    let found = who.post("/v3/user_directory/search", json!({ "search_term": term })).await.ok();
    each(&found["results"], "user_id")
}

async fn look_for(who: &Client, field: &str, known: &str) -> Answer {
    who.post(FIND, json!({ field: known })).await
}

async fn profile(of: &str, seen_by: &Client) -> Answer {
    seen_by.get(&format!("/v3/profile/{of}")).await
}

/// Whether somebody finds a person, who has to be found in all ways alike that there are for this field.
async fn finds(network: &Network, finder: &Client, person: &Person, field: &str) -> bool {
    let (known, user_id) = (person.known(field), &person.client.user_id);
    let found = search(finder, known).await;
    assert!(found.iter().all(|found| found == user_id), "{found:?}");
    let is_found = !found.is_empty();
    if field != "name" {
        let looked_for = look_for(finder, field, known).await.ok();
        assert_eq!(!list(&looked_for["people"]).is_empty(), is_found, "{looked_for}");
    }
    if field == "handle" {
        let platform = user_id.split_once(':').expect("a user id").1;
        let path = format!("/_linkspan/client/v1/handles/{known}?platform={platform}");
        assert_eq!(finder.get(&path).await.status == 200, is_found);
    }
    if field == "phone" || field == "email" {
        assert_eq!(hash_leads_to(network, finder, field, known).await.is_some(), is_found);
    }
    is_found
}

/// Whom the hash of an address leads somebody to, as existing clients ask for it.
async fn hash_leads_to(network: &Network, finder: &Client, field: &str, known: &str) -> Option<String> {
    let platform = finder.user_id.split_once(':').expect("a user id").1;
    let token = text(&register_by(network, platform, finder).await.ok()["token"]);
    let path = |path: &str| format!("/_matrix/identity/v2/{path}");
    let details = network.call(platform, Some(&token), Method::GET, &path("hash_details"), None).await.ok();
    let pepper = text(&details["lookup_pepper"]);
    let medium = if field == "phone" { "msisdn" } else { "email" };
    let address = format!("{} {medium} {pepper}", known.trim_start_matches('+'));
    let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(address));
    let body = json!({ "algorithm": "sha256", "pepper": pepper, "addresses": [hash] });
    let found = network.call(platform, Some(&token), Method::POST, &path("lookup"), Some(body)).await.ok();
    found["mappings"][hash].as_str().map(str::to_owned)
}

/// Whether an address book with the person's address leads to the person.
async fn is_matched(finder: &Client, person: &Person, field: &str) -> bool {
    let known = person.known(field);
    let address = if field == "phone" { Address::phone_number(known) } else { Address::email(known) };
    let found = find(finder, &[address.expect("an address")]).await;
    found.iter().any(|found| found.user_id == person.client.user_id)
}

/// Whether everybody may find, people of the platform, contacts, in the order of [`AUDIENCES`].
#[tokio::test]
async fn each_is_found_by_what_is_open_to_whom() {
    let network = Network::changed(of_each_kind).await;
    let person = Person::register(&network, INSTAGRAM, 1).await;
    let neighbour = network.register(INSTAGRAM, "neighbour").await;
    let stranger = network.register(MESSENGER, "stranger").await;
    let contact = network.register(MESSENGER, "contact").await;
    let blocked = network.register(INSTAGRAM, "blocked").await;
    let former = network.register(MESSENGER, "former").await;
    for contact in [&contact, &former] {
        person.befriend(contact).await;
        contact.get("/v3/sync").await.ok();
    }
    for blocked in [&blocked, &former] {
        person.block(blocked).await;
    }
    let people = [
        (&neighbour, "neighbour", [true, true, false, false]),
        (&stranger, "stranger", [true, false, false, false]),
        (&contact, "contact", [true, true, true, false]),
        (&blocked, "blocked", [false; 4]),
        (&former, "former", [false; 4]),
    ];
    for field in FIELDS {
        for (number, audience) in AUDIENCES.into_iter().enumerate() {
            let mut choice =
                json!({ "handle": "nobody", "phone": "nobody", "email": "nobody", "name": "nobody" });
            choice[field] = audience.into();
            person.choose(choice).await;
            for (finder, who, expected) in people {
                let context = format!("{field} {audience} {who}");
                assert_eq!(finds(&network, finder, &person, field).await, expected[number], "{context}");
                // Of somebody with a number or an address nobody learns by the user id.
                let is_seen = who == "contact" || (expected[number] && matches!(field, "handle" | "name"));
                let status = profile(&person.client.user_id, finder).await.status;
                assert_eq!(status, if is_seen { 200 } else { 404 }, "{context}");
                assert_eq!(!search(finder, &person.client.user_id).await.is_empty(), is_seen, "{context}");
                if field == "phone" || field == "email" {
                    // All have the same index, so it has only those in it whom everyone may find.
                    let is_matched = is_matched(finder, &person, field).await;
                    assert_eq!(is_matched, audience == "everyone", "{context}");
                }
            }
            let path = format!("/v3/profile/{}", person.client.user_id);
            let unknown = network.call(MESSENGER, None, Method::GET, &path, None).await;
            let is_public = audience == "everyone" && matches!(field, "handle" | "name");
            assert_eq!(unknown.status, if is_public { 200 } else { 404 }, "{field} {audience} nobody");
        }
    }
}

#[tokio::test]
async fn each_kind_of_platform_begins_with_what_is_usual_there() {
    let network = Network::changed(of_each_kind).await;
    let usual = [
        // By handle, by number, by address, by name: strangers, contacts.
        (INSTAGRAM, [true, false, false, true], [true, false, false, true]),
        (MESSENGER, [true, false, false, true], [true, false, false, true]),
        (WHATSAPP, [false, true, false, false], [false, true, false, true]),
    ];
    for (number, (platform, strangers, contacts)) in usual.into_iter().enumerate() {
        let person = Person::register(&network, platform, number).await;
        let elsewhere = if platform == INSTAGRAM { MESSENGER } else { INSTAGRAM };
        let stranger = network.register(elsewhere, &format!("stranger{number}")).await;
        let neighbour = network.register(platform, &format!("neighbour{number}")).await;
        let contact = network.register(elsewhere, &format!("contact{number}")).await;
        person.befriend(&contact).await;
        for (finder, expected) in [(&stranger, strangers), (&neighbour, strangers), (&contact, contacts)] {
            for (field, expected) in FIELDS.into_iter().zip(expected) {
                let others = search(finder, person.known(field)).await;
                let is_found = others.contains(&person.client.user_id);
                assert_eq!(is_found, expected, "{platform} {field} {}", finder.user_id);
            }
            // On each of them people are known by something that everybody may find them by.
            profile(&person.client.user_id, finder).await.ok();
        }
        let shown = person.client.get(DISCOVERY).await.ok();
        assert_eq!(shown["own"], json!({}));
        let everyone = FIELDS.map(|field| shown["platform"][field] == "everyone");
        assert_eq!(everyone, strangers, "{shown}");
    }
}

#[tokio::test]
async fn a_platform_may_begin_with_something_else() {
    let network = Network::changed(|one| {
        of_each_kind(one);
        one.discovery = Discovery { name: Some(Audience::Platform), ..Discovery::default() };
    })
    .await;
    let person = Person::register(&network, INSTAGRAM, 1).await;
    let (neighbour, stranger) =
        (network.register(INSTAGRAM, "neighbour").await, network.register(MESSENGER, "stranger").await);
    let user_id = person.client.user_id.clone();
    assert_eq!(search(&neighbour, NAME).await, [user_id.as_str()]);
    assert_eq!(search(&stranger, NAME).await, [""; 0]);
    person.choose(json!({ "name": "everyone" })).await;
    assert_eq!(search(&stranger, NAME).await, [user_id.as_str()], "what people say themselves goes before");

    // Who has said nothing follows when the platform changes its mind, who has said something does not.
    let silent = Person::register(&network, INSTAGRAM, 2).await;
    let network = network
        .reopen_changed(|one| {
            let (name, phone) = (Some(Audience::Nobody), Some(Audience::Everyone));
            one.discovery = Discovery { name, phone, ..Discovery::default() };
        })
        .await;
    let (neighbour, stranger) = (neighbour.on(&network), stranger.on(&network));
    for finder in [&neighbour, &stranger] {
        assert_eq!(search(finder, NAME).await, [user_id.as_str()]);
        assert!(is_matched(finder, &silent, "phone").await);
        assert_eq!(search(finder, &silent.phone).await, [silent.client.user_id.as_str()]);
    }
}

#[tokio::test]
async fn a_choice_is_account_data_that_is_checked() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let account_data = format!("/v3/user/{}/account_data/org.linkspan.discovery", anna.user_id);
    let right = json!({ "name": "contacts", "email": "everyone" });
    for path in [DISCOVERY, &account_data] {
        for wrong in
            [json!({ "name": "friends" }), json!({ "pet": "nobody" }), json!({ "phone": ["nobody"] })]
        {
            anna.put(path, wrong).await.fails(400, "M_BAD_JSON");
        }
        anna.put(path, json!([])).await.fails(400, "M_BAD_JSON");
        anna.put(path, right.clone()).await.ok();
        assert_eq!(anna.get(&account_data).await.ok(), right);
        assert_eq!(anna.get(DISCOVERY).await.ok()["own"], right);
        anna.put(path, json!({})).await.ok();
        assert_eq!(anna.get(DISCOVERY).await.ok()["own"], json!({}));
    }
}

/// All that somebody can see of a user id: in answers to questions, and of an invitation.
async fn seen_of(finder: &Client, user_id: &str) -> Vec<(u16, Value)> {
    let room = finder.create_room(json!({})).await;
    let member = format!("/v3/rooms/{room}/state/m.room.member/{user_id}");
    let handle = user_id.trim_start_matches('@').split(':').next().expect("a localpart");
    let invitation = json!({ "user_id": user_id });
    let answers = [
        profile(user_id, finder).await,
        finder.get(&format!("/v3/profile/{user_id}/displayname")).await,
        finder.get(&format!("/v3/profile/{user_id}/org.linkspan.handle")).await,
        finder.post("/v3/user_directory/search", json!({ "search_term": user_id })).await,
        look_for(finder, "handle", handle).await,
        finder.get(&format!("/_linkspan/client/v1/handles/{handle}?platform={INSTAGRAM}")).await,
        finder.post(&format!("/v3/rooms/{room}/invite"), invitation.clone()).await,
        finder.get(&member).await,
        // Neither inviting somebody nor having them as a contact shows more.
        profile(user_id, finder).await,
        finder.post("/v3/createRoom", json!({ "is_direct": true, "invite": [user_id] })).await,
        profile(user_id, finder).await,
        finder.post(&format!("/v3/rooms/{room}/ban"), invitation).await,
        finder.get(&member).await,
        finder.get(&format!("/v3/presence/{user_id}/status")).await,
        finder.post(&format!("/v3/users/{user_id}/report"), json!({ "reason": "it is spam" })).await,
    ];
    let seen = answers.into_iter().map(|mut answer| {
        answer.json.as_object_mut().expect("an object").remove("room_id");
        (answer.status.as_u16(), answer.json)
    });
    seen.collect()
}

#[tokio::test]
async fn who_is_hidden_looks_like_who_is_not_there() {
    let network = Network::changed(of_each_kind).await;
    let finder = network.register(MESSENGER, "finder").await;
    let nobody = json!({ "handle": "nobody", "phone": "nobody", "email": "nobody", "name": "nobody" });
    let missing = seen_of(&finder, &format!("@missing:{INSTAGRAM}")).await;
    let hidden = network.register(INSTAGRAM, "hidden").await;
    let gone = network.register(INSTAGRAM, "gone").await;
    let blocking = network.register(INSTAGRAM, "blocking").await;
    for person in [&hidden, &gone, &blocking] {
        let path = format!("/v3/profile/{}/displayname", person.user_id);
        person.put(&path, json!({ "displayname": NAME })).await.ok();
    }
    hidden.put(DISCOVERY, nobody).await.ok();
    blocking.put(&format!("/_linkspan/client/v1/blocks/{}", finder.user_id), json!({})).await.ok();
    gone.post("/v3/account/deactivate", json!({ "auth": proof(&gone, &Value::Null) })).await.ok();
    for person in [&hidden, &gone, &blocking] {
        let seen = seen_of(&finder, &person.user_id).await;
        for (number, (seen, missing)) in seen.iter().zip(&missing).enumerate() {
            assert_eq!(seen, missing, "{} {number}", person.user_id);
        }
    }
}

#[tokio::test]
async fn whom_one_has_met_one_sees() {
    let network = Network::changed(of_each_kind).await;
    let person = Person::register(&network, INSTAGRAM, 1).await;
    person.choose(json!({ "handle": "nobody", "name": "nobody" })).await;
    let [member, invited, guest] = [
        network.register(MESSENGER, "member").await,
        network.register(MESSENGER, "invited").await,
        network.guest(INSTAGRAM).await,
    ];
    let user_id = &person.client.user_id;
    let is_seen_by = async |who: &Client| profile(user_id, who).await.status == 200;
    assert!(is_seen_by(&person.client).await, "one's own profile is always there");
    let room = person.client.create_room(json!({ "invite": [member.user_id, invited.user_id] })).await;
    assert!(is_seen_by(&invited).await, "whoever is invited sees who is there");
    member.join(&room).await.ok();
    assert!(is_seen_by(&member).await);
    let field = format!("/v3/profile/{user_id}/displayname");
    assert_eq!(member.get(&field).await.ok(), json!({ "displayname": NAME }));

    // A block tells nothing in a common room: the person is a member there as before.
    person.block(&member).await;
    assert!(is_seen_by(&member).await);
    invited.leave(&room).await.ok();
    member.leave(&room).await.ok();
    assert!(!is_seen_by(&invited).await && !is_seen_by(&member).await);

    // Guests have proved nothing, so they are nobody's neighbours.
    person.choose(json!({ "handle": "platform", "name": "platform" })).await;
    assert!(!is_seen_by(&guest).await);
    person.choose(json!({ "handle": "everyone" })).await;
    assert!(is_seen_by(&guest).await);
}

/// Whoever declines shows nobody a name by it, and the devices of whoever comes are told of then.
#[tokio::test]
async fn who_hides_is_seen_by_coming_and_not_by_declining() {
    let network = Network::changed(of_each_kind).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for comes in [false, true] {
        let person = Person::register(&network, MESSENGER, usize::from(comes)).await;
        person
            .choose(json!({ "handle": "nobody", "phone": "nobody", "email": "nobody", "name": "nobody" }))
            .await;
        let room = anna.create_room(json!({ "invite": [person.client.user_id] })).await;
        let since = text(&anna.get("/v3/sync").await.ok()["next_batch"]);
        let member = format!("/v3/rooms/{room}/state/m.room.member/{}", person.client.user_id);
        if comes {
            person.client.join(&room).await.ok();
        } else {
            person.client.leave(&room).await.ok();
        }
        let news = anna.get(&format!("/v3/sync?since={since}")).await.ok();
        let is_told = list(&news["device_lists"]["changed"]).contains(&json!(person.client.user_id));
        assert_eq!(is_told, comes);
        assert_eq!(anna.get(&member).await.ok()["displayname"].is_string(), comes);
    }
}

#[tokio::test]
async fn who_blocks_takes_no_place_among_the_results() {
    let network = Network::changed(of_each_kind).await;
    let finder = network.register(MESSENGER, "finder").await;
    let mut sams = Vec::new();
    for name in ["sam1", "sam2", "sam3"] {
        sams.push(network.register(INSTAGRAM, name).await);
    }
    sams[0].put(&format!("/_linkspan/client/v1/blocks/{}", finder.user_id), json!({})).await.ok();
    for (limit, found, is_limited) in [(1, 1, true), (2, 2, false), (3, 2, false)] {
        let body = json!({ "search_term": "sam", "limit": limit });
        let answer = finder.post("/v3/user_directory/search", body).await.ok();
        let expected: Vec<_> = sams[1..=found].iter().map(|sam| sam.user_id.clone()).collect();
        assert_eq!((each(&answer["results"], "user_id"), &answer["limited"]), (expected, &json!(is_limited)));
    }
}

#[tokio::test]
async fn an_answer_tells_who_and_where_and_nothing_more() {
    let network = Network::changed(of_each_kind).await;
    let person = Person::register(&network, WHATSAPP, 1).await;
    let finder = network.register(INSTAGRAM, "finder").await;
    let expected = json!({
        "user_id": person.client.user_id, "display_name": NAME,
        "platform": { "server_name": WHATSAPP, "name": "Whatsapp" },
    });
    for typed in [&person.phone, "+49 170 123 45 01", "+49 (170) 1234501"] {
        let found = look_for(&finder, "phone", typed).await.ok();
        assert_eq!(found, json!({ "people": [expected] }), "{typed}");
        let found = finder.post("/v3/user_directory/search", json!({ "search_term": typed })).await.ok();
        let expected = json!({ "user_id": person.client.user_id, "display_name": NAME });
        assert_eq!(found, json!({ "results": [expected], "limited": false }), "{typed}");
    }
    assert!(!profile(&person.client.user_id, &finder).await.ok().to_string().contains("170"));

    for body in [
        json!({}),
        json!({ "phone": "+49 170" }),
        json!({ "phone": "hello" }),
        json!({ "email": "hello" }),
        json!({ "phone": person.phone, "email": person.email }),
    ] {
        finder.post(FIND, body).await.fails(400, "M_INVALID_PARAM");
    }
    finder.post(FIND, json!({ "phone": 49 })).await.fails(400, "M_BAD_JSON");
    for handle in ["", "not a handle!", "@"] {
        assert_eq!(look_for(&finder, "handle", handle).await.ok(), json!({ "people": [] }));
    }
}

#[tokio::test]
async fn nobody_walks_through_all_numbers() {
    let network = Network::changed(of_each_kind).await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "ben").await);
    let user_id = anna.user_id.as_str().try_into().expect("a user id");
    let now_ts = linkspan_wire::now_ts();
    for _ in 0..ELEMENTS_PER_DAY - 2 {
        network.app.matching.count_address(&user_id, now_ts).await.expect("it is allowed");
    }
    look_for(&anna, "phone", "+49 170 1234567").await.ok();
    search(&anna, "+49 170 1234567").await;
    let term = json!({ "search_term": "+49 170 1234567" });
    anna.post("/v3/user_directory/search", term.clone()).await.fails(429, "M_LIMIT_EXCEEDED");
    for (field, known) in [("phone", "+49 170 1234567"), ("email", "anna@example.org")] {
        let refused = look_for(&anna, field, known).await;
        assert!(refused.json["retry_after_ms"].is_u64(), "{}", refused.json);
        refused.fails(429, "M_LIMIT_EXCEEDED");
    }
    // Names and handles are public: they do not count.
    look_for(&anna, "handle", "ben").await.ok();
    assert_eq!(search(&anna, "ben").await, [ben.user_id.as_str()]);
    ben.post("/v3/user_directory/search", term).await.ok();
}

#[tokio::test]
async fn the_account_page_shows_and_takes_the_choice() {
    let network = Network::changed(of_each_kind).await;
    let page_path = "/_linkspan/account/discovery";
    for (platform, shown) in [
        (INSTAGRAM, ["handle", "name", "phone", "email"].as_slice()),
        (MESSENGER, &["name", "handle", "email", "phone"]),
        (WHATSAPP, &["phone", "name", "email"]),
    ] {
        let anna = network.register(platform, "anna").await;
        let mut browser = Browser::new(&network);
        let account = browser.log_in(platform, "/_linkspan/log-in", "anna").await;
        let page = browser.get(platform, &account).await;
        let rows =
            page.text.split("<select").skip(1).map(|row| row.split("</select>").next().expect("it ends"));
        let usual = anna.get(DISCOVERY).await.ok()["platform"].clone();
        for (row, field) in rows.clone().zip(shown) {
            assert!(row.contains(&format!("name=\"{field}\"")), "{row}");
            let chosen = format!("value=\"{}\" selected", text(&usual[field]));
            assert!(row.contains(&chosen) && row.matches("selected").count() == 1, "{row}");
        }
        assert_eq!(rows.count(), shown.len());

        // Whoever leaves it as it is goes on with what the platform says.
        let as_it_was: Vec<_> = shown.iter().map(|field| (*field, text(&usual[field]))).collect();
        let mut values: Vec<_> = as_it_was.iter().map(|(field, said)| (*field, said.as_str())).collect();
        browser.fill(platform, &page, page_path, &values).await;
        assert_eq!(anna.get(DISCOVERY).await.ok()["own"], json!({}));
        let name = values.iter().position(|(field, _)| *field == "name").expect("it is shown");
        values[name].1 = "platform";
        browser.fill(platform, &page, page_path, &values).await;
        assert_eq!(anna.get(DISCOVERY).await.ok()["own"], json!({ "name": "platform" }));
        values[name].1 = "friends";
        assert_eq!(browser.fill(platform, &page, page_path, &values).await.status, 400);
        // What the form does not have stays.
        anna.put(DISCOVERY, json!({ "name": "nobody", "email": "contacts" })).await.ok();
        browser.fill(platform, &page, page_path, &[("name", text(&usual["name"]).as_str())]).await;
        let own = json!({ "name": usual["name"], "email": "contacts" });
        assert_eq!(anna.get(DISCOVERY).await.ok()["own"], own, "what was said once stays said");
    }
}
