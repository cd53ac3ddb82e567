//! A one-time key is given out once, and a fallback key when there are no others. Many people claim keys at
//! the same time, devices upload again what they uploaded before, and the server is killed in between. All
//! keys are signed, as clients do it.
//!
//! `LINKSPAN_CRASH_SEED` chooses the moments and who claims what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use linkspan_tests::{Answer, Body, Http, Platform, Server, olm::OlmDevice};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::setting;

/// How often the server is killed.
const KILLS: usize = 10;
/// How many claims are acknowledged before the test ends.
const CLAIMS: usize = 2_000;
/// How many devices there are. They are spread over the platforms.
const DEVICES: usize = 12;
/// How many people claim at the same time.
const CLAIMERS: usize = 24;
/// How many keys one upload has.
const UPLOAD: usize = 50;
/// The most keys of a device that the server keeps.
const MOST_KEYS: usize = 1_000;
/// A device uploads more keys when it has fewer than this waiting.
const LOW: u64 = 60;
const ALGORITHM: &str = "signed_curve25519";

/// A device whose keys are claimed, as it sees itself.
struct Device {
    platform: Platform,
    user_id: String,
    device_id: String,
    token: String,
    olm: OlmDevice,
    /// Everything that the device has uploaded, or tried to, in that order, as key ids and keys.
    uploaded: Vec<(String, Value)>,
    /// The ids of keys whose upload was acknowledged.
    acknowledged: BTreeSet<String>,
    /// The device's fallback key: an object with one key, as it was uploaded.
    fallback: Value,
}

/// A key that somebody was given: the device, the key's id and the key.
type Claimed = (usize, String, Value);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_one_time_key_is_given_out_twice() {
    let seed = setting("LINKSPAN_CRASH_SEED").unwrap_or_else(rand::random);
    println!("LINKSPAN_CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = Server::start();
    let http = Http::new(server.addresses());
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        devices.push(register(&http, number).await);
    }
    let wanted: Arc<Vec<_>> =
        Arc::new(devices.iter().map(|device| (device.user_id.clone(), device.device_id.clone())).collect());
    let tokens: Arc<Vec<_>> =
        Arc::new(devices.iter().map(|device| (device.platform, device.token.clone())).collect());

    let mut claimed: Vec<Claimed> = Vec::new();
    // These are claims that were under way when the server was killed. Each may have taken keys that nobody
    // heard of.
    let lost = Arc::new(AtomicUsize::new(0));
    let mut killed = 0;
    while killed < KILLS || claimed.len() < CLAIMS {
        let claimers = (0..CLAIMERS).map(|_| {
            let seed = rng.random();
            let claims = claim_until_killed(http.clone(), wanted.clone(), tokens.clone(), lost.clone(), seed);
            tokio::spawn(claims)
        });
        let claimers: Vec<_> = claimers.collect();
        let uploaders = devices.into_iter().map(|device| {
            let seed = rng.random();
            tokio::spawn(upload_until_killed(http.clone(), device, seed))
        });
        let uploaders: Vec<_> = uploaders.collect();
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..900))).await;
        server.kill();
        http.gone();
        killed += 1;
        for claimer in claimers {
            claimed.extend(claimer.await.expect("a claimer found something wrong"));
        }
        devices = Vec::new();
        for uploader in uploaders {
            devices.push(uploader.await.expect("an uploader found something wrong"));
        }
        server.restart();
        http.moved(server.addresses());
    }
    let lost = lost.load(Ordering::Relaxed);
    let (fallback, claimed): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|(_, _, key)| is_fallback(key));
    check_unused(&http, &devices, &fallback, lost).await;
    check(&http, &mut devices, claimed, lost).await;
    check_fallback(&http, &mut server, &mut devices).await;
    server.kill();
    for line in server.log() {
        assert!(!line.contains("ERROR") && !line.contains("panicked"), "the server says: {line}");
    }
}

/// Checks that a fallback key that somebody was given counts as used, after all the kills as well.
async fn check_unused(http: &Http, devices: &[Device], fallback: &[Claimed], lost: usize) {
    for (number, device) in devices.iter().enumerate() {
        let given: Vec<_> = fallback.iter().filter(|(of, ..)| *of == number).collect();
        for (_, key_id, key) in &given {
            assert_eq!(json!({ key_id: key }), device.fallback, "another fallback key");
        }
        let unused = has_unused_fallback(http, device).await;
        assert!(given.is_empty() || !unused, "the fallback key of {} was given out", device.user_id);
        assert!(!given.is_empty() || unused || lost > 0, "nobody was given the one of {}", device.user_id);
    }
    println!("{} times a fallback key was given under load", fallback.len());
}

