//! `/keys`, as clients with real Olm accounts use it.

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use linkspan_storage::catalogue::DehydratedDevices;
use linkspan_wire::now_ts;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::{
    network::{Client, INSTAGRAM, MESSENGER, Network, PASSWORD, WHATSAPP, each, list, text},
    oauth_browser::{Browser, authorise},
    olm::{Identity, OlmDevice, signed},
};

/// The secret with which operators make accounts.
const SHARED_SECRET: &str = "a long shared secret";

#[tokio::test]
async fn a_device_publishes_keys_and_each_one_time_key_is_given_out_once() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let mut device = OlmDevice::new(&anna);
    let mut upload = json!({ "device_keys": device.device_keys(), "one_time_keys": device.one_time_keys(3) });
    upload["fallback_keys"] = device.fallback_key();
    let counts = anna.post("/v3/keys/upload", upload.clone()).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 3);

    let name = format!("/v3/devices/{}", anna.device_id);
    anna.put(&name, json!({ "display_name": "Anna's phone" })).await.ok();
    let wanted = json!({ "device_keys": { &anna.user_id: [] } });
    let of_anna = |found: &Value| found["device_keys"][&anna.user_id][&anna.device_id].clone();
    let by_ben = ben.post("/v3/keys/query", wanted.clone()).await.ok();
    let mut published = of_anna(&by_ben);
    assert_eq!(published["keys"], device.device_keys()["keys"]);
    assert_eq!(published["unsigned"], Value::Null, "another platform's people do not learn names of devices");
    let by_anna = anna.post("/v3/keys/query", wanted).await.ok();
    published["unsigned"] = json!({ "device_display_name": "Anna's phone" });
    assert_eq!(published, of_anna(&by_anna));

    let claim = json!({ "one_time_keys": { &anna.user_id: { &anna.device_id: "signed_curve25519" } } });
    let mut claimed = Vec::new();
    for _ in 0..3 {
        let answer = ben.post("/v3/keys/claim", claim.clone()).await.ok();
        let keys = answer["one_time_keys"][&anna.user_id][&anna.device_id].as_object().cloned();
        claimed.extend(keys.expect("a key"));
    }
    let uploaded = upload["one_time_keys"].as_object().cloned().expect("keys");
    assert_eq!(serde_json::Map::from_iter(claimed), uploaded, "each of them, and as it was uploaded");

    // A repeated upload, whose answer was lost, brings nothing back.
    let counts = anna.post("/v3/keys/upload", upload.clone()).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 0);
    let sync = anna.get("/v3/sync?timeout=0").await.ok();
    assert_eq!(sync["device_one_time_keys_count"]["signed_curve25519"], 0);
    assert_eq!(sync["device_unused_fallback_key_types"], json!(["signed_curve25519"]));

    // When there are no more, the fallback key is given again and again.
    for _ in 0..2 {
        let answer = ben.post("/v3/keys/claim", claim.clone()).await.ok();
        assert_eq!(answer["one_time_keys"][&anna.user_id][&anna.device_id], upload["fallback_keys"]);
    }
    let sync = anna.get("/v3/sync?timeout=0").await.ok();
    assert_eq!(sync["device_unused_fallback_key_types"], json!([]));
    let answer = anna.post("/v3/keys/upload", json!({ "fallback_keys": device.fallback_key() })).await;
    answer.ok();
    let sync = anna.get("/v3/sync?timeout=0").await.ok();
    assert_eq!(sync["device_unused_fallback_key_types"], json!(["signed_curve25519"]));
}

