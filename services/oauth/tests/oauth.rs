//! What happens to codes, grants, browsers and clients as time passes, and the part of the accounts service
//! in a session.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use linkspan_accounts::{Accounts, Credentials, Identifier, PasswordStamp};
use linkspan_oauth::{AuthorisationRequest, NewClient, OAuth, OAuthError, TokenOutcome, TokenRequest};
use linkspan_platforms::{Platform, Platforms};
use linkspan_storage::{Memory, Store};
use ruma::OwnedUserId;
use serde_json::json;

const NOW: u64 = 1_700_000_000_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
const PASSWORD: &str = "correct horse";
const CALLBACK: &str = "https://example.org/";
const SCOPE: &str = "urn:matrix:client:api:* urn:matrix:client:device:PHONE";
/// The SHA-256 hash of [`VERIFIER`].
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

struct World {
    oauth: OAuth,
    accounts: Accounts,
    platform: Arc<Platform>,
    anna: OwnedUserId,
}

async fn world() -> World {
    let store = Store::in_memory(Memory::new().expect("an engine"));
    let settings = json!([{ "name": "instagram", "server_name": "instagram.localhost" }]);
    let settings = serde_json::from_value(settings).expect("settings");
    let platforms = Platforms::open(&store, settings, NOW).await.expect("platforms");
    let platform = platforms.iter().next().expect("a platform").clone();
    let accounts = Accounts::new(store.clone());
    let name = platform.server_name();
    let anna = accounts.create_account(name, "anna", PASSWORD.into(), false, NOW).await.expect("an account");
    World { oauth: OAuth::new(store, accounts.clone()), accounts, platform, anna }
}

impl World {
    async fn register(&self, client_name: &str, now_ts: u64) -> String {
        self.try_register(client_name, HERE, now_ts).await.expect("a client")
    }

    async fn try_register(&self, client_name: &str, from: IpAddr, now_ts: u64) -> Result<String, OAuthError> {
        let device_code = "urn:ietf:params:oauth:grant-type:device_code";
        let client = NewClient {
            client_name: Some(client_name.into()),
            client_uri: Some(CALLBACK.into()),
            redirect_uris: vec![CALLBACK.into()],
            grant_types: Some(vec!["authorization_code".into(), device_code.into()]),
            ..NewClient::default()
        };
        let client = self.oauth.register_client(self.platform.server_name(), client, from, now_ts).await?;
        Ok(client.client_id)
    }

    async fn is_registered(&self, client_id: &str) -> bool {
        self.oauth.client(self.platform.server_name(), client_id).await.expect("read").is_some()
    }

    async fn code(&self, client_id: &str) -> String {
        let text = |text: &str| Some(text.to_owned());
        let request = AuthorisationRequest {
            client_id: text(client_id),
            redirect_uri: text(CALLBACK),
            response_type: text("code"),
            scope: text(SCOPE),
            code_challenge: text(CHALLENGE),
            code_challenge_method: text("S256"),
            ..AuthorisationRequest::default()
        };
        let asked = self.oauth.check_authorisation(self.platform.server_name(), request).await;
        let stamp = self.stamp().await;
        self.oauth.allow(&asked.expect("a request"), &self.anna, stamp, NOW).await.expect("a code")
    }

    /// The stamp of anna's password.
    async fn stamp(&self) -> PasswordStamp {
        PasswordStamp::of(&self.accounts.account(&self.anna).await.expect("read").expect("an account"))
    }

    async fn tokens(
        &self,
        client_id: &str,
        request: TokenRequest,
        now_ts: u64,
    ) -> Result<TokenOutcome, OAuthError> {
        self.oauth.give_tokens(&self.platform, client_id, request, None, now_ts).await
    }

    async fn redeem(&self, client_id: &str, code: &str, now_ts: u64) -> Result<TokenOutcome, OAuthError> {
        let (redirect_uri, code_verifier) = (CALLBACK.to_owned(), VERIFIER.to_owned());
        self.tokens(
            client_id,
            TokenRequest::Code { code: code.to_owned(), redirect_uri, code_verifier },
            now_ts,
        )
        .await
    }
}

