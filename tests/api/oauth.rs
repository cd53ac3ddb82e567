//! Logging in by OAuth 2.0: codes, tokens, devices without a browser, and what is refused.

use http::Method;
use serde_json::{Value, json};

use crate::{
    network::{INSTAGRAM, MESSENGER, Network, text},
    oauth_browser::{Browser, CALLBACK, DEVICE_GRANT, authorise, code_values},
};

async fn whoami(network: &Network, platform: &str, tokens: &Value) -> (u16, Value) {
    let token = text(&tokens["access_token"]);
    let answer = network.call(platform, Some(&token), Method::GET, "/v3/account/whoami", None).await;
    (answer.status.as_u16(), answer.json)
}

#[tokio::test]
async fn a_client_logs_in_by_a_code() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let metadata = browser.get(INSTAGRAM, "/_matrix/client/v1/auth_metadata").await.json();
    assert_eq!(metadata["issuer"], format!("http://{INSTAGRAM}/"));
    let authorization = format!("http://{INSTAGRAM}/_linkspan/oauth2/authorize");
    assert_eq!(metadata["authorization_endpoint"], authorization);
    let client = browser.register_client(INSTAGRAM).await;
    assert_eq!(browser.register_client(INSTAGRAM).await, client, "the same client is registered once");

    let page = browser.get(INSTAGRAM, &authorise(&client, "PHONE", &[("login_hint", "mxid:@anna:x")])).await;
    assert_eq!(page.status, 303, "{}", page.text);
    let login = browser.get(INSTAGRAM, &page.location).await;
    assert!(login.text.contains("value=\"@anna:x\"") && login.policy.contains("frame-ancestors 'none'"));
    let path = browser.log_in(INSTAGRAM, &page.location, "anna").await;
    let page = browser.get(INSTAGRAM, &path).await;
    assert!(page.text.contains("A &lt;b&gt;client&lt;/b&gt;") && page.text.contains("example.org"));
    assert!(page.policy.contains("form-action 'self' https://app.example.org;"), "{}", page.policy);
    let csrf = page.hidden("csrf");
    let back = browser.post(INSTAGRAM, &path, &[("csrf", &csrf), ("answer", "allow")]).await;
    assert!(back.location.starts_with(&format!("{CALLBACK}#")), "{}", back.location);
    let answer = back.answer();
    assert_eq!((&*answer["state"], &*answer["iss"]), ("a state & more", &*format!("http://{INSTAGRAM}/")));

    let tokens = browser.redeem(INSTAGRAM, &client, &answer["code"]).await.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(300)));
    assert_eq!(tokens["scope"], "urn:matrix:client:api:* urn:matrix:client:device:PHONE");
    let (status, me) = whoami(&network, INSTAGRAM, &tokens).await;
    assert_eq!(
        (status, &me["user_id"], &me["device_id"]),
        (200, &json!(format!("@anna:{INSTAGRAM}")), &json!("PHONE"))
    );
    assert_eq!(whoami(&network, MESSENGER, &tokens).await.0, 401);

    // The user cancels. The registered URI's own query stays in the address.
    let path = authorise(&client, "PHONE", &[("response_mode", "query")]);
    let csrf = csrf_of(&mut browser).await;
    let back = browser.post(INSTAGRAM, &path, &[("csrf", &csrf), ("answer", "deny")]).await;
    assert!(back.location.starts_with(&format!("{CALLBACK}&error=access_denied")), "{}", back.location);
}

async fn csrf_of(browser: &mut Browser) -> String {
    browser.get(INSTAGRAM, "/_linkspan/account").await.hidden("csrf")
}

#[tokio::test]
async fn a_code_is_good_once_and_for_its_client_only() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    assert_eq!(browser.register_client(MESSENGER).await, client, "a hash of the same");
    let code = browser.allow(INSTAGRAM, &authorise(&client, "PHONE", &[]), "anna").await;

    for (name, value) in [
        ("code_verifier", "another-verifier-that-has-forty-three-characters"),
        ("code_verifier", "short"),
        ("redirect_uri", "https://app.example.org/callback"),
        ("client_id", "another"),
        ("code", "lsc_another"),
    ] {
        let mut values = code_values(&client, &code);
        values.iter_mut().filter(|(known, _)| *known == name).for_each(|pair| pair.1 = value);
        browser.token(INSTAGRAM, &values).await.refused(400, "invalid_grant");
    }
    browser.redeem(MESSENGER, &client, &code).await.refused(400, "invalid_grant");
    let values = [("grant_type", "authorization_code"), ("client_id", &client), ("code", &code)];
    browser.token(INSTAGRAM, &values).await.refused(400, "invalid_request");

    let tokens = browser.redeem(INSTAGRAM, &client, &code).await.json();
    assert_eq!(whoami(&network, INSTAGRAM, &tokens).await.0, 200);
    browser.redeem(INSTAGRAM, &client, &code).await.refused(400, "invalid_grant");
    assert_eq!(whoami(&network, INSTAGRAM, &tokens).await.0, 401, "what a code gave twice is taken back");
}

