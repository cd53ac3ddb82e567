//! The accounts service over the in-memory store.

use std::{net::IpAddr, sync::Arc};

use linkspan_accounts::{
    Accounts, AccountsError, Attempt, Credentials, Identifier, LoggedIn, NewDevice, PasswordStamp, Proof,
    Purpose, Registered, Registration, Restriction, SharedSecretRegistration, hash_token, put_account_data,
};
use linkspan_platforms::{Platform, Platforms};
use linkspan_storage::{
    CommitError, Memory, Position, Store, WriteSet,
    catalogue::{AccessTokens, DeviceKey, Devices, PlatformHashKey},
    records::{AccessTokenRecord, DeviceRecord},
};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId,
    api::client::uiaa::{AuthData, AuthType, Dummy, Password, RegistrationToken, UiaaInfo, UserIdentifier},
    owned_device_id, owned_room_id, owned_server_name, owned_user_id,
};
use serde_json::{json, value::RawValue};

const NOW: u64 = 1_700_000_000_000;
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const PASSWORD: &str = "correct horse";

struct World {
    accounts: Accounts,
    store: Store,
    open: Arc<Platform>,
    by_token: Arc<Platform>,
    by_phone: Arc<Platform>,
}

async fn world() -> World {
    let store = Store::in_memory(Memory::new().expect("an engine"));
    let settings = json!([
        { "name": "instagram", "server_name": "instagram.localhost", "registration": "open",
          "registration_shared_secret": "secret" },
        { "name": "messenger", "server_name": "messenger.localhost", "registration": "token" },
        { "name": "whatsapp", "server_name": "whatsapp.localhost", "registration": "open", "identity": "phone" },
    ]);
    let settings = serde_json::from_value(settings).expect("settings");
    let platforms = Platforms::open(&store, settings, NOW).await.expect("platforms");
    let mut platforms = platforms.iter();
    let mut next = || platforms.next().expect("three platforms");
    World { accounts: Accounts::new(store.clone()), store, open: next(), by_token: next(), by_phone: next() }
}

impl World {
    async fn register(&self, name: &str) -> Result<Registered, AccountsError> {
        let registration = Registration {
            username: Some(name.to_owned()),
            password: Some(PASSWORD.to_owned()),
            device: Some(NewDevice::default()),
            ..Registration::default()
        };
        self.accounts.register(&self.open, registration, Some(&AuthData::Dummy(Dummy::new())), NOW).await
    }

    async fn user(&self, name: &str) -> LoggedIn {
        self.register(name).await.expect("registered").logged_in.expect("logged in")
    }

    fn attempt<'a>(&'a self, auth: Option<&'a AuthData>) -> Attempt<'a> {
        Attempt { auth, platform: &self.open, address: HERE }
    }

    async fn log_in(
        &self,
        platform: &Platform,
        user: &str,
        password: &str,
        device: NewDevice,
    ) -> Result<LoggedIn, AccountsError> {
        let credentials =
            Credentials { identifier: Identifier::Name(user.to_owned()), password: password.to_owned() };
        self.accounts.log_in(platform, credentials, device, NOW).await
    }

    async fn whose(&self, token: &str, now_ts: u64) -> Result<OwnedUserId, AccountsError> {
        let session = self.accounts.authenticate(self.open.server_name(), token, HERE, now_ts).await;
        session.map(|session| session.user_id)
    }

    async fn is_known(&self, token: &str) -> bool {
        self.whose(token, NOW).await.is_ok()
    }
}

fn interactive<T>(result: Result<T, AccountsError>) -> UiaaInfo {
    match result {
        Err(AccountsError::Interactive(info)) => *info,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("no authentication was asked for"),
    }
}

fn password_auth(user_id: &OwnedUserId, password: &str, session: Option<String>) -> AuthData {
    let mut data = Password::new(UserIdentifier::from(user_id), password.to_owned());
    data.session = session;
    AuthData::Password(data)
}