#[tokio::test]
async fn keys_that_are_not_the_devices_own_or_wrongly_signed_are_refused() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "ben").await);
    let second = anna.another_device().await;
    let mut device = OlmDevice::new(&anna);
    let own = device.device_keys();
    let upload = async |body: Value| anna.post("/v3/keys/upload", body).await;

    upload(json!({ "one_time_keys": device.one_time_keys(1) })).await.fails(400, "M_INVALID_PARAM");
    for other in [&ben, &second] {
        let foreign = OlmDevice::new(other).device_keys();
        upload(json!({ "device_keys": foreign })).await.fails(400, "M_BAD_JSON");
    }
    let mut changed = own.clone();
    changed["algorithms"] = json!(["m.none"]);
    upload(json!({ "device_keys": changed })).await.fails(400, "M_INVALID_SIGNATURE");
    let mut unsigned = own.clone();
    unsigned["signatures"] = json!({});
    upload(json!({ "device_keys": unsigned })).await.fails(400, "M_INVALID_SIGNATURE");
    upload(json!({ "device_keys": own })).await.ok();

    let mut one_time = device.one_time_keys(1);
    let forged = OlmDevice::new(&anna).one_time_keys(1);
    upload(json!({ "one_time_keys": forged })).await.fails(400, "M_INVALID_SIGNATURE");
    upload(json!({ "one_time_keys": one_time.clone() })).await.ok();
    let another = text(&own["keys"][format!("curve25519:{}", anna.device_id)]);
    for key in one_time.as_object_mut().expect("keys").values_mut() {
        *key = device.sign(json!({ "key": another }));
    }
    upload(json!({ "one_time_keys": one_time })).await.fails(400, "M_INVALID_PARAM");
    upload(json!({ "device_keys": OlmDevice::new(&anna).device_keys() })).await.fails(400, "M_INVALID_PARAM");

    for body in [json!({ "device_keys": 1 }), json!({ "one_time_keys": { "nocolon": {} } }), json!([])] {
        let answer = upload(body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.json);
    }
}

#[tokio::test]
async fn many_who_claim_at_once_get_different_keys() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(WHATSAPP, "ben").await);
    let mut device = OlmDevice::new(&anna);
    let keys = json!({ "device_keys": device.device_keys(), "one_time_keys": device.one_time_keys(60) });
    anna.post("/v3/keys/upload", keys).await.ok();
    let claim = json!({ "one_time_keys": { &anna.user_id: { &anna.device_id: "signed_curve25519" } } });
    let claims: Vec<_> = (0..80)
        .map(|_| {
            let (ben, claim) = (ben.clone(), claim.clone());
            tokio::spawn(async move { ben.post("/v3/keys/claim", claim).await.ok() })
        })
        .collect();
    let mut ids = Vec::new();
    for claim in claims {
        let answer = claim.await.expect("a claim ends");
        let key = answer["one_time_keys"][&anna.user_id][&anna.device_id].as_object().cloned();
        ids.extend(key.unwrap_or_default().into_iter().map(|(id, _)| id));
    }
    assert_eq!(ids.len(), 60, "every key was given out");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 60, "and none twice");
}

/// What a sync says of device lists, after `since`.
pub(crate) async fn changes(client: &Client, since: &mut String) -> (Vec<String>, Vec<String>) {
    let path = format!("/v3/sync?timeout=0&since={since}");
    let sync = client.get(&path).await.ok();
    let next = text(&sync["next_batch"]);
    let names =
        |field: &str| -> Vec<String> { list(&sync["device_lists"][field]).iter().map(text).collect() };
    let told = (names("changed"), names("left"));
    let asked = client.get(&format!("/v3/keys/changes?from={since}&to={next}")).await.ok();
    let names = |field: &str| -> Vec<String> { list(&asked[field]).iter().map(text).collect() };
    assert_eq!(told, (names("changed"), names("left")), "/keys/changes says the same as /sync");
    *since = next;
    told
}

