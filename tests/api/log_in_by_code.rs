//! Signing up and logging in by a code, in a platform's own app: one code for both, and nobody learns before it was
//! entered whether there is an account.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::{
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PASSWORD, WHATSAPP, list, text},
    phone::password_auth,
    walks::open,
};

const REQUEST: &str = "/_linkspan/client/v1/request_code";
const SUBMIT: &str = "/_linkspan/client/v1/submit_code";
const LOG_IN: &str = "/v3/login";
const REGISTER: &str = "/v3/register";
const NEW_PASSWORD: &str = "another battery staple";

/// How people of a platform are known.
#[derive(Clone, Copy)]
struct Way {
    platform: &'static str,
    stage: &'static str,
    /// The key of the address or number in a request for a code.
    key: &'static str,
    /// Two of them.
    ids: [&'static str; 2],
}

const BY_MAIL: Way = Way {
    platform: MESSENGER,
    stage: "m.login.email.identity",
    key: "email",
    ids: ["gerd@example.org", "else@example.org"],
};
const BY_NUMBER: Way = Way {
    platform: WHATSAPP,
    stage: "m.login.msisdn",
    key: "phone_number",
    ids: ["+491701234567", "+491701234568"],
};

/// Somebody's app, which asks for one code with one secret.
struct Attempt<'a> {
    network: &'a Network,
    way: Way,
    secret: &'static str,
    sid: String,
    from: u8,
}

impl<'a> Attempt<'a> {
    /// Asks for a code.
    async fn begin(network: &'a Network, way: Way, id: &str, secret: &'static str) -> Self {
        let mut attempt = Self { network, way, secret, sid: String::new(), from: 1 };
        attempt.sid = text(&attempt.ask(id, 1).await.ok()["sid"]);
        attempt
    }

    /// Asks for a code and enters it.
    async fn proved(network: &'a Network, way: Way, id: &str, secret: &'static str) -> Self {
        let sent = sent(network);
        let attempt = Self::begin(network, way, id, secret).await;
        assert!(attempt.submit(&code(network, sent).await).await);
        attempt
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let Self { network, way, from, .. } = self;
        network.call_from([10, 0, 0, *from], way.platform, None, Method::POST, path, body).await
    }

    async fn ask(&self, id: &str, send_attempt: u64) -> Answer {
        let mut body = json!({ "client_secret": self.secret, "send_attempt": send_attempt });
        body[self.way.key] = json!(id);
        self.post(REQUEST, body).await
    }

    /// Enters a code; whether it was right.
    async fn submit(&self, code: &str) -> bool {
        let body = json!({ "sid": self.sid, "client_secret": self.secret, "token": code });
        self.post(SUBMIT, body).await.ok()["success"] == true
    }

    fn proof(&self) -> Value {
        let creds = json!({ "sid": self.sid, "client_secret": self.secret });
        json!({ "type": self.way.stage, "threepid_creds": creds })
    }

    async fn log_in(&self) -> Answer {
        self.post(LOG_IN, self.proof()).await
    }

    async fn log_in_with(&self, more: Value) -> Answer {
        let mut body = self.proof();
        let all = body.as_object_mut().expect("an object");
        all.extend(more.as_object().expect("an object").clone());
        self.post(LOG_IN, body).await
    }

    async fn register(&self, name: &str) -> Client {
        let session = self.post(REGISTER, json!({ "username": name, "auth": self.proof() })).await.ok();
        self.network.client(self.way.platform, &session)
    }
}

/// How many messages were sent by either medium.
fn sent(network: &Network) -> (usize, usize) {
    (network.mails.count(), network.sms.count())
}

