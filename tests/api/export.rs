//! "Get my data": the archive of what the server has of a person.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Cursor, Read as _},
    path::Path,
};

use axum::{body::Body, response::Response};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use linkspan_media::MediaStore;
use linkspan_storage::catalogue::UserMedia;
use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, request, text};
use crate::phone::password_auth;

const EXPORT: &str = "/_linkspan/client/v1/export";
/// Stands in all that is ben's alone.
const OTHERS: &str = "SECRET-of-ben";

/// The files of an archive, by their names.
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn read(archive: Vec<u8>) -> Self {
        let mut archive = zip::ZipArchive::new(Cursor::new(archive)).expect("it is a zip archive");
        let mut files = BTreeMap::new();
        for number in 0..archive.len() {
            let mut file = archive.by_index(number).expect("the archive is whole");
            let mut content = Vec::new();
            file.read_to_end(&mut content).expect("the file is whole");
            let name = file.name().expect("a file has a name").into_owned();
            files.insert(name, content);
        }
        Self(files)
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.0[name]).expect("it is JSON")
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0[name].clone()).expect("it is text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    pub(crate) fn room(&self, room: &str) -> Value {
        let rooms = self.lines("rooms.ndjson");
        rooms.into_iter().find(|line| line["room_id"] == room).expect("the room is there")
    }

    /// What somebody said in a room: the events.
    fn messages(&self, room: &str) -> Vec<Value> {
        self.lines(&text(&self.room(room)["messages"]))
    }

    pub(crate) fn has(&self, words: &str) -> bool {
        let has = |content: &Vec<u8>| content.windows(words.len()).any(|part| part == words.as_bytes());
        self.0.values().any(has)
    }
}

async fn ask(network: &Network, platform: &str, who: &Client, body: Value) -> Response {
    let asked = request(platform, Some(&who.token), Method::POST, EXPORT, body.to_string());
    network.api.answer(asked).await
}

async fn begin(network: &Network, who: &Client) -> Body {
    let answer = ask(network, INSTAGRAM, who, json!({ "auth": password_auth(who) })).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/zip");
    answer.into_body()
}

pub(crate) async fn export(network: &Network, who: &Client) -> Files {
    let archive = begin(network, who).await.collect().await.expect("all of it comes");
    Files::read(archive.to_bytes().to_vec())
}

async fn upload(who: &Client, name: &str, content: Vec<u8>) -> String {
    let path = format!("/_matrix/media/v3/upload?filename={name}");
    let (status, answer) = who.call_raw(Method::POST, &path, content).await;
    assert_eq!(status, StatusCode::OK);
    text(&serde_json::from_slice::<Value>(&answer).expect("JSON")["content_uri"])
}

fn pusher() -> Value {
    json!({
        "pushkey": "key", "kind": "http", "app_id": "org.example", "app_display_name": "Example",
        "device_display_name": "phone", "lang": "en",
        "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
    })
}

fn types(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| text(&line["type"])).collect()
}