#[tokio::test]
async fn device_lists_follow_shared_rooms_and_changed_keys() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let stranger = network.register(WHATSAPP, "carl").await;
    let nothing = (vec![], vec![]);
    let mut since = text(&anna.get("/v3/sync?timeout=0").await.ok()["next_batch"]);
    let mut since_stranger = since.clone();

    ben.post("/v3/keys/upload", json!({ "device_keys": OlmDevice::new(&ben).device_keys() })).await.ok();
    assert_eq!(changes(&anna, &mut since).await, nothing, "they share no room");
    let room = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    let (changed, _) = changes(&anna, &mut since).await;
    assert!(changed.contains(&ben.user_id), "who is invited may have to read what is said: {changed:?}");
    ben.join(&room).await.ok();
    assert_eq!(changes(&anna, &mut since).await, nothing, "was there as an invited one");

    let second = ben.another_device().await;
    assert_eq!(changes(&anna, &mut since).await, nothing, "a device without keys is nobody's business");
    second
        .post("/v3/keys/upload", json!({ "device_keys": OlmDevice::new(&second).device_keys() }))
        .await
        .ok();
    assert_eq!(changes(&anna, &mut since).await, (vec![ben.user_id.clone()], vec![]));
    let path = format!("/v3/devices/{}", second.device_id);
    second.put(&path, json!({ "display_name": "tablet" })).await.ok();
    assert_eq!(changes(&anna, &mut since).await, (vec![ben.user_id.clone()], vec![]));
    ben.put(&format!("/v3/profile/{}/displayname", ben.user_id), json!({ "displayname": "Benny" }))
        .await
        .ok();
    assert_eq!(changes(&anna, &mut since).await, nothing, "a new name changes no key");

    second.post("/v3/logout", json!({})).await.ok();
    assert_eq!(changes(&anna, &mut since).await, (vec![ben.user_id.clone()], vec![]));
    let found = anna.post("/v3/keys/query", json!({ "device_keys": { &ben.user_id: [] } })).await.ok();
    let devices: Vec<_> = found["device_keys"][&ben.user_id].as_object().expect("devices").keys().collect();
    assert_eq!(devices, [&ben.device_id]);

    let other_room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&other_room).await.ok();
    assert_eq!(changes(&anna, &mut since).await.1, Vec::<String>::new());
    ben.leave(&room).await.ok();
    assert_eq!(changes(&anna, &mut since).await, nothing, "another room is still shared");
    ben.leave(&other_room).await.ok();
    assert_eq!(changes(&anna, &mut since).await, (vec![], vec![ben.user_id.clone()]));
    assert_eq!(changes(&stranger, &mut since_stranger).await, nothing);

    // Somebody who comes in is told of those who are there.
    let mut since_ben = text(&ben.get("/v3/sync?timeout=0").await.ok()["next_batch"]);
    ben.join(&other_room).await.ok();
    let (changed, _) = changes(&ben, &mut since_ben).await;
    assert!(changed.contains(&anna.user_id), "{changed:?}");
}

#[tokio::test]
async fn an_identity_is_published_once_freely_and_then_only_with_a_proof() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let identity = Identity::new(&anna);
    let mut wrong = identity.upload();
    wrong["self_signing_key"] = Identity::new(&anna).upload()["self_signing_key"].clone();
    let upload = async |body: Value| anna.post("/v3/keys/device_signing/upload", body).await;
    upload(wrong).await.fails(400, "M_INVALID_SIGNATURE");
    let without_master = json!({ "self_signing_key": identity.upload()["self_signing_key"] });
    upload(without_master).await.fails(400, "M_MISSING_PARAM");
    let of_ben = Identity::new(&ben).upload();
    upload(of_ben).await.fails(400, "M_BAD_JSON");
    upload(identity.upload()).await.ok();
    upload(identity.upload()).await.ok();

    let other = Identity::new(&anna);
    let asked = upload(other.upload()).await;
    assert_eq!(asked.status, 401, "{}", asked.json);
    let wanted = json!({ "device_keys": { &anna.user_id: [] } });
    let by_ben = ben.post("/v3/keys/query", wanted.clone()).await.ok();
    assert_eq!(by_ben["master_keys"][&anna.user_id]["keys"], identity.upload()["master_key"]["keys"]);
    assert_eq!(by_ben["user_signing_keys"][&anna.user_id], Value::Null);
    let by_anna = anna.post("/v3/keys/query", wanted.clone()).await.ok();
    assert_eq!(by_anna["user_signing_keys"][&anna.user_id], identity.upload()["user_signing_key"]);

    let mut proved = other.upload();
    proved["auth"] = json!({
        "type": "m.login.password", "password": "correct horse battery staple", "session": asked.json["session"],
        "identifier": { "type": "m.id.user", "user": anna.user_id },
    });
    upload(proved).await.ok();
    let by_ben = ben.post("/v3/keys/query", wanted).await.ok();
    assert_eq!(by_ben["master_keys"][&anna.user_id]["keys"], other.upload()["master_key"]["keys"]);
}

