//! What one platform does not give to another, and what nobody gets at all.

use serde_json::{Value, json};

use linkspan_tests::{Platform, Server};

use crate::{driver::Library, person::Person};

const WHO_AM_I: &str = "/_matrix/client/v3/account/whoami";

/// Runs all parts of the test.
pub(crate) fn all(server: &Server) {
    let anna = Person::sign_up(server, Platform::Instagram, Library::Nio, "Anna");
    let ben = Person::sign_up(server, Platform::Messenger, Library::Nio, "Ben");
    tokens_are_of_one_platform(server, &anna);
    names_are_of_one_platform(server, &ben);
    media_need_a_session(server, &anna, &ben);
    rooms_are_closed(server, &anna, &ben);
}

fn assert_refused(
    server: &Server,
    (platform, path): (Platform, &str),
    token: Option<&str>,
    with: (u16, &str),
) {
    let answer = server.get(platform, path, token);
    assert_eq!((answer.status, answer.errcode().as_str()), with, "{platform:?} {path}: {}", answer.text());
}

fn tokens_are_of_one_platform(server: &Server, anna: &Person) {
    let at_home = server.get(Platform::Instagram, WHO_AM_I, Some(&anna.token));
    assert_eq!((at_home.status, &at_home.json()["user_id"]), (200, &json!(anna.id)));
    for elsewhere in [Platform::Messenger, Platform::Whatsapp] {
        for path in [WHO_AM_I, "/_matrix/client/v3/sync", "/_matrix/client/v3/joined_rooms"] {
            assert_refused(server, (elsewhere, path), Some(&anna.token), (401, "M_UNKNOWN_TOKEN"));
            assert_refused(server, (elsewhere, path), None, (401, "M_MISSING_TOKEN"));
        }
    }
}

/// The same name is another person on another platform.
fn names_are_of_one_platform(server: &Server, ben: &Person) {
    let other_anna = Person::sign_up(server, Platform::Messenger, Library::Nio, "Anna");
    assert_eq!(other_anna.id, "@anna:messenger.localhost");
    let path = "/_matrix/client/v3/profile/@nobody:instagram.localhost";
    assert_refused(server, (Platform::Messenger, path), Some(&ben.token), (404, "M_NOT_FOUND"));
}

fn media_need_a_session(server: &Server, anna: &Person, ben: &Person) {
    let words = json!({ "data": "UXVheQ==", "mimetype": "text/plain", "name": "quay.txt" });
    let mxc = anna.does("upload", words);
    let mxc = mxc.as_str().expect("an upload has a URI");
    let media = mxc.strip_prefix("mxc://").expect("it is a URI of media");
    let (new, old) =
        (format!("/_matrix/client/v1/media/download/{media}"), format!("/_matrix/media/v3/download/{media}"));
    for platform in [Platform::Instagram, Platform::Messenger] {
        assert_refused(server, (platform, &new), None, (401, "M_MISSING_TOKEN"));
        let frozen = server.get(platform, &old, None);
        assert_eq!(frozen.status, 404, "{}", frozen.text());
    }
    assert_refused(server, (Platform::Messenger, &new), Some(&anna.token), (401, "M_UNKNOWN_TOKEN"));
    assert_eq!(ben.does("download", json!({ "mxc": mxc }))["data"], "UXVheQ==");
}

fn rooms_are_closed(server: &Server, anna: &Person, ben: &Person) {
    let room = anna.creates_room(json!({ "name": "Mine", "alias": "mine" }));
    let secret = anna.says(&room, "Secret");
    ben.is_refused("M_FORBIDDEN", "join", json!({ "room": room }));
    ben.is_refused("M_FORBIDDEN", "join", json!({ "room": "#mine:instagram.localhost" }));
    ben.is_refused("M_NOT_FOUND", "join", json!({ "room": "#mine:messenger.localhost" }));
    ben.is_refused("M_FORBIDDEN", "send_text", json!({ "room": room, "body": "Hello?", "mentions": [] }));
    ben.is_refused("M_FORBIDDEN", "invite", json!({ "room": room, "user": ben.id }));
    ben.is_refused("M_FORBIDDEN", "messages", json!({ "room": room, "start": Value::Null, "limit": 10 }));
    ben.is_refused("M_FORBIDDEN", "typing", json!({ "room": room, "on": true }));
    for path in ["state", "joined_members", "state/m.room.name"] {
        let path = format!("/_matrix/client/v3/rooms/{room}/{path}");
        assert_refused(server, (Platform::Messenger, &path), Some(&ben.token), (403, "M_FORBIDDEN"));
    }
    let path = format!("/_matrix/client/v3/rooms/{room}/event/{secret}");
    assert_refused(server, (Platform::Messenger, &path), Some(&ben.token), (404, "M_NOT_FOUND"));
    assert!(!ben.has_seen(&room, &secret));
}