fn device(id: &str) -> NewDevice {
    NewDevice { device_id: Some(OwnedDeviceId::from(id)), ..NewDevice::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_one_name_one_gets_it() {
    let world = Arc::new(world().await);
    let all: Vec<_> = (0..8)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.register("anna").await })
        })
        .collect();
    let mut registered = 0;
    for attempt in all {
        match attempt.await.expect("a task") {
            Ok(_) => registered += 1,
            Err(error) => assert!(matches!(error, AccountsError::UserInUse), "{error}"),
        }
    }
    assert_eq!(registered, 1);
    assert!(matches!(world.register("Anna").await, Err(AccountsError::UserInUse)));
    assert!(matches!(world.register("a nna").await, Err(AccountsError::InvalidUsername(_))));
}

#[tokio::test]
async fn registration_goes_by_the_platforms_rule() {
    let world = world().await;
    let accounts = &world.accounts;
    let platform = world.by_token.server_name();
    let registration = || Registration { password: Some(PASSWORD.to_owned()), ..Registration::default() };
    let info = interactive(accounts.register(&world.by_token, registration(), None, NOW).await);
    assert_eq!(info.flows[0].stages, [AuthType::RegistrationToken]);

    accounts.create_registration_token(platform, Some("once".into()), Some(1), None).await.expect("a token");
    let with = |token: &str| {
        let mut data = RegistrationToken::new(token.to_owned());
        data.session = info.session.clone();
        AuthData::RegistrationToken(data)
    };
    let wrong = accounts.register(&world.by_token, registration(), Some(&with("wrong")), NOW).await;
    assert!(interactive(wrong).auth_error.is_some());
    let right = accounts.register(&world.by_token, registration(), Some(&with("once")), NOW).await;
    assert_eq!(right.expect("registered").user_id.server_name(), *platform);
    assert!(!accounts.registration_token_is_valid(platform, "once", NOW).await.expect("asked"));
    assert_eq!(accounts.list_registration_tokens(platform, None, 10).await.expect("tokens")[0].completed, 1);
    assert!(accounts.delete_registration_token(platform, "once").await.expect("deleted"));

    let weak = Registration { password: Some("short".into()), ..registration() };
    let weak = accounts.register(&world.by_token, weak, None, NOW).await;
    assert!(matches!(weak, Err(AccountsError::WeakPassword(_))));
}

#[tokio::test]
async fn where_people_are_known_by_phone_names_mean_nothing() {
    let world = world().await;
    let registration = Registration {
        username: Some("+491701234567".into()),
        password: Some(PASSWORD.into()),
        ..Registration::default()
    };
    let dummy = AuthData::Dummy(Dummy::new());
    let registered = world.accounts.register(&world.by_phone, registration, Some(&dummy), NOW).await;
    let user_id = registered.expect("registered").user_id;
    assert_eq!(user_id.localpart().len(), 8);
    assert!(!user_id.localpart().contains("491701234567"));
}

#[tokio::test]
async fn only_the_right_password_of_this_platform_logs_in() {
    let world = world().await;
    world.user("anna").await;
    for user in ["anna", "ANNA", "@anna:instagram.localhost"] {
        let logged_in = world.log_in(&world.open, user, PASSWORD, NewDevice::default()).await;
        assert_eq!(logged_in.expect("logged in").user_id, "@anna:instagram.localhost");
    }
    for (user, password) in
        [("anna", "wrong horse"), ("berta", PASSWORD), ("@anna:messenger.localhost", PASSWORD)]
    {
        let refused = world.log_in(&world.open, user, password, NewDevice::default()).await;
        assert!(matches!(refused, Err(AccountsError::Forbidden(_))), "{user}");
    }
    let elsewhere =
        world.log_in(&world.by_token, "@anna:instagram.localhost", PASSWORD, NewDevice::default());
    assert!(matches!(elsewhere.await, Err(AccountsError::Forbidden(_))));
}

