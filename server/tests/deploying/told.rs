//! What clients are told of where a platform and the servers around it are.

use serde_json::Value;
use tempfile::TempDir;

use crate::deployed::{Deployed, FAMILY, PHOTOS, config, json_of};

const TURN: &str =
    "turn = { uris = [\"turn:turn.example?transport=udp\"], shared_secret = \"north\", lifetime_s = 600 }";

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_where_the_operator_says() {
    let folder = TempDir::new().expect("a folder");
    let photos = format!("public_url = \"https://chat.photos.example/\"\n{TURN}");
    let server = Deployed::start(folder, &config("listen.http = \"127.0.0.1:0\"", &photos, ""), 1);
    let base = format!("http://{}", server.listening[0].1);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let ask = async |host: &str, path: &str, token: Option<&str>| -> Value {
        let request = client.get(format!("{base}{path}")).header("Host", host);
        json_of(token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send().await)
            .await
    };

    // The one platform has an address for the world; the other is where it was asked.
    for (host, expected) in [(PHOTOS, "https://chat.photos.example"), (FAMILY, "http://family.example")] {
        let known = ask(host, "/.well-known/matrix/client", None).await;
        assert_eq!(known["m.homeserver"]["base_url"], expected, "{known}");
        let metadata = ask(host, "/_matrix/client/v1/auth_metadata", None).await;
        assert_eq!(metadata["issuer"], format!("{expected}/"), "{metadata}");
        let page = metadata["authorization_endpoint"].as_str().expect("an address");
        assert!(page.starts_with(&format!("{expected}/")), "{metadata}");
    }

    let turn = "/_matrix/client/v3/voip/turnServer";
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let mut told = Vec::new();
    for host in [PHOTOS, FAMILY] {
        let body = serde_json::json!({
            "username": "anna", "password": crate::deployed::PASSWORD, "auth": { "type": "m.login.dummy" },
        });
        let register = client.post(format!("{base}/_matrix/client/v3/register")).header("Host", host);
        let registered = json_of(register.json(&body).send().await).await;
        let token = registered["access_token"].as_str().unwrap_or_else(|| panic!("no token: {registered}"));
        told.push(ask(host, turn, Some(token)).await);
        assert_eq!(ask(host, turn, None).await["errcode"], "M_MISSING_TOKEN");
    }
    let (of_photos, of_family) = (&told[0], &told[1]);
    assert_eq!(of_photos["uris"][0], "turn:turn.example?transport=udp", "{of_photos}");
    assert_eq!(of_photos["ttl"], 600, "{of_photos}");
    let username = of_photos["username"].as_str().expect("a name");
    let (ends, who) = username.split_once(':').expect("when it ends, and who");
    let ends: u64 = ends.parse().expect("a time");
    assert!((now + 600..now + 660).contains(&ends) && who == "@anna:photos.example", "{of_photos}");
    assert_eq!(of_photos["password"].as_str().map(str::len), Some(28), "{of_photos}");
    assert_eq!(of_family, &serde_json::json!({}), "who has no such server says so");
}
