//! What Anna, Ben and Chloe do together, from finding each other to the end of a room.

use serde_json::{Value, json};

use crate::{
    driver::Library,
    person::{Person, Picture},
    server::{Platform, Server},
};

const READ: &str = "m.read";
const READ_IN_PRIVATE: &str = "m.read.private";
/// Messages on a page of /messages: few, so that there are pages.
const PAGE: usize = 7;

/// Three people.
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

    fn all(&mut self) -> [&mut Person; 3] {
        [&mut self.anna, &mut self.ben, &mut self.chloe]
    }

    fn all_see_text(&mut self, room: &str, event: &str, who: &str, body: &str) {
        for person in self.all() {
            person.sees_text(room, event, who, body);
        }
    }

    fn all_see_relation(&mut self, room: &str, event: &str, kind: &str, to: &str) {
        for person in self.all() {
            person.sees_relation(room, event, kind, to);
        }
    }

    fn all_find(&mut self, room: &str, expected: &Value) {
        for person in self.all() {
            person.finds(room, expected);
        }
    }
}

/// Everything, in this order; later parts go on in the rooms of earlier ones.
pub(crate) fn all(server: &Server, mut cast: Cast) {
    find_each_other(&mut cast);
    talk_alone(&mut cast);
    let group = start_a_group(&mut cast);
    describe_the_group(&mut cast, &group);
    answer_each_other(&mut cast, &group);
    read_and_count(&mut cast, &group);
    talk_in_a_thread(&mut cast, &group);
    show_pictures(&mut cast, &group);
    change_profiles(&mut cast, &group);
    keep_things_private(server, &mut cast, &group);
    look_back(&mut cast, &group);
    come_and_go(&mut cast, &group);
    go_public(&mut cast);
    move_house(&mut cast);
}

fn find_each_other(Cast { anna, ben, chloe }: &mut Cast) {
    for person in [&mut *anna, &mut *ben, &mut *chloe] {
        person.does("set_display_name", json!({ "name": person.name }));
    }
    anna.finds_person("Ben", ben);
    anna.finds_person("chlo", chloe);
    ben.finds_person("anna", anna);
    ben.finds_person("CHLOE", chloe);
    chloe.finds_person("anna", anna);
    chloe.finds_person("be", ben);
    let profile = chloe.does("get_profile", json!({ "user": anna.id }));
    assert_eq!(profile, json!({ "name": "Anna", "avatar": null }));
}