#[tokio::test]
async fn what_a_person_did_is_in_it() {
    let network = Network::with_settings_of(INSTAGRAM, "identity = 'handle'\n").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let user = &anna.user_id;
    let name = json!({ "displayname": "Anna Berg" });
    anna.put(&format!("/v3/profile/{user}/displayname"), name).await.ok();
    anna.put(&format!("/v3/user/{user}/account_data/org.example"), json!({ "a": 1 })).await.ok();
    anna.put(&format!("/v3/user/{user}/account_data/org.gone"), json!({ "a": 1 })).await.ok();
    anna.delete(&format!("/v3/user/{user}/account_data/org.gone")).await.ok();
    anna.post("/v3/pushers/set", pusher()).await.ok();
    anna.put("/_linkspan/client/v1/discovery", json!({ "name": "nobody" })).await.ok();
    let carl = network.register(MESSENGER, "carl").await;
    anna.put(&format!("/_linkspan/client/v1/blocks/{}", carl.user_id), json!({})).await.ok();
    let url = upload(&anna, "quay.gif", b"GIF89a-picture".to_vec()).await;

    let chat = anna.create_room(json!({ "name": "Quay", "is_direct": true, "invite": [ben.user_id] })).await;
    ben.join(&chat).await.ok();
    let said = anna.say(&chat, "Ahoy").await;
    anna.put(&format!("/v3/user/{user}/rooms/{chat}/tags/u.work"), json!({ "order": 0.5 })).await.ok();
    let link = anna.post(&format!("/_linkspan/client/v1/rooms/{chat}/join_links"), json!({})).await.ok();
    anna.post(&format!("/v3/rooms/{chat}/report/{said}"), json!({ "reason": "rude" })).await.ok();
    let later = format!("/unstable/org.matrix.msc4140/rooms/{chat}/delayed_event/m.room.message/later");
    let words = json!({ "msgtype": "m.text", "body": "Good night" });
    anna.put(&later, json!({ "delay": 3_600_000, "content": words })).await.ok();
    let left = anna.create_room(json!({})).await;
    let ciphertext = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAE" });
    anna.try_send(&left, "m.room.encrypted", ciphertext.clone()).await.ok();
    anna.leave(&left).await.ok();
    anna.post(&format!("/v3/rooms/{left}/forget"), json!({})).await.ok();

    let files = export(&network, &anna).await;
    assert_eq!(files.json("about.json")["user_id"], json!(user));
    let account = files.json("account.json");
    assert_eq!((&account["handle"], &account["has_password"]), (&json!("anna"), &json!(true)));
    assert_eq!(files.json("profile.json")["displayname"], json!("Anna Berg"));
    assert_eq!(files.json("devices.json")[0]["device_id"], json!(anna.device_id));
    assert_eq!(files.json("pushers.json")[0]["pushkey"], json!("key"));
    let data = files.lines("account_data.ndjson");
    for expected in ["org.example", "org.linkspan.discovery", "m.ignored_user_list"] {
        assert!(types(&data).contains(&expected.to_owned()), "{expected} is not in {data:?}");
    }
    assert!(!types(&data).contains(&"org.gone".to_owned()));
    let tags = data.iter().find(|line| line["type"] == "m.tag").expect("tags");
    assert_eq!((&tags["room_id"], &tags["content"]["tags"]["u.work"]["order"]), (&json!(chat), &json!(0.5)));
    assert!(files.has(&carl.user_id), "whom she blocks");
    assert_eq!(files.lines("contacts.ndjson")[0]["user_id"], json!(ben.user_id));
    assert_eq!(files.json("scheduled.json")[0]["content"]["body"], json!("Good night"));
    assert_eq!(files.json("reports.json")[0]["reason"], json!("rude"));

    let room = files.room(&chat);
    assert_eq!((&room["name"], &room["membership"]), (&json!("Quay"), &json!("join")));
    assert_eq!(room["join_links"][0]["token"], link["token"]);
    let messages = files.messages(&chat);
    assert!(messages.iter().any(|event| event["event_id"] == said && event["content"]["body"] == "Ahoy"));
    let room = files.room(&left);
    assert_eq!((&room["is_forgotten"], &room["membership"]), (&json!(true), &json!("leave")));
    let encrypted = files.messages(&left).into_iter().find(|event| event["type"] == "m.room.encrypted");
    assert_eq!(encrypted.expect("it is there")["content"], ciphertext);

    let media = files.lines("media.ndjson");
    assert_eq!((&media[0]["url"], &media[0]["filename"]), (&json!(url), &json!("quay.gif")));
    assert_eq!(files.0[&text(&media[0]["file"])], b"GIF89a-picture");
    assert!(text(&media[0]["file"]).ends_with(".gif"));
}