/// Checks that each key was given out once at most, and that none is lost except with an answer. The fallback
/// key comes when all others are gone.
async fn check(http: &Http, devices: &mut [Device], mut claimed: Vec<Claimed>, lost: usize) {
    let during = claimed.len();
    for (number, device) in devices.iter().enumerate() {
        // The device uploads again what it uploaded before, and none of it comes back. Uploads that the kills
        // cut off may have been many, and the server keeps no more keys than its limit.
        for some in device.uploaded.chunks(MOST_KEYS / 2) {
            let keys: Value = some.iter().cloned().collect();
            let before = count(http, device).await;
            let unheard = some.iter().filter(|(key_id, _)| !device.acknowledged.contains(key_id)).count();
            let counts =
                upload(http, device, json!({ "one_time_keys": keys })).await.expect("the server is up");
            assert_eq!(counts.status, 200, "{}", counts.json());
            let left = count(http, device).await;
            assert!(
                left >= before && left - before <= unheard as u64,
                "keys came back: {before}, then {left}"
            );
            for _ in 0..left {
                let (key_id, key) = claim(http, device).await;
                assert!(!is_fallback(&key), "there are one-time keys of {} left", device.user_id);
                claimed.push((number, key_id, key));
            }
        }
        assert_eq!(count(http, device).await, 0);
        let (key_id, key) = claim(http, device).await;
        assert_eq!(json!({ key_id: key }), device.fallback, "the one-time keys are out");
    }
    let distinct: BTreeSet<_> = claimed.iter().map(|(number, key_id, _)| (*number, key_id)).collect();
    assert_eq!(distinct.len(), claimed.len(), "a key was given out twice");
    let mut missing = 0;
    let uploaded: Vec<BTreeMap<_, _>> =
        devices.iter().map(|it| it.uploaded.iter().cloned().collect()).collect();
    for (number, keys) in uploaded.iter().enumerate() {
        missing += keys.keys().filter(|id| !distinct.contains(&(number, *id))).count();
    }
    for (number, key_id, key) in &claimed {
        assert_eq!(uploaded[*number].get(key_id), Some(key), "{key_id} was never uploaded");
    }
    println!(
        "{during} keys claimed under load, {} in all; {missing} gone with {lost} answers",
        claimed.len()
    );
    assert!(missing <= lost, "{missing} keys are gone, and only {lost} answers were lost");
}

/// Checks that it is on disk when a claim is answered that a fallback key is in use, and when an upload is
/// answered that another one has taken its place.
async fn check_fallback(http: &Http, server: &mut Server, devices: &mut [Device]) {
    let mut anew = || {
        server.kill();
        server.restart();
        http.moved(server.addresses());
    };
    anew();
    let mut replaced = Vec::new();
    for device in devices.iter_mut() {
        assert!(!has_unused_fallback(http, device).await, "it was given out before the kill");
        replaced.push(std::mem::replace(&mut device.fallback, device.olm.fallback_key()));
        assert_eq!(upload_fallback(http, device, &device.fallback).await, 200);
    }
    anew();
    for (device, replaced) in devices.iter().zip(&replaced) {
        assert!(has_unused_fallback(http, device).await, "it was uploaded before the kill");
        assert_eq!(upload_fallback(http, device, replaced).await, 200);
        let (key_id, key) = claim(http, device).await;
        assert_eq!(json!({ key_id: key }), device.fallback);
    }
    anew();
    for (device, replaced) in devices.iter().zip(&replaced) {
        for again in [replaced, &device.fallback] {
            assert_eq!(upload_fallback(http, device, again).await, 200);
            assert!(!has_unused_fallback(http, device).await, "what comes again is not new");
        }
    }
}

fn is_fallback(key: &Value) -> bool {
    key["fallback"] == true
}

async fn register(http: &Http, number: usize) -> Device {
    let platform = Platform::ALL[number % Platform::ALL.len()];
    let body = json!({
        "username": format!("device{number}"), "password": "correct horse battery staple",
        "auth": { "type": "m.login.dummy" },
    });
    let path = "/_matrix/client/v3/register";
    let answer = http.call(Method::POST, platform, path, None, Body::Json(body)).await;
    let session = answer.expect("the server is up").json();
    let text = |field: &str| session[field].as_str().expect("a session").to_owned();
    let mut olm = OlmDevice::of(&text("user_id"), &text("device_id"));
    let fallback = olm.fallback_key();
    let device = Device {
        platform,
        user_id: text("user_id"),
        device_id: text("device_id"),
        token: text("access_token"),
        olm,
        uploaded: Vec::new(),
        acknowledged: BTreeSet::new(),
        fallback,
    };
    let keys = json!({ "device_keys": device.olm.device_keys(), "fallback_keys": device.fallback });
    let answer = upload(http, &device, keys).await.expect("the server is up");
    assert_eq!(answer.status, 200, "{}", answer.json());
    device
}

