//! What becomes of keys that are uploaded: when two are the same, which signatures stay, and how malformed
//! ones are refused.

use http::Method;
use serde_json::{Value, json};

use crate::{
    key_backup::begin,
    keys::{DEHYDRATED, dehydrated, proof},
    network::{Client, INSTAGRAM, MESSENGER, Network, text},
    olm::{Identity, OlmDevice, signed},
};

/// The same keys in other forms: in another order, with blanks, with one more signature, and with words of
/// others.
fn other_ways(owner: &Client, keys: &Value) -> Vec<String> {
    let of = |change: &dyn Fn(&mut Value)| {
        let mut keys = keys.clone();
        keys.as_object_mut().expect("keys").values_mut().for_each(change);
        keys
    };
    let user_id = owner.user_id.clone();
    let further = of(&|key| key["signatures"][&user_id]["ed25519:OTHER"] = json!("c2lnbmF0dXJl"));
    let of_another = of(&|key| key["signatures"]["@x:x.localhost"] = json!({ "ed25519:X": "c2lnbmF0dXJl" }));
    let unsigned = of(&|key| key["unsigned"] = json!({ "age": 7 }));
    let backwards = keys.as_object().expect("keys").iter().map(|(id, key)| {
        let fields = key.as_object().expect("an object").iter().rev();
        let fields: Vec<_> = fields.map(|(name, value)| format!("{name:?} :\n {value}")).collect();
        format!("{id:?}: {{ {} }}", fields.join(" , "))
    });
    let backwards = format!("{{ {} }}", backwards.collect::<Vec<_>>().join(","));
    vec![backwards, further.to_string(), of_another.to_string(), unsigned.to_string()]
}

async fn upload_raw(network: &Network, who: &Client, field: &str, keys: &str) -> Value {
    let body = format!("{{\"{field}\": {keys}}}");
    network.call_with(INSTAGRAM, Some(&who.token), Method::POST, "/v3/keys/upload", body).await.ok()
}

async fn claim(by: &Client, of: &Client) -> Value {
    let wanted = json!({ "one_time_keys": { &of.user_id: { &of.device_id: "signed_curve25519" } } });
    by.post("/v3/keys/claim", wanted).await.ok()["one_time_keys"][&of.user_id][&of.device_id].clone()
}

#[tokio::test]
async fn a_one_time_key_is_the_same_however_it_is_written() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let mut device = OlmDevice::new(&anna);
    anna.post("/v3/keys/upload", json!({ "device_keys": device.device_keys() })).await.ok();
    let keys = device.one_time_keys(1);
    anna.post("/v3/keys/upload", json!({ "one_time_keys": keys })).await.ok();
    let ways = other_ways(&anna, &keys);
    for way in &ways {
        let counts = upload_raw(&network, &anna, "one_time_keys", way).await;
        assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 1, "{way}");
    }
    assert_eq!(claim(&ben, &anna).await, keys, "as it was uploaded first");
    for way in &ways {
        let counts = upload_raw(&network, &anna, "one_time_keys", way).await;
        assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 0, "it was given out: {way}");
    }
    // Keys without signatures are texts.
    let public = text(&device.device_keys()["keys"][format!("curve25519:{}", anna.device_id)]);
    for key in
        [json!(public).to_string(), format!("\"\\u{:04x}{}\"", u32::from(public.as_bytes()[0]), &public[1..])]
    {
        let keys = format!("{{\"curve25519:AAAAAA\": {key}}}");
        let counts = upload_raw(&network, &anna, "one_time_keys", &keys).await;
        assert_eq!(counts["one_time_key_counts"]["curve25519"], 1, "{keys}");
    }
    // Another key is another key.
    let mut other = keys.clone();
    let fresh = device.one_time_keys(1);
    let fresh = fresh.as_object().expect("keys").values().next().expect("a key");
    other.as_object_mut().expect("keys").values_mut().for_each(|key| *key = fresh.clone());
    anna.post("/v3/keys/upload", json!({ "one_time_keys": other })).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_used_fallback_key_stays_used_however_it_is_written() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let mut device = OlmDevice::new(&anna);
    let unused =
        async || anna.get("/v3/sync?timeout=0").await.ok()["device_unused_fallback_key_types"].clone();
    anna.post("/v3/keys/upload", json!({ "device_keys": device.device_keys() })).await.ok();
    let (first, second) = (device.fallback_key(), device.fallback_key());
    for key in [&first, &second] {
        anna.post("/v3/keys/upload", json!({ "fallback_keys": key })).await.ok();
        assert_eq!(unused().await, json!(["signed_curve25519"]));
        assert_eq!(claim(&ben, &anna).await, *key);
        assert_eq!(unused().await, json!([]));
        for way in other_ways(&anna, key) {
            upload_raw(&network, &anna, "fallback_keys", &way).await;
            assert_eq!(unused().await, json!([]), "{way}");
        }
    }
    for way in other_ways(&anna, &first) {
        upload_raw(&network, &anna, "fallback_keys", &way).await;
        assert_eq!((unused().await, claim(&ben, &anna).await), (json!([]), second.clone()), "{way}");
    }
}