#[tokio::test]
async fn only_good_requests_reach_the_user() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    browser.log_in(INSTAGRAM, "/_linkspan/log-in", "anna").await;
    // Nobody is sent anywhere unless the address is known to be the client's.
    for (name, value) in [
        ("client_id", "another"),
        ("client_id", ""),
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "https://app.example.org/callback"),
        ("redirect_uri", "javascript:alert(1)"),
        ("redirect_uri", ""),
    ] {
        let page = browser.get(INSTAGRAM, &authorise(&client, "PHONE", &[(name, value)])).await;
        assert_eq!((page.status, &*page.location), (400, ""), "{name} {value}");
    }
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("response_mode", "form_post", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("scope", "", "invalid_scope"),
        ("scope", "urn:matrix:client:api:*", "invalid_scope"),
        ("prompt", "none", "interaction_required"),
    ] {
        let path = authorise(&client, "PHONE", &[(name, value)]);
        // A link alone leads nobody to a site that anybody may have registered.
        let page = Browser::new(&network).get(INSTAGRAM, &path).await;
        assert_eq!((page.status, &*page.location), (400, ""), "{name} {value}");
        let link = format!("<a href=\"{}", CALLBACK.replace('&', "&amp;"));
        assert!(page.text.contains(&link) && page.text.contains("app.example.org"), "{}", page.text);
        let page = browser.get(INSTAGRAM, &path).await;
        assert!(page.location.starts_with(CALLBACK), "{name} {value}: {}", page.location);
        assert_eq!(page.answer()["error"], error, "{name} {value}");
        assert_eq!(page.answer()["state"], "a state & more");
    }
    let twice = format!("{}&scope=x", authorise(&client, "PHONE", &[]));
    assert_eq!(browser.get(INSTAGRAM, &twice).await.status, 303, "an empty scope is the client's mistake");
    let twice = format!("{}&other=x&other=y", authorise(&client, "PHONE", &[]));
    assert_eq!(browser.get(INSTAGRAM, &twice).await.status, 400);
    let long = authorise(&client, "PHONE", &[("login_hint", &"x".repeat(9_000))]);
    assert_eq!(browser.get(INSTAGRAM, &long).await.status, 414);
    // People who want an account are led to where they get one, and come back without asking again.
    let page = browser.get(INSTAGRAM, &authorise(&client, "PHONE", &[("prompt", "create")])).await;
    assert!(page.location.starts_with("/_linkspan/register?next="), "{}", page.location);
    let page = browser.get(INSTAGRAM, &page.location).await;
    let values = [("user", "Zoe"), ("new_password", "long enough"), ("new_password2", "long enough")];
    let page = browser.fill(INSTAGRAM, &page, "/_linkspan/register", &values).await;
    assert!(page.location.contains("authorize?") && !page.location.contains("prompt"), "{}", page.location);
    assert!(browser.get(INSTAGRAM, &page.location).await.text.contains(&format!("@zoe:{INSTAGRAM}")));
}

