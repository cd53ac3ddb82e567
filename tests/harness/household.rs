//! People for tests: a town in which the others live, and for each endpoint a household of anna's. Each
//! household has secrets of its own, so that what one call changes disturbs no other.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::{
    INSTAGRAM, MESSENGER, PASSWORD, Server,
    http1::{Answer, Client, Request},
    olm::OlmDevice,
    table::Entry,
};

/// The text in everything that only anna may read.
pub const SECRET: &str = "SECRET-7f3a";
/// The text in what is said in anna's room.
pub const ROOM_SECRET: &str = "SECRET-b81c";

/// A picture of one pixel.
const PICTURE: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// A logged-in user.
#[derive(Clone, Debug)]
pub struct Person {
    /// The platform's server name.
    pub platform: &'static str,
    /// The user id.
    pub user_id: String,
    /// The access token.
    pub token: String,
    /// The refresh token. It is empty if none was asked for.
    pub refresh_token: String,
    /// The device.
    pub device_id: String,
}

/// Those who share a server with anna.
#[derive(Debug)]
pub struct Town {
    client: std::cell::RefCell<Client>,
    fresh: Cell<usize>,
    /// A neighbour of anna, who is on her platform and in no room with her.
    pub ben: Person,
    /// An administrator of another platform, who is in no room with anna.
    pub carl: Person,
    /// A user of another platform, who is in anna's rooms.
    pub dora: Person,
    /// A user of anna's platform, who has rooms that she is invited to.
    pub fritz: Person,
    /// A user of another platform, who can be invited.
    pub gina: Person,
    /// A guest of anna's platform, and one of the other.
    pub guests: [Person; 2],
}

impl Town {
    /// Starts a server for a town, with the settings and administrators that it needs.
    pub fn server() -> Server {
        let more = "rate_limits = false\npresence = true\nguests = true\nregistration_shared_secret = 'a long shared secret'";
        Server::start_with(more, &[("messenger", "carl")])
    }

    /// A town without anybody.
    pub fn strangers(server: &Server) -> Self {
        let nobody = Person {
            platform: INSTAGRAM,
            user_id: String::new(),
            token: String::new(),
            refresh_token: String::new(),
            device_id: String::new(),
        };
        Self {
            client: Client::new(server.address()).into(),
            fresh: Cell::new(0),
            ben: nobody.clone(),
            carl: nobody.clone(),
            dora: nobody.clone(),
            fritz: nobody.clone(),
            gina: nobody.clone(),
            guests: [nobody.clone(), nobody],
        }
    }

    /// Makes a town, and registers everybody.
    pub fn settle(server: &Server) -> Self {
        let mut town = Self::strangers(server);
        town.ben = town.register(INSTAGRAM, "ben", "a phone");
        town.carl = town.log_in(MESSENGER, "carl");
        town.dora = town.register(MESSENGER, "dora", "a phone");
        town.fritz = town.register(INSTAGRAM, "fritz", "a phone");
        town.gina = town.register(MESSENGER, "gina", "a phone");
        town.guests = [town.guest(INSTAGRAM), town.guest(MESSENGER)];
        town
    }

    /// A number that was never given before.
    pub fn fresh(&self) -> usize {
        self.fresh.set(self.fresh.get() + 1);
        self.fresh.get()
    }

    /// Sends a request to a platform.
    #[track_caller]
    pub fn ask(&self, platform: &str, request: &Request) -> Answer {
        let answer = self.client.borrow_mut().ask(platform, request);
        answer.unwrap_or_else(|| {
            let target = String::from_utf8_lossy(&request.target);
            panic!("no answer to {} {target}", request.method)
        })
    }

    /// Sends a request that must succeed.
    #[track_caller]
    fn call(&self, platform: &str, request: &Request) -> Value {
        let answer = self.ask(platform, request);
        let target = String::from_utf8_lossy(&request.target);
        assert_eq!(answer.status, 200, "{} {target}: {}", request.method, answer.text());
        answer.json()
    }

    /// Does something as a person, which must succeed. `path` is below `/_matrix/client`.
    #[track_caller]
    pub fn does(&self, person: &Person, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::new(method, full_path(path)).by(Some(&person.token));
        let request = if method == "GET" { request } else { request.json(body.to_string()) };
        self.call(person.platform, &request)
    }