/// The object with signatures that the server cannot check, because it does not know their algorithm or their
/// key.
fn with_strange_signatures(mut object: Value, owner: &Client) -> Value {
    object["signatures"][&owner.user_id]["org.example.pq:KEY"] = json!("any text");
    object["signatures"][&owner.user_id]["ed25519:UNKNOWN"] = json!("c2lnbmF0dXJl");
    object
}

async fn queried(by: &Client, of: &Client) -> Value {
    by.post("/v3/keys/query", json!({ "device_keys": { &of.user_id: [] } })).await.ok()
}

#[tokio::test]
async fn no_signature_is_stripped_of_an_identity() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (identity, device) = (Identity::new(&anna), OlmDevice::new(&anna));
    anna.post("/v3/keys/upload", json!({ "device_keys": device.device_keys() })).await.ok();
    let mut body = identity.upload();
    for name in ["master_key", "self_signing_key", "user_signing_key"] {
        let by_itself = match name {
            "master_key" => &identity.master,
            "self_signing_key" => &identity.self_signing,
            _ => &identity.user_signing,
        };
        let key = signed(body[name].clone(), &anna.user_id, by_itself);
        body[name] = with_strange_signatures(device.sign(key), &anna);
    }
    anna.post("/v3/keys/device_signing/upload", body.clone()).await.ok();
    let master = &body["master_key"]["signatures"][&anna.user_id];
    assert_eq!(master.as_object().map(serde_json::Map::len), Some(4), "{master}");
    let check = async || {
        for who in [&anna, &ben] {
            let found = queried(who, &anna).await;
            assert_eq!(found["master_keys"][&anna.user_id], body["master_key"]);
            assert_eq!(found["self_signing_keys"][&anna.user_id], body["self_signing_key"]);
        }
        assert_eq!(queried(&anna, &anna).await["user_signing_keys"][&anna.user_id], body["user_signing_key"]);
    };
    check().await;

    // The same again with fewer takes none away.
    anna.post("/v3/keys/device_signing/upload", identity.upload()).await.ok();
    check().await;
    // A signer's signatures are checked as before.
    let mut forged = Identity::new(&anna).upload();
    forged["master_key"] = body["master_key"].clone();
    let asked = anna.post("/v3/keys/device_signing/upload", forged.clone()).await;
    forged["auth"] = proof(&anna, &asked.json);
    anna.post("/v3/keys/device_signing/upload", forged).await.fails(400, "M_INVALID_SIGNATURE");
    check().await;
}

