//! A one-time key is given out once: many claim at the same time, devices upload again what they uploaded before, and
//! the server is killed in between.
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
use linkspan_tests::{Answer, Body, Http, Platform, Server};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::setting;

/// How often the server is killed.
const KILLS: usize = 10;
/// Claims that are acknowledged before it ends.
const CLAIMS: usize = 5_000;
/// Devices, spread over the platforms.
const DEVICES: usize = 12;
/// Who claims at the same time.
const CLAIMERS: usize = 24;
/// Keys of one upload.
const UPLOAD: usize = 50;
/// Keys that a device has waiting before it uploads more.
const LOW: u64 = 60;
const ALGORITHM: &str = "curve25519";

/// A device whose keys are claimed, as it sees itself.
struct Device {
    platform: Platform,
    user_id: String,
    device_id: String,
    token: String,
    /// Everything it has uploaded, or tried to: key ids and keys.
    uploaded: BTreeMap<String, String>,
    /// Uploads that were acknowledged.
    acknowledged: BTreeSet<String>,
}

/// A key that somebody was given: of which device, and which.
type Claimed = (usize, String);

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
    // Claims that were under way when the server was killed: each may have taken keys that nobody heard of.
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
    check(&http, &mut devices, claimed, lost.load(Ordering::Relaxed)).await;
    server.kill();
    for line in server.log() {
        assert!(!line.contains("ERROR") && !line.contains("panicked"), "the server says: {line}");
    }
}

/// Everything is accounted for: each key was given out once at most, and none is lost but with an answer.
async fn check(http: &Http, devices: &mut [Device], mut claimed: Vec<Claimed>, lost: usize) {
    let during = claimed.len();
    for (number, device) in devices.iter().enumerate() {
        // What it uploaded before it uploads again: nothing of it comes back.
        let all: Value = device.uploaded.iter().map(|(id, key)| (id.clone(), json!(key))).collect();
        let before = count(http, device).await;
        let unheard = device.uploaded.len() - device.acknowledged.len();
        let counts = upload(http, device, all).await.expect("the server is up");
        assert_eq!(counts.status, 200, "{}", counts.json());
        let left = count(http, device).await;
        assert!(left >= before && left - before <= unheard as u64, "keys came back: {before}, then {left}");
        let mut drained = 0;
        while let Some(key_id) = claim(http, device, (device.platform, &device.token)).await {
            claimed.push((number, key_id));
            drained += 1;
        }
        assert_eq!(drained, left, "the count of {} is wrong", device.user_id);
        assert_eq!(count(http, device).await, 0);
    }
    let distinct: BTreeSet<_> = claimed.iter().cloned().collect();
    assert_eq!(distinct.len(), claimed.len(), "a key was given out twice");
    let mut missing = 0;
    for (number, device) in devices.iter().enumerate() {
        missing += device.uploaded.keys().filter(|id| !distinct.contains(&(number, (*id).clone()))).count();
        for (_, key_id) in distinct.iter().filter(|(of, _)| *of == number) {
            assert!(device.uploaded.contains_key(key_id), "{key_id} was never uploaded");
        }
    }
    println!(
        "{during} keys claimed under load, {} in all; {missing} gone with {lost} answers",
        claimed.len()
    );
    assert!(missing <= lost, "{missing} keys are gone, and only {lost} answers were lost");
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
    Device {
        platform,
        user_id: text("user_id"),
        device_id: text("device_id"),
        token: text("access_token"),
        uploaded: BTreeMap::new(),
        acknowledged: BTreeSet::new(),
    }
}

/// Claims keys of one device or of several; returns those that it was told.
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
        // The first devices are popular.
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
            claimed.extend(keys.unwrap_or_default().into_iter().map(|(key_id, _)| (number, key_id)));
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
        for number in first..first + fresh {
            device.uploaded.insert(format!("{ALGORITHM}:{number:06}"), format!("key{number}"));
        }
        // Among them are keys whose upload was never answered, and keys that were given out long ago.
        let from = if again { rng.random_range(0..=first) } else { first.saturating_sub(UPLOAD / 2) };
        let part: Vec<_> = device.uploaded.iter().skip(from).take(2 * UPLOAD).collect();
        let ids: Vec<_> = part.iter().map(|(id, _)| (*id).clone()).collect();
        let body: Value = part.into_iter().map(|(id, key)| (id.clone(), json!(key))).collect();
        let Ok(answer) = upload(&http, &device, body).await else { return device };
        assert_eq!(answer.status, 200, "{}", answer.json());
        device.acknowledged.extend(ids);
    }
}

async fn upload(http: &Http, device: &Device, keys: Value) -> Result<Answer, linkspan_tests::Lost> {
    let body = Body::Json(json!({ "one_time_keys": keys }));
    let path = "/_matrix/client/v3/keys/upload";
    http.call(Method::POST, device.platform, path, Some(&device.token), body).await
}

/// How many keys a device has left, which sync and upload say alike.
async fn count(http: &Http, device: &Device) -> u64 {
    let counts = upload(http, device, json!({})).await.expect("the server is up").json();
    let uploaded = counts["one_time_key_counts"][ALGORITHM].as_u64().unwrap_or(0);
    let path = "/_matrix/client/v3/sync?timeout=0";
    let synced = http.call(Method::GET, device.platform, path, Some(&device.token), Body::Empty).await;
    let synced = synced.expect("the server is up").json();
    assert_eq!(synced["device_one_time_keys_count"][ALGORITHM].as_u64().unwrap_or(0), uploaded);
    uploaded
}

/// One key of a device; None: it has none left.
async fn claim(http: &Http, device: &Device, (platform, token): (Platform, &str)) -> Option<String> {
    let body = json!({ "one_time_keys": { &device.user_id: { &device.device_id: ALGORITHM } } });
    let path = "/_matrix/client/v3/keys/claim";
    let answer = http.call(Method::POST, platform, path, Some(token), Body::Json(body)).await;
    let answer = answer.expect("the server is up");
    assert_eq!(answer.status, 200, "{}", answer.json());
    let found = answer.json();
    let keys = found["one_time_keys"][&device.user_id][&device.device_id].as_object()?.clone();
    keys.into_iter().next().map(|(key_id, _)| key_id)
}