#[tokio::test]
async fn a_token_of_another_platform_is_unknown() {
    let world = world().await;
    let anna = world.user("anna").await;
    // First from the store, then from memory.
    for _ in 0..2 {
        let elsewhere = world.by_token.server_name();
        let refused = world.accounts.authenticate(elsewhere, &anna.access_token, HERE, NOW).await;
        assert!(matches!(refused, Err(AccountsError::UnknownToken { soft_logout: false })));
        assert!(world.is_known(&anna.access_token).await);
    }
}

#[tokio::test]
async fn logging_in_again_on_a_device_replaces_its_tokens() {
    let world = world().await;
    world.user("anna").await;
    let named = NewDevice { display_name: Some("phone".into()), ..device("PHONE") };
    let first = world.log_in(&world.open, "anna", PASSWORD, named).await.expect("logged in");
    assert!(world.is_known(&first.access_token).await);
    let second = world.log_in(&world.open, "anna", PASSWORD, device("PHONE")).await.expect("logged in");
    assert!(!world.is_known(&first.access_token).await);
    assert!(world.is_known(&second.access_token).await);
    let info =
        world.accounts.device(&first.user_id, &first.device_id).await.expect("asked").expect("a device");
    assert_eq!(info.display_name.as_deref(), Some("phone"));
}

#[tokio::test]
async fn what_ends_a_session_ends_it_at_once() {
    let world = world().await;
    let accounts = &world.accounts;
    let anna = world.user("anna").await;
    let log_in = async |id: &str| {
        let logged_in = world.log_in(&world.open, "anna", PASSWORD, device(id)).await.expect("logged in");
        assert!(world.is_known(&logged_in.access_token).await);
        logged_in
    };

    let phone = log_in("PHONE").await;
    let removed = accounts.log_out(&phone.user_id, &phone.device_id).await.expect("logged out");
    assert_eq!(removed[0].device_id, "PHONE");
    assert!(!world.is_known(&phone.access_token).await);

    let tablet = log_in("TABLET").await;
    let new_password = "another horse".to_owned();
    let right = password_auth(&anna.user_id, PASSWORD, None);
    let removed = accounts
        .change_password(
            &anna.user_id,
            &anna.device_id,
            new_password.clone(),
            true,
            world.attempt(Some(&right)),
            NOW,
        )
        .await
        .expect("changed");
    assert_eq!(removed.len(), 1);
    assert!(!world.is_known(&tablet.access_token).await);
    assert!(world.is_known(&anna.access_token).await);
    assert!(world.log_in(&world.open, "anna", PASSWORD, device("TABLET")).await.is_err());

    let removed = accounts.begin_deactivation(&anna.user_id, None, true).await.expect("begun");
    assert_eq!(removed.len(), 1);
    assert!(!world.is_known(&anna.access_token).await);
    let again = world.log_in(&world.open, "anna", &new_password, device("TABLET")).await;
    assert!(matches!(again, Err(AccountsError::Forbidden(_))), "the password went with the account");
    assert_eq!(accounts.departing_accounts().await.expect("listed"), std::slice::from_ref(&anna.user_id));
    accounts.finish_deactivation(&anna.user_id, NOW).await.expect("finished");
    assert_eq!(accounts.departing_accounts().await.expect("listed"), [""; 0]);
    assert!(matches!(world.register("anna").await, Err(AccountsError::UserInUse)));
}

#[tokio::test]
async fn what_a_password_has_allowed_ends_with_it() {
    let world = world().await;
    let accounts = &world.accounts;
    let anna = world.user("anna").await.user_id;
    let purpose = Purpose::of_user(&anna, "upload cross-signing keys");
    let take =
        async || accounts.prove_user(&purpose, Proof::Approval { url: "" }, world.attempt(None), NOW).await;
    let log_in =
        async |token: &str| accounts.log_in_by_token(&world.open, token, NewDevice::default(), NOW).await;
    for password in ["another horse", "a third horse"] {
        let stamp = PasswordStamp::of(&accounts.account(&anna).await.expect("read").expect("an account"));
        let token = accounts.new_login_token(&anna, stamp, NOW).token;
        log_in(&token).await.expect("logged in");
        let token = accounts.new_login_token(&anna, stamp, NOW).token;
        accounts.allow_cross_signing_reset(&anna, stamp, NOW);
        let approval = take().await.expect("approved").expect("an approval");
        interactive(take().await);
        accounts.give_back_approval(approval, NOW);

        accounts.set_password(&anna, password.into()).await.expect("set");
        assert!(matches!(log_in(&token).await, Err(AccountsError::Forbidden(_))));
        interactive(take().await);
    }
}