#[tokio::test]
async fn nothing_of_other_people_is_in_it() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "anna2").await;
    let other = &ben.user_id;
    ben.put(&format!("/v3/profile/{other}/displayname"), json!({ "displayname": OTHERS })).await.ok();
    ben.put(&format!("/v3/user/{other}/account_data/org.example"), json!({ "a": OTHERS })).await.ok();
    let mut of_ben = pusher();
    of_ben["pushkey"] = json!(OTHERS);
    ben.post("/v3/pushers/set", of_ben).await.ok();
    upload(&ben, OTHERS, OTHERS.into()).await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    ben.say(&room, &format!("{} has no {OTHERS}", anna.user_id)).await;
    ben.post(&format!("/_linkspan/client/v1/rooms/{room}/join_links"), json!({})).await;
    // An invitation that is kept from anna, who must not learn of it.
    anna.put("/_linkspan/client/v1/reach", json!({ "rules": [{ "reach": "ignored" }] })).await.ok();
    let hidden = ben.create_room(json!({ "name": OTHERS, "invite": [anna.user_id] })).await;
    anna.say(&room, "Ahoy").await;

    let files = export(&network, &anna).await;
    assert!(files.has("Ahoy"));
    assert!(!files.has(OTHERS) && !files.has(&hidden), "{:?}", files.0.keys());
    assert!(files.messages(&room).iter().all(|event| event["sender"] == json!(anna.user_id)));
    assert_eq!(files.lines("media.ndjson"), [Value::Null; 0]);
    // Of both, ben's own has it.
    assert!(export(&network, &ben).await.has(OTHERS));
}

#[tokio::test]
async fn it_has_to_be_proved_who_asks() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let asked = anna.post(EXPORT, json!({})).await;
    assert_eq!(
        (asked.status, &asked.json["flows"]),
        (StatusCode::UNAUTHORIZED, &json!([{ "stages": ["m.login.password"] }]))
    );
    let mut wrong = password_auth(&anna);
    wrong["password"] = json!("wrong");
    anna.post(EXPORT, json!({ "auth": wrong })).await.fails(401, "M_FORBIDDEN");
    // Another's password is no proof either.
    let bert = network.register(INSTAGRAM, "bert").await;
    anna.post(EXPORT, json!({ "auth": password_auth(&bert) })).await.fails(401, "M_FORBIDDEN");
    let abroad = ask(&network, MESSENGER, &anna, json!({ "auth": password_auth(&anna) })).await;
    assert_eq!(abroad.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_person_has_only_so_many_in_a_day() {
    let network = Network::with_limits("exports_per_day = 2\nlogin_burst = 100").await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "bert").await);
    for _ in 0..2 {
        // Who does not prove anything has had nothing.
        anna.post(EXPORT, json!({})).await;
        export(&network, &anna).await;
    }
    anna.post(EXPORT, json!({ "auth": password_auth(&anna) })).await.fails(429, "M_LIMIT_EXCEEDED");
    export(&network, &bert).await;
}

#[tokio::test]
async fn a_person_has_one_at_a_time() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "bert").await);
    for number in 0..5 {
        upload(&anna, "noise", vec![number; 100_000]).await;
    }
    let archive = begin(&network, &anna).await;
    anna.post(EXPORT, json!({ "auth": password_auth(&anna) })).await.fails(429, "M_LIMIT_EXCEEDED");
    // No proof is asked for before that, which may be a code that works once.
    anna.post(EXPORT, json!({})).await.fails(429, "M_LIMIT_EXCEEDED");
    export(&network, &bert).await;
    Files::read(archive.collect().await.expect("all of it comes").to_bytes().to_vec());
    export(&network, &anna).await;
}