#[tokio::test]
async fn signatures_are_taken_from_those_who_may_make_them_and_shown_to_whom_they_concern() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let (of_anna, of_ben) = (Identity::new(&anna), Identity::new(&ben));
    let device = OlmDevice::new(&anna);
    anna.post("/v3/keys/upload", json!({ "device_keys": device.device_keys() })).await.ok();
    for (client, identity) in [(&anna, &of_anna), (&ben, &of_ben)] {
        client.post("/v3/keys/device_signing/upload", identity.upload()).await.ok();
    }
    let sign = async |client: &Client, user: &Client, target: &str, object: &Value| {
        let body = json!({ &user.user_id: { target: object } });
        client.post("/v3/keys/signatures/upload", body).await.ok()["failures"].clone()
    };
    let refused = |user: &Client, target: &str| json!({ &user.user_id: { target: { "errcode": "M_INVALID_SIGNATURE", "error": "" } } });
    let without_text = |mut failures: Value| {
        for of_user in failures.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
            for failure in of_user.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
                failure["error"] = "".into();
            }
        }
        failures
    };

    // The owner's identity signs the device, the device the identity.
    let signed_device = signed(device.device_keys(), &anna.user_id, &of_anna.self_signing);
    assert_eq!(sign(&anna, &anna, &anna.device_id, &signed_device).await, Value::Null);
    let signed_master = device.sign(of_anna.upload()["master_key"].clone());
    assert_eq!(sign(&anna, &anna, &of_anna.master_name(), &signed_master).await, Value::Null);
    // The user-signing key signs another's identity.
    let trusted = signed(of_ben.upload()["master_key"].clone(), &anna.user_id, &of_anna.user_signing);
    assert_eq!(sign(&anna, &ben, &of_ben.master_name(), &trusted).await, Value::Null);

    // These are refused: a signature by another key, in another's name, of something that is not published,
    // or of another's device.
    let by_master = signed(device.device_keys(), &anna.user_id, &of_anna.master);
    let failures = sign(&anna, &anna, &anna.device_id, &by_master).await;
    assert_eq!(without_text(failures), refused(&anna, &anna.device_id));
    let failures = sign(&carl, &ben, &of_ben.master_name(), &trusted).await;
    assert_eq!(without_text(failures), refused(&ben, &of_ben.master_name()));
    let mut changed = trusted.clone();
    changed["usage"] = json!(["master", "self_signing"]);
    let failures = sign(&anna, &ben, &of_ben.master_name(), &changed).await;
    assert_eq!(without_text(failures), refused(&ben, &of_ben.master_name()));
    let of_device = signed(device.device_keys(), &ben.user_id, &of_ben.user_signing);
    let failures = sign(&ben, &anna, &anna.device_id, &of_device).await;
    assert_eq!(without_text(failures), refused(&anna, &anna.device_id));

    let wanted = json!({ "device_keys": { &anna.user_id: [], &ben.user_id: [] } });
    let by_anna = anna.post("/v3/keys/query", wanted.clone()).await.ok();
    let by_carl = carl.post("/v3/keys/query", wanted).await.ok();
    let of_device = &by_carl["device_keys"][&anna.user_id][&anna.device_id]["signatures"];
    assert_eq!(*of_device, signed_device["signatures"]);
    assert_eq!(by_carl["master_keys"][&anna.user_id]["signatures"], signed_master["signatures"]);
    let by = |found: &Value| found["master_keys"][&ben.user_id]["signatures"][&anna.user_id].clone();
    assert_eq!(by(&by_anna), trusted["signatures"][&anna.user_id]);
    assert_eq!(by(&by_carl), Value::Null, "whom anna has verified is not carl's business");
}

pub(crate) const DEHYDRATED: &str = "/unstable/org.matrix.msc3814.v1/dehydrated_device";

/// The upload of a dehydrated device.
pub(crate) fn dehydrated(owner: &Client, device_id: &str) -> Value {
    let mut device = OlmDevice::of(&owner.user_id, device_id);
    json!({
        "device_id": device_id, "device_keys": device.device_keys(),
        "one_time_keys": device.one_time_keys(2), "fallback_keys": device.fallback_key(),
        "device_data": { "algorithm": "org.matrix.msc3814.v2", "device_pickle": "p", "nonce": "n" },
    })
}

/// The body of a proof by password.
pub(crate) fn proof(user: &Client, asked: &Value) -> Value {
    json!({
        "type": "m.login.password", "password": PASSWORD, "session": asked["session"],
        "identifier": { "type": "m.id.user", "user": user.user_id },
    })
}