    /// Registers a user.
    #[track_caller]
    pub fn register(&self, platform: &'static str, name: &str, device_name: &str) -> Person {
        let body = json!({
            "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" },
            "initial_device_display_name": device_name, "refresh_token": true,
        });
        let request = Request::new("POST", full_path("/v3/register")).json(body.to_string());
        Person::new(platform, &self.call(platform, &request))
    }

    /// Registers somebody who does nothing else.
    #[track_caller]
    pub fn newcomer(&self, platform: &'static str) -> Person {
        self.register(platform, &format!("newcomer{}", self.fresh()), "a phone")
    }

    /// Lets a guest in.
    #[track_caller]
    pub fn guest(&self, platform: &'static str) -> Person {
        let request = Request::new("POST", full_path("/v3/register?kind=guest")).json("{}");
        Person::new(platform, &self.call(platform, &request))
    }

    /// Logs a user in on a new device.
    #[track_caller]
    pub fn log_in(&self, platform: &'static str, name: &str) -> Person {
        let body = json!({
            "type": "m.login.password", "identifier": { "type": "m.id.user", "user": name },
            "password": PASSWORD,
        });
        let request = Request::new("POST", full_path("/v3/login")).json(body.to_string());
        Person::new(platform, &self.call(platform, &request))
    }
}

impl Person {
    fn new(platform: &'static str, session: &Value) -> Self {
        Self {
            platform,
            user_id: text(&session["user_id"]),
            token: text(&session["access_token"]),
            refresh_token: text(&session["refresh_token"]),
            device_id: text(&session["device_id"]),
        }
    }
}

