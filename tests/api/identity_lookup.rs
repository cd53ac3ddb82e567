//! Looking people up by hashes of their addresses, as existing clients do, where a platform has turned it on.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Method;
use linkspan_matching::ELEMENTS_PER_DAY;
use linkspan_storage::catalogue::MatchingHashes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    matching::{open, register, say_findable},
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, text},
};

const IDENTITY: &str = "/_matrix/identity/v2";

/// Instagram has it turned on, the others have not.
async fn open_lookup() -> Network {
    let on = |settings: &mut linkspan_platforms::Settings| {
        settings.identity_lookup = settings.server_name == INSTAGRAM;
    };
    open().await.reopen_changed(on).await
}

/// A person's client, with a token for the identity service of a platform.
struct Asker {
    network: Network,
    platform: &'static str,
    token: String,
}

impl Asker {
    async fn new(network: &Network, platform: &'static str, user: &Client) -> Self {
        let registered = register_by(network, platform, user).await.ok();
        Self { network: network.clone(), platform, token: text(&registered["token"]) }
    }

    async fn get(&self, path: &str) -> Answer {
        let path = format!("{IDENTITY}/{path}");
        self.network.call(self.platform, Some(&self.token), Method::GET, &path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let path = format!("{IDENTITY}/{path}");
        self.network.call(self.platform, Some(&self.token), Method::POST, &path, Some(body)).await
    }

    async fn pepper(&self) -> String {
        text(&self.get("hash_details").await.ok()["lookup_pepper"])
    }

    async fn look_up(&self, pepper: &str, hashes: &[String]) -> Answer {
        let lookup = json!({ "algorithm": "sha256", "pepper": pepper, "addresses": hashes });
        self.post("lookup", lookup).await
    }
}

/// Shows a platform an OpenID token of somebody.
pub(crate) async fn register_by(network: &Network, platform: &str, user: &Client) -> Answer {
    let path = format!("/v3/user/{}/openid/request_token", user.user_id);
    let token = user.post(&path, json!({})).await.ok();
    network.call(platform, None, Method::POST, &format!("{IDENTITY}/account/register"), Some(token)).await
}

fn hash(address: &str, pepper: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{address} email {pepper}")))
}

#[tokio::test]
async fn whoever_wants_to_be_found_is_found_by_a_hash() {
    let network = open_lookup().await;
    let anna = register(&network, INSTAGRAM, "anna", "anna@example.org").await;
    let ben = register(&network, MESSENGER, "ben", "ben@example.org").await;
    let cleo = register(&network, WHATSAPP, "cleo", "cleo@example.org").await;
    let asker = Asker::new(&network, INSTAGRAM, &anna).await;
    assert_eq!(asker.get("account").await.ok(), json!({ "user_id": anna.user_id }));
    let pepper = asker.pepper().await;
    let hashes = ["anna@example.org", "ben@example.org", "cleo@example.org", "nobody@example.org"];
    let hashes = hashes.map(|address| hash(address, &pepper));
    let found = asker.look_up(&pepper, &hashes).await.ok();
    assert_eq!(found, json!({ "mappings": { &hashes[2]: cleo.user_id } }), "the others have not said so");

    say_findable(&ben, true).await;
    say_findable(&cleo, false).await;
    let found = asker.look_up(&pepper, &hashes).await.ok();
    assert_eq!(found, json!({ "mappings": { &hashes[1]: ben.user_id } }));

    // Where nobody is looked up so any more, no hashes are kept, and they are back when somebody is.
    assert_eq!(network.rows::<MatchingHashes>().await, 1);
    let off = network.reopen_changed(|settings| settings.identity_lookup = false).await;
    assert_eq!(off.rows::<MatchingHashes>().await, 0);
    let network =
        off.reopen_changed(|settings| settings.identity_lookup = settings.server_name == INSTAGRAM).await;
    assert_eq!(network.rows::<MatchingHashes>().await, 1);
    let asker = Asker::new(&network, INSTAGRAM, &anna.on(&network)).await;

    // Of two people with one address it is the one of the same platform.
    let second = register(&network, INSTAGRAM, "second", "ben@example.org").await;
    say_findable(&second, true).await;
    let found = asker.look_up(&pepper, &hashes).await.ok();
    assert_eq!(found, json!({ "mappings": { &hashes[1]: second.user_id } }));
}

#[tokio::test]
async fn it_is_for_the_people_of_a_platform_that_has_turned_it_on() {
    let network = open_lookup().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    register_by(&network, MESSENGER, &ben).await.fails(404, "M_UNRECOGNIZED");
    register_by(&network, INSTAGRAM, &ben).await.fails(401, "M_UNAUTHORIZED");
    let known = |platform| network.call(platform, None, Method::GET, "/.well-known/matrix/client", None);
    assert!(known(INSTAGRAM).await.ok()["m.identity_server"]["base_url"].is_string());
    assert_eq!(known(MESSENGER).await.ok()["m.identity_server"], Value::Null);
    for path in ["versions", "v2", "v2/terms"] {
        let path = format!("/_matrix/identity/{path}");
        network.call(INSTAGRAM, None, Method::GET, &path, None).await.ok();
        network.call(MESSENGER, None, Method::GET, &path, None).await.fails(404, "M_UNRECOGNIZED");
    }

    let asker = Asker::new(&network, INSTAGRAM, &anna).await;
    let elsewhere = Asker { platform: MESSENGER, token: asker.token.clone(), network: network.clone() };
    let nobody = Asker { token: anna.token.clone(), platform: INSTAGRAM, network: network.clone() };
    let lookup = json!({ "algorithm": "sha256", "pepper": "x", "addresses": ["x"] });
    elsewhere.post("lookup", lookup.clone()).await.fails(404, "M_UNRECOGNIZED");
    nobody.post("lookup", lookup.clone()).await.fails(401, "M_UNAUTHORIZED");
    for path in ["account", "hash_details"] {
        elsewhere.get(path).await.fails(404, "M_UNRECOGNIZED");
        nobody.get(path).await.fails(401, "M_UNAUTHORIZED");
    }
    asker.post("account/logout", json!({})).await.ok();
    asker.post("lookup", lookup).await.fails(401, "M_UNAUTHORIZED");
}

/// Whoever is shown somebody's token for an hour is not that somebody for longer.
#[tokio::test]
async fn an_openid_token_is_shown_once_and_makes_no_other() {
    let network = open_lookup().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let path = format!("/v3/user/{}/openid/request_token", anna.user_id);
    let token = anna.post(&path, json!({})).await.ok();
    let register = async |token: Value| {
        let path = format!("{IDENTITY}/account/register");
        network.call(INSTAGRAM, None, Method::POST, &path, Some(token)).await
    };
    let identity = register(token.clone()).await.ok();
    register(token).await.fails(401, "M_UNAUTHORIZED");
    register(json!({ "access_token": identity["token"] })).await.fails(401, "M_UNAUTHORIZED");
    let path = format!("/_matrix/federation/v1/openid/userinfo?access_token={}", text(&identity["token"]));
    network.call(INSTAGRAM, None, Method::GET, &path, None).await.fails(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn hashes_are_counted_and_bad_ones_find_nobody() {
    let network = open_lookup().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let asker = Asker::new(&network, INSTAGRAM, &anna).await;
    let pepper = asker.pepper().await;
    asker.look_up("salt", &["x".to_owned()]).await.fails(400, "M_INVALID_PEPPER");
    let plain = json!({ "algorithm": "none", "pepper": pepper, "addresses": ["anna@example.org email"] });
    asker.post("lookup", plain).await.fails(400, "M_INVALID_PARAM");
    asker.post("lookup", json!({ "pepper": pepper, "addresses": [] })).await.fails(400, "M_MISSING_PARAM");
    asker.look_up(&pepper, &[]).await.fails(400, "M_INVALID_PARAM");
    asker.look_up(&pepper, &vec![String::new(); 501]).await.fails(400, "M_INVALID_PARAM");
    let odd = ["", "!", "AAAA", &"A".repeat(44), &"é".repeat(43)].map(str::to_owned);
    assert_eq!(asker.look_up(&pepper, &odd).await.ok(), json!({ "mappings": {} }));
    let rest = ELEMENTS_PER_DAY as usize - odd.len();
    let hashes = vec!["A".repeat(43); 500];
    for _ in 0..rest / hashes.len() {
        asker.look_up(&pepper, &hashes).await.ok();
    }
    asker.look_up(&pepper, &hashes).await.fails(429, "M_LIMIT_EXCEEDED");
}