#[tokio::test]
async fn archives_that_nobody_takes_keep_no_other_platform_waiting() {
    /// How many are made for one platform at a time.
    const OF_PLATFORM: usize = 24;
    let network = Network::open().await;
    let mut untaken = Vec::new();
    for number in 0..=OF_PLATFORM {
        let anna = network.register(INSTAGRAM, &format!("anna{number}")).await;
        if number == OF_PLATFORM {
            let refused = ask(&network, INSTAGRAM, &anna, json!({ "auth": password_auth(&anna) })).await;
            assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
            assert!(refused.headers().contains_key("retry-after"));
            break;
        }
        for noise in 0..5 {
            upload(&anna, "noise", vec![noise; 100_000]).await;
        }
        untaken.push(begin(&network, &anna).await);
    }
    let bert = network.register(MESSENGER, "bert").await;
    let answer = ask(&network, MESSENGER, &bert, json!({ "auth": password_auth(&bert) })).await;
    assert_eq!(answer.status(), StatusCode::OK);
    Files::read(answer.into_body().collect().await.expect("all of it comes").to_bytes().to_vec());
    // Who goes on taking it gets it.
    let first = untaken.remove(0);
    Files::read(first.collect().await.expect("all of it comes").to_bytes().to_vec());
}

#[tokio::test]
async fn media_that_cannot_be_read_are_named_and_the_rest_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let network = Network::with_media_in(MediaStore::folder(folder.path()).expect("it opens")).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut files = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let url = upload(&anna, name, name.repeat(300_000).into_bytes()).await;
        let id = url.rsplit('/').next().expect("an id").to_owned();
        let path = folder.path().join(INSTAGRAM).join(&id[..2]).join(&id);
        assert!(path.is_file(), "{path:?}");
        files.push((format!("media/{id}"), path, name));
    }
    // They come in the order of their ids.
    files.sort();
    let [breaks_off, is_short, is_gone, whole] = <[_; 4]>::try_from(files).expect("four files");
    let cut = |path: &Path, to: u64| {
        File::options().write(true).open(path).expect("it is there").set_len(to).expect("it is cut");
    };
    cut(&is_short.1, 10);
    std::fs::remove_file(&is_gone.1).expect("it was there");
    let mut archive = begin(&network, &anna).await;
    let mut pieces =
        archive.frame().await.expect("a piece").expect("it comes").into_data().expect("bytes").to_vec();
    cut(&breaks_off.1, 0);
    pieces.extend(archive.collect().await.expect("all the rest comes").to_bytes());
    let archive = Files::read(pieces);
    assert_eq!(archive.json("missing.json"), json!([breaks_off.0, is_short.0, is_gone.0]));
    assert_eq!(archive.0[&whole.0], whole.2.repeat(300_000).into_bytes());
    assert_eq!(archive.0[&is_short.0].len(), 10);
    let part = archive.0[&breaks_off.0].len();
    assert!(part > 0 && part < breaks_off.2.len() * 300_000, "{part}");
    assert_eq!(archive.lines("media.ndjson").len(), 4);
}

#[tokio::test]
async fn it_is_made_while_it_is_read_and_ends_with_the_session() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let phone = anna.another_device().await;
    for number in 0..20 {
        upload(&anna, "noise", vec![number; 100_000]).await;
    }
    assert_eq!(network.rows::<UserMedia>().await, 20);
    let whole = begin(&network, &phone).await.collect().await.expect("all of it comes").to_bytes();
    assert!(whole.len() > 2_000_000);

    let mut archive = begin(&network, &phone).await;
    let first = archive.frame().await.expect("a piece").expect("it comes").into_data().expect("bytes");
    // No piece is longer than what was read at once, so nothing was made ahead.
    assert!(first.len() < 200_000, "{}", first.len());
    phone.post("/v3/logout", json!({})).await.ok();
    let (mut pieces, mut has_failed) = (0, false);
    while let Some(piece) = archive.frame().await {
        match piece {
            Ok(_) => pieces += 1,
            Err(_) => has_failed = true,
        }
    }
    assert!(has_failed, "the rest does not come");
    assert!(pieces <= 2, "{pieces} pieces were made before");
}