#[tokio::test]
async fn a_dehydrated_device_receives_until_another_takes_its_place() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let path = DEHYDRATED;
    let put = async |device_id: &str| anna.put(path, dehydrated(&anna, device_id)).await;
    anna.get(path).await.fails(404, "M_NOT_FOUND");
    put("DREAM").await.ok();
    assert_eq!(anna.get(path).await.ok()["device_id"], "DREAM");
    for number in 0..120 {
        let body = json!({ "messages": { &anna.user_id: { "DREAM": { "number": number } } } });
        ben.put(&format!("/v3/sendToDevice/m.test/{number}"), body).await.ok();
    }
    let (mut numbers, mut next) = (Vec::new(), json!({}));
    loop {
        let page = anna.post(&format!("{path}/DREAM/events"), next).await.ok();
        let events = list(&page["events"]);
        if events.is_empty() {
            break;
        }
        numbers.extend(events.iter().map(|event| event["content"]["number"].as_i64().expect("a number")));
        next = json!({ "next_batch": page["next_batch"] });
    }
    assert_eq!(numbers, Vec::from_iter(0..120));

    // Newer clients ask for the same in this way.
    let (mut numbers, mut from) = (Vec::new(), Some(String::new()));
    while let Some(batch) = from {
        let page = anna.get(&format!("{path}/DREAM/events{batch}")).await.ok();
        let events = list(&page["events"]);
        numbers.extend(events.iter().map(|event| event["content"]["number"].as_i64().expect("a number")));
        from = page["next_batch"].as_str().map(|batch| format!("?from={batch}"));
    }
    assert_eq!(numbers, Vec::from_iter(0..120));
    anna.get(&format!("{path}/DREAM/events?from=x")).await.fails(400, "M_INVALID_PARAM");

    put("NIGHTMARE").await.ok();
    anna.post(&format!("{path}/DREAM/events"), json!({})).await.fails(404, "M_NOT_FOUND");
    let found = ben.post("/v3/keys/query", json!({ "device_keys": { &anna.user_id: [] } })).await.ok();
    let devices: Vec<_> = found["device_keys"][&anna.user_id].as_object().expect("devices").keys().collect();
    assert_eq!(devices, ["NIGHTMARE"]);
    assert_eq!(anna.delete(path).await.ok()["device_id"], "NIGHTMARE");
    anna.delete(path).await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_device_that_a_client_has_logged_in_as_is_never_a_dehydrated_one() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let phone = anna.another_device().await;
    let put = async |device_id: &str| anna.put(DEHYDRATED, dehydrated(&anna, device_id)).await;
    let is_none = async |device_id: &str| {
        anna.get(DEHYDRATED).await.fails(404, "M_NOT_FOUND");
        anna.post(&format!("{DEHYDRATED}/{device_id}/events"), json!({})).await.fails(404, "M_NOT_FOUND");
        anna.delete(DEHYDRATED).await.fails(404, "M_NOT_FOUND");
    };
    for device in [&anna, &phone] {
        put(&device.device_id).await.fails(400, "M_INVALID_PARAM");
        is_none(&device.device_id).await;
    }
    let mut forged = dehydrated(&anna, "FORGED");
    forged["device_keys"]["algorithms"] = json!(["m.none"]);
    anna.put(DEHYDRATED, forged).await.fails(400, "M_INVALID_SIGNATURE");
    assert_eq!(
        list(&anna.get("/v3/devices").await.ok()["devices"]).len(),
        2,
        "what is refused leaves nothing"
    );

    // A client logs in as the device, which is a device like any other from then on.
    put("DREAM").await.ok();
    let dream = anna.device("DREAM").await;
    is_none("DREAM").await;
    put("NIGHTMARE").await.ok();
    put("DREAM").await.fails(400, "M_INVALID_PARAM");
    dream.get("/v3/account/whoami").await.ok();
    assert_eq!(anna.get(DEHYDRATED).await.ok()["device_id"], "NIGHTMARE");

    // It is removed as other devices are, and its id means nothing any more.
    let body = json!({ "devices": ["NIGHTMARE"] });
    let asked = anna.post("/v3/delete_devices", body.clone()).await;
    let mut proved = body;
    proved["auth"] = proof(&anna, &asked.json);
    anna.post("/v3/delete_devices", proved).await.ok();
    assert_eq!(network.rows::<DehydratedDevices>().await, 0);
    let nightmare = anna.device("NIGHTMARE").await;
    is_none("NIGHTMARE").await;
    nightmare.get("/v3/account/whoami").await.ok();
}

