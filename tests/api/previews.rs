//! Previews of pages: they are fetched, kept, and fetched only from where they may be.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PATIENCE, encoded, text};

const WITH_PREVIEWS: &str = "url_previews = true";

/// How many pages are fetched for one platform at a time.
const FETCHES_OF_PLATFORM: usize = 12;

/// A site of somebody else's, and how often its pages were asked for.
struct Site {
    address: String,
    asked: Arc<AtomicUsize>,
    /// How often a page was asked for that never comes.
    asked_in_vain: Arc<AtomicUsize>,
}

const PAGE: &str = r#"<html><head><title>Tides</title><meta property="og:description" content="When &amp; where">
    <meta property="og:image" content="/picture.png"></head></html>"#;

impl Site {
    async fn open() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let page = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            async { ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE) }
        };
        let asked_in_vain = Arc::new(AtomicUsize::new(0));
        let counter = asked_in_vain.clone();
        let never = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<&'static str>()
        };
        let to = |place: &'static str| {
            get(move || async move { (StatusCode::FOUND, [(header::LOCATION, place)]) })
        };
        let router = Router::new()
            .route("/page", get(page))
            .route("/picture.png", get(async || ([(header::CONTENT_TYPE, "image/png")], picture())))
            .route("/liar.png", get(async || ([(header::CONTENT_TYPE, "image/png")], "no picture")))
            .route("/text", get(async || "plain text"))
            .route(
                "/large",
                get(async || ([(header::CONTENT_TYPE, "text/html")], PAGE.to_owned() + &"x".repeat(9 << 20))),
            )
            .route("/failing", get(async || StatusCode::INTERNAL_SERVER_ERROR.into_response()))
            .route("/never/{number}", get(never))
            .route("/here", to("/page"))
            .route("/round", to("/round"))
            .route("/files", to("file:///etc/passwd"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked, asked_in_vain }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn picture() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(3, 2).write_to(&mut bytes, image::ImageFormat::Png).expect("a picture is written");
    bytes.into_inner()
}

async fn preview(user: &Client, url: &str) -> Answer {
    user.get(&format!("/v1/media/preview_url?url={}", encoded(url))).await
}

#[tokio::test]
async fn a_page_is_previewed_once() {
    let (network, site) = (Network::open_with(WITH_PREVIEWS).await, Site::open().await);
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(INSTAGRAM, "bert").await;
    let carl = network.register(MESSENGER, "carl").await;
    let url = format!("{}/page", site.address);
    let found = preview(&anna, &url).await.ok();
    assert_eq!((&found["og:title"], &found["og:description"]), (&json!("Tides"), &json!("When & where")));
    assert_eq!((&found["og:image:width"], &found["og:image:height"]), (&json!(3), &json!(2)));
    assert_eq!((&found["og:image:type"], &found["og:url"]), (&json!("image/png"), &json!(url)));
    let media = text(&found["og:image"]);
    assert!(media.starts_with(&format!("mxc://{INSTAGRAM}/")), "{media}");
    assert_eq!(found["matrix:image:size"], picture().len());

    assert_eq!(preview(&bert, &format!("{url}#part")).await.ok(), found);
    let legacy = format!("/_matrix/media/v3/preview_url?url={}&ts=1", encoded(&url));
    assert_eq!(bert.get(&legacy).await.ok(), found);
    assert_eq!(site.asked(), 1);
    preview(&carl, &url).await.ok();
    assert_eq!(site.asked(), 2, "another platform learns nothing of what was asked here");
}

#[tokio::test]
async fn redirects_and_pictures_are_followed_up_to_limits() {
    let (network, site) = (Network::open_with(WITH_PREVIEWS).await, Site::open().await);
    let anna = network.register(INSTAGRAM, "anna").await;
    let at = |path: &str| format!("{}{path}", site.address);
    let moved = preview(&anna, &at("/here")).await.ok();
    assert_eq!((&moved["og:title"], &moved["og:url"]), (&json!("Tides"), &Value::from(at("/page"))));
    assert_eq!(preview(&anna, &at("/picture.png")).await.ok()["og:image:width"], 3);
    assert!(preview(&anna, &at("/liar.png")).await.ok().get("og:image").is_none());
    assert_eq!(preview(&anna, &at("/large")).await.ok()["og:title"], "Tides", "its beginning is read");
    for path in ["/round", "/files", "/text", "/failing", "/nothing"] {
        preview(&anna, &at(path)).await.fails(502, "M_UNKNOWN");
    }
    for wrong in ["", "page", "ftp://127.0.0.1/", "file:///etc/passwd", "http://127.0.0.1:1/", "javascript:1"]
    {
        preview(&anna, wrong).await.fails(502, "M_UNKNOWN");
    }
    preview(&anna, &at(&format!("/{}", "a".repeat(3_000)))).await.fails(502, "M_UNKNOWN");
    anna.get("/v1/media/preview_url").await.fails(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn without_leave_nothing_is_fetched() {
    let (network, site) = (Network::open().await, Site::open().await);
    let anna = network.register(INSTAGRAM, "anna").await;
    preview(&anna, &format!("{}/page", site.address)).await.fails(404, "M_NOT_FOUND");

    // Unlike the other servers of these tests, this one cannot reach its own network. Real servers cannot
    // either.
    let network = Network::open_closed(WITH_PREVIEWS).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let port = site.address.rsplit(':').next().expect("a port");
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"] {
        preview(&anna, &format!("http://{host}:{port}/page")).await.fails(502, "M_UNKNOWN");
    }
    assert_eq!(site.asked(), 0, "nobody has called");
}

#[tokio::test]
async fn pages_that_never_come_keep_no_other_platform_waiting() {
    let (network, site) = (Network::open_with(WITH_PREVIEWS).await, Site::open().await);
    let bert = network.register(MESSENGER, "bert").await;
    let mut waiting = Vec::new();
    for number in 0..FETCHES_OF_PLATFORM {
        let anna = network.register(INSTAGRAM, &format!("anna{number}")).await;
        for page in 0..4 {
            let (anna, url) = (anna.clone(), format!("{}/never/{number}.{page}", site.address));
            waiting.push(tokio::spawn(async move { preview(&anna, &url).await }));
        }
    }
    let asked = || site.asked_in_vain.load(Ordering::SeqCst);
    let begun = async {
        while asked() < FETCHES_OF_PLATFORM {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("as many are fetched as may be");
    let found = preview(&bert, &format!("{}/page", site.address)).await.ok();
    assert_eq!(found["og:title"], "Tides");
    assert_eq!(asked(), FETCHES_OF_PLATFORM);
    assert!(waiting.iter().all(|one| !one.is_finished()), "the others still wait");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
