//! `/keys`, as clients with real Olm accounts use it.

use serde_json::{Value, json};

use crate::{
    network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, list, text},
    olm::{Identity, OlmDevice, signed},
};

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

    // Then there is the fallback key, again and again.
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
        upload(json!({ "device_keys": foreign })).await.fails(400, "M_INVALID_PARAM");
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
    for key in one_time.as_object_mut().expect("keys").values_mut() {
        *key = device.sign(json!({ "key": "another" }));
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
async fn changes(client: &Client, since: &mut String) -> (Vec<String>, Vec<String>) {
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

    // Who comes in is told of those who are there.
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
    upload(of_ben).await.fails(400, "M_INVALID_PARAM");
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

    // Not so: with another key, in another's name, of what is not published, of another's device.
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

#[tokio::test]
async fn a_dehydrated_device_receives_until_another_takes_its_place() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let path = "/unstable/org.matrix.msc3814.v1/dehydrated_device";
    let put = async |device_id: &str| {
        let mut device = OlmDevice::of(&anna.user_id, device_id);
        let body = json!({
            "device_id": device_id, "device_keys": device.device_keys(),
            "one_time_keys": device.one_time_keys(2), "fallback_keys": device.fallback_key(),
            "device_data": { "algorithm": "org.matrix.msc3814.v2", "device_pickle": "p", "nonce": "n" },
        });
        anna.put(path, body).await
    };
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

    // The same as newer clients ask for it.
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
