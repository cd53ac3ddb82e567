//! How deeply JSON may be nested. Whatever is kept and given to others has one limit, which every parser can
//! bear.

use http::Method;
use serde_json::{Value, json};

use crate::{
    key_backup::begin,
    keys::{DEHYDRATED, dehydrated, proof},
    network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, list},
    olm::{Identity, OlmDevice},
};

/// The most levels in the object that is the body.
const MAX_DEPTH: usize = 100;

/// Lists that are nested in each other.
fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// How many levels of a JSON text are open where `at` stands.
fn levels_around(json: &str, at: &str) -> usize {
    let before = json.split(at).next().expect("there is text before it");
    before.matches(['{', '[']).count() - before.matches(['}', ']']).count()
}

struct Write {
    method: Method,
    path: String,
    /// The body. `"HERE"` stands for what is nested.
    body: Value,
}

impl Write {
    fn new(method: Method, path: impl Into<String>, body: Value) -> Self {
        Self { method, path: path.into(), body }
    }

    async fn with_levels(&self, network: &Network, who: &Client, levels: usize) -> (u16, String) {
        let body = self.body.to_string();
        let around = levels_around(&body, "\"HERE\"");
        let body = body.replace("\"HERE\"", &nested(levels + 1 - around));
        let answer =
            network.call_with(INSTAGRAM, Some(&who.token), self.method.clone(), &self.path, body).await;
        (answer.status.as_u16(), answer.json["errcode"].as_str().unwrap_or_default().to_owned())
    }
}

async fn writes(anna: &Client, ben: &Client) -> Vec<Write> {
    let (put, post) = (Method::PUT, Method::POST);
    let (id, to) = (&anna.user_id, &ben.user_id);
    let room = anna.create_room(json!({ "invite": [to] })).await;
    let version = begin(anna).await;
    let device = OlmDevice::new(anna);
    let with_more = |mut keys: Value| {
        keys["more"] = json!("HERE");
        keys
    };
    let mut dream = dehydrated(anna, "DREAM");
    dream["device_data"]["x"] = json!("HERE");
    let backed_up = json!({
        "first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": { "x": "HERE" },
    });
    let keys = format!("/v3/room_keys/keys/{room}");
    vec![
        Write::new(
            put.clone(),
            "/v3/sendToDevice/m.test/1",
            json!({ "messages": { to: { "*": { "x": "HERE" } } } }),
        ),
        Write::new(put.clone(), format!("/v3/user/{id}/account_data/x.test"), json!({ "x": "HERE" })),
        Write::new(
            put.clone(),
            format!("/v3/user/{id}/rooms/{room}/account_data/x.test"),
            json!({ "x": "HERE" }),
        ),
        Write::new(put.clone(), format!("/v3/user/{id}/rooms/{room}/tags/u.x"), json!({ "x": "HERE" })),
        Write::new(put.clone(), format!("/v3/profile/{id}/x.test"), json!({ "x.test": "HERE" })),
        Write::new(
            put.clone(),
            format!("/v3/presence/{id}/status"),
            json!({ "presence": "online", "x": "HERE" }),
        ),
        Write::new(
            post.clone(),
            "/v3/keys/upload",
            json!({ "device_keys": device.sign(with_more(device.device_keys())) }),
        ),
        Write::new(
            post.clone(),
            "/v3/keys/device_signing/upload",
            json!({ "master_key": with_more(Identity::new(anna).upload()["master_key"].clone()) }),
        ),
        Write::new(
            post.clone(),
            "/v3/keys/signatures/upload",
            json!({ id: { &anna.device_id: with_more(device.device_keys()) } }),
        ),
        Write::new(
            put.clone(),
            format!("/v3/room_keys/version/{version}"),
            json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": { "x": "HERE" } }),
        ),
        Write::new(put.clone(), format!("{keys}/one?version={version}"), backed_up.clone()),
        Write::new(
            put.clone(),
            format!("{keys}?version={version}"),
            json!({ "sessions": { "one": backed_up } }),
        ),
        Write::new(
            put.clone(),
            format!("/v3/room_keys/keys?version={version}"),
            json!({ "rooms": { &room: { "sessions": { "one": backed_up } } } }),
        ),
        Write::new(put.clone(), DEHYDRATED, dream),
        Write::new(
            post.clone(),
            "/v3/pushers/set",
            json!({
                "pushkey": "k", "kind": "http", "app_id": "a", "app_display_name": "A", "device_display_name": "d",
                "lang": "en", "data": { "url": "https://push.example/_matrix/push/v1/notify", "x": "HERE" },
            }),
        ),
        Write::new(
            post.clone(),
            format!("/v3/user/{id}/filter"),
            json!({ "room": { "timeline": { "x.test": "HERE" } } }),
        ),
        Write::new(
            put.clone(),
            format!("/v3/directory/list/room/{room}"),
            json!({ "visibility": "private", "x": "HERE" }),
        ),
        Write::new(put.clone(), format!("/v3/rooms/{room}/send/x.test/1"), json!({ "x": "HERE" })),
        Write::new(put, format!("/v3/rooms/{room}/state/x.test/"), json!({ "x": "HERE" })),
        Write::new(
            post.clone(),
            "/v3/createRoom",
            json!({ "initial_state": [{ "type": "x.test", "content": { "x": "HERE" } }] }),
        ),
        Write::new(
            post,
            "/v3/room_keys/version",
            json!({ "algorithm": "m.test", "auth_data": { "x": "HERE" } }),
        ),
    ]
}