/// Claims keys of one device or of several. Returns the keys that it was given.
async fn claim_until_killed(
    http: Http,
    wanted: Arc<Vec<(String, String)>>,
    tokens: Arc<Vec<(Platform, String)>>,
    lost: Arc<AtomicUsize>,
    seed: u64,
) -> Vec<Claimed> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut claimed = Vec::new();
    loop {
        let several = if rng.random_bool(0.3) { rng.random_range(2..=4) } else { 1 };
        // The first devices are asked for more often.
        let devices: BTreeSet<usize> = (0..several)
            .map(|_| if rng.random_bool(0.5) { rng.random_range(0..2) } else { rng.random_range(0..DEVICES) })
            .collect();
        let mut body = json!({ "one_time_keys": {} });
        for number in &devices {
            let (user_id, device_id) = &wanted[*number];
            body["one_time_keys"][user_id][device_id] = ALGORITHM.into();
        }
        let (platform, token) = tokens.choose(&mut rng).expect("there are devices");
        let path = "/_matrix/client/v3/keys/claim";
        let answer = http.call(Method::POST, *platform, path, Some(token), Body::Json(body)).await;
        let Ok(answer) = answer else {
            lost.fetch_add(devices.len(), Ordering::Relaxed);
            return claimed;
        };
        assert_eq!(answer.status, 200, "{}", answer.json());
        let found = answer.json();
        for number in devices {
            let (user_id, device_id) = &wanted[number];
            let keys = found["one_time_keys"][user_id][device_id].as_object().cloned();
            claimed.extend(keys.unwrap_or_default().into_iter().map(|(key_id, key)| (number, key_id, key)));
        }
    }
}

/// Uploads more keys whenever few are left, and sometimes again what it uploaded before.
async fn upload_until_killed(http: Http, mut device: Device, seed: u64) -> Device {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let Ok(answer) = upload(&http, &device, json!({})).await else { return device };
        let left = answer.json()["one_time_key_counts"][ALGORITHM].as_u64().unwrap_or(0);
        let again = rng.random_bool(0.3);
        if left >= LOW && !again {
            tokio::task::yield_now().await;
            continue;
        }
        let first = device.uploaded.len();
        let fresh = if again { 0 } else { UPLOAD };
        if fresh > 0 {
            let keys = device.olm.one_time_keys(fresh);
            device.uploaded.extend(keys.as_object().cloned().expect("keys"));
        }
        // Among them are keys whose upload was never answered, and keys that were given out long ago.
        let from = if again { rng.random_range(0..=first) } else { first.saturating_sub(UPLOAD / 2) };
        let part: Vec<_> = device.uploaded.iter().skip(from).take(2 * UPLOAD).cloned().collect();
        let ids: Vec<_> = part.iter().map(|(id, _)| id.clone()).collect();
        let keys: Value = part.into_iter().collect();
        let body = json!({ "one_time_keys": keys, "fallback_keys": device.fallback });
        let Ok(answer) = upload(&http, &device, body).await else { return device };
        assert_eq!(answer.status, 200, "{}", answer.json());
        device.acknowledged.extend(ids);
    }
}

async fn upload(http: &Http, device: &Device, keys: Value) -> Result<Answer, linkspan_tests::Lost> {
    let body = Body::Json(keys);
    let path = "/_matrix/client/v3/keys/upload";
    http.call(Method::POST, device.platform, path, Some(&device.token), body).await
}

async fn upload_fallback(http: &Http, device: &Device, key: &Value) -> u16 {
    upload(http, device, json!({ "fallback_keys": key })).await.expect("the server is up").status
}

async fn sync(http: &Http, device: &Device) -> Value {
    let path = "/_matrix/client/v3/sync?timeout=0";
    let synced = http.call(Method::GET, device.platform, path, Some(&device.token), Body::Empty).await;
    synced.expect("the server is up").json()
}

/// How many keys a device has left. Sync and upload say the same.
async fn count(http: &Http, device: &Device) -> u64 {
    let counts = upload(http, device, json!({})).await.expect("the server is up").json();
    let uploaded = counts["one_time_key_counts"][ALGORITHM].as_u64().unwrap_or(0);
    let synced = sync(http, device).await;
    assert_eq!(synced["device_one_time_keys_count"][ALGORITHM].as_u64().unwrap_or(0), uploaded);
    uploaded
}

async fn has_unused_fallback(http: &Http, device: &Device) -> bool {
    let unused = sync(http, device).await["device_unused_fallback_key_types"].clone();
    assert!(unused == json!([]) || unused == json!([ALGORITHM]), "{unused}");
    unused != json!([])
}

/// Claims one key of a device, and returns it.
async fn claim(http: &Http, device: &Device) -> (String, Value) {
    let body = json!({ "one_time_keys": { &device.user_id: { &device.device_id: ALGORITHM } } });
    let path = "/_matrix/client/v3/keys/claim";
    let answer = http.call(Method::POST, device.platform, path, Some(&device.token), Body::Json(body)).await;
    let answer = answer.expect("the server is up");
    assert_eq!(answer.status, 200, "{}", answer.json());
    let found = answer.json();
    let keys = found["one_time_keys"][&device.user_id][&device.device_id].as_object().cloned();
    keys.and_then(|keys| keys.into_iter().next()).expect("there is a fallback key at least")
}
