//! The media paths from before authenticated media, between platforms.

use http::{Method, StatusCode};
use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network, text};

const VERSIONS: [&str; 3] = ["r0", "v1", "v3"];

#[tokio::test]
async fn earlier_paths_serve_who_has_a_token_and_others_where_it_is_allowed() {
    let network = Network::with_settings_of(MESSENGER, "legacy_media = true").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let place = async |content: &str| {
        let client = if content == "anna's" { &anna } else { &ben };
        let uploaded = client.post("/_matrix/media/v3/upload", json!({ "content": content })).await.ok();
        text(&uploaded["content_uri"]).trim_start_matches("mxc://").to_owned()
    };
    let (of_anna, of_ben) = (place("anna's").await, place("ben's").await);
    for version in VERSIONS {
        let path = |place: &str| format!("/_matrix/media/{version}/download/{place}");
        for client in [&anna, &ben] {
            assert_eq!(client.get(&path(&of_anna)).await.ok()["content"], "anna's");
            assert_eq!(client.get(&path(&of_ben)).await.ok()["content"], "ben's");
            client
                .get(&format!("{}?allow_remote=false", path("elsewhere.example/a")))
                .await
                .fails(404, "M_NOT_FOUND");
        }
        // A token is worth nothing on another platform.
        let foreign = network.call(MESSENGER, Some(&anna.token), Method::GET, &path(&of_anna), None).await;
        foreign.fails(401, "M_UNKNOWN_TOKEN");
        for platform in [INSTAGRAM, MESSENGER] {
            let closed = network.call(platform, None, Method::GET, &path(&of_anna), None).await;
            closed.fails(404, "M_NOT_FOUND");
            let url = format!("http://{platform}{}", path(&of_ben));
            assert_eq!(network.browse(Method::GET, &url).await.0, StatusCode::OK);
        }
        let thumbnail = format!("/_matrix/media/{version}/thumbnail/{of_anna}?width=32&height=32");
        network.call(INSTAGRAM, None, Method::GET, &thumbnail, None).await.fails(404, "M_NOT_FOUND");
        // A text has no thumbnail, but somebody who has a token is told so.
        anna.get(&thumbnail).await.fails(400, "M_UNKNOWN");
    }
}
