//! What Anna, Ben and Chloe do together, from finding each other to the end of a room.

use std::io::Cursor;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use linkspan_tests::{Platform, Server};

use crate::{
    driver::Library,
    person::{Person, Picture},
};

const READ: &str = "m.read";
const READ_IN_PRIVATE: &str = "m.read.private";
/// How many messages a page of `/messages` has. They are few, so that there are pages.
const PAGE: usize = 7;

/// The three people of a conversation.
pub(crate) struct Cast {
    anna: Person,
    ben: Person,
    chloe: Person,
}

impl Cast {
    pub(crate) fn new(server: &Server, [a, b, c]: [(Platform, Library); 3]) -> Self {
        let sign_up = |(platform, library), name| Person::sign_up(server, platform, library, name);
        Self { anna: sign_up(a, "Anna"), ben: sign_up(b, "Ben"), chloe: sign_up(c, "Chloe") }
    }

    fn all(&self) -> [&Person; 3] {
        [&self.anna, &self.ben, &self.chloe]
    }

    fn all_see_text(&self, room: &str, event: &str, who: &str, body: &str) {
        for person in self.all() {
            person.sees_text(room, event, who, body);
        }
    }

    fn all_see_relation(&self, room: &str, event: &str, kind: &str, to: &str) {
        for person in self.all() {
            person.sees_relation(room, event, kind, to);
        }
    }

    fn all_find(&self, room: &str, expected: &Value) {
        for person in self.all() {
            person.finds(room, expected);
        }
    }
}

/// Runs all parts of the conversation in this order. Later parts go on in the rooms of earlier ones.
pub(crate) fn all(server: &Server, cast: &Cast) {
    find_each_other(cast);
    talk_alone(cast);
    let group = start_a_group(cast);
    describe_the_group(cast, &group);
    answer_each_other(cast, &group);
    read_and_count(cast, &group);
    talk_in_a_thread(cast, &group);
    show_pictures(cast, &group);
    change_profiles(cast, &group);
    keep_things_private(server, cast, &group);
    look_back(cast, &group);
    come_and_go(cast, &group);
    go_public(cast);
    move_house(cast);
}

fn find_each_other(Cast { anna, ben, chloe }: &Cast) {
    for person in [anna, ben, chloe] {
        person.does("set_display_name", json!({ "name": person.name }));
    }
    // People who are known by numbers are found by name only if they say so.
    let open = json!({ "type": "org.linkspan.discovery", "content": { "name": "everyone" } });
    chloe.does("set_account_data", open);
    anna.finds_person("Ben", ben, "Ben");
    anna.finds_person("chlo", chloe, "Chloe");
    ben.finds_person("anna", anna, "Anna");
    ben.finds_person("CHLOE", chloe, "Chloe");
    chloe.finds_person("anna", anna, "Anna");
    chloe.finds_person("be", ben, "Ben");
    let profile = chloe.does("get_profile", json!({ "user": anna.id }));
    assert_eq!(profile, json!({ "name": "Anna", "avatar": null }));
}

fn talk_alone(Cast { anna, ben, chloe }: &Cast) {
    let room = anna.creates_room(json!({ "direct": true, "invite": [ben.id] }));
    ben.finds(&room, &json!({ "membership": "invite", "inviter": anna.id }));
    anna.finds(&room, &json!({ "members": { &ben.id: { "membership": "invite" } } }));
    // Nobody else is asked or told.
    chloe.is_refused("M_FORBIDDEN", "join", json!({ "room": room }));

    ben.joins(&room);
    anna.sees_membership(&room, &ben.id, "join", &ben.id);
    for person in [anna, ben] {
        let members = json!({
            &anna.id: { "membership": "join", "name": "Anna" }, &ben.id: { "membership": "join", "name": "Ben" },
        });
        person.finds(&room, &json!({ "membership": "join", "members": members }));
    }
    anna.finds(&room, &json!({ "title": "Ben" }));
    ben.finds(&room, &json!({ "title": "Anna" }));

    anna.types(&room);
    ben.finds(&room, &json!({ "typing": [anna.id] }));
    let hello = anna.says(&room, "Hello Ben!");
    anna.stops_typing(&room);
    ben.sees_text(&room, &hello, &anna.id, "Hello Ben!");
    ben.finds(&room, &json!({ "typing": [] }));
    ben.has_unread(&room, 1, 0);
    ben.reads(&room, &hello, None);
    ben.has_unread(&room, 0, 0);
    anna.sees_text(&room, &hello, &anna.id, "Hello Ben!");
    anna.sees_receipt(&room, &ben.id, &hello, READ, None);

    let lines = ["Hi Anna,", "how", "are", "you?"];
    let sent: Vec<_> = lines.iter().map(|line| (ben.says(&room, line), line)).collect();
    for (event, line) in &sent {
        anna.sees_text(&room, event, &ben.id, line);
        ben.sees_text(&room, event, &ben.id, line);
    }
    anna.has_unread(&room, 4, 0);
    // A person who answers has read what came before.
    let answer = anna.says(&room, "Fine.");
    ben.sees_text(&room, &answer, &anna.id, "Fine.");
    anna.sees_text(&room, &answer, &anna.id, "Fine.");
    anna.has_unread(&room, 0, 0);
    assert!(!chloe.has_seen(&room, &hello));
}