#[tokio::test]
async fn all_sessions_hear_of_a_lock_however_many_there_are() {
    let world = world().await;
    let accounts = &world.accounts;
    let here = world.open.server_name();
    let admin = accounts.create_account(here, "admin", PASSWORD.into(), true, NOW).await.expect("an account");
    let first = world.log_in(&world.open, "admin", PASSWORD, NewDevice::default()).await.expect("logged in");
    let anna = accounts.create_account(here, "anna", PASSWORD.into(), false, NOW).await.expect("an account");
    // As those have who log in at once; this is the last of them.
    let key = |device_id: String| DeviceKey { user_id: anna.clone(), device_id: device_id.into() };
    let of_admin = DeviceKey { user_id: admin.clone(), device_id: first.device_id };
    let device = world.store.get::<Devices>(&of_admin).await.expect("read").expect("a device");
    let mut writes = WriteSet::new();
    (0..1_000).for_each(|number| writes.put::<Devices>(&key(format!("D{number:04}")), &device));
    let token_hash = hash_token("the last token");
    writes.put::<Devices>(&key("LAST".into()), &DeviceRecord { access_token: token_hash, ..device });
    let token = AccessTokenRecord { user_id: anna.clone(), device_id: "LAST".into(), expires_ts: None };
    writes.put::<AccessTokens>(&PlatformHashKey { platform: here.clone(), hash: token_hash }, &token);
    world.store.commit(writes).await.expect("written");

    let is_locked = async || {
        let session = accounts.authenticate(here, "the last token", HERE, NOW).await;
        session.expect("known").locked
    };
    for locked in [false, true] {
        accounts.set_restricted(Some(&admin), &anna, Restriction::Locked, locked).await.expect("changed");
        assert_eq!(is_locked().await, locked);
    }
}

