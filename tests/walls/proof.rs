//! Proving more than a token proves, and tokens that are renewed, over HTTP.

use linkspan_tests::{
    INSTAGRAM, MESSENGER, PASSWORD,
    household::{Person, Town, full_path},
    http1::{Answer, Request},
};
use serde_json::{Value, json};

#[test]
fn a_session_of_interactive_authentication_is_for_one_thing_of_one_user() {
    let mut server = Town::server();
    let town = Town::settle(&server);
    let (anna, ben) = (town.register(INSTAGRAM, "anna", "a phone"), &town.ben);
    let post = |who: &Person, path: &str, body: Value| {
        let request = Request::new("POST", full_path(path)).by(Some(&who.token)).json(body.to_string());
        town.ask(who.platform, &request)
    };
    let second = town.log_in(INSTAGRAM, "anna").device_id;
    let third = town.log_in(INSTAGRAM, "anna").device_id;
    let delete = |who: &Person, device: &str, auth: Value| {
        post(who, "/v3/delete_devices", json!({ "devices": [device], "auth": auth }))
    };
    let auth = |password: &str, session: &str| {
        let identifier = json!({ "type": "m.id.user", "user": "anna" });
        json!({ "type": "m.login.password", "password": password, "identifier": identifier, "session": session })
    };

    let begun = delete(&anna, &second, Value::Null);
    assert_eq!((begun.status, begun.errcode().as_str()), (401, ""), "{}", begun.text());
    assert_eq!(begun.json()["flows"], json!([{ "stages": ["m.login.password"] }]));
    let session = begun.json()["session"].as_str().expect("a session").to_owned();

    let refused = delete(&anna, &second, auth("a guess at it", &session));
    assert_eq!((refused.status, refused.errcode().as_str()), (401, "M_FORBIDDEN"));
    assert_eq!(refused.json()["session"], session.as_str());
    assert!(refused.json()["flows"].is_array());

    // The proof is worth nothing for somebody else, on another platform, for another device, or for another
    // operation.
    let right = auth(PASSWORD, &session);
    fails(&delete(ben, &second, right.clone()), 403, "M_FORBIDDEN");
    fails(&delete(&town.dora, &second, right.clone()), 403, "M_FORBIDDEN");
    fails(&delete(&anna, &third, right.clone()), 403, "M_FORBIDDEN");
    fails(&post(&anna, "/v3/account/deactivate", json!({ "auth": right.clone() })), 403, "M_FORBIDDEN");

    let done = delete(&anna, &second, right.clone());
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(delete(&anna, &third, right.clone()).status, 401, "it is over");
    let made_up = delete(&anna, &third, auth(PASSWORD, "made up"));
    assert_eq!(made_up.status, 401, "nobody began it: {}", made_up.text());
    server.check_health();
}

#[test]
fn tokens_are_renewed_on_their_own_platform_only() {
    let mut server = Town::server();
    let town = Town::settle(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let refresh = |platform: &str, token: &str| {
        let request = Request::new("POST", full_path("/v3/refresh"));
        town.ask(platform, &request.json(json!({ "refresh_token": token }).to_string()))
    };
    let whoami = |platform: &str, token: &str| {
        town.ask(platform, &Request::new("GET", full_path("/v3/account/whoami")).by(Some(token)))
    };
    fails(&refresh(MESSENGER, &anna.refresh_token), 401, "M_UNKNOWN_TOKEN");
    fails(&refresh(INSTAGRAM, "made up"), 401, "M_UNKNOWN_TOKEN");
    fails(&whoami(INSTAGRAM, &anna.refresh_token), 401, "M_UNKNOWN_TOKEN");

    let renewed = refresh(INSTAGRAM, &anna.refresh_token);
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let renewed = renewed.json();
    assert!(renewed["expires_in_ms"].as_u64().is_some_and(|ms| ms > 0), "{renewed}");
    let token = |name: &str| renewed[name].as_str().expect("a token").to_owned();
    let (access, next) = (token("access_token"), token("refresh_token"));
    assert!(access != anna.token && next != anna.refresh_token);
    fails(&whoami(MESSENGER, &access), 401, "M_UNKNOWN_TOKEN");
    assert_eq!(whoami(INSTAGRAM, &access).json()["device_id"], anna.device_id.as_str());
    // A token that was replaced is worth nothing once the new one is known to have arrived.
    fails(&refresh(INSTAGRAM, &anna.refresh_token), 401, "M_UNKNOWN_TOKEN");
    fails(&whoami(INSTAGRAM, &anna.token), 401, "M_UNKNOWN_TOKEN");

    let out = Request::new("POST", full_path("/v3/logout")).by(Some(&access));
    assert_eq!(town.ask(INSTAGRAM, &out).status, 200);
    fails(&refresh(INSTAGRAM, &next), 401, "M_UNKNOWN_TOKEN");
    fails(&whoami(INSTAGRAM, &access), 401, "M_UNKNOWN_TOKEN");
    server.check_health();
}

#[track_caller]
fn fails(answer: &Answer, status: u16, errcode: &str) {
    assert_eq!((answer.status, answer.errcode().as_str()), (status, errcode), "{}", answer.text());
}