fn talk_alone(Cast { anna, ben, chloe }: &mut Cast) {
    let room = anna.creates_room(json!({ "direct": true, "invite": [ben.id] }));
    ben.finds(&room, &json!({ "membership": "invite", "inviter": anna.id }));
    anna.finds(&room, &json!({ "members": { &ben.id: { "membership": "invite" } } }));
    // Nobody else is asked or told.
    chloe.is_refused("M_FORBIDDEN", "join", json!({ "room": room }));

    ben.joins(&room);
    anna.sees_membership(&room, &ben.id, "join", &ben.id);
    for person in [&*anna, &*ben] {
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
    // Who answers has read.
    let answer = anna.says(&room, "Fine.");
    ben.sees_text(&room, &answer, &anna.id, "Fine.");
    anna.sees_text(&room, &answer, &anna.id, "Fine.");
    anna.has_unread(&room, 0, 0);
    assert!(!chloe.has_seen(&room, &hello));
}

fn start_a_group(cast: &mut Cast) -> String {
    let Cast { anna, ben, chloe } = cast;
    let room = ben.creates_room(json!({ "name": "Bridge", "topic": "Ships and quays", "invite": [anna.id] }));
    anna.finds(&room, &json!({ "membership": "invite", "inviter": ben.id, "name": "Bridge" }));
    anna.joins(&room);
    ben.sees_membership(&room, &anna.id, "join", &anna.id);
    anna.finds(&room, &json!({ "membership": "join" }));
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
    for person in [&*anna, &*ben] {
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

fn describe_the_group(cast: &mut Cast, room: &str) {
    let name = cast.ben.does("set_name", json!({ "room": room, "name": "Lift bridge" }));
    let topic = cast.ben.does("set_topic", json!({ "room": room, "topic": "Up and down" }));
    assert!(name.is_string() && topic.is_string());
    cast.all_find(room, &json!({ "name": "Lift bridge", "title": "Lift bridge", "topic": "Up and down" }));
    // Who has no power may not.
    let words = json!({ "room": room, "name": "Mine" });
    cast.chloe.is_refused("M_FORBIDDEN", "set_name", words);
    let users = json!({ &cast.chloe.id: 50 });
    cast.ben.sets_state(room, "m.room.power_levels", "", json!({ "users": users }));
    cast.chloe.does("set_topic", json!({ "room": room, "topic": "Sideways" }));
    cast.all_find(room, &json!({ "name": "Lift bridge", "topic": "Sideways" }));
}

fn answer_each_other(cast: &mut Cast, room: &str) {
    let (anna, ben, chloe) = (cast.anna.id.clone(), cast.ben.id.clone(), cast.chloe.id.clone());
    let question = cast.anna.says(room, "Who has the key?");
    cast.all_see_text(room, &question, &anna, "Who has the key?");

    let reply = cast.chloe.replies(room, &question, "I do");
    for person in cast.all() {
        let item = person.sees_text(room, &reply, &chloe, "I do");
        assert_eq!(item["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], question.as_str());
    }

    let reaction = cast.ben.reacts(room, &reply, "👍");
    cast.all_see_relation(room, &reaction, "m.annotation", &reply);
    // The same again is refused.
    cast.ben.is_refused("M_DUPLICATE_ANNOTATION", "react", json!({ "room": room, "event": reply, "key": "👍" }));

    let edit = cast.chloe.edits(room, &reply, "Ben does");
    cast.all_see_relation(room, &edit, "m.replace", &reply);
    let found = cast.anna.does("relations", json!({ "room": room, "event": reply, "rel_type": "m.replace" }));
    assert_eq!(found[0]["event_id"], edit.as_str());
    assert_eq!(found[0]["content"]["m.new_content"]["body"], "Ben does");
    let found = cast.chloe.does("relations", json!({ "room": room, "event": reply, "rel_type": "m.annotation" }));
    assert_eq!((&found[0]["event_id"], &found[0]["sender"]), (&json!(reaction), &json!(ben)));

    let regret = cast.ben.says(room, "Forget this");
    cast.all_see_text(room, &regret, &ben, "Forget this");
    // Only who wrote it, or who has the power, takes it back.
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
}

fn read_and_count(cast: &mut Cast, room: &str) {
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
        let Cast { anna, chloe, .. } = &mut *cast;
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

    // In part, in private, and in full.
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
    // Ben's came before Chloe's last, and only he knows.
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

fn talk_in_a_thread(cast: &mut Cast, room: &str) {
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
    // Two wait for Ben, in the thread alone; reading the main timeline does not read them.
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
    // Back in the main timeline.
    let end = cast.chloe.says(room, "Settled");
    cast.all_see_text(room, &end, &chloe, "Settled");
    cast.ben.has_unread(room, 1, 0);
    cast.anna.reads(room, &end, None);
    cast.ben.reads(room, &end, None);
    cast.ben.has_unread(room, 0, 0);
    cast.anna.has_unread(room, 0, 0);
}

/// A small picture of a red quay, 32 by 24.
fn draw() -> Vec<u8> {
    // Bitmaps need no library; PNG is what the server has to read, so it is made by hand: stored blocks only.
    png::draw(32, 24, [200, 30, 30])
}

mod png {
    //! The simplest PNG there is.

    fn crc(bytes: &[u8]) -> u32 {
        let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
    }

    fn adler(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        b << 16 | a
    }

    fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
        out.extend(u32::try_from(data.len()).expect("it is small").to_be_bytes());
        let all = [&kind[..], data].concat();
        out.extend(&all);
        out.extend(crc(&all).to_be_bytes());
    }

    pub(super) fn draw(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
        let line = [&[0][..], &colour.repeat(width as usize)].concat();
        let pixels = line.repeat(height as usize);
        let length = u16::try_from(pixels.len()).expect("it fits into one stored block");
        let mut data = vec![0x78, 0x01, 1];
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(&pixels);
        data.extend(adler(&pixels).to_be_bytes());

        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        chunk(&mut out, b"IHDR", &header);
        chunk(&mut out, b"IDAT", &data);
        chunk(&mut out, b"IEND", &[]);
        out
    }
}