#[tokio::test]
async fn signatures_of_others_are_shown_to_their_makers_and_to_the_owner() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (ben, carl) = (network.register(MESSENGER, "ben").await, network.register(INSTAGRAM, "carl").await);
    let (identity, of_ben) = (Identity::new(&anna), Identity::new(&ben));
    let device = OlmDevice::new(&anna);
    let by_ben = |key: Value| signed(key, &ben.user_id, &of_ben.user_signing);
    let device_keys = by_ben(device.device_keys());
    anna.post("/v3/keys/upload", json!({ "device_keys": device_keys })).await.ok();
    let mut body = identity.upload();
    for name in ["master_key", "self_signing_key", "user_signing_key"] {
        body[name] = by_ben(body[name].clone());
    }
    anna.post("/v3/keys/device_signing/upload", body.clone()).await.ok();
    for (who, sees) in [(&anna, true), (&ben, true), (&carl, false)] {
        let found = queried(who, &anna).await;
        let shown = |key: &Value| key["signatures"][&ben.user_id].is_object();
        assert_eq!(shown(&found["master_keys"][&anna.user_id]), sees, "{}", who.user_id);
        assert_eq!(shown(&found["self_signing_keys"][&anna.user_id]), sees, "{}", who.user_id);
        assert_eq!(shown(&found["device_keys"][&anna.user_id][&anna.device_id]), sees, "{}", who.user_id);
        let of_anna = found["user_signing_keys"][&anna.user_id].clone();
        assert_eq!(
            of_anna,
            if who.user_id == anna.user_id { body["user_signing_key"].clone() } else { Value::Null }
        );
    }
}

#[tokio::test]
async fn no_signature_is_stripped_of_a_device() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let device = OlmDevice::new(&anna);
    let keys = with_strange_signatures(device.device_keys(), &anna);
    for _ in 0..2 {
        anna.post("/v3/keys/upload", json!({ "device_keys": keys })).await.ok();
        assert_eq!(queried(&ben, &anna).await["device_keys"][&anna.user_id][&anna.device_id], keys);
        anna.post("/v3/keys/upload", json!({ "device_keys": device.device_keys() })).await.ok();
        assert_eq!(queried(&ben, &anna).await["device_keys"][&anna.user_id][&anna.device_id], keys);
    }
}

#[tokio::test]
async fn later_signatures_are_kept_as_they_come() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (identity, device) = (Identity::new(&anna), OlmDevice::new(&anna));
    anna.post("/v3/keys/upload", json!({ "device_keys": device.device_keys() })).await.ok();
    anna.post("/v3/keys/device_signing/upload", identity.upload()).await.ok();
    let with_unknown_algorithm = |mut object: Value| {
        object["signatures"][&anna.user_id]["org.example.pq:KEY"] = json!("any text");
        object
    };
    let sign = async |target: &str, object: &Value| {
        let body = json!({ &anna.user_id: { target: object } });
        anna.post("/v3/keys/signatures/upload", body).await.ok()["failures"].clone()
    };
    let master = signed(identity.upload()["master_key"].clone(), &anna.user_id, &identity.master);
    let master = with_unknown_algorithm(device.sign(master));
    assert_eq!(sign(&identity.master_name(), &master).await, Value::Null);
    let of_device = signed(device.device_keys(), &anna.user_id, &identity.self_signing);
    let of_device = with_unknown_algorithm(of_device);
    assert_eq!(sign(&anna.device_id, &of_device).await, Value::Null);
    let found = queried(&ben, &anna).await;
    assert_eq!(found["master_keys"][&anna.user_id], master);
    assert_eq!(found["device_keys"][&anna.user_id][&anna.device_id], of_device);
    // They are all known by now.
    assert_eq!(sign(&identity.master_name(), &master).await, Value::Null);

    // What can be checked is checked, and what cannot has a limit.
    let mut wrong = identity.upload()["master_key"].clone();
    let key_id = format!("ed25519:{}", identity.master_name());
    wrong["signatures"][&anna.user_id][key_id] = of_device["signatures"][&anna.user_id]
        [format!("ed25519:{}", identity.self_signing.public_key().to_base64())]
    .clone();
    let failures = sign(&identity.master_name(), &wrong).await;
    assert_eq!(failures[&anna.user_id][identity.master_name()]["errcode"], "M_INVALID_SIGNATURE");
    let mut many = identity.upload()["master_key"].clone();
    for number in 0..100 {
        many["signatures"][&anna.user_id][format!("org.example.pq:{number}")] = json!("any text".repeat(40));
    }
    let failures = sign(&identity.master_name(), &many).await;
    assert_eq!(failures[&anna.user_id][identity.master_name()]["errcode"], "M_TOO_LARGE");
    assert_eq!(queried(&ben, &anna).await["master_keys"][&anna.user_id], master);
}

