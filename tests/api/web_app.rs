//! The chat app at the platforms' addresses: which files there are, how they are cached and compressed, what they may
//! load, and what differs between platforms. The files are made up here, because what matters is how they are served.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use linkspan_web::File;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::network::{INSTAGRAM, MESSENGER, Network, WHATSAPP};

/// The app of all servers in these tests.
pub(crate) const APP: &[File] = &[
    File { path: "/index.html", plain: b"the app", brotli: Some(b"the app as br"), gzip: Some(b"as gzip") },
    File { path: "/console.html", plain: b"the console", brotli: None, gzip: None },
    File { path: "/app/console/plot-5e6f.js", plain: b"plot", brotli: None, gzip: None },
    File { path: "/sw.js", plain: b"worker", brotli: None, gzip: None },
    File { path: "/app/chat-1a2b.js", plain: b"script", brotli: Some(b"script as br"), gzip: None },
    File { path: "/app/crypto-3c4d.wasm", plain: b"wasm", brotli: None, gzip: None },
];

/// What was answered.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }
}

async fn ask(network: &Network, method: Method, host: &str, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("the request is well formed");
    let (head, body) = network.send_whole(request).await;
    Got { status: head.status, headers: head.headers, body }
}

async fn get(network: &Network, path: &str) -> Got {
    ask(network, Method::GET, INSTAGRAM, path, &[]).await
}

