//! Connections and bodies: a server that is full of them lets new people in, and one platform's port keeps no other
//! platform waiting.

use http::Method;
use linkspan_tests::{
    Platform, Server,
    http1::{Connection, Request},
};
use serde_json::json;

use crate::network::{INSTAGRAM, Network};

/// How many connections there may be. A half is divided among the four listeners, one for each; the other half is for
/// whoever comes first.
const CONNECTIONS: usize = 8;
/// How many one listener may have.
const OF_ONE: usize = 5;

/// Asks on a new connection; its status.
fn ask(server: &Server, platform: Platform) -> u16 {
    server.get(platform, "/_matrix/client/versions", None).status
}

/// A connection with a request that has come as far as its head.
fn begin_request(server: &Server, platform: Platform) -> Connection {
    let mut connection = Connection::open(&server.addresses()[platform as usize]);
    connection.send(
        b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    // The server asks for the body.
    connection.wait_for_bytes();
    connection
}

#[test]
fn half_open_connections_keep_nobody_out() {
    let mut server = Server::start_with_connections(CONNECTIONS);
    let half_open: Vec<_> = (0..4 * CONNECTIONS)
        .map(|_| {
            let mut connection = Connection::open(&server.addresses()[Platform::Instagram as usize]);
            connection.send(b"GET /_matrix/client/versions HTTP/1.1\r\nHo");
            connection
        })
        .collect();
    for platform in Platform::ALL {
        assert_eq!(ask(&server, platform), 200, "{platform:?}");
    }
    drop(half_open);
    server.check_health();
}

#[test]
fn a_connection_in_a_request_gives_way_to_nobody() {
    let mut server = Server::start_with_connections(CONNECTIONS);
    let mut asking: Vec<_> = (0..OF_ONE).map(|_| begin_request(&server, Platform::Instagram)).collect();
    let refused = server.get(Platform::Instagram, "/_matrix/client/versions", None);
    assert_eq!((refused.status, refused.errcode().as_str()), (503, "M_LIMIT_EXCEEDED"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    for platform in [Platform::Messenger, Platform::Whatsapp] {
        assert_eq!(ask(&server, platform), 200, "{platform:?} has connections of its own");
    }
    for connection in &mut asking {
        connection.send(b"{}");
        assert_eq!(connection.answer().expect("it is answered").status, 400);
    }
    // Connections that have been answered are idle, and give way.
    for _ in 0..2 * OF_ONE {
        let mut connection = Connection::open(&server.addresses()[Platform::Instagram as usize]);
        connection.send(&Request::new("GET", "/_matrix/client/versions").to_bytes("a"));
        assert_eq!(connection.answer().expect("it is answered").status, 200);
        asking.push(connection);
    }
    server.check_health();
}

#[tokio::test]
async fn who_has_not_logged_in_sends_little() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let large = json!({ "type": "m.login.password", "x": "x".repeat(100_000) });
    for path in ["/v3/login", "/v3/register", "/v3/refresh"] {
        let answer = network.call(INSTAGRAM, None, Method::POST, path, Some(large.clone())).await;
        answer.fails(413, "M_TOO_LARGE");
    }
    let path = "/v3/account/password";
    network.call(INSTAGRAM, None, Method::POST, path, Some(large.clone())).await.fails(413, "M_TOO_LARGE");
    anna.post("/v3/keys/query", json!({ "device_keys": {}, "x": "x".repeat(100_000) })).await.ok();
}