/// The code in the message after these, by whichever medium it comes.
async fn code(network: &Network, (mails, sms): (usize, usize)) -> String {
    let text = tokio::select! {
        mail = network.mails.nth(mails) => mail.text,
        sms = network.sms.nth(sms) => sms.text,
    };
    let words = text.split(|one: char| !one.is_ascii_digit());
    words.into_iter().find(|word| word.len() == 6).unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

/// A code that is not this one.
fn wrong(code: &str) -> String {
    code.chars().map(|digit| if digit == '9' { '0' } else { '9' }).collect()
}

async fn login_types(network: &Network, platform: &str) -> Vec<String> {
    let flows = network.call(platform, None, Method::GET, LOG_IN, None).await.ok();
    list(&flows["flows"]).iter().map(|flow| text(&flow["type"])).collect()
}

#[tokio::test]
async fn one_code_signs_up_and_another_logs_in() {
    let network = open().await;
    for way in [BY_MAIL, BY_NUMBER] {
        assert!(login_types(&network, way.platform).await.iter().any(|known| known == way.stage));
        let before = sent(&network);
        let new = Attempt::begin(&network, way, way.ids[0], "monkeys").await;
        let right = code(&network, before).await;
        new.log_in().await.fails(400, "M_THREEPID_AUTH_FAILED");
        assert!(!new.submit(&wrong(&right)).await);
        assert!(new.submit(&right).await && !new.submit(&right).await, "once");

        new.log_in().await.fails(400, "M_THREEPID_NOT_FOUND");
        new.log_in_with(json!({ "password": PASSWORD })).await.fails(400, "M_THREEPID_NOT_FOUND");
        let stolen = json!({ "threepid_creds": { "sid": new.sid, "client_secret": "apes" } });
        new.log_in_with(stolen).await.fails(400, "M_THREEPID_AUTH_FAILED");
        let user = new.register("somebody").await;
        new.log_in().await.fails(400, "M_THREEPID_AUTH_FAILED");

        let again = Attempt::proved(&network, way, way.ids[0], "apes").await;
        again.log_in_with(json!({ "device_id": "" })).await.fails(400, "M_INVALID_PARAM");
        let device = json!({ "device_id": "PHONE", "initial_device_display_name": "Her phone", "refresh_token": true });
        let session = again.log_in_with(device).await.ok();
        assert_eq!((&session["user_id"], &session["device_id"]), (&json!(user.user_id), &json!("PHONE")));
        assert!(session["refresh_token"].is_string() && session["expires_in_ms"].is_u64(), "{session}");
        let here = network.client(way.platform, &session);
        assert_eq!(here.get("/v3/devices/PHONE").await.ok()["display_name"], "Her phone");
        again.log_in().await.fails(400, "M_THREEPID_AUTH_FAILED");
    }
}

#[tokio::test]
async fn wrong_codes_that_come_at_once_are_all_counted() {
    let network = open().await;
    for way in [BY_MAIL, BY_NUMBER] {
        let before = sent(&network);
        let attempt = Attempt::begin(&network, way, way.ids[0], "monkeys").await;
        let right = code(&network, before).await;
        let wrong = wrong(&right);
        let entered = join_all((0..5).map(|_| attempt.submit(&wrong))).await;
        assert_eq!(entered, [false; 5]);
        assert!(!attempt.submit(&right).await, "they have ended it");
    }
}

#[tokio::test]
async fn a_proof_is_one_platforms_and_of_one_kind() {
    let network = open().await;
    let proved = Attempt::proved(&network, BY_NUMBER, BY_NUMBER.ids[0], "monkeys").await;
    proved.register("Cleo").await;
    let again = Attempt::proved(&network, BY_NUMBER, BY_NUMBER.ids[0], "apes").await;
    for (platform, stage, errcode) in [
        (WHATSAPP, BY_MAIL.stage, "M_UNKNOWN"),
        (INSTAGRAM, BY_NUMBER.stage, "M_UNKNOWN"),
        (MESSENGER, BY_NUMBER.stage, "M_UNKNOWN"),
        (MESSENGER, BY_MAIL.stage, "M_THREEPID_AUTH_FAILED"),
    ] {
        let way = Way { platform, stage, ..BY_NUMBER };
        let elsewhere = Attempt { network: &network, way, secret: "apes", sid: again.sid.clone(), from: 1 };
        elsewhere.log_in().await.fails(400, errcode);
    }
    // What was confirmed to be added, or to register, opens nothing.
    let before = sent(&network);
    let body = json!({ "client_secret": "gibbons", "country": "DE", "phone_number": BY_NUMBER.ids[0], "send_attempt": 1 });
    let sid = text(&again.post("/v3/register/msisdn/requestToken", body).await.ok()["sid"]);
    let other = Attempt { network: &network, way: BY_NUMBER, secret: "gibbons", sid, from: 1 };
    assert!(other.submit(&code(&network, before).await).await);
    other.log_in().await.fails(400, "M_THREEPID_AUTH_FAILED");
    again.log_in().await.ok();
}

#[tokio::test]
async fn after_a_number_a_password_is_asked_for() {
    let network = open().await;
    let id = BY_NUMBER.ids[0];
    let cleo = Attempt::proved(&network, BY_NUMBER, id, "monkeys").await.register("Cleo").await;
    let proof = Attempt::proved(&network, BY_NUMBER, id, "apes").await.proof();
    cleo.post("/v3/account/password", json!({ "new_password": PASSWORD, "auth": proof })).await.ok();

    let again = Attempt::proved(&network, BY_NUMBER, id, "gibbons").await;
    again.log_in().await.fails(403, "ORG.LINKSPAN.PASSWORD_NEEDED");
    again.log_in_with(json!({ "password": NEW_PASSWORD })).await.fails(403, "M_FORBIDDEN");
    let session = again.log_in_with(json!({ "password": PASSWORD })).await.ok();
    assert_eq!(session["user_id"], cleo.user_id);

    // Whoever does not know it begins a new account with the same proof.
    let other = Attempt::proved(&network, BY_NUMBER, id, "lemurs").await;
    other.log_in().await.fails(403, "ORG.LINKSPAN.PASSWORD_NEEDED");
    let ida = other.register("Ida").await;
    assert_ne!(ida.user_id, cleo.user_id);
    assert_eq!(cleo.get("/v3/account/3pid").await.ok(), json!({ "threepids": [] }));
}

#[tokio::test]
async fn an_address_alone_opens_an_account_with_a_password() {
    let network = open().await;
    let id = BY_MAIL.ids[0];
    let proved = Attempt::proved(&network, BY_MAIL, id, "monkeys").await;
    let body = json!({ "username": "gerd", "password": PASSWORD, "auth": proved.proof() });
    let gerd = network.client(MESSENGER, &proved.post(REGISTER, body).await.ok());
    gerd.another_device().await;
    let again = Attempt::proved(&network, BY_MAIL, id, "apes").await;
    assert_eq!(again.log_in().await.ok()["user_id"], gerd.user_id);

    let locked = Attempt::proved(&network, BY_MAIL, id, "gibbons").await;
    let admin = network.administrator(MESSENGER, "admin").await;
    let lock = format!("/v1/admin/lock/{}", gerd.user_id);
    admin.put(&lock, json!({ "locked": true })).await.ok();
    locked.log_in().await.fails(401, "M_USER_LOCKED");
    admin.put(&lock, json!({ "locked": false })).await.ok();
    gerd.post("/v3/account/deactivate", json!({ "auth": password_auth(&gerd) })).await.ok();
    locked.log_in().await.fails(400, "M_THREEPID_NOT_FOUND");
}

#[tokio::test]
async fn who_has_no_password_proves_the_address_again() {
    let network = open().await;
    let id = BY_MAIL.ids[0];
    let gerd = Attempt::proved(&network, BY_MAIL, id, "monkeys").await.register("gerd").await;
    Attempt::proved(&network, BY_MAIL, BY_MAIL.ids[1], "monkeys").await.register("else").await;
    let delete = |auth: Value| gerd.post("/v3/delete_devices", json!({ "devices": ["NONE"], "auth": auth }));
    let stages = delete(Value::Null).await;
    assert_eq!(
        (stages.status.as_u16(), &stages.json["flows"]),
        (401, &json!([{ "stages": ["m.login.email.identity"] }]))
    );
    let of_another = Attempt::proved(&network, BY_MAIL, BY_MAIL.ids[1], "apes").await;
    assert_eq!(delete(of_another.proof()).await.status, 401, "the address is another's");
    let proof = Attempt::proved(&network, BY_MAIL, id, "apes").await.proof();
    delete(proof.clone()).await.ok();
    assert_eq!(delete(proof).await.status, 401, "once");

    let remove = || gerd.post("/v3/account/3pid/delete", json!({ "medium": "email", "address": id }));
    remove().await.fails(403, "M_FORBIDDEN");
    let auth = Attempt::proved(&network, BY_MAIL, id, "gibbons").await.proof();
    gerd.post("/v3/account/password", json!({ "new_password": PASSWORD, "auth": auth })).await.ok();
    remove().await.ok();
    gerd.another_device().await;
}

#[tokio::test]
async fn nobody_learns_of_an_account_before_the_code_was_entered() {
    let network = open().await;
    for way in [BY_MAIL, BY_NUMBER] {
        Attempt::proved(&network, way, way.ids[0], "monkeys").await.register("somebody").await;
        let mut transcripts = Vec::new();
        for id in way.ids {
            let before = sent(&network);
            let attempt = Attempt::begin(&network, way, id, "apes").await;
            let mut ask = json!({ "client_secret": "apes", "send_attempt": 2 });
            ask[way.key] = json!(id);
            let submit = json!({ "sid": attempt.sid, "client_secret": "apes", "token": "none" });
            let register = json!({ "username": "nobody", "auth": attempt.proof() });
            let mut transcript = String::new();
            for (path, body) in
                [(REQUEST, ask), (SUBMIT, submit), (LOG_IN, attempt.proof()), (REGISTER, register)]
            {
                let (method, body) = (Method::POST, body.to_string());
                transcript += &network.transcript(way.platform, None, method, path, body).await;
            }
            let session = transcript.split("\"session\":\"").nth(1).expect("a session of registering");
            let session = session.split('"').next().expect("it ends");
            transcripts.push(transcript.replace(&attempt.sid, "{sid}").replace(session, "{session}"));
            // What comes says the same, too.
            let right = code(&network, (before.0 + 1, before.1 + 1)).await;
            let message = match way.key {
                "email" => network.mails.nth(before.0 + 1).await.text,
                _ => network.sms.nth(before.1 + 1).await.text,
            };
            assert!(!message.contains("http"), "nobody is logged in by a link: {message}");
            transcripts.push(message.replace(&right, "{code}"));
        }
        assert_eq!(transcripts[0..2], transcripts[2..4]);
    }
}

#[tokio::test]
async fn codes_log_in_where_people_are_known_by_what_they_prove() {
    let network = open().await;
    let number = json!({ "phone_number": BY_NUMBER.ids[0] });
    let email = json!({ "email": BY_MAIL.ids[0] });
    let ask = async |network: &Network, platform: &str, mut body: Value| {
        body["client_secret"] = json!("monkeys");
        body["send_attempt"] = json!(1);
        network.call(platform, None, Method::POST, REQUEST, Some(body)).await
    };
    for (platform, body) in
        [(INSTAGRAM, &number), (INSTAGRAM, &email), (WHATSAPP, &email), (MESSENGER, &number)]
    {
        ask(&network, platform, body.clone()).await.fails(403, "M_THREEPID_DENIED");
    }
    let stages = [BY_MAIL.stage, BY_NUMBER.stage];
    let offered = async |network: &Network, platform: &str| -> Vec<String> {
        let types = login_types(network, platform).await;
        types.into_iter().filter(|one| stages.contains(&one.as_str())).collect()
    };
    assert_eq!(offered(&network, INSTAGRAM).await, Vec::<String>::new());
    assert_eq!(offered(&network, MESSENGER).await, [BY_MAIL.stage]);
    assert_eq!(offered(&network, WHATSAPP).await, [BY_NUMBER.stage]);
    for body in [json!({}), json!({ "country": "DE" })] {
        ask(&network, WHATSAPP, body).await.fails(400, "M_MISSING_PARAM");
    }
    for body in [
        json!({ "phone_number": "110" }),
        json!({ "phone_number": "0170 1234567" }),
        json!({ "phone_number": BY_NUMBER.ids[0], "country": "Germany" }),
        json!({ "phone_number": BY_NUMBER.ids[0], "email": BY_MAIL.ids[0] }),
        json!({ "email": "gerd" }),
    ] {
        ask(&network, WHATSAPP, body).await.fails(400, "M_INVALID_PARAM");
    }
    assert_eq!(sent(&network), (0, 0));
    ask(&network, WHATSAPP, json!({ "phone_number": "0170 1234567", "country": "DE" })).await.ok();
    assert_eq!(network.sms.nth(0).await.to, BY_NUMBER.ids[0]);

    let unproved = network.reopen_changed(|one| one.verify = false).await;
    for platform in [MESSENGER, WHATSAPP] {
        assert_eq!(offered(&unproved, platform).await, Vec::<String>::new());
    }
    ask(&unproved, MESSENGER, email).await.fails(403, "M_THREEPID_DENIED");
}

#[tokio::test]
async fn guesses_of_a_second_step_are_counted_for_the_account() {
    let open = open().await;
    let id = BY_NUMBER.ids[0];
    let cleo = Attempt::proved(&open, BY_NUMBER, id, "monkeys").await.register("Cleo").await;
    let proof = Attempt::proved(&open, BY_NUMBER, id, "apes").await.proof();
    cleo.post("/v3/account/password", json!({ "new_password": PASSWORD, "auth": proof })).await.ok();
    let mut proved = Attempt::proved(&open, BY_NUMBER, id, "gibbons").await;
    let limited = open
        .reopen_changed(|one| {
            one.rate_limits = true;
            (one.limits.login, one.limits.login_burst) = (0.0001, 3);
        })
        .await;
    proved.network = &limited;
    let wrong = json!({ "password": NEW_PASSWORD });
    for from in 2..5 {
        proved.from = from;
        proved.log_in_with(wrong.clone()).await.fails(403, "M_FORBIDDEN");
    }
    proved.from = 5;
    proved.log_in_with(json!({ "password": PASSWORD })).await.fails(429, "M_LIMIT_EXCEEDED");
}

/// Somebody on another device types the code, instead of opening the link.
#[tokio::test]
async fn mails_with_a_link_have_a_code_besides() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let way = Way { platform: INSTAGRAM, ..BY_MAIL };
    let before = sent(&network);
    let body = json!({ "client_secret": "monkeys", "email": way.ids[0], "send_attempt": 1 });
    let mut adding = Attempt { network: &network, way, secret: "monkeys", sid: String::new(), from: 1 };
    adding.sid = text(&adding.post("/v3/account/3pid/email/requestToken", body).await.ok()["sid"]);
    assert!(network.mails.nth(before.0).await.text.contains("http"));
    assert!(adding.submit(&code(&network, before).await).await);
    let add = json!({ "sid": adding.sid, "client_secret": "monkeys", "auth": password_auth(&anna) });
    anna.post("/v3/account/3pid/add", add).await.ok();
}