#[tokio::test]
async fn the_console_is_there_for_operators_of_platforms_without_the_app_too() {
    for app in ["", "app = false"] {
        let network = Network::with_settings_of(INSTAGRAM, app).await;
        for path in ["/_linkspan/console", "/_linkspan/console/", "/_linkspan/console/users/@a:b"] {
            let got = get(&network, path).await;
            assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"the console"[..]), "{path}");
            assert_eq!(got.header("cache-control"), "no-cache");
        }
        let script = get(&network, "/app/console/plot-5e6f.js").await;
        assert_eq!((script.status, &script.body[..]), (StatusCode::OK, &b"plot"[..]));
        for path in ["/console.html", "/_linkspan/consoles"] {
            assert_eq!(get(&network, path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[tokio::test]
async fn every_address_of_the_app_gives_its_document() {
    let network = Network::open().await;
    for path in [
        "/",
        "/?from=mail",
        "/chat/!a:b/$c",
        "/new",
        "/new/group",
        "/requests",
        "/requests/1",
        "/search",
        "/settings",
        "/settings/devices",
        "/join/abc",
        "/welcome",
        "/welcome/code",
    ] {
        let got = get(&network, path).await;
        assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"the app"[..]), "{path}");
        assert_eq!(got.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(got.header("cache-control"), "no-cache");
        assert_eq!(got.header("content-length"), "7");
    }
    for path in
        ["/index.html", "/app", "/app/", "/app/gone-1a2b.js", "/chat", "/chatter/1", "/searches", "/sw.js/a"]
    {
        assert_eq!(get(&network, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let elsewhere = ask(&network, Method::GET, "elsewhere.example", "/", &[]).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND, "there is no platform");
    let posted = ask(&network, Method::POST, INSTAGRAM, "/chat/1", &[]).await;
    assert_eq!((posted.status, posted.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
}

#[tokio::test]
async fn what_has_its_content_in_its_name_is_kept_forever() {
    let network = Network::open().await;
    for (path, content_type, caching) in [
        ("/app/chat-1a2b.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/app/crypto-3c4d.wasm", "application/wasm", "public, max-age=31536000, immutable"),
        ("/sw.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/manifest.webmanifest", "application/manifest+json", "no-cache"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
        ("/icon-192.png", "image/png", "no-cache"),
    ] {
        let got = get(&network, path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        assert_eq!(
            (got.header("content-type"), got.header("cache-control")),
            (content_type, caching),
            "{path}"
        );
        assert_eq!(got.headers.contains_key("etag"), caching == "no-cache", "{path}");
    }
}

#[tokio::test]
async fn everything_of_the_app_says_what_it_may_do() {
    let network = Network::open().await;
    for path in ["/", "/sw.js", "/app/chat-1a2b.js", "/manifest.webmanifest", "/icon-512.png"] {
        let got = get(&network, path).await;
        let policy = got.header("content-security-policy");
        let rules: Vec<_> = policy.split(';').map(str::trim).collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "media-src 'self' blob:",
            "connect-src 'self' blob:",
            "worker-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(rules.contains(&rule), "{path}: {rule} is not in {policy}");
        }
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
        assert_eq!(got.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(got.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(got.header("cross-origin-opener-policy"), "same-origin", "{path}");
        for asked in ["camera=(self)", "microphone=(self)", "geolocation=(self)"] {
            assert!(got.header("permissions-policy").contains(asked), "{path}: {asked}");
        }
        assert!(
            !got.headers.contains_key("access-control-allow-origin"),
            "{path} is for its own address only"
        );
    }
}

#[tokio::test]
async fn a_client_gets_the_encoding_that_it_takes() {
    let network = Network::open().await;
    for (path, accepted, encoding, body) in [
        ("/", "gzip, br", "br", "the app as br"),
        ("/", "gzip", "gzip", "as gzip"),
        ("/", "br;q=0.1, gzip;q=0.9", "gzip", "as gzip"),
        ("/", "br;q=0", "", "the app"),
        ("/app/chat-1a2b.js", "gzip", "", "script"),
        ("/app/chat-1a2b.js", "gzip, br", "br", "script as br"),
        ("/app/crypto-3c4d.wasm", "br", "", "wasm"),
    ] {
        let got = ask(&network, Method::GET, INSTAGRAM, path, &[("accept-encoding", accepted)]).await;
        assert_eq!(
            (got.header("content-encoding"), &got.body[..]),
            (encoding, body.as_bytes()),
            "{path} {accepted}"
        );
        assert_eq!(got.header("vary"), "accept-encoding", "{path} {accepted}");
        assert_eq!(got.header("content-length"), body.len().to_string());
    }
    let nothing = ask(&network, Method::GET, INSTAGRAM, "/sw.js", &[("accept-encoding", "br, *;q=0")]).await;
    assert_eq!(nothing.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_client_that_has_it_is_told_so_and_the_head_has_no_body() {
    let network = Network::open().await;
    for path in ["/", "/settings/devices", "/sw.js", "/manifest.webmanifest", "/icon.svg"] {
        let first = get(&network, path).await;
        let tag = first.header("etag").to_owned();
        for known in [tag.as_str(), tag.trim_start_matches("W/"), "*", &format!("\"old\", {tag}")] {
            let got = ask(&network, Method::GET, INSTAGRAM, path, &[("if-none-match", known)]).await;
            assert_eq!(got.status, StatusCode::NOT_MODIFIED, "{path} {known}");
            assert!(got.body.is_empty());
            assert_eq!((got.header("etag"), got.header("cache-control")), (tag.as_str(), "no-cache"));
        }
        let changed = ask(&network, Method::GET, INSTAGRAM, path, &[("if-none-match", "\"old\"")]).await;
        assert_eq!((changed.status, &changed.body), (StatusCode::OK, &first.body), "{path}");
        let head = ask(&network, Method::HEAD, INSTAGRAM, path, &[]).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{path}");
        assert_eq!(head.headers, first.headers, "{path}");
    }
    let zipped = ask(&network, Method::GET, INSTAGRAM, "/", &[("accept-encoding", "br")]).await;
    assert_eq!(zipped.header("etag"), get(&network, "/").await.header("etag"), "it is the same document");
}

#[tokio::test]
async fn each_platform_installs_under_its_own_name_and_colour() {
    let network = Network::changed(|one| {
        if one.server_name == INSTAGRAM {
            one.display_name = Some("Lumen".to_owned());
            one.label = Some("For pictures".to_owned());
            one.colour = Some("#102030".to_owned());
        }
    })
    .await;
    let of = async |platform, path| ask(&network, Method::GET, platform, path, &[]).await;
    let manifest = of(INSTAGRAM, "/manifest.webmanifest").await.json();
    assert_eq!((&manifest["name"], &manifest["short_name"]), (&json!("Lumen"), &json!("Lumen")));
    assert_eq!(
        (&manifest["description"], &manifest["theme_color"]),
        (&json!("For pictures"), &json!("#102030"))
    );
    assert_eq!((&manifest["start_url"], &manifest["display"]), (&json!("/"), &json!("standalone")));
    let other = of(MESSENGER, "/manifest.webmanifest").await.json();
    assert_eq!(other["name"], "Messenger");
    assert_ne!(other["theme_color"], manifest["theme_color"]);

    let icons = manifest["icons"].as_array().expect("there are icons");
    let kinds: Vec<_> =
        icons.iter().map(|icon| [&icon["sizes"], &icon["purpose"]].map(|it| it.as_str())).collect();
    for (sizes, purpose) in [("192x192", "any"), ("512x512", "any"), ("512x512", "maskable"), ("any", "any")]
    {
        assert!(kinds.contains(&[Some(sizes), Some(purpose)]), "{sizes} {purpose}: {kinds:?}");
    }
    for icon in icons {
        let path = icon["src"].as_str().expect("it has a path");
        let (here, there) = (of(INSTAGRAM, path).await, of(MESSENGER, path).await);
        assert_eq!(icon["type"], here.header("content-type"));
        assert_ne!(here.body, there.body, "{path} has the platform's colour");
        let Some(side) = icon["sizes"].as_str().and_then(|sizes| sizes.split('x').next()?.parse().ok())
        else {
            assert!(String::from_utf8_lossy(&here.body).contains("#102030"), "{path}");
            continue;
        };
        let picture = image::load_from_memory(&here.body).expect("it is a picture").to_rgba8();
        assert_eq!(picture.dimensions(), (side, side), "{path}");
        let corner = picture.get_pixel(0, 0).0;
        let expected =
            if icon["purpose"] == "maskable" { [0x10, 0x20, 0x30, 0xff] } else { [0x10, 0x20, 0x30, 0] };
        assert_eq!(corner, expected, "{path}: only what is cut fills its corners");
    }
}

#[tokio::test]
async fn a_platform_without_the_app_shows_how_to_use_others() {
    let network = Network::changed(|one| one.app = one.server_name != MESSENGER).await;
    let of = async |path| ask(&network, Method::GET, MESSENGER, path, &[("accept", "text/html")]).await;
    let page = of("/").await;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(page.status == StatusCode::OK && text.contains("Log in with your app"), "{text}");
    for path in ["/_linkspan/about", "/join/abc"] {
        assert_eq!(of(path).await.body, page.body, "{path}");
    }
    let posted = ask(&network, Method::POST, MESSENGER, "/join/abc", &[]).await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
    for path in ["/chat/1", "/settings", "/app/chat-1a2b.js", "/sw.js", "/manifest.webmanifest", "/icon.svg"]
    {
        assert_eq!(of(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let about = get(&network, "/_linkspan/about").await;
    assert!(String::from_utf8_lossy(&about.body).contains("Log in with your app"));
    assert_eq!(&get(&network, "/").await.body[..], b"the app", "the others have theirs");
    let log_in = get(&network, "/_linkspan/log-in").await;
    assert!(String::from_utf8_lossy(&log_in.body).contains("href=\"/_linkspan/about\""));
}

pub(crate) const PLATFORM: &str = "/_linkspan/client/v1/platform";
const PLATFORMS: &str = "/_linkspan/client/v1/platforms";
pub(crate) const DEMO_SESSION: &str = "/_linkspan/client/v1/demo_session";

#[tokio::test]
async fn the_platforms_say_what_they_are_called() {
    let network = Network::changed(|one| match one.server_name.as_str() {
        INSTAGRAM => {
            one.display_name = Some("Lumen".to_owned());
            one.label = Some("For pictures".to_owned());
            one.hosts = vec!["lumen.example".to_owned()];
        }
        MESSENGER => one.colour = Some("#ABCDEF".to_owned()),
        _ => {}
    })
    .await;
    let own = network.call(INSTAGRAM, None, Method::GET, PLATFORM, None).await.ok();
    assert_eq!((&own["name"], &own["label"]), (&json!("Lumen"), &json!("For pictures")));
    assert_eq!((own.get("demo_accounts"), &own["server_name"]), (None, &json!(INSTAGRAM)));
    let all = network.call(WHATSAPP, None, Method::GET, PLATFORMS, None).await.ok();
    let all = all["platforms"].as_array().expect("a list");
    let [lumen, messenger, whatsapp] = &all[..] else { panic!("three: {all:?}") };
    assert_eq!((&lumen["name"], &lumen["address"]), (&json!("Lumen"), &json!("http://lumen.example")));
    assert_eq!((&lumen["colour"], &lumen["label"]), (&own["colour"], &own["label"]));
    assert_eq!((&messenger["name"], &messenger["colour"]), (&json!("Messenger"), &json!("#abcdef")));
    assert_eq!(messenger["address"], format!("http://{MESSENGER}"));
    assert_eq!(messenger.get("label"), None);
    assert_eq!((&whatsapp["identity"], &whatsapp["encryption"]), (&json!("account"), &json!("optional")));
    let derived = whatsapp["colour"].as_str().expect("a colour");
    assert!(derived.len() == 7 && derived.starts_with('#') && derived != own["colour"], "{derived}");
}

#[tokio::test]
async fn a_demo_account_is_anybodys_and_no_other_is() {
    let demo =
        "[[demo_account]]\nuser = \"anna\"\nrecovery_key = \"Es12\"\n[[demo_account]]\nuser = \"later\"\n";
    let network = Network::with_settings_of(INSTAGRAM, demo).await;
    let begin =
        async |platform, body| network.call(platform, None, Method::POST, DEMO_SESSION, Some(body)).await;
    let listed = async |platform: &str| network.call(platform, None, Method::GET, PLATFORM, None).await.ok();
    assert_eq!(listed(INSTAGRAM).await["demo_accounts"], json!([]), "there is no such account yet");

    let anna = network.register(INSTAGRAM, "anna").await;
    anna.put(&format!("/v3/profile/{}/displayname", anna.user_id), json!({ "displayname": "Anna" }))
        .await
        .ok();
    let neighbour = network.register(INSTAGRAM, "carl").await;
    let abroad = network.register(MESSENGER, "anna").await;
    let known = json!([{ "user_id": anna.user_id, "name": "Anna" }]);
    assert_eq!(listed(INSTAGRAM).await["demo_accounts"], known);
    assert_eq!(listed(MESSENGER).await.get("demo_accounts"), None);

    let named = json!({ "user_id": anna.user_id, "initial_device_display_name": "A tab" });
    let begun = begin(INSTAGRAM, named).await.ok();
    assert_eq!((&begun["recovery_key"], begun.get("refresh_token")), (&json!("Es12"), None));
    let device = network.client(INSTAGRAM, &begun);
    assert_ne!(device.device_id, anna.device_id);
    let shown = device.get(&format!("/v3/devices/{}", device.device_id)).await.ok();
    assert_eq!(shown["display_name"], "A tab");
    anna.get("/v3/account/whoami").await.ok();
    let refreshable = begin(INSTAGRAM, json!({ "user_id": anna.user_id, "refresh_token": true })).await.ok();
    assert!(
        refreshable["refresh_token"].is_string() && refreshable["expires_in_ms"].is_u64(),
        "{refreshable}"
    );

    for (platform, user_id) in [
        (INSTAGRAM, neighbour.user_id.as_str()),
        (INSTAGRAM, abroad.user_id.as_str()),
        (INSTAGRAM, "@later:instagram.localhost"),
        (MESSENGER, abroad.user_id.as_str()),
        (MESSENGER, anna.user_id.as_str()),
    ] {
        begin(platform, json!({ "user_id": user_id })).await.fails(403, "M_FORBIDDEN");
    }
    begin(INSTAGRAM, json!({})).await.fails(400, "M_MISSING_PARAM");
    let administrator = network.administrator(INSTAGRAM, "later").await;
    begin(INSTAGRAM, json!({ "user_id": administrator.user_id })).await.fails(403, "M_FORBIDDEN");
    assert_eq!(listed(INSTAGRAM).await["demo_accounts"], known, "nobody shares an administrator's account");
    let user_id = anna.user_id.as_str().try_into().expect("a user id");
    network.app.deactivate(&user_id, None, false, now_ts()).await.expect("the operator does it");
    begin(INSTAGRAM, json!({ "user_id": anna.user_id })).await.fails(403, "M_FORBIDDEN");
    assert_eq!(listed(INSTAGRAM).await["demo_accounts"], json!([]));
}