fn start_a_group(cast: &Cast) -> String {
    let Cast { anna, ben, chloe } = cast;
    let room = ben.creates_room(json!({ "name": "Bridge", "topic": "Ships and quays", "invite": [anna.id] }));
    // Ben is a contact of hers, so she is simply there.
    ben.sees_membership(&room, &anna.id, "join", &anna.id);
    anna.finds(&room, &json!({ "membership": "join", "name": "Bridge" }));
    let early = anna.says(&room, "Before Chloe");
    ben.sees_text(&room, &early, &anna.id, "Before Chloe");
    anna.sees_text(&room, &early, &anna.id, "Before Chloe");

    // She declines, is asked again, and comes.
    ben.invites(&room, chloe);
    chloe.finds(&room, &json!({ "membership": "invite", "inviter": ben.id, "name": "Bridge" }));
    chloe.leaves(&room);
    ben.sees_membership(&room, &chloe.id, "leave", &chloe.id);
    chloe.finds(&room, &json!({ "membership": "leave" }));
    ben.invites(&room, chloe);
    chloe.finds(&room, &json!({ "membership": "invite" }));
    chloe.joins(&room);
    for person in [anna, ben] {
        person.sees_membership(&room, &chloe.id, "join", &chloe.id);
    }
    let members = json!({
        &anna.id: { "membership": "join", "name": "Anna" },
        &ben.id: { "membership": "join", "name": "Ben" },
        &chloe.id: { "membership": "join", "name": "Chloe" },
    });
    let expected = json!({
        "membership": "join", "name": "Bridge", "title": "Bridge", "topic": "Ships and quays", "members": members,
    });
    cast.all_find(&room, &expected);
    room
}

fn describe_the_group(cast: &Cast, room: &str) {
    let name = cast.ben.does("set_name", json!({ "room": room, "name": "Lift bridge" }));
    let topic = cast.ben.does("set_topic", json!({ "room": room, "topic": "Up and down" }));
    assert!(name.is_string() && topic.is_string());
    cast.all_find(room, &json!({ "name": "Lift bridge", "title": "Lift bridge", "topic": "Up and down" }));
    // A person without the power may not do it.
    let words = json!({ "room": room, "name": "Mine" });
    cast.chloe.is_refused("M_FORBIDDEN", "set_name", words);
    let users = json!({ &cast.chloe.id: 50 });
    cast.ben.sets_state(room, "m.room.power_levels", "", json!({ "users": users }));
    cast.chloe.does("set_topic", json!({ "room": room, "topic": "Sideways" }));
    cast.all_find(room, &json!({ "name": "Lift bridge", "topic": "Sideways" }));
}