#[tokio::test]
async fn device_keys_are_whole_and_stay_as_they_are() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let device = OlmDevice::new(&anna);
    let (ed25519, curve25519) =
        (format!("ed25519:{}", anna.device_id), format!("curve25519:{}", anna.device_id));
    let upload = async |keys: &Value| {
        let mut body = device.device_keys();
        body["keys"] = keys.clone();
        body["signatures"] = json!({});
        anna.post("/v3/keys/upload", json!({ "device_keys": device.sign(body) })).await
    };
    let whole = device.device_keys()["keys"].clone();
    upload(&json!({})).await.fails(400, "M_BAD_JSON");
    for key_id in [&ed25519, &curve25519] {
        let padded = format!("{}=", text(&whole[key_id]));
        for bad in [Value::Null, json!(padded), json!("c2hvcnQ"), json!("no base64!"), json!("")] {
            let mut keys = whole.clone();
            match &bad {
                Value::Null => drop(keys.as_object_mut().expect("keys").remove(key_id)),
                bad => keys[key_id] = bad.clone(),
            }
            upload(&keys).await.fails(400, "M_BAD_JSON");
        }
    }
    let found = anna.post("/v3/keys/query", json!({ "device_keys": { &anna.user_id: [] } })).await.ok();
    assert_eq!(found["device_keys"][&anna.user_id], json!({}), "nothing is published");
    let mut unsigned = device.device_keys();
    unsigned["signatures"] = json!({});
    anna.post("/v3/keys/upload", json!({ "device_keys": unsigned })).await.fails(400, "M_INVALID_SIGNATURE");

    let mut more = whole.clone();
    more[format!("org.example:{}", anna.device_id)] = "a key".into();
    upload(&more).await.ok();
    upload(&whole).await.fails(400, "M_INVALID_PARAM");
    let another = OlmDevice::new(&anna).device_keys();
    anna.post("/v3/keys/upload", json!({ "device_keys": another })).await.fails(400, "M_INVALID_PARAM");
    upload(&more).await.ok();
}

#[tokio::test]
async fn no_device_has_the_name_of_a_cross_signing_key() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let identity = Identity::new(&anna);
    anna.post("/v3/keys/device_signing/upload", identity.upload()).await.ok();
    for key in [&identity.master, &identity.self_signing, &identity.user_signing] {
        let name = key.public_key().to_base64();
        let body = dehydrated(&anna, &name);
        anna.put(DEHYDRATED, body).await.fails(400, "M_INVALID_PARAM");
        let confusing = anna.device(&name).await;
        let keys = json!({ "device_keys": OlmDevice::new(&confusing).device_keys() });
        confusing.post("/v3/keys/upload", keys).await.fails(400, "M_INVALID_PARAM");
    }
    // It is refused the other way round, too.
    let other = Identity::new(&anna);
    anna.device(&other.master_name()).await;
    let asked = anna.post("/v3/keys/device_signing/upload", other.upload()).await;
    let mut proved = other.upload();
    proved["auth"] = proof(&anna, &asked.json);
    anna.post("/v3/keys/device_signing/upload", proved).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn of_identities_that_come_at_once_one_is_free() {
    let network = Network::open().await;
    for number in 0..5 {
        let anna = network.register(INSTAGRAM, &format!("anna{number}")).await;
        let uploads = (0..8).map(|_| {
            let (anna, body) = (anna.clone(), Identity::new(&anna).upload());
            async move { anna.post("/v3/keys/device_signing/upload", body).await.status.as_u16() }
        });
        let mut statuses = futures_util::future::join_all(uploads).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401, 401, 401, 401, 401, 401, 401]);
    }
}