/// Anna, with her rooms and secrets.
#[derive(Debug)]
pub struct Household {
    /// Anna herself.
    pub anna: Person,
    /// Anna's room, in which none of the outsiders is.
    pub room: String,
    names: Vec<(&'static str, String)>,
}

impl Household {
    /// A new anna, with one secret of every kind.
    #[track_caller]
    pub fn settle(town: &Town) -> Self {
        let number = town.fresh();
        let anna = town.register(INSTAGRAM, &format!("anna{number}"), &format!("{SECRET} phone"));
        let user = anna.user_id.clone();
        let does = |method: &str, path: &str, body: Value| town.does(&anna, method, path, &body);

        let room = does(
            "POST",
            "/v3/createRoom",
            json!({
                "preset": "private_chat", "name": format!("{ROOM_SECRET} room"), "topic": ROOM_SECRET,
                "room_alias_name": format!("quay{number}"), "invite": [town.dora.user_id],
            }),
        );
        let room = text(&room["room_id"]);
        town.does(&town.dora, "POST", &format!("/v3/join/{room}"), &json!({}));
        does("POST", &format!("/v3/rooms/{room}/ban"), json!({ "user_id": town.fritz.user_id }));
        let say = |who: &Person, relation: Value| {
            let body = format!("{ROOM_SECRET} vault, {user}");
            let mut content = json!({ "msgtype": "m.text", "body": body });
            if relation.is_object() {
                content["m.relates_to"] = relation;
            }
            let path = format!("/v3/rooms/{room}/send/m.room.message/{}", town.fresh());
            text(&town.does(who, "PUT", &path, &content)["event_id"])
        };
        let event = say(&anna, Value::Null);
        let reply = say(&town.dora, json!({ "rel_type": "m.thread", "event_id": event }));

        let thread = format!("/unstable/io.element.msc4306/rooms/{room}/thread/{event}/subscription");
        does("PUT", &thread, json!({}));
        let delayed = "/unstable/org.matrix.msc4140/rooms";
        let delayed = does(
            "PUT",
            &format!("{delayed}/{room}/delayed_event/org.example.later/{}", town.fresh()),
            json!({ "delay": 3_600_000, "content": { "secret": SECRET } }),
        );

        let secret = json!({ "secret": SECRET });
        does("PUT", &format!("/v3/user/{user}/account_data/org.example.secret"), secret.clone());
        does("PUT", &format!("/v3/user/{user}/rooms/{room}/account_data/org.example.secret"), secret);
        does("PUT", &format!("/v3/user/{user}/rooms/{room}/tags/u.{SECRET}"), json!({ "order": 0.1 }));
        does("PUT", &format!("/v3/profile/{user}/displayname"), json!({ "displayname": "Anna" }));
        let filter = json!({ "room": { "timeline": { "types": [SECRET] } } });
        let filter = text(&does("POST", &format!("/v3/user/{user}/filter"), filter)["filter_id"]);
        let condition = json!({ "kind": "event_match", "key": "content.body", "pattern": SECRET });
        let rule = json!({ "actions": ["notify"], "conditions": [condition] });
        does("PUT", "/v3/pushrules/global/override/secret", rule);
        let pusher = json!({
            "kind": "http", "app_id": "org.example", "pushkey": format!("{SECRET} {number}"), "lang": "en",
            "app_display_name": "App", "device_display_name": "Phone",
            "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
        });
        does("POST", "/v3/pushers/set", pusher);

        let backup = json!({ "algorithm": "org.example", "auth_data": { "secret": SECRET } });
        does("POST", "/v3/room_keys/version", backup);
        let key = json!({
            "first_message_index": 0, "forwarded_count": 0, "is_verified": true,
            "session_data": { "secret": SECRET },
        });
        does("PUT", &format!("/v3/room_keys/keys/{room}/session?version=1"), key);
        let dream_keys = OlmDevice::of(&user, "DREAM").device_keys();
        let dream = json!({
            "device_id": "DREAM",
            "device_keys": dream_keys,
            "device_data": {
                "algorithm": "org.matrix.msc3814.v2", "device_pickle": SECRET, "nonce": "n",
            },
        });
        does("PUT", "/unstable/org.matrix.msc3814.v1/dehydrated_device", dream);

        let left_room = text(&does("POST", "/v3/createRoom", json!({}))["room_id"]);
        does("POST", &format!("/v3/rooms/{left_room}/leave"), json!({}));
        let of_fritz =
            |body: Value| text(&town.does(&town.fritz, "POST", "/v3/createRoom", &body)["room_id"]);
        let inviting_room = of_fritz(json!({ "preset": "private_chat", "invite": [user] }));
        let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
        let knock_room = of_fritz(json!({ "initial_state": [rule] }));

        let mut upload = Request::new("POST", full_path("/_matrix/media/v3/upload")).by(Some(&anna.token));
        upload.body = PICTURE.to_owned();
        let media = town.call(anna.platform, &upload.header("Content-Type", "image/gif"));
        let pending = does("POST", "/_matrix/media/v1/create", json!({}));
        let place = |uri: &Value| text(uri).trim_start_matches("mxc://").to_owned();

        let openid = does("POST", &format!("/v3/user/{user}/openid/request_token"), json!({}));
        let auth = json!({
            "type": "m.login.password", "password": PASSWORD,
            "identifier": { "type": "m.id.user", "user": user },
        });
        let names = vec![
            ("user", user.clone()),
            ("password", PASSWORD.to_owned()),
            ("refresh_token", anna.refresh_token.clone()),
            ("auth", auth.to_string()),
            ("openid", text(&openid["access_token"])),
            ("device", anna.device_id.clone()),
            ("dream", dream_keys.to_string()),
            ("room", room.clone()),
            ("event", event),
            ("reply", reply),
            ("delayed", text(&delayed["delay_id"])),
            ("alias", format!("%23quay{number}:{INSTAGRAM}")),
            ("filter", filter),
            ("member", town.dora.user_id.clone()),
            ("guest", town.gina.user_id.clone()),
            ("banned", town.fritz.user_id.clone()),
            ("left_room", left_room),
            ("inviting_room", inviting_room),
            ("knock_room", knock_room),
            ("media", place(&media["content_uri"])),
            ("pending", place(&pending["content_uri"])),
        ];
        Self { anna, room, names }
    }

    /// The text, with the names in braces filled in.
    pub fn fill(&self, town: &Town, text: &str) -> String {
        let mut filled = text.replace("{fresh}", &town.fresh().to_string());
        for (name, value) in &self.names {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        filled
    }

    /// The request of an entry, without a token.
    pub fn request(&self, town: &Town, entry: &Entry) -> Request {
        let mut request = Request::new(entry.method, full_path(&self.fill(town, entry.path)));
        request.body = self.fill(town, entry.body).into_bytes();
        if request.body.is_empty() { request } else { request.header("Content-Type", entry.content_type) }
    }
}

/// The whole path of a path in the table.
pub fn full_path(path: &str) -> String {
    let short = ["/v", "/unstable/"].iter().any(|start| path.starts_with(start));
    if short { format!("/_matrix/client{path}") } else { path.to_owned() }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