#[tokio::test]
async fn forms_from_elsewhere_are_not_taken() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    network.register(MESSENGER, "anna").await;
    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    let path = authorise(&client, "PHONE", &[]);
    let login = format!("/_linkspan/log-in?next={}", "%2F%2Fevil.example");
    let leads_to = browser.log_in(INSTAGRAM, &login, "anna").await;
    assert_eq!(leads_to, "/_linkspan/account", "never elsewhere");

    assert_eq!(browser.post(INSTAGRAM, &path, &[("answer", "allow")]).await.status, 403);
    assert_eq!(browser.post(INSTAGRAM, &path, &[("answer", "allow"), ("csrf", "x")]).await.status, 403);
    let mut other = Browser::new(&network);
    other.log_in(INSTAGRAM, "/_linkspan/log-in", "anna").await;
    let foreign = csrf_of(&mut other).await;
    let page = browser.post(INSTAGRAM, &path, &[("answer", "allow"), ("csrf", &foreign)]).await;
    assert_eq!(page.status, 403, "the proof is the browser's own");

    // The cookie of one platform is worth nothing on another, even under the other's name for it.
    let cookie = browser.cookies[INSTAGRAM].replace("linkspan-instagram=", "linkspan-messenger=");
    browser.cookies.insert(MESSENGER.to_owned(), cookie);
    let page = browser.get(MESSENGER, "/_linkspan/account").await;
    assert_eq!((page.status, page.location.starts_with("/_linkspan/log-in")), (303, true));

    // Without the cookie that the page sets, nobody logs in.
    let page = Browser::new(&network).get(INSTAGRAM, "/_linkspan/log-in").await;
    let values = [("user", "anna"), ("password", crate::oauth_browser::PASSWORD)];
    let page = Browser::new(&network).fill(INSTAGRAM, &page, "/_linkspan/log-in", &values).await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_tell_of_theft() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let (client, first) = browser.session(INSTAGRAM, "anna", "PHONE").await;
    let refresh = |tokens: &Value| text(&tokens["refresh_token"]);

    browser.refresh(INSTAGRAM, "another", &refresh(&first)).await.refused(400, "invalid_grant");
    browser.refresh(MESSENGER, &client, &refresh(&first)).await.refused(400, "invalid_grant");
    let body = json!({ "refresh_token": refresh(&first) });
    network
        .call(INSTAGRAM, None, Method::POST, "/v3/refresh", Some(body))
        .await
        .fails(401, "M_UNKNOWN_TOKEN");

    // An answer that got lost can be had again, until the new access token is used.
    browser.refresh(INSTAGRAM, &client, &refresh(&first)).await;
    let second = browser.refresh(INSTAGRAM, &client, &refresh(&first)).await.json();
    assert_eq!(second["scope"], "urn:matrix:client:api:* urn:matrix:client:device:PHONE");
    assert_eq!(whoami(&network, INSTAGRAM, &second).await.0, 200);
    assert_eq!(whoami(&network, INSTAGRAM, &first).await.0, 401);
    let third = browser.refresh(INSTAGRAM, &client, &refresh(&second)).await.json();
    assert_eq!(whoami(&network, INSTAGRAM, &third).await.0, 200);

    // Two have the first token, so nobody keeps the session.
    browser.refresh(INSTAGRAM, &client, &refresh(&first)).await.refused(400, "invalid_grant");
    assert_eq!(whoami(&network, INSTAGRAM, &third).await.0, 401);
    browser.refresh(INSTAGRAM, &client, &refresh(&third)).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn either_token_revokes_the_session() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    for field in ["access_token", "refresh_token"] {
        let (_, tokens) = browser.session(INSTAGRAM, "anna", "PHONE").await;
        let token = text(&tokens[field]);
        let revoke = async |browser: &mut Browser, platform: &str| {
            browser.post(platform, "/_linkspan/oauth2/revocation", &[("token", &token)]).await.status
        };
        assert_eq!(revoke(&mut browser, MESSENGER).await, 200);
        assert_eq!(whoami(&network, INSTAGRAM, &tokens).await.0, 200, "it is another platform's");
        assert_eq!(revoke(&mut browser, INSTAGRAM).await, 200);
        assert_eq!(whoami(&network, INSTAGRAM, &tokens).await.0, 401, "{field}");
        assert_eq!(revoke(&mut browser, INSTAGRAM).await, 200, "again is the same");
    }
    browser.post(INSTAGRAM, "/_linkspan/oauth2/revocation", &[]).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_device_without_a_browser_logs_in() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    let scope = "urn:matrix:client:api:* urn:matrix:client:device:TV";
    let begin = [("client_id", client.as_str()), ("scope", scope)];
    let grant = browser.post(INSTAGRAM, "/_linkspan/oauth2/device_authorization", &begin).await.json();
    let code = text(&grant["device_code"]);
    let poll = [("grant_type", DEVICE_GRANT), ("client_id", &client), ("device_code", &code)];
    browser.token(INSTAGRAM, &poll).await.refused(400, "authorization_pending");
    browser.token(INSTAGRAM, &poll).await.refused(400, "slow_down");
    browser.token(MESSENGER, &poll).await.refused(400, "invalid_grant");

    let typed = text(&grant["user_code"]).to_lowercase().replace('-', " ");
    let path = format!("/link?user_code={}", typed.replace(' ', "+"));
    let page = browser.get(INSTAGRAM, &path).await;
    assert_eq!(browser.log_in(INSTAGRAM, &page.location, "anna").await, path);
    assert_eq!(browser.get(INSTAGRAM, "/link?user_code=BBBB-BBBB").await.status, 422);
    let page = browser.get(INSTAGRAM, &path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let user_code = page.hidden("user_code");
    assert_eq!(
        browser.post(INSTAGRAM, "/link", &[("user_code", &user_code), ("answer", "allow")]).await.status,
        403
    );
    let values = [("user_code", user_code.as_str()), ("answer", "allow")];
    assert_eq!(browser.fill(INSTAGRAM, &page, "/link", &values).await.status, 200);
    assert_eq!(browser.fill(INSTAGRAM, &page, "/link", &values).await.status, 422, "a code is typed once");
    let tokens = browser.token(INSTAGRAM, &poll).await.json();
    assert_eq!(whoami(&network, INSTAGRAM, &tokens).await.1["device_id"], "TV");
    browser.token(INSTAGRAM, &poll).await.refused(400, "invalid_grant");

    let grant = browser.post(INSTAGRAM, "/_linkspan/oauth2/device_authorization", &begin).await.json();
    let path = format!("/link?user_code={}", text(&grant["user_code"]));
    let page = browser.get(INSTAGRAM, &path).await;
    let user_code = page.hidden("user_code");
    let values = [("user_code", user_code.as_str()), ("answer", "deny")];
    browser.fill(INSTAGRAM, &page, "/link", &values).await;
    let code = text(&grant["device_code"]);
    let poll = [("grant_type", DEVICE_GRANT), ("client_id", &client), ("device_code", &code)];
    browser.token(INSTAGRAM, &poll).await.refused(400, "access_denied");
}