#[tokio::test]
async fn what_is_no_key_is_not_published_as_one() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut device = OlmDevice::new(&anna);
    let identity = Identity::new(&anna);
    let padded = format!("{}=", identity.master_name());
    for public in ["c2hvcnQ", "no base64!", "", &padded] {
        let key = |usage: &str| {
            let keys = json!({ format!("ed25519:{public}"): public });
            json!({ "user_id": anna.user_id, "usage": [usage], "keys": keys })
        };
        let of_master = |usage: &str| signed(key(usage), &anna.user_id, &identity.master);
        for (name, key) in [
            ("master_key", key("master")),
            ("self_signing_key", of_master("self_signing")),
            ("user_signing_key", of_master("user_signing")),
        ] {
            let mut body = json!({ "master_key": identity.upload()["master_key"] });
            body[name] = key;
            anna.post("/v3/keys/device_signing/upload", body).await.fails(400, "M_BAD_JSON");
        }
    }

    let upload = async |body: Value| anna.post("/v3/keys/upload", body).await;
    upload(json!({ "device_keys": device.device_keys() })).await.ok();
    for bad in ["c2hvcnQ", "no base64!", "", &padded] {
        let key = device.sign(json!({ "key": bad }));
        for field in ["one_time_keys", "fallback_keys"] {
            upload(json!({ field: { "signed_curve25519:AAAAAA": key } })).await.fails(400, "M_BAD_JSON");
            upload(json!({ field: { "curve25519:AAAAAA": bad } })).await.fails(400, "M_BAD_JSON");
        }
    }
    let unnamed = device.sign(json!({ "k": device.device_keys()["keys"] }));
    upload(json!({ "one_time_keys": { "signed_curve25519:AAAAAA": unnamed } }))
        .await
        .fails(400, "M_BAD_JSON");
    upload(json!({ "one_time_keys": device.one_time_keys(1) })).await.ok();
}

#[tokio::test]
async fn a_fallback_key_that_was_replaced_does_not_come_back() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let mut device = OlmDevice::new(&anna);
    anna.post("/v3/keys/upload", json!({ "device_keys": device.device_keys() })).await.ok();
    let upload = async |key: &Value| anna.post("/v3/keys/upload", json!({ "fallback_keys": key })).await;
    let claim = async || {
        let wanted = json!({ "one_time_keys": { &anna.user_id: { &anna.device_id: "signed_curve25519" } } });
        ben.post("/v3/keys/claim", wanted).await.ok()["one_time_keys"][&anna.user_id][&anna.device_id].clone()
    };
    let unused =
        async || anna.get("/v3/sync?timeout=0").await.ok()["device_unused_fallback_key_types"].clone();

    let keys: Vec<_> = (0..40).map(|_| device.fallback_key()).collect();
    for key in &keys[..3] {
        upload(key).await.ok();
        assert_eq!(unused().await, json!(["signed_curve25519"]));
        assert_eq!(claim().await, *key);
    }
    for key in &keys[..3] {
        upload(key).await.ok();
        assert_eq!((unused().await, claim().await), (json!([]), keys[2].clone()));
    }
    // Fallback keys that were replaced long ago are forgotten.
    for key in &keys[3..] {
        upload(key).await.ok();
    }
    for key in &keys[8..39] {
        upload(key).await.ok();
        assert_eq!(claim().await, keys[39]);
    }
    upload(&keys[0]).await.ok();
    assert_eq!(claim().await, keys[0]);

    let mut two = keys[1].clone();
    two.as_object_mut().expect("keys").extend(keys[2].as_object().cloned().expect("keys"));
    upload(&two).await.fails(400, "M_BAD_JSON");
}

#[tokio::test]
async fn nobody_logs_in_as_a_device_whose_keys_are_still_going() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let phone = anna.device("PHONE").await;
    let user_id = anna.user_id.as_str().try_into().expect("a user id");
    let upload = async |phone: &Client| {
        let keys = OlmDevice::new(phone).device_keys();
        phone.post("/v3/keys/upload", json!({ "device_keys": keys })).await.ok();
        keys
    };
    upload(&phone).await;
    // The others have not been told yet.
    let removed = network.app.accounts.log_out(&user_id, &"PHONE".into()).await.expect("it is logged out");
    assert_eq!(removed.len(), 1);
    anna.try_log_in_as(Some("PHONE")).await.fails(503, "M_UNKNOWN");
    anna.put(DEHYDRATED, dehydrated(&anna, "PHONE")).await.fails(503, "M_UNKNOWN");
    anna.another_device().await;
    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    let code = browser.allow(INSTAGRAM, &authorise(&client, "PHONE", &[]), "anna").await;
    assert_eq!(browser.redeem(INSTAGRAM, &client, &code).await.status, 503);

    network.app.finish_interrupted(now_ts()).await.expect("it is finished");
    assert_eq!(browser.redeem(INSTAGRAM, &client, &code).await.status, 200, "the code was not used up");
    let keys = upload(&anna.device("PHONE").await).await;
    network.app.finish_interrupted(now_ts()).await.expect("there is nothing to finish");
    let found = anna.post("/v3/keys/query", json!({ "device_keys": { &anna.user_id: [] } })).await.ok();
    assert_eq!(found["device_keys"][&anna.user_id]["PHONE"]["keys"], keys["keys"]);
}