/// Requests whose bodies are JSON and not what the endpoint takes.
fn malformed(anna: &Client, device: &OlmDevice, version: &str) -> Vec<(Method, String, Value)> {
    let backup = |below: &str| format!("/v3/room_keys/keys{below}?version={version}");
    let user_id = &anna.user_id;
    let versions = ["auth_data", "algorithm"].map(|field| {
        let mut data = json!({ "algorithm": "x", "auth_data": {} });
        data[field] = json!(1);
        data
    });
    let rooms = [
        json!({ "rooms": [] }),
        json!({ "rooms": { "no room": { "sessions": {} } } }),
        json!({ "rooms": { "!r:x.localhost": { "sessions": { "s": 1 } } } }),
    ];
    let all: [(_, String, Vec<Value>); 11] = [
        (Method::POST, "/v3/keys/upload".into(), malformed_device_keys(anna, device)),
        (Method::POST, "/v3/keys/upload".into(), malformed_one_time_keys(device)),
        (Method::POST, "/v3/keys/device_signing/upload".into(), malformed_identities(anna)),
        (
            Method::POST,
            "/v3/keys/signatures/upload".into(),
            vec![
                json!({ "nobody": {} }),
                json!({ user_id: 1 }),
                json!({ user_id: { "DEVICE": 1 } }),
                json!({ user_id: { "DEVICE": { "number": 1.5 } } }),
            ],
        ),
        (
            Method::POST,
            "/v3/keys/query".into(),
            vec![
                json!({ "device_keys": 1 }),
                json!({ "device_keys": { "nobody": [] } }),
                json!({ "device_keys": { user_id: "DEVICE" } }),
            ],
        ),
        (
            Method::POST,
            "/v3/keys/claim".into(),
            vec![json!({ "one_time_keys": [] }), json!({ "one_time_keys": { user_id: { "DEVICE": 1 } } })],
        ),
        (Method::POST, "/v3/room_keys/version".into(), versions.to_vec()),
        (Method::PUT, format!("/v3/room_keys/version/{version}"), versions.to_vec()),
        (Method::PUT, backup(""), rooms.to_vec()),
        (
            Method::PUT,
            backup("/!r:x.localhost"),
            vec![json!({ "sessions": 1 }), json!({ "sessions": { "s": {} } })],
        ),
        (Method::PUT, backup("/!r:x.localhost/s"), malformed_backed_up_keys()),
    ];
    let dehydrated = (Method::PUT, DEHYDRATED.to_owned(), malformed_dehydrated_devices(anna));
    let each = |(method, path, bodies): (Method, String, Vec<Value>)| {
        bodies.into_iter().map(move |body| (method.clone(), path.clone(), body))
    };
    all.into_iter().chain([dehydrated]).flat_map(each).collect()
}

fn malformed_device_keys(anna: &Client, device: &OlmDevice) -> Vec<Value> {
    let (user_id, device_id) = (&anna.user_id, &anna.device_id);
    let with = |field: &str, value: Option<Value>| {
        let mut keys = device.device_keys();
        keys.as_object_mut().expect("keys").retain(|name, _| name != "signatures" && name != field);
        if let Some(value) = value {
            keys[field] = value;
        }
        if field == "signatures" { keys } else { device.sign(keys) }
    };
    let mut float = device.device_keys();
    float["more"] = json!(1.5);
    let keys = [
        json!(1),
        json!([]),
        json!("keys"),
        json!({}),
        float,
        with("user_id", None),
        with("device_id", None),
        with("keys", None),
        with("algorithms", None),
        with("user_id", Some(json!(1))),
        with("keys", Some(json!([]))),
        with("algorithms", Some(json!("m.olm"))),
        with("algorithms", Some(json!([1]))),
        with("signatures", Some(json!("text"))),
        with("signatures", Some(json!({ user_id: "text" }))),
        with("signatures", Some(json!({ user_id: { "ed25519:KEY": 1 } }))),
        OlmDevice::of("@other:instagram.localhost", device_id).device_keys(),
        OlmDevice::of(user_id, "OTHER").device_keys(),
    ];
    keys.map(|keys| json!({ "device_keys": keys })).to_vec()
}