fn answer_each_other(cast: &Cast, room: &str) {
    let (anna, ben, chloe) = (cast.anna.id.clone(), cast.ben.id.clone(), cast.chloe.id.clone());
    let regret = cast.ben.says(room, "Forget this");
    cast.all_see_text(room, &regret, &ben, "Forget this");
    // Only the person who wrote it, or somebody with the power, may take it back.
    let words = json!({ "room": room, "event": regret, "reason": "no" });
    cast.anna.is_refused("M_FORBIDDEN", "redact", words);
    let redaction = cast.ben.redacts(room, &regret, "too soon");
    for person in cast.all() {
        let item = person.sees(room, &redaction);
        assert_eq!(item["type"], "m.room.redaction");
        assert_eq!(item["content"]["redacts"], regret.as_str());
        assert_eq!(item["content"]["reason"], "too soon");
        let all = person.looks_back(room, PAGE);
        let gone = all.iter().find(|event| event["event_id"] == regret.as_str()).expect("it is still there");
        assert_eq!(gone["content"], json!({}));
    }

    let question = cast.anna.says(room, "Who has the key?");
    cast.all_see_text(room, &question, &anna, "Who has the key?");

    let reply = cast.chloe.replies(room, &question, "I do");
    for person in cast.all() {
        let item = person.sees_text(room, &reply, &chloe, "I do");
        assert_eq!(item["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], question.as_str());
    }

    let reaction = cast.ben.reacts(room, &reply, "👍");
    cast.all_see_relation(room, &reaction, "m.annotation", &reply);
    // The same reaction again is refused.
    cast.ben.is_refused(
        "M_DUPLICATE_ANNOTATION",
        "react",
        json!({ "room": room, "event": reply, "key": "👍" }),
    );

    let edit = cast.chloe.edits(room, &reply, "Ben does");
    cast.all_see_relation(room, &edit, "m.replace", &reply);
    let found = cast.anna.does("relations", json!({ "room": room, "event": reply, "rel_type": "m.replace" }));
    assert_eq!(found[0]["event_id"], edit.as_str());
    assert_eq!(found[0]["content"]["m.new_content"]["body"], "Ben does");
    let found =
        cast.chloe.does("relations", json!({ "room": room, "event": reply, "rel_type": "m.annotation" }));
    assert_eq!((&found[0]["event_id"], &found[0]["sender"]), (&json!(reaction), &json!(ben)));

    // Reactions and edits are no messages that wait to be read.
    let doubt = cast.chloe.says(room, "I think");
    cast.all_see_text(room, &doubt, &chloe, "I think");
    cast.anna.has_unread(room, 2, 0);
    cast.chloe.has_unread(room, 0, 0);
}

fn read_and_count(cast: &Cast, room: &str) {
    let (anna, ben, chloe) = (cast.anna.id.clone(), cast.ben.id.clone(), cast.chloe.id.clone());
    let start = cast.anna.says(room, "Let us count");
    cast.all_see_text(room, &start, &anna, "Let us count");
    cast.ben.reads(room, &start, None);
    cast.chloe.reads(room, &start, None);
    for person in cast.all() {
        person.has_unread(room, 0, 0);
    }

    let one = cast.anna.says(room, "One");
    let two = {
        let Cast { anna, chloe, .. } = cast;
        anna.says_to(room, chloe, "Two, Chloe!")
    };
    cast.all_see_text(room, &one, &anna, "One");
    for person in cast.all() {
        let item = person.sees_text(room, &two, &anna, "Two, Chloe!");
        assert_eq!(item["content"]["m.mentions"]["user_ids"], json!([chloe]));
    }
    cast.ben.has_unread(room, 2, 0);
    cast.chloe.has_unread(room, 2, 1);
    cast.anna.has_unread(room, 0, 0);

    // They read in part, in private, and in full.
    cast.chloe.reads(room, &one, None);
    cast.chloe.has_unread(room, 1, 1);
    cast.ben.reads_in_private(room, &two);
    cast.ben.has_unread(room, 0, 0);
    cast.chloe.does("read_markers", json!({ "room": room, "fully_read": two, "read": two, "private": null }));
    cast.chloe.has_unread(room, 0, 0);
    cast.chloe.finds(room, &json!({ "fully_read": two }));
    cast.anna.sees_receipt(room, &chloe, &one, READ, None);
    cast.anna.sees_receipt(room, &chloe, &two, READ, None);
    cast.ben.sees_receipt(room, &chloe, &two, READ, None);
    // Ben's message came before Chloe's last one, and only he knows that it is read.
    cast.ben.sees_receipt(room, &ben, &two, READ_IN_PRIVATE, None);
    assert!(!cast.anna.has_seen_receipt_of(&ben, READ_IN_PRIVATE));
    assert!(!cast.chloe.has_seen_receipt_of(&ben, READ_IN_PRIVATE));
    for person in [&cast.anna, &cast.ben] {
        person.finds(room, &json!({ "fully_read": null }));
    }

    // Several type at a time.
    cast.anna.types(room);
    cast.ben.types(room);
    let mut both = [anna, ben.clone()];
    both.sort();
    cast.chloe.finds(room, &json!({ "typing": both }));
    cast.anna.stops_typing(room);
    cast.chloe.finds(room, &json!({ "typing": [ben] }));
    cast.ben.stops_typing(room);
    cast.chloe.finds(room, &json!({ "typing": [] }));
}

fn talk_in_a_thread(cast: &Cast, room: &str) {
    let (anna, ben, chloe) = (cast.anna.id.clone(), cast.ben.id.clone(), cast.chloe.id.clone());
    let root = cast.ben.says(room, "Which colour?");
    cast.all_see_text(room, &root, &ben, "Which colour?");
    cast.anna.reads(room, &root, None);
    cast.chloe.reads(room, &root, None);
    let red = cast.chloe.replies_in_thread(room, &root, &root, "Red");
    cast.all_see_relation(room, &red, "m.thread", &root);
    let blue = cast.anna.replies_in_thread(room, &root, &red, "Blue");
    cast.all_see_relation(room, &blue, "m.thread", &root);
    for person in cast.all() {
        let thread = person.does("relations", json!({ "room": room, "event": root, "rel_type": "m.thread" }));
        let thread = thread.as_array().expect("a thread is a list");
        let senders: Vec<_> = thread.iter().map(|event| &event["sender"]).collect();
        assert_eq!(senders, [&json!(anna), &json!(chloe)], "{}", person.name);
    }
    // Two messages wait for Ben, both in the thread. Reading the main timeline does not read them.
    cast.ben.has_unread(room, 2, 0);
    cast.ben.reads(room, &root, Some("main"));
    cast.anna.sees_receipt(room, &ben, &root, READ, Some("main"));
    cast.ben.has_unread(room, 2, 0);
    if cast.ben.library == Library::Js {
        cast.ben.finds(room, &json!({ "threads": { &root: [2, 0] } }));
    }
    cast.ben.reads(room, &blue, Some(&root));
    cast.ben.has_unread(room, 0, 0);
    for person in [&cast.anna, &cast.chloe] {
        person.sees_receipt(room, &ben, &blue, READ, Some(&root));
    }
    // They go back to the main timeline.
    let end = cast.chloe.says(room, "Settled");
    cast.all_see_text(room, &end, &chloe, "Settled");
    cast.ben.has_unread(room, 1, 0);
    cast.anna.reads(room, &end, None);
    cast.ben.reads(room, &end, None);
    cast.ben.has_unread(room, 0, 0);
    cast.anna.has_unread(room, 0, 0);
}

fn show_pictures(cast: &Cast, room: &str) {
    let chloe = cast.chloe.id.clone();
    let bytes = draw(800, 600);
    let data = BASE64_STANDARD.encode(&bytes);
    let words = json!({ "data": data, "mimetype": "image/png", "name": "quay.png" });
    let mxc = cast.chloe.does("upload", words);
    let mxc = mxc.as_str().expect("an upload has a URI").to_owned();
    assert!(mxc.starts_with(&format!("mxc://{}/", cast.chloe.platform.server_name())), "{mxc}");
    let picture = Picture {
        mxc: mxc.clone(),
        name: "quay.png",
        mimetype: "image/png",
        size: bytes.len(),
        width: 800,
        height: 600,
    };
    let shown = cast.chloe.shows_picture(room, &picture);
    for person in cast.all() {
        let item = person.sees_text(room, &shown, &chloe, "quay.png");
        let content = &item["content"];
        assert_eq!(content["msgtype"], "m.image");
        assert_eq!(content["url"], mxc.as_str());
        let info = json!({ "mimetype": "image/png", "size": bytes.len(), "w": 800, "h": 600 });
        assert_eq!(content["info"], info);

        let got = person.does("download", json!({ "mxc": mxc }));
        assert_eq!(got["data"], data.as_str(), "{} got another picture", person.name);
        assert!(got["mimetype"].is_null() || got["mimetype"] == "image/png", "{}", got["mimetype"]);
        let got = person.does("thumbnail", json!({ "mxc": mxc, "width": 320, "height": 240 }));
        let small =
            BASE64_STANDARD.decode(got["data"].as_str().expect("data is text")).expect("it is base64");
        let small = image::load_from_memory(&small).expect("a thumbnail is a picture");
        assert_eq!((small.width(), small.height()), (320, 240), "{}", person.name);
    }
    for person in [&cast.anna, &cast.ben] {
        person.has_unread(room, 1, 0);
        person.reads(room, &shown, None);
        person.has_unread(room, 0, 0);
    }
    for person in cast.all() {
        person.is_refused("M_NOT_FOUND", "download", json!({ "mxc": format!("{mxc}x") }));
    }
}

/// A picture of a red quay, as PNG.
pub(crate) fn draw(width: u32, height: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb([200, 30, 30]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("it can be written");
    bytes.into_inner()
}

fn change_profiles(cast: &Cast, room: &str) {
    let anna = cast.anna.id.clone();
    let words =
        json!({ "data": BASE64_STANDARD.encode(draw(48, 48)), "mimetype": "image/png", "name": "anna.png" });
    let mxc = cast.anna.does("upload", words);
    cast.anna.does("set_avatar", json!({ "mxc": mxc }));
    cast.anna.does("set_display_name", json!({ "name": "Anna Quay" }));
    cast.all_find(room, &json!({ "members": { &anna: { "name": "Anna Quay", "avatar": mxc } } }));
    for person in cast.all() {
        let profile = person.does("get_profile", json!({ "user": anna }));
        assert_eq!(profile, json!({ "name": "Anna Quay", "avatar": mxc }));
    }
    let Cast { anna, chloe, .. } = cast;
    chloe.finds_person("quay", anna, "Anna Quay");
    cast.ben.does("set_room_avatar", json!({ "room": room, "mxc": mxc }));
    cast.all_find(room, &json!({ "avatar": mxc }));
}

/// Tags, account data and read markers go to a person's two devices, with two libraries, and to nobody else.
fn keep_things_private(server: &Server, cast: &Cast, room: &str) {
    let Cast { anna, ben, chloe } = cast;
    anna.does("tag", json!({ "room": room, "tag": "m.favourite", "order": 0.25 }));
    anna.finds(room, &json!({ "tags": { "m.favourite": 0.25 } }));
    anna.does("set_account_data", json!({ "type": "org.example.theme", "content": { "dark": true } }));
    anna.sees_account_data("org.example.theme", &json!({ "dark": true }));
    let words = json!({ "room": room, "type": "org.example.sound", "content": { "bell": "ship" } });
    anna.does("set_room_account_data", words);
    anna.finds(room, &json!({ "account_data": { "org.example.sound": { "bell": "ship" } } }));

    let waiting = ben.says(room, "Where are you, Anna?");
    anna.sees_text(room, &waiting, &ben.id, "Where are you, Anna?");
    anna.has_unread(room, 1, 0);

    // The other device, which comes later, finds all of it.
    let at_home = anna.also_on(server, chloe.library);
    assert_ne!(at_home.token, anna.token);
    let expected = json!({
        "membership": "join",
        "name": "Lift bridge",
        "notifications": 1,
        "tags": { "m.favourite": 0.25 },
        "account_data": { "org.example.sound": { "bell": "ship" } },
        "members": { &ben.id: { "name": "Ben" }, &chloe.id: { "name": "Chloe" } },
    });
    at_home.finds(room, &expected);
    at_home.sees_account_data("org.example.theme", &json!({ "dark": true }));
    at_home.sees_text(room, &waiting, &ben.id, "Where are you, Anna?");

    // Each device follows the other.
    at_home.does("untag", json!({ "room": room, "tag": "m.favourite" }));
    anna.finds(room, &json!({ "tags": { "m.favourite": null } }));
    anna.does("set_account_data", json!({ "type": "org.example.theme", "content": { "dark": false } }));
    at_home.sees_account_data("org.example.theme", &json!({ "dark": false }));
    at_home.reads(room, &waiting, None);
    anna.has_unread(room, 0, 0);
    let answer = at_home.says(room, "At home");
    let anna_id = anna.id.clone();
    for person in [anna, ben, chloe, &at_home] {
        person.sees_text(room, &answer, &anna_id, "At home");
    }
    at_home.does("logout", json!({}));
    let token = at_home.token.clone();
    let gone = server.get(anna.platform, "/_matrix/client/v3/account/whoami", Some(&token));
    assert_eq!((gone.status, &gone.json()["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
    chloe.reads(room, &answer, None);
    ben.reads(room, &answer, None);
    for person in [ben, chloe] {
        person.finds(
            room,
            &json!({ "tags": { "m.favourite": null }, "account_data": { "org.example.sound": null } }),
        );
    }
}

fn look_back(cast: &Cast, room: &str) {
    let marked = cast.anna.says(room, "A zeppelin over the harbour");
    let anna = cast.anna.id.clone();
    cast.all_see_text(room, &marked, &anna, "A zeppelin over the harbour");
    for person in cast.all() {
        let found = person.does("search", json!({ "room": room, "term": "zeppelin" }));
        let found = found.as_array().expect("what is found is a list");
        assert_eq!(found.len(), 1, "{}: {found:?}", person.name);
        assert_eq!(found[0]["event_id"], marked.as_str());

        let all = person.looks_back(room, PAGE);
        let all = all.iter().rev();
        let messages = all.clone().filter(|event| event["type"] == "m.room.message");
        let messages = messages.filter_map(|event| event["event_id"].as_str());
        let messages: Vec<_> = messages.map(ToOwned::to_owned).collect();
        let seen = person.messages_seen(room);
        assert!(messages.ends_with(&seen), "{}: {messages:?}, but saw {seen:?}", person.name);
        // A person who joined later may have left out what was said before.
        assert!(messages.len() - seen.len() <= 1, "{}: {messages:?}, but saw {seen:?}", person.name);
        let first = all.clone().next().expect("a room has a beginning");
        assert_eq!(first["type"], "m.room.create");
    }
}

fn come_and_go(cast: &Cast, room: &str) {
    let Cast { anna, ben, chloe } = cast;
    let gone = |who: &str| json!({ "members": { who: null } });
    // Chloe goes by herself.
    chloe.leaves(room);
    for person in [anna, ben] {
        person.sees_membership(room, &chloe.id, "leave", &chloe.id);
        person.finds(room, &gone(&chloe.id));
    }
    chloe.finds(room, &json!({ "membership": "leave" }));
    let unheard = anna.says(room, "Chloe is away");
    ben.sees_text(room, &unheard, &anna.id, "Chloe is away");
    anna.sees_text(room, &unheard, &anna.id, "Chloe is away");
    chloe.is_refused("M_FORBIDDEN", "join", json!({ "room": room }));
    ben.invites(room, chloe);
    chloe.finds(room, &json!({ "membership": "invite" }));
    chloe.joins(room);
    anna.sees_membership(room, &chloe.id, "join", &chloe.id);
    chloe.finds(room, &json!({ "membership": "join", "name": "Lift bridge" }));
    let back = chloe.says(room, "Back");
    for person in [anna, ben, chloe] {
        person.sees_text(room, &back, &chloe.id, "Back");
    }

    // Anna is kicked, and then banned.
    let words = json!({ "room": room, "user": anna.id, "reason": "Too loud" });
    anna.is_refused("M_FORBIDDEN", "kick", json!({ "room": room, "user": ben.id, "reason": "No, you" }));
    ben.does("kick", words);
    for person in [anna, ben, chloe] {
        let event = person.sees_membership(room, &anna.id, "leave", &ben.id);
        assert_eq!(event["content"]["reason"], "Too loud");
    }
    anna.finds(room, &json!({ "membership": "leave" }));
    chloe.finds(room, &gone(&anna.id));
    let heard = anna.timeline_length(room);
    ben.does("ban", json!({ "room": room, "user": anna.id, "reason": "Still too loud" }));
    anna.sees_membership(room, &anna.id, "ban", &ben.id);
    assert_eq!(anna.timeline_length(room), heard + 1, "only the ban is news");
    // By this kind of sync matrix-sdk does not know of bans.
    let banned = if anna.library == Library::Rust { "leave" } else { "ban" };
    anna.finds(room, &json!({ "membership": banned }));
    chloe.sees_membership(room, &anna.id, "ban", &ben.id);
    anna.is_refused("M_FORBIDDEN", "join", json!({ "room": room }));
    chloe.is_refused("M_FORBIDDEN", "invite", json!({ "room": room, "user": anna.id }));
    ben.does("unban", json!({ "room": room, "user": anna.id }));
    ben.sees_membership(room, &anna.id, "leave", &ben.id);
    ben.invites(room, anna);
    anna.finds(room, &json!({ "membership": "invite" }));
    anna.joins(room);
    chloe.finds(room, &json!({ "members": { &anna.id: { "membership": "join", "name": "Anna Quay" } } }));
    let quiet = anna.says(room, "I am quiet now");
    let anna_id = anna.id.clone();
    for person in [anna, ben, chloe] {
        person.sees_text(room, &quiet, &anna_id, "I am quiet now");
    }
}

/// A public room in the directory of one platform, and a space around it.
fn go_public(cast: &Cast) {
    let Cast { anna, ben, chloe } = cast;
    let server_name = anna.platform.server_name();
    let words = json!({ "name": "Quay café", "topic": "Coffee for all", "public": true, "alias": "cafe" });
    let cafe = anna.creates_room(words);
    let listed = |members| json!([{ "room": cafe, "name": "Quay café", "topic": "Coffee for all", "members": members }]);
    let search = json!({ "server": server_name, "term": "coffee" });
    assert_eq!(ben.does("public_rooms", search.clone()), listed(1));
    let joined = ben.joins(&format!("#cafe:{server_name}"));
    assert_eq!(joined, cafe);
    assert_eq!(chloe.joins(&cafe), cafe);
    anna.sees_membership(&cafe, &chloe.id, "join", &chloe.id);
    assert_eq!(chloe.does("public_rooms", search), listed(3));
    // One list has the rooms of all platforms, and each platform has one of its own.
    assert_eq!(ben.does("public_rooms", json!({ "server": null, "term": "coffee" })), listed(3));
    if ben.platform != anna.platform {
        let own = json!({ "server": ben.platform.server_name(), "term": "coffee" });
        assert_eq!(ben.does("public_rooms", own), json!([]));
    }
    let order = ben.says(&cafe, "Three, please");
    for person in [anna, ben, chloe] {
        person.sees_text(&cafe, &order, &ben.id, "Three, please");
    }

    let harbour = chloe.creates_room(json!({ "name": "Harbour", "public": true, "space": true }));
    let via = json!({ "via": [server_name] });
    chloe.sets_state(&harbour, "m.space.child", &cafe, via);
    for person in [anna, ben, chloe] {
        let tree = person.does("hierarchy", json!({ "room": harbour }));
        let expected = json!([
            { "room": harbour, "name": "Harbour", "children": 1 },
            { "room": cafe, "name": "Quay café", "children": 0 },
        ]);
        assert_eq!(tree, expected, "{}", person.name);
    }
}

/// A room is replaced by a new one.
fn move_house(cast: &Cast) {
    let Cast { anna, ben, chloe } = cast;
    let words = json!({ "name": "Old house", "topic": "Creaks", "invite": [ben.id, chloe.id] });
    let old = anna.creates_room(words);
    for person in [ben, chloe] {
        person.comes(&old);
        anna.sees_membership(&old, &person.id, "join", &person.id);
    }
    anna.finds(&old, &json!({ "name": "Old house" }));
    let new = anna.does("upgrade", json!({ "room": old, "version": "12" }));
    let new = new.as_str().expect("the new room has an id");
    for person in [anna, ben, chloe] {
        person.finds(&old, &json!({ "successor": new }));
    }
    for person in [ben, chloe] {
        anna.invites(new, person);
        person.comes(new);
        person.finds(new, &json!({ "membership": "join", "name": "Old house", "topic": "Creaks" }));
        anna.sees_membership(new, &person.id, "join", &person.id);
    }
    let hello = chloe.says(new, "Nice here");
    for person in [anna, ben, chloe] {
        person.sees_text(new, &hello, &chloe.id, "Nice here");
    }
    // Nobody is left behind in the old one.
    for person in [anna, ben, chloe] {
        person.leaves(&old);
        person.finds(&old, &json!({ "membership": "leave" }));
        person.does("forget", json!({ "room": old }));
    }
}