#[tokio::test]
async fn what_is_nested_too_deep_is_refused_wherever_it_comes() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    for write in writes(&anna, &ben).await {
        for levels in [MAX_DEPTH + 1, 20_000] {
            let refused = write.with_levels(&network, &anna, levels).await;
            assert_eq!(refused, (400, "M_BAD_JSON".to_owned()), "{} with {levels} levels", write.path);
        }
    }
    let synced = ben.get("/v3/sync").await.ok();
    assert_eq!(list(&synced["to_device"]["events"]), &[] as &[Value], "nothing was passed on");
    let synced = anna.get("/v3/sync").await.ok();
    assert!(!synced.to_string().contains("x.test"), "nothing was kept: {synced}");
}

#[tokio::test]
async fn what_is_just_not_too_deep_arrives() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(WHATSAPP, "ben").await);
    for write in writes(&anna, &ben).await {
        let taken = write.with_levels(&network, &anna, MAX_DEPTH).await;
        // The signatures of these do not verify. They are refused for that, and not for their depth.
        let unsigned = ["/v3/keys/upload", "/v3/keys/signatures/upload"].contains(&write.path.as_str());
        let expected = if unsigned && taken.0 != 200 { (400, "M_INVALID_SIGNATURE") } else { (200, "") };
        assert_eq!((taken.0, taken.1.as_str()), expected, "{}", write.path);
    }
    for who in [&anna, &ben] {
        let synced = who.get("/v3/sync").await.ok();
        assert!(synced.is_object(), "a parser with the usual limit reads it");
    }
    assert_eq!(list(&ben.get("/v3/sync").await.ok()["to_device"]["events"]).len(), 1);
}

#[tokio::test]
async fn a_proof_does_not_hide_what_is_too_deep() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    anna.post("/v3/keys/device_signing/upload", Identity::new(&anna).upload()).await.ok();
    let mut body = Identity::new(&anna).upload();
    let asked = anna.post("/v3/keys/device_signing/upload", body.clone()).await;
    body["auth"] = proof(&anna, &asked.json);
    body["master_key"]["more"] = json!("HERE");
    let write = Write::new(Method::POST, "/v3/keys/device_signing/upload", body);
    let refused = write.with_levels(&network, &anna, MAX_DEPTH + 1).await;
    assert_eq!(refused, (400, "M_BAD_JSON".to_owned()));
}

/// The refusal of client metadata that are nested too deeply has the words of the OAuth RFCs.
#[tokio::test]
async fn client_metadata_are_not_nested_too_deep() {
    let network = Network::open().await;
    let register = async |levels: usize| {
        let body = json!({
            "client_name": "A", "client_uri": "https://app.example/", "redirect_uris": ["https://app.example/back"],
            "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"], "x": "HERE",
        });
        let body = body.to_string().replace("\"HERE\"", &nested(levels));
        network.call_with(INSTAGRAM, None, Method::POST, "/_linkspan/oauth2/registration", body).await
    };
    assert_eq!(register(MAX_DEPTH).await.status, 201);
    let refused = register(MAX_DEPTH + 1).await;
    assert_eq!((refused.status.as_u16(), &refused.json["error"]), (400, &json!("invalid_client_metadata")));
}