#[tokio::test]
async fn a_code_lasts_a_minute() {
    let world = world().await;
    let client = world.register("a client", NOW).await;
    let code = world.code(&client).await;
    let late = world.redeem(&client, &code, NOW + MINUTE).await;
    assert!(matches!(late, Err(OAuthError::InvalidGrant(_))));
    let in_time = world.redeem(&client, &code, NOW + MINUTE - 1).await;
    assert!(matches!(in_time, Ok(TokenOutcome::Tokens(tokens)) if tokens.expires_in_ms == 5 * MINUTE));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_come_with_a_code_one_gets_tokens() {
    let world = Arc::new(world().await);
    let client = world.register("a client", NOW).await;
    let code = world.code(&client).await;
    let all: Vec<_> = (0..8)
        .map(|_| {
            let (world, client, code) = (world.clone(), client.clone(), code.clone());
            tokio::spawn(async move { world.redeem(&client, &code, NOW).await })
        })
        .collect();
    let mut given = 0;
    for attempt in all {
        match attempt.await.expect("a task").expect("an outcome") {
            TokenOutcome::Tokens(_) => given += 1,
            // A request that found the code unused at first is refused too.
            TokenOutcome::Compromised(_) => {}
        }
    }
    assert_eq!(given, 1);
    assert!(world.accounts.devices(&world.anna).await.expect("listed").is_empty());
}

#[tokio::test]
async fn a_device_is_told_when_its_time_is_over() {
    let world = world().await;
    let client = world.register("a client", NOW).await;
    let name = world.platform.server_name();
    let grant = world.oauth.begin_device_grant(name, &client, SCOPE, NOW).await.expect("a grant");
    let over = NOW + grant.expires_in_ms;
    let ask = |now_ts| {
        world.tokens(&client, TokenRequest::Device { device_code: grant.device_code.clone() }, now_ts)
    };
    assert!(matches!(ask(over).await, Err(OAuthError::ExpiredToken)));
    assert!(matches!(ask(over - 1).await, Err(OAuthError::AuthorizationPending)));
    let typed = |now_ts| world.oauth.pending_grant(name, &grant.user_code, now_ts);
    assert!(typed(over - 1).await.expect("read").is_some() && typed(over).await.expect("read").is_none());
    world.oauth.expire(name, over).await.expect("forgotten");
    assert!(matches!(ask(over - 1).await, Err(OAuthError::InvalidGrant(_))));
}

#[tokio::test]
async fn a_browser_is_logged_in_until_its_time_or_the_password_ends() {
    let world = world().await;
    let name = world.platform.server_name();
    let log_in = async || {
        let credentials =
            Credentials { identifier: Identifier::Name("anna".into()), password: PASSWORD.into() };
        world.oauth.log_browser_in(&world.platform, credentials, HERE, NOW).await.expect("logged in")
    };
    let token = log_in().await;
    let session = async |now_ts| world.oauth.browser_session(name, &token, now_ts).await.expect("read");
    assert!(session(NOW).await.is_some_and(|session| session.fresh));
    assert!(session(NOW + 10 * MINUTE).await.is_some_and(|session| !session.fresh));
    assert!(session(NOW + DAY / 2).await.is_none());
    world.accounts.set_password(&world.anna, "another password".into()).await.expect("set");
    assert!(session(NOW).await.is_none());
}

#[tokio::test]
async fn what_is_allowed_ends_with_the_password() {
    let world = world().await;
    let client = world.register("a client", NOW).await;
    let name = world.platform.server_name();
    let grant = async || {
        let grant = world.oauth.begin_device_grant(name, &client, SCOPE, NOW).await.expect("a grant");
        let pending = world.oauth.pending_grant(name, &grant.user_code, NOW).await.expect("read");
        (grant.device_code, pending.expect("it is pending"))
    };
    let (code, old) = (world.code(&client).await, world.stamp().await);
    let ((before, first), (after, second)) = (grant().await, grant().await);
    world.oauth.answer_grant(&first, &world.anna, old, true, NOW).await.expect("allowed");
    world.accounts.set_password(&world.anna, "another password".into()).await.expect("set");
    // The browser has proved the old password.
    world.oauth.answer_grant(&second, &world.anna, old, true, NOW).await.expect("allowed");
    let browser = world.oauth.begin_browser_session(&world.anna, old, NOW).await.expect("a token");

    assert!(matches!(world.redeem(&client, &code, NOW).await, Err(OAuthError::InvalidGrant(_))));
    for device_code in [before, after] {
        let late = world.tokens(&client, TokenRequest::Device { device_code }, NOW).await;
        assert!(matches!(late, Err(OAuthError::InvalidGrant(_))));
    }
    assert!(world.oauth.browser_session(name, &browser, NOW).await.expect("read").is_none());
    assert!(world.accounts.devices(&world.anna).await.expect("listed").is_empty());
    let code = world.code(&client).await;
    assert!(matches!(world.redeem(&client, &code, NOW).await, Ok(TokenOutcome::Tokens(_))));
}

#[tokio::test]
async fn clients_that_nobody_uses_are_forgotten() {
    let world = world().await;
    let name = world.platform.server_name();
    let (idle, used) = (world.register("idle", NOW).await, world.register("used", NOW).await);
    let code = world.code(&used).await;
    assert!(world.redeem(&used, &code, NOW).await.is_ok());
    world.oauth.expire(name, NOW + DAY).await.expect("looked at");
    assert!(world.is_registered(&idle).await);
    world.oauth.expire(name, NOW + 400 * DAY).await.expect("looked at");
    assert!(!world.is_registered(&idle).await);
    assert!(world.is_registered(&used).await, "it has a session, however old");
    let removed = world.accounts.log_out_all(&world.anna, None).await.expect("logged out");
    assert_eq!(removed.len(), 1);
    world.oauth.expire(name, NOW + 400 * DAY).await.expect("looked at");
    assert!(!world.is_registered(&used).await);
}

#[tokio::test]
async fn whoever_registers_very_many_clients_displaces_their_own() {
    let world = world().await;
    let flooding = |number: usize| {
        let last = u16::try_from(number % 1_000).expect("it is small");
        IpAddr::from([0x2001, 0xdb8, 1, last, 0, 0, 0, 1])
    };
    let used = world.register("used", NOW).await;
    world.code(&used).await;
    let fresh = world.register("fresh", NOW).await;
    for number in 0..10_500 {
        let registered = world.try_register(&format!("one of many {number}"), flooding(number), NOW).await;
        registered.unwrap_or_else(|error| panic!("client {number}: {error}"));
    }
    let late = world.try_register("late", HERE, NOW).await.expect("there is room for others");
    for client in [&used, &fresh, &late] {
        assert!(world.is_registered(client).await);
    }
}
