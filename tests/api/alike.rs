//! Whoever asks about somebody by name, address or number is answered alike, whether that person hides, blocks who asks,
//! is gone or was never there.

use http::Method;
use linkspan_platforms::Identity as Kind;
use serde_json::{Value, json};

use crate::{
    matching::{DISCOVERY, register as register_by_mail},
    network::{Client, INSTAGRAM, MESSENGER, Network, list, text},
    olm::{Identity, OlmDevice},
    phone::{confirm, password_auth},
    third_party_invites::open,
};

/// Words that are longer than this are ids and tokens, which no two have in common.
const LONGEST_WORD: usize = 20;
/// The names of all who are asked about. They have the same length.
const NAMES: [&str; 7] = ["nobody", "hidden", "blocks", "silent", "former", "seeing", "leaves"];

/// What an asker does, and may not tell people apart by. What is in braces is filled in: the person's `user` id, `name`,
/// `email`, `number`, `device` and `key`, a new `room` of the asker, and a number that is used `once`.
const CALLS: &[(&str, &[&str])] = &[
    ("a profile", &["GET /v3/profile/{user}", "GET /v3/profile/{user}/displayname"]),
    ("a contact card", &["GET /_linkspan/client/v1/contacts/{user}/card"]),
    (
        "an invitation",
        &[
            r#"POST /v3/rooms/{room}/invite {"user_id": "{user}", "reason": "why not"}"#,
            "GET /v3/rooms/{room}/members",
            r#"POST /v3/rooms/{room}/invite {"user_id": "{user}"}"#,
            "GET /v3/rooms/{room}/state/m.room.member/{user}",
            "GET /v3/rooms/{room}/joined_members",
        ],
    ),
    (
        "an invitation as state",
        &[
            r#"PUT /v3/rooms/{room}/state/m.room.member/{user} {"membership": "invite"}"#,
            "GET /v3/rooms/{room}/members",
        ],
    ),
    ("a direct chat", &[r#"POST /v3/createRoom {"is_direct": true, "invite": ["{user}"]}"#]),
    ("a call", &[r#"POST /v3/createRoom {"creation_content": {"type": "m.call"}, "invite": ["{user}"]}"#]),
    (
        "putting out",
        &[
            r#"POST /v3/rooms/{room}/kick {"user_id": "{user}"}"#,
            r#"POST /v3/rooms/{room}/ban {"user_id": "{user}"}"#,
            "GET /v3/rooms/{room}/members",
            r#"POST /v3/rooms/{room}/unban {"user_id": "{user}"}"#,
            r#"POST /v3/rooms/{room}/unban {"user_id": "{user}"}"#,
        ],
    ),
    ("devices", &[r#"POST /v3/keys/query {"device_keys": {"{user}": []}}"#]),
    ("a device", &[r#"POST /v3/keys/query {"device_keys": {"{user}": ["{device}"]}}"#]),
    (
        "one-time keys",
        &[r#"POST /v3/keys/claim {"one_time_keys": {"{user}": {"{device}": "signed_curve25519"}}}"#],
    ),
    (
        "signing an identity",
        &[r#"POST /v3/keys/signatures/upload {"{user}": {"{key}": {"user_id": "{user}", "usage": ["master"],
               "keys": {"ed25519:{key}": "{key}"}, "signatures": {}}}}"#],
    ),
    (
        "a message to devices",
        &[r#"PUT /v3/sendToDevice/org.example.hello/{once} {"messages": {"{user}": {"*": {}}}}"#],
    ),
    ("presence", &["GET /v3/presence/{user}/status"]),
    ("common rooms", &["GET /unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id={user}"]),
    (
        "a report",
        &[
            r#"POST /v3/users/{user}/report {"reason": "rude"}"#,
            r#"POST /_linkspan/client/v1/reports {"kind": "person", "user_id": "{user}"}"#,
        ],
    ),
    (
        "a block",
        &[
            "PUT /_linkspan/client/v1/blocks/{user} {}",
            "GET /_linkspan/client/v1/blocks",
            "DELETE /_linkspan/client/v1/blocks/{user}",
        ],
    ),
    ("where somebody is logged in", &["GET /v3/admin/whois/{user}"]),
    ("a contact", &["DELETE /_linkspan/client/v1/contacts/{user}"]),
    ("what is another's", &["GET /v3/user/{user}/account_data/org.example"]),
    (
        "an invitation by address",
        &[
            r#"POST /_linkspan/client/v1/rooms/{room}/invite_by_address {"medium": "email", "address": "{email}"}"#,
            "GET /v3/rooms/{room}/state",
        ],
    ),
    (
        "an invitation by number",
        &[
            r#"POST /_linkspan/client/v1/rooms/{room}/invite_by_address {"medium": "msisdn", "address": "{number}"}"#,
            "GET /v3/rooms/{room}/state",
        ],
    ),
];

/// The same for whoever has not logged in, at the platform of those who are asked about. It tells of deactivated
/// accounts that they are: docs/decisions/0021-third-party-invites.md.
const CALLS_OF_NOBODY: &[(&str, &[&str])] = &[
    (
        "logging in by name",
        &[
            r#"POST /v3/login {"type": "m.login.password", "password": "wrong",
               "identifier": {"type": "m.id.user", "user": "{name}"}}"#,
            r#"POST /v3/login {"type": "m.login.password", "password": "wrong",
               "identifier": {"type": "m.id.user", "user": "{user}"}}"#,
        ],
    ),
    (
        "logging in by address",
        &[r#"POST /v3/login {"type": "m.login.password", "password": "wrong",
             "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "{email}"}}"#],
    ),
    (
        "logging in by number",
        &[r#"POST /v3/login {"type": "m.login.password", "password": "wrong",
             "identifier": {"type": "m.id.phone", "country": "DE", "phone": "+{number}"}}"#],
    ),
    (
        "confirming an address",
        &[
            r#"POST /v3/register/email/requestToken {"client_secret": "a", "email": "{email}", "send_attempt": 1}"#,
            r#"POST /v3/account/password/email/requestToken
               {"client_secret": "b", "email": "{email}", "send_attempt": 1}"#,
            r#"POST /v3/account/3pid/email/requestToken
               {"client_secret": "c", "email": "{email}", "send_attempt": 1}"#,
        ],
    ),
    (
        "confirming a number",
        &[
            r#"POST /v3/register/msisdn/requestToken
               {"client_secret": "a", "country": "DE", "phone_number": "+{number}", "send_attempt": 1}"#,
            r#"POST /v3/account/password/msisdn/requestToken
               {"client_secret": "b", "country": "DE", "phone_number": "+{number}", "send_attempt": 1}"#,
            r#"POST /v3/account/3pid/msisdn/requestToken
               {"client_secret": "c", "country": "DE", "phone_number": "+{number}", "send_attempt": 1}"#,
        ],
    ),
];

/// The same where people log in by a code.
const CALLS_BEFORE_A_CODE: &[&str] = &[
    r#"POST /_linkspan/client/v1/request_code {"client_secret": "d", "email": "{email}", "send_attempt": 1}"#,
    r#"POST /_linkspan/client/v1/request_code {"client_secret": "d", "email": "{email}", "send_attempt": 2}"#,
];

/// Somebody who is asked about.
struct Person {
    name: &'static str,
    number: String,
    device: String,
    key: String,
    client: Option<Client>,
}

impl Person {
    async fn new(network: &Network, name: &'static str) -> Self {
        let client = register_by_mail(network, INSTAGRAM, name, &address_of(name)).await;
        let number = number_of(name);
        let sid = confirm(network, INSTAGRAM, "account/3pid", &format!("+{number}")).await;
        let add = json!({ "sid": sid, "client_secret": "monkeys", "auth": password_auth(&client) });
        client.post("/v3/account/3pid/add", add).await.ok();
        let everyone =
            json!({ "handle": "everyone", "name": "everyone", "phone": "everyone", "email": "everyone" });
        client.put(DISCOVERY, everyone).await.ok();
        let user = &client.user_id;
        client
            .put(&format!("/v3/profile/{user}/displayname"), json!({ "displayname": "Somebody" }))
            .await
            .ok();
        let identity = Identity::new(&client);
        publish_device(&client).await;
        client.post("/v3/keys/device_signing/upload", identity.upload()).await.ok();
        let (device, key) = (client.device_id.clone(), identity.master_name());
        Self { name, number, device, key, client: Some(client) }
    }

    fn missing(name: &'static str) -> Self {
        let key = "A".repeat(43);
        Self { name, number: number_of(name), device: "NOSUCHDEVI".to_owned(), key, client: None }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("they are there")
    }

    fn user_id(&self) -> String {
        format!("@{}:{INSTAGRAM}", self.name)
    }
}

fn address_of(name: &str) -> String {
    // Rooms are shown the first letters of an address.
    format!("i.am.{name}@example.org")
}

/// All end alike, because rooms are shown how a number ends.
fn number_of(name: &str) -> String {
    let place = NAMES.iter().position(|known| *known == name).expect("it is one of them");
    format!("49170{place:02}00067")
}

async fn publish_device(client: &Client) {
    let mut device = OlmDevice::new(client);
    let one_time_keys = device.one_time_keys(5);
    let upload = json!({
        "device_keys": device.device_keys(), "one_time_keys": one_time_keys,
        "fallback_keys": device.fallback_key(),
    });
    client.post("/v3/keys/upload", upload).await.ok();
}

async fn hide(person: &Client) {
    let nobody = json!({ "handle": "nobody", "name": "nobody", "phone": "nobody", "email": "nobody" });
    person.put(DISCOVERY, nobody).await.ok();
}

/// People whom an asker may not tell apart.
async fn people(network: &Network, askers: &[Client]) -> Vec<Person> {
    let hidden = Person::new(network, "hidden").await;
    hide(hidden.client()).await;
    let blocking = Person::new(network, "blocks").await;
    for asker in askers {
        let path = format!("/_linkspan/client/v1/blocks/{}", asker.user_id);
        blocking.client().put(&path, json!({})).await.ok();
    }
    // Hidden, and takes nothing from anybody.
    let silent = Person::new(network, "silent").await;
    hide(silent.client()).await;
    let rules = json!({ "rules": [{ "kind": "direct_chat", "reach": "ignored" }, { "kind": "group", "reach": "ignored" }] });
    silent.client().put("/_linkspan/client/v1/reach", rules).await.ok();
    let former = Person::new(network, "former").await;
    let auth = password_auth(former.client());
    former.client().post("/v3/account/deactivate", json!({ "auth": auth })).await.ok();
    vec![Person::missing("nobody"), hidden, blocking, silent, former]
}

/// Without words that no two have in common, and without numbers.
fn scrubbed(transcript: &str, person: &Person) -> String {
    let named = [(person.user_id(), "{user}"), (person.name.to_owned(), "{name}")];
    let mut text = transcript.replace(&person.device, "{device}").replace(&person.key, "{key}");
    for (value, name) in named {
        text = text.replace(&value, name);
    }
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-+/$!".contains(letter);
    let mut words = Vec::new();
    for part in text.split_inclusive(|letter| !is_word(letter)) {
        let (word, end) = part.split_at(part.trim_end_matches(|letter| !is_word(letter)).len());
        let is_opaque = word.len() > LONGEST_WORD;
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        words.push(if is_opaque {
            "<id>"
        } else if is_number {
            "<number>"
        } else {
            word
        });
        words.push(end);
    }
    words.concat()
}

/// Makes the calls about a person; all that came back.
async fn ask(network: &Network, asker: Option<&Client>, calls: &[&str], person: &Person) -> String {
    let room = match asker {
        Some(asker) => asker.create_room(json!({})).await,
        None => String::new(),
    };
    let once = asker.map_or(0, Client::next_transaction).to_string();
    let platform = match asker {
        Some(asker) => text(&Value::from(asker.user_id.split(':').nth(1).expect("a platform"))),
        None => INSTAGRAM.to_owned(),
    };
    let (email, user) = (address_of(person.name), person.user_id());
    let filled_in = [
        ("{room}", &room),
        ("{user}", &user),
        ("{email}", &email),
        ("{number}", &person.number),
        ("{device}", &person.device),
        ("{key}", &person.key),
        ("{once}", &once),
    ];
    let mut transcripts = Vec::new();
    for call in calls {
        let mut call = call.replace("{name}", person.name);
        for (name, value) in filled_in {
            call = call.replace(name, value);
        }
        let (method, rest) = call.split_once(' ').expect("a method");
        let (path, body) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let token = asker.map(|asker| asker.token.as_str());
        transcripts.push(network.transcript(&platform, token, method, path, body.to_owned()).await);
    }
    scrubbed(&transcripts.join("\n"), person)
}

#[tokio::test]
async fn nobody_can_be_told_apart_by_an_answer() {
    let network = open().await;
    let askers = [network.register(MESSENGER, "asker").await, network.register(INSTAGRAM, "asker").await];
    let people = people(&network, &askers).await;
    let people: Vec<_> = people.iter().collect();
    let mut told_apart = Vec::new();
    for asker in &askers {
        for (what, calls) in CALLS {
            told_apart.extend(tell_apart(&network, Some(asker), what, calls, &people).await);
        }
    }
    let people: Vec<_> = people.into_iter().filter(|person| person.name != "former").collect();
    for (what, calls) in CALLS_OF_NOBODY {
        told_apart.extend(tell_apart(&network, None, what, calls, &people).await);
    }
    assert!(told_apart.is_empty(), "{}", told_apart.join("\n"));
}

#[tokio::test]
async fn nobody_can_be_told_apart_where_codes_log_in() {
    let network = open()
        .await
        .reopen_changed(|one| {
            if one.server_name == INSTAGRAM {
                (one.identity, one.verify) = (Kind::Account, true);
            }
        })
        .await;
    let asker = network.register(MESSENGER, "asker").await;
    let people = people(&network, &[asker]).await;
    let people: Vec<_> = people.iter().collect();
    let told_apart = tell_apart(&network, None, "asking for a code", CALLS_BEFORE_A_CODE, &people).await;
    assert!(told_apart.is_empty(), "{}", told_apart.join("\n"));
}

/// Whom an asker tells apart from the first, who is missing, and by which answers.
async fn tell_apart(
    network: &Network,
    asker: Option<&Client>,
    what: &str,
    calls: &[&str],
    people: &[&Person],
) -> Vec<String> {
    let missing = ask(network, asker, calls, people[0]).await;
    let mut told_apart = Vec::new();
    for person in &people[1..] {
        let answer = ask(network, asker, calls, person).await;
        if answer != missing {
            let name = person.name;
            told_apart.push(format!("{what} of {name}:\n  {answer}\n  {missing}"));
        }
    }
    told_apart
}

/// The table above would say nothing if it asked nothing.
#[tokio::test]
async fn people_who_let_themselves_be_found_are_found_by_the_same_calls() {
    let network = open().await;
    let asker = network.register(MESSENGER, "asker").await;
    let found = Person::new(&network, "seeing").await;
    let missing = Person::missing("nobody");
    for (what, calls) in CALLS {
        let differs = ask(&network, Some(&asker), calls, &found).await
            != ask(&network, Some(&asker), calls, &missing).await;
        let tells = [
            "a profile",
            "a contact card",
            "an invitation",
            "devices",
            "a device",
            "one-time keys",
            "signing an identity",
            "an invitation by address",
            "an invitation by number",
        ];
        assert_eq!(differs, tells.contains(what), "{what}");
    }
}

/// What a sync tells that does not wait, without its token.
async fn news(who: &Client, since: &Value) -> (Value, Value) {
    let since = since.as_str().map(|since| format!("?since={since}")).unwrap_or_default();
    let mut sync = who.get(&format!("/v3/sync{since}")).await.ok();
    let next = sync["next_batch"].take();
    (sync, next)
}

#[tokio::test]
async fn whoever_has_invited_people_does_not_see_what_they_do() {
    let network = open().await;
    let asker = network.register(MESSENGER, "asker").await;
    let people = people(&network, std::slice::from_ref(&asker)).await;
    let leaving = Person::new(&network, "leaves").await;
    hide(leaving.client()).await;
    for person in people.iter().chain([&leaving]) {
        asker.create_room(json!({ "is_direct": true, "invite": [person.user_id()] })).await;
    }
    let (_, since) = news(&asker, &Value::Null).await;
    let (quiet, since) = news(&asker, &since).await;
    for person in people.iter().filter(|person| !["nobody", "former"].contains(&person.name)) {
        let second = person.client().another_device().await;
        publish_device(&second).await;
        let path = format!("/v3/profile/{}/displayname", second.user_id);
        second.put(&path, json!({ "displayname": "Somebody else" })).await.ok();
        second
            .put(&format!("/v3/presence/{}/status", second.user_id), json!({ "presence": "online" }))
            .await
            .ok();
        let requests = second.get("/_linkspan/client/v1/requests").await.ok()["requests"].clone();
        for request in list(&requests) {
            second.delete(&format!("/_linkspan/client/v1/requests/{}", text(&request["room_id"]))).await.ok();
        }
    }
    let auth = password_auth(leaving.client());
    leaving.client().post("/v3/account/deactivate", json!({ "auth": auth })).await.ok();
    network.flush().await;
    assert_eq!(news(&asker, &since).await.0, quiet);
}