fn malformed_one_time_keys(device: &OlmDevice) -> Vec<Value> {
    let keys = [
        json!(1),
        json!([]),
        json!({ "nocolon": {} }),
        json!({ "curve25519:AAAAAA": 1 }),
        json!({ "curve25519:AAAAAA": "no key" }),
        json!({ "signed_curve25519:AAAAAA": 1 }),
        json!({ "signed_curve25519:AAAAAA": [] }),
        json!({ "signed_curve25519:AAAAAA": device.sign(json!({})) }),
        json!({ "signed_curve25519:AAAAAA": device.sign(json!({ "key": 1 })) }),
        json!({ "org.example:AAAAAA": 1 }),
        json!({ "org.example:AAAAAA": { "number": 1.5 } }),
    ];
    let both = |keys: &Value| [json!({ "one_time_keys": keys }), json!({ "fallback_keys": keys })];
    keys.iter().flat_map(both).collect()
}

fn malformed_identities(anna: &Client) -> Vec<Value> {
    let master = Identity::new(anna).upload()["master_key"].clone();
    let with = |field: &str, value: Value| {
        let mut key = master.clone();
        key[field] = value;
        key
    };
    let keys = [
        json!(1),
        json!({}),
        with("usage", json!("master")),
        with("usage", json!([])),
        with("keys", json!({})),
        with("keys", json!({ "ed25519:a": "b" })),
        with("user_id", json!(1)),
        with("user_id", json!("@other:instagram.localhost")),
        with("signatures", json!([])),
    ];
    keys.map(|key| json!({ "master_key": key })).to_vec()
}

fn malformed_backed_up_keys() -> Vec<Value> {
    let with = |field: &str, value: Value| {
        let mut key = json!({
            "first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": {},
        });
        key[field] = value;
        key
    };
    vec![
        with("first_message_index", json!("x")),
        with("forwarded_count", json!(-1)),
        with("is_verified", json!(1)),
        with("session_data", json!(1)),
        json!({ "session_data": {} }),
    ]
}

fn malformed_dehydrated_devices(anna: &Client) -> Vec<Value> {
    let with = |field: &str, value: Value| {
        let mut body = dehydrated(anna, "DREAM");
        body[field] = value;
        body
    };
    vec![
        with("device_id", json!(1)),
        with("device_id", json!("OTHER")),
        with("device_data", json!(1)),
        with("device_keys", json!({})),
    ]
}

#[tokio::test]
async fn what_is_malformed_is_bad_json_at_every_endpoint_for_keys() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let version = begin(&anna).await;
    let device = OlmDevice::new(&anna);
    for published in [false, true] {
        for (method, path, body) in malformed(&anna, &device, &version) {
            let text = body.to_string();
            let answer = network.call_with(INSTAGRAM, Some(&anna.token), method, &path, text).await;
            let got = (answer.status.as_u16(), answer.json["errcode"].as_str().unwrap_or_default());
            assert_eq!(got, (400, "M_BAD_JSON"), "{path} {body} (keys: {published}): {}", answer.json);
        }
        anna.post("/v3/keys/upload", json!({ "device_keys": device.device_keys() })).await.ok();
    }
}

#[tokio::test]
async fn what_is_no_json_is_told_so_at_every_endpoint_for_keys() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let version = begin(&anna).await;
    for (method, path, _) in malformed(&anna, &OlmDevice::new(&anna), &version) {
        let body = "{\"device_keys\": ".to_owned();
        let answer = network.call_with(INSTAGRAM, Some(&anna.token), method, &path, body).await;
        answer.fails(400, "M_NOT_JSON");
    }
}