#[tokio::test]
async fn nothing_comes_to_an_account_that_is_deactivated() {
    let world = world().await;
    let accounts = &world.accounts;
    let anna = world.user("anna").await;
    let filter = json!({}).as_object().cloned().expect("an object");
    let data = RawValue::from_string(r#"{"a":1}"#.into()).expect("JSON");
    // What one was about to write.
    let (mut of_account, mut of_device) = (WriteSet::new(), WriteSet::new());
    accounts.expect_active(&mut of_account, &anna.user_id).await.expect("active");
    accounts.expect_device(&mut of_device, &anna.user_id, &anna.device_id).await.expect("there");
    accounts.begin_deactivation(&anna.user_id, None, false).await.expect("begun");

    for writes in [of_account, of_device] {
        assert!(matches!(world.store.commit(writes).await, Err(CommitError::Conflict(_))));
    }
    let mut writes = WriteSet::new();
    let late = accounts.expect_device(&mut writes, &anna.user_id, &anna.device_id).await;
    assert!(matches!(late, Err(AccountsError::UnknownToken { soft_logout: false })));
    let late = accounts.set_account_data(&anna.user_id, None, "org.example", &data).await;
    assert!(matches!(late, Err(AccountsError::Deactivated)));
    let late = accounts.create_filter(&anna.user_id, &filter).await;
    assert!(matches!(late, Err(AccountsError::Deactivated)));
}

#[tokio::test]
async fn refreshing_gives_new_tokens_and_a_lost_answer_can_be_asked_for_again() {
    let world = world().await;
    world.user("anna").await;
    let refreshable = NewDevice { refreshable: true, ..device("PHONE") };
    let first = world.log_in(&world.open, "anna", PASSWORD, refreshable).await.expect("logged in");
    let first_refresh = first.refresh_token.expect("a refresh token");
    let later = NOW + first.expires_in_ms.expect("it expires");
    assert!(world.whose(&first.access_token, later - 1).await.is_ok());
    let expired = world.whose(&first.access_token, later).await;
    assert!(matches!(expired, Err(AccountsError::UnknownToken { soft_logout: true })));

    let here = world.open.server_name();
    let refresh = async |token: &str| world.accounts.refresh(here, token, later).await;
    let elsewhere = world.accounts.refresh(world.by_token.server_name(), &first_refresh, later).await;
    assert!(matches!(elsewhere, Err(AccountsError::UnknownToken { .. })));

    let lost = refresh(&first_refresh).await.expect("refreshed");
    let second = refresh(&first_refresh).await.expect("refreshed again");
    assert!(world.whose(&lost.access_token, later).await.is_err());
    assert!(refresh(&lost.refresh_token).await.is_err());

    assert!(world.whose(&second.access_token, later).await.is_ok());
    assert!(refresh(&first_refresh).await.is_err(), "the new access token was used");
    assert!(matches!(
        world.whose(&first.access_token, NOW).await,
        Err(AccountsError::UnknownToken { soft_logout: false })
    ));

    let third = refresh(&second.refresh_token).await.expect("refreshed");
    // The access token from before works until the new one is used.
    assert!(world.whose(&second.access_token, later).await.is_ok());
    assert!(world.whose(&third.access_token, later).await.is_ok());
    assert!(world.whose(&second.access_token, later).await.is_err());
    // A refresh without use of the access token in between ends the pair before it.
    let fourth = refresh(&third.refresh_token).await.expect("refreshed");
    let fifth = refresh(&fourth.refresh_token).await.expect("refreshed");
    assert!(refresh(&third.refresh_token).await.is_err());
    assert!(world.whose(&third.access_token, later).await.is_err());
    assert!(world.whose(&fifth.access_token, later).await.is_ok());
}

#[tokio::test]
async fn an_interactive_session_is_for_what_it_was_begun_for() {
    let world = world().await;
    let accounts = &world.accounts;
    let (anna, berta) = (world.user("anna").await, world.user("berta").await);
    let phone = world.log_in(&world.open, "anna", PASSWORD, device("PHONE")).await.expect("logged in");
    let (phone_id, tablet_id) = (vec![phone.device_id.clone()], vec![owned_device_id!("TABLET")]);

    let asked =
        interactive(accounts.delete_devices(&anna.user_id, &phone_id, world.attempt(None), NOW).await);
    let right = password_auth(&anna.user_id, PASSWORD, asked.session.clone());
    let other_device =
        accounts.delete_devices(&anna.user_id, &tablet_id, world.attempt(Some(&right)), NOW).await;
    assert!(matches!(other_device, Err(AccountsError::Forbidden(_))));
    let other_user =
        accounts.delete_devices(&berta.user_id, &phone_id, world.attempt(Some(&right)), NOW).await;
    assert!(matches!(other_user, Err(AccountsError::Forbidden(_))));
    let other_operation = accounts.check_deactivation(&anna.user_id, world.attempt(Some(&right)), NOW).await;
    assert!(matches!(other_operation, Err(AccountsError::Forbidden(_))));

    let wrong = password_auth(&anna.user_id, "wrong horse", asked.session.clone());
    let wrong = interactive(
        accounts.delete_devices(&anna.user_id, &phone_id, world.attempt(Some(&wrong)), NOW).await,
    );
    assert_eq!(wrong.session, asked.session);
    assert!(wrong.auth_error.is_some() && wrong.completed.is_empty());
    // Berta's right password proves nothing about Anna.
    let bertas = password_auth(&berta.user_id, PASSWORD, asked.session.clone());
    let bertas = accounts.delete_devices(&anna.user_id, &phone_id, world.attempt(Some(&bertas)), NOW).await;
    assert!(interactive(bertas).auth_error.is_some());
    // Nor is a stage of another flow enough.
    let dummy = AuthData::Dummy(Dummy::new());
    assert!(
        interactive(
            accounts.delete_devices(&anna.user_id, &phone_id, world.attempt(Some(&dummy)), NOW).await
        )
        .auth_error
        .is_some()
    );

    let expired =
        accounts.delete_devices(&anna.user_id, &phone_id, world.attempt(Some(&right)), NOW + 3_600_000).await;
    assert_ne!(interactive(expired).session, asked.session);
    assert!(world.is_known(&phone.access_token).await);
    let asked =
        interactive(accounts.delete_devices(&anna.user_id, &phone_id, world.attempt(None), NOW).await);
    let right = password_auth(&anna.user_id, PASSWORD, asked.session);
    let removed = accounts
        .delete_devices(&anna.user_id, &phone_id, world.attempt(Some(&right)), NOW)
        .await
        .expect("deleted");
    assert_eq!(removed.len(), 1);
    assert!(!world.is_known(&phone.access_token).await);
    // The session has ended: it does not prove anything a second time.
    let done = AuthData::fallback_acknowledgement(right.session().expect("a session").to_owned());
    let again = accounts.delete_devices(&anna.user_id, &phone_id, world.attempt(Some(&done)), NOW);
    assert!(interactive(again.await).completed.is_empty());
}

#[tokio::test]
async fn a_device_is_seen_once_a_minute() {
    let world = world().await;
    let anna = world.user("anna").await;
    let seen = async || {
        let info = world.accounts.device(&anna.user_id, &anna.device_id).await.expect("asked");
        info.expect("a device").last_seen_ts
    };
    world.whose(&anna.access_token, NOW + 59_999).await.expect("known");
    world.whose(&anna.access_token, NOW + 60_000).await.expect("known");
    let written = async {
        while seen().await == NOW {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), written).await.expect("written");
    assert_eq!(seen().await, NOW + 60_000);
}

#[tokio::test]
async fn who_knows_the_shared_secret_makes_accounts() {
    let world = world().await;
    let accounts = &world.accounts;
    let nonce = || accounts.new_registration_nonce(&world.open, HERE, NOW).expect("a nonce");
    let registration = |nonce: String, secret: &str| SharedSecretRegistration {
        mac: mac(secret, &[&nonce, "root", PASSWORD, "admin"]),
        nonce,
        username: "root".into(),
        password: PASSWORD.into(),
        admin: true,
        user_type: None,
        device: Some(NewDevice::default()),
    };
    let wrong = accounts.register_by_shared_secret(&world.open, registration(nonce(), "guess"), NOW).await;
    assert!(matches!(wrong, Err(AccountsError::Forbidden(_))));
    let made_up = registration("made up".into(), "secret");
    assert!(accounts.register_by_shared_secret(&world.open, made_up, NOW).await.is_err());
    let late = accounts.register_by_shared_secret(&world.open, registration(nonce(), "secret"), NOW + 60_000);
    assert!(late.await.is_err());

    let right = registration(nonce(), "secret");
    let again = right.clone();
    let registered = accounts.register_by_shared_secret(&world.open, right, NOW).await.expect("registered");
    let token = registered.logged_in.expect("logged in").access_token;
    let session = accounts.authenticate(world.open.server_name(), &token, HERE, NOW).await.expect("known");
    assert!(session.admin);
    assert!(accounts.register_by_shared_secret(&world.open, again, NOW).await.is_err(), "the nonce was used");
    assert!(accounts.new_registration_nonce(&world.by_token, HERE, NOW).is_none(), "it has no secret");
}

fn mac(secret: &str, parts: &[&str]) -> String {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(parts.join("\0").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn operators_make_and_list_accounts() {
    let world = world().await;
    let accounts = &world.accounts;
    let here: &OwnedServerName = world.open.server_name();
    // A name that starts like the platform's must not be listed with it.
    let near = owned_server_name!("instagram.localhost.example");
    for (platform, name) in [(here, "anna"), (here, "berta"), (here, "carla"), (&near, "dora")] {
        accounts.create_account(platform, name, PASSWORD.into(), false, NOW).await.expect("made");
    }
    let page = accounts.list_accounts(here, None, 2).await.expect("a page");
    assert_eq!(page[1].user_id, "@berta:instagram.localhost");
    let page = accounts.list_accounts(here, Some(&page[1].user_id), 2).await.expect("a page");
    assert_eq!(page.len(), 1);
    assert!(accounts.begin_deactivation(&page[0].user_id, None, false).await.expect("disabled").is_empty());
    assert!(!accounts.is_active(&page[0].user_id).await.expect("asked"));
    assert!(matches!(
        accounts.begin_deactivation(&owned_user_id!("@nobody:instagram.localhost"), None, false).await,
        Err(AccountsError::NotFound(_))
    ));
}

#[tokio::test]
async fn account_data_is_kept_told_of_and_deleted() {
    let world = world().await;
    let accounts = &world.accounts;
    let anna = owned_user_id!("@anna:instagram.localhost");
    let room = owned_room_id!("!room:instagram.localhost");
    let inbox = linkspan_inbox::Inbox::new(world.store.clone(), NOW);
    let raw = |json: &str| RawValue::from_string(json.to_owned()).expect("JSON");
    let before = world.store.position();

    accounts.set_account_data(&anna, None, "org.example", &raw(r#"{"a":1}"#)).await.expect("set");
    accounts.set_account_data(&anna, Some(&room), "org.example", &raw(r#"{"b":2}"#)).await.expect("set");
    assert_eq!(
        accounts.account_data(&anna, None, "org.example").await.expect("got").as_deref(),
        Some(r#"{"a":1}"#)
    );
    assert_eq!(accounts.list_account_data(&anna, None).await.expect("listed").len(), 1);
    let told = inbox.pointers(&anna, before).await.expect("pointers");
    assert_eq!(told.len(), 2);

    accounts.delete_account_data(&anna, None, "org.example").await.expect("deleted");
    assert_eq!(accounts.account_data(&anna, None, "org.example").await.expect("got"), None);
    let listed = accounts.list_account_data(&anna, None).await.expect("listed");
    assert!(listed[0].deleted && listed[0].content == "{}" && listed[0].position > Position::ZERO);

    // Empty content means the same, and there is nothing to tell of what never was.
    for empty in ["{}", "{ \n}"] {
        accounts.set_account_data(&anna, Some(&room), "org.example", &raw(empty)).await.expect("deleted");
        accounts.set_account_data(&anna, None, "org.never", &raw(empty)).await.expect("nothing to do");
    }
    let listed = accounts.list_account_data(&anna, Some(&room)).await.expect("listed");
    assert!(listed.len() == 1 && listed[0].deleted && listed[0].content == "{}");
    assert_eq!(accounts.list_account_data(&anna, None).await.expect("listed").len(), 1);

    let list = accounts.set_account_data(&anna, None, "org.example", &raw("[]")).await;
    assert!(matches!(list, Err(AccountsError::NotAnObject)));
    let rules = accounts.set_account_data(&anna, None, "m.push_rules", &raw("{}")).await;
    assert!(matches!(rules, Err(AccountsError::ServerControlled)));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(65_536));
    let large = accounts.set_account_data(&anna, None, "org.example", &raw(&large)).await;
    assert!(matches!(large, Err(AccountsError::TooLarge(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_set_at_once_are_all_kept() {
    let world = Arc::new(world().await);
    let anna = owned_user_id!("@anna:instagram.localhost");
    let room = owned_room_id!("!room:instagram.localhost");
    let all: Vec<_> = (0..10)
        .map(|number| {
            let (world, anna, room) = (world.clone(), anna.clone(), room.clone());
            let tag = format!("u.{number}");
            tokio::spawn(async move { world.accounts.put_tag(&anna, &room, &tag, Default::default()).await })
        })
        .collect();
    for put in all {
        put.await.expect("a task").expect("put");
    }
    assert_eq!(world.accounts.tags(&anna, &room).await.expect("tags").len(), 10);
    world.accounts.delete_tag(&anna, &room, "u.3").await.expect("deleted");
    assert_eq!(world.accounts.tags(&anna, &room).await.expect("tags").len(), 9);
}

#[tokio::test]
async fn the_same_filter_has_the_same_id() {
    let world = world().await;
    let anna = owned_user_id!("@anna:instagram.localhost");
    let filter = |json| serde_json::from_value(json).expect("a filter");
    let first = filter(json!({ "room": { "timeline": { "limit": 5 } } }));
    let id = world.accounts.create_filter(&anna, &first).await.expect("created");
    assert_eq!(world.accounts.create_filter(&anna, &first).await.expect("created"), id);
    let other = filter(json!({ "room": { "timeline": { "limit": 6 } } }));
    assert_ne!(world.accounts.create_filter(&anna, &other).await.expect("created"), id);
    let found = world.accounts.filter(&anna, &id).await.expect("asked").expect("a filter");
    assert_eq!(found, r#"{"room":{"timeline":{"limit":5}}}"#);
    let berta = owned_user_id!("@berta:instagram.localhost");
    assert!(world.accounts.filter(&berta, &id).await.expect("asked").is_none());
}

#[tokio::test]
async fn a_profile_is_public_and_bounded() {
    let world = world().await;
    let accounts = &world.accounts;
    let anna = world.user("anna").await.user_id;
    let put = async |field: &str, value: serde_json::Value| {
        let mut writes = WriteSet::new();
        accounts.put_profile_field(&mut writes, &anna, field, Some(&value)).await?;
        world.store.commit(writes).await.expect("committed");
        Ok::<_, AccountsError>(())
    };
    put("displayname", json!("Anna")).await.expect("put");
    put("org.example.large", json!("x".repeat(60_000))).await.expect("put");
    let large = put("org.example.larger", json!("x".repeat(10_000))).await;
    assert!(matches!(large, Err(AccountsError::ProfileTooLarge)));
    let profile = accounts.public_profile(&anna).await.expect("a profile");
    assert_eq!(profile.len(), 2);
    put("displayname", json!("")).await.expect("removed");
    assert_eq!(accounts.profile_field(&anna, "displayname").await.expect("asked"), None);
    let nobody = owned_user_id!("@nobody:instagram.localhost");
    assert!(matches!(accounts.public_profile(&nobody).await, Err(AccountsError::NotFound(_))));
}

#[tokio::test]
async fn other_services_know_an_account_from_its_first_moment() {
    let world = world().await;
    let anna = owned_user_id!("@anna:instagram.localhost");
    // Stands for a row of another service.
    let accounts = Accounts::new(world.store.clone()).on_create(|writes, user_id, _| {
        put_account_data(writes, user_id, None, "org.example", "{}".to_owned());
    });
    accounts
        .create_account(world.open.server_name(), "anna", PASSWORD.into(), false, NOW)
        .await
        .expect("made");
    assert!(accounts.account_data(&anna, None, "org.example").await.expect("asked").is_some());
}

#[tokio::test]
async fn a_flood_of_registrations_leaves_others_their_sessions() {
    let world = world().await;
    let accounts = &world.accounts;
    let begin = async |platform: &Platform, from: IpAddr, auth: Option<&AuthData>| {
        let password = Some(PASSWORD.to_owned());
        let registration = Registration { password, address: Some(from), ..Registration::default() };
        accounts.register(platform, registration, auth, NOW).await
    };
    let session = interactive(begin(&world.by_token, HERE, None).await).session;
    for number in 0..12_000 {
        let part = format!("2001:db8:1:{number:x}::1").parse().expect("an address");
        interactive(begin(&world.by_token, part, None).await);
    }
    accounts
        .create_registration_token(world.by_token.server_name(), Some("once".into()), Some(1), None)
        .await
        .expect("a token");
    let mut data = RegistrationToken::new("once".into());
    data.session = session;
    let registered = begin(&world.by_token, HERE, Some(&AuthData::RegistrationToken(data))).await;
    registered.expect("the session is there");
}