#[tokio::test]
async fn bad_bodies_are_refused_as_the_rfcs_say() {
    let network = Network::open().await;
    let mut browser = Browser::new(&network);
    let good = json!({ "client_uri": "https://example.org/", "redirect_uris": ["https://example.org/"] });
    for (name, value, error) in [
        ("client_uri", Value::Null, "invalid_client_metadata"),
        ("client_uri", json!("http://example.org/"), "invalid_client_metadata"),
        ("client_uri", json!("https://u:p@example.org/"), "invalid_client_metadata"),
        ("client_uri", json!(7), "invalid_client_metadata"),
        ("client_name", json!("x".repeat(300)), "invalid_client_metadata"),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        ("redirect_uris", json!(["https://evil.example/"]), "invalid_redirect_uri"),
        ("redirect_uris", json!(["http://localhost/"]), "invalid_redirect_uri"),
        ("redirect_uris", json!("https://example.org/"), "invalid_client_metadata"),
        ("grant_types", json!(["implicit"]), "invalid_client_metadata"),
        ("application_type", json!("service"), "invalid_client_metadata"),
        ("token_endpoint_auth_method", json!("client_secret_basic"), "invalid_client_metadata"),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        browser.post_json(INSTAGRAM, "/_linkspan/oauth2/registration", &bad).await.refused(400, error);
    }
    browser
        .post_json(INSTAGRAM, "/_linkspan/oauth2/registration", &json!([]))
        .await
        .refused(400, "invalid_client_metadata");
    let kept = json!({
        "client_uri": "https://example.org/", "redirect_uris": ["https://example.org/"],
        "logo_uri": "https://elsewhere.example/logo.png", "tos_uri": "https://docs.example.org/tos",
    });
    let kept = browser.post_json(INSTAGRAM, "/_linkspan/oauth2/registration", &kept).await.json();
    assert_eq!((&kept["logo_uri"], &kept["tos_uri"]), (&Value::Null, &json!("https://docs.example.org/tos")));

    browser.token(INSTAGRAM, &[]).await.refused(400, "invalid_request");
    browser.token(INSTAGRAM, &[("grant_type", "password")]).await.refused(400, "unsupported_grant_type");
    let twice = [("grant_type", "refresh_token"), ("grant_type", "refresh_token")];
    browser.token(INSTAGRAM, &twice).await.refused(400, "invalid_request");
    let json = json!({ "grant_type": "refresh_token" });
    browser.post_json(INSTAGRAM, "/_linkspan/oauth2/token", &json).await.refused(400, "invalid_request");
    let device = [("client_id", "none"), ("scope", "x")];
    browser
        .post(INSTAGRAM, "/_linkspan/oauth2/device_authorization", &device)
        .await
        .refused(401, "invalid_client");
}