/// Makes an account with a device, as operators' tools do.
async fn by_shared_secret(network: &Network, name: &str) -> Client {
    let path = "/_synapse/admin/v1/register";
    let nonce = text(&network.call(MESSENGER, None, Method::GET, path, None).await.ok()["nonce"]);
    let mut mac = Hmac::<Sha1>::new_from_slice(SHARED_SECRET.as_bytes()).expect("any length will do");
    mac.update([nonce.as_str(), name, PASSWORD, "notadmin"].join("\0").as_bytes());
    let mac: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({ "nonce": nonce, "username": name, "password": PASSWORD, "mac": mac });
    let made = network.call(MESSENGER, None, Method::POST, path, Some(body)).await.ok();
    network.client(MESSENGER, &made)
}

/// However somebody makes a device in a user's name, everybody who would encrypt for it learns of it.
#[tokio::test]
async fn no_device_comes_unseen() {
    let network = Network::open_with(&format!("registration_shared_secret = '{SHARED_SECRET}'")).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = by_shared_secret(&network, "ben").await;
    let room = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    ben.join(&room).await.ok();
    let mut since = text(&anna.get("/v3/sync?timeout=0").await.ok()["next_batch"]);
    let mut since_ben = text(&ben.get("/v3/sync?timeout=0").await.ok()["next_batch"]);

    let by_token = async || {
        let asked = ben.post("/v1/login/get_token", json!({})).await;
        let token = ben.post("/v1/login/get_token", json!({ "auth": proof(&ben, &asked.json) })).await.ok();
        let body = json!({ "type": "m.login.token", "token": token["login_token"] });
        network.client(
            MESSENGER,
            &network.call(MESSENGER, None, Method::POST, "/v3/login", Some(body)).await.ok(),
        )
    };
    let by_oauth = async || {
        let (_, tokens) = Browser::new(&network).session(MESSENGER, "ben", "OAUTH").await;
        let session = json!({
            "access_token": tokens["access_token"], "user_id": ben.user_id, "device_id": "OAUTH",
        });
        network.client(MESSENGER, &session)
    };
    let again = async || {
        ben.device("AGAIN").await.post("/v3/logout", json!({})).await.ok();
        ben.device("AGAIN").await
    };
    let devices = [
        ("by shared secret", ben.clone()),
        ("by password", ben.another_device().await),
        ("by a login token", by_token().await),
        ("by OAuth", by_oauth().await),
        ("with an id that is used again", again().await),
    ];
    assert_eq!(changes(&anna, &mut since).await, (vec![], vec![]), "none of them can read anything yet");
    changes(&ben, &mut since_ben).await;
    let of_ben = [ben.user_id.clone()];
    for (how, device) in devices {
        let own = each(&ben.get("/v3/devices").await.ok()["devices"], "device_id");
        assert!(own.contains(&device.device_id), "{how}: {own:?}");
        let keys = OlmDevice::new(&device).device_keys();
        device.post("/v3/keys/upload", json!({ "device_keys": keys })).await.ok();
        assert_eq!(changes(&anna, &mut since).await.0, of_ben, "{how}");
        assert_eq!(changes(&ben, &mut since_ben).await.0, of_ben, "{how}");
        let found = anna.post("/v3/keys/query", json!({ "device_keys": { &ben.user_id: [] } })).await.ok();
        assert_eq!(found["device_keys"][&ben.user_id][&device.device_id]["keys"], keys["keys"], "{how}");
    }
    // A dehydrated device needs no client.
    ben.put(DEHYDRATED, dehydrated(&ben, "DREAM")).await.ok();
    assert_eq!(changes(&anna, &mut since).await.0, of_ben);
}
