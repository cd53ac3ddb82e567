//! What becomes of keys as they are uploaded: when two are the same.

use http::Method;
use serde_json::{Value, json};

use crate::{
    network::{Client, INSTAGRAM, MESSENGER, Network, text},
    olm::OlmDevice,
};

/// The same keys, written in other ways: other order, blanks, a further signature, words of others.
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
