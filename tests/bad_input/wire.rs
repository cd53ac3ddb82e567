//! Requests that are hardly HTTP: cut, slow, doubled or forged on the wire.

use linkspan_tests::{
    INSTAGRAM, MESSENGER, Server,
    household::full_path,
    http1::{Connection, Request},
};
use serde_json::json;

use crate::{Spoiler, problem};

const VERSIONS: &str = "GET /_matrix/client/versions HTTP/1.1\r\nHost: instagram.localhost\r\n";

/// The statuses of the answers to some bytes, until the server closes the connection or has answered `most`
/// times.
fn statuses(server: &Server, bytes: &[u8], most: usize) -> Vec<u16> {
    let mut connection = Connection::open(server.address());
    connection.send(bytes);
    let answers = std::iter::from_fn(|| connection.answer()).take(most);
    answers
        .inspect(|answer| assert!(answer.status < 500, "{}", answer.text()))
        .map(|answer| answer.status)
        .collect()
}

#[track_caller]
fn check_serves(server: &Server) {
    assert_eq!(statuses(server, format!("{VERSIONS}\r\n").as_bytes(), 1), [200]);
}

#[test]
fn what_is_no_http_is_refused() {
    let mut spoiler = Spoiler::start();
    let many = format!("{VERSIONS}{}\r\n", "X-A: b\r\n".repeat(500));
    let large = format!("{VERSIONS}X-A: {}\r\n\r\n", "b".repeat(1_000_000));
    let long = format!("GET /{} HTTP/1.1\r\nHost: instagram.localhost\r\n\r\n", "a".repeat(1_000_000));
    let cases: [&[u8]; 16] = [
        many.as_bytes(),
        large.as_bytes(),
        long.as_bytes(),
        b"\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: instagram.localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: instagram.localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: instagram.localhost\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: instagram.localhost\r\nX-A: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: instagram.localhost\r\n X-A: folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: instagram.localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: instagram.localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: instagram.localhost\r\nContent-Length: 1, 2\r\n\r\nab",
    ];
    for case in cases {
        let got = statuses(&spoiler.server, case, 1);
        assert!(got.iter().all(|status| (400..500).contains(status)), "{}: {got:?}", crate::short(case));
        check_serves(&spoiler.server);
    }
    spoiler.server.check_health();
}

#[test]
fn no_request_is_smuggled_in_another() {
    let mut spoiler = Spoiler::start();
    let hidden = "GET /_matrix/client/versions HTTP/1.1\r\nHost: instagram.localhost\r\n\r\n";
    let head = "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: instagram.localhost\r\n";
    let length = hidden.len();
    // Where two readers could disagree on the end of a request, nothing may follow, so each is answered once
    // at most.
    let cases = [
        format!("{head}Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"),
        format!("{head}Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        format!("{head}Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{hidden}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{hidden}"),
    ];
    for case in cases {
        let got = statuses(&spoiler.server, case.as_bytes(), 2);
        assert!(got.len() <= 1 && got.iter().all(|status| *status >= 400), "{case}: {got:?}");
    }
    // Chunks win over a length, and what follows them is another request.
    let both =
        format!("{head}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n{hidden}");
    let got = statuses(&spoiler.server, both.as_bytes(), 1);
    assert!(got.iter().all(|status| *status == 400), "{got:?}");
    spoiler.server.check_health();
}

#[test]
fn a_request_is_for_one_host() {
    let mut spoiler = Spoiler::start();
    let token = spoiler.household.anna.token.clone();
    let ask = |target: &str, hosts: &str| {
        let whoami = format!("GET {target} HTTP/1.1\r\n{hosts}Authorization: Bearer {token}\r\n\r\n");
        statuses(&spoiler.server, whoami.as_bytes(), 1)
    };
    const PATH: &str = "/_matrix/client/v3/account/whoami";
    assert_eq!(ask(PATH, "Host: instagram.localhost\r\n"), [200]);
    assert_eq!(ask(PATH, "Host: INSTAGRAM.localhost:8008\r\n"), [200]);
    assert_eq!(ask(PATH, "Host: messenger.localhost\r\n"), [401]);
    assert_eq!(ask(PATH, "Host: instagram.localhost\r\nHost: messenger.localhost\r\n"), [400], "two hosts");
    assert_eq!(ask(PATH, ""), [404], "no host");
    // By RFC 9112, section 3.2.2, a target in full counts and the header does not.
    let full = format!("http://instagram.localhost{PATH}");
    assert_eq!(ask(&full, "Host: messenger.localhost\r\n"), [200]);
    let full = format!("http://{MESSENGER}{PATH}");
    assert_eq!(ask(&full, "Host: instagram.localhost\r\n"), [401]);
    spoiler.server.check_health();
}

#[test]
fn requests_follow_each_other_on_a_connection() {
    let mut spoiler = Spoiler::start();
    let server = &spoiler.server;
    let next = format!("{VERSIONS}\r\n");
    let lost = "GET /nowhere HTTP/1.1\r\nHost: instagram.localhost\r\n\r\n";
    let posted = Request::new("POST", full_path("/v3/login")).json("{}").to_bytes(INSTAGRAM);
    let mut pipeline = [next.as_bytes(), lost.as_bytes(), &posted, next.as_bytes()].concat();
    assert_eq!(statuses(server, &pipeline, 4), [200, 404, 400, 200]);
    pipeline.extend(b"GET / HTTP/1.1\r\nHo");
    assert_eq!(statuses(server, &pipeline, 4), [200, 404, 400, 200]);
    let old = "GET /_matrix/client/versions HTTP/1.0\r\nHost: instagram.localhost\r\n\r\n";
    assert_eq!(statuses(server, old.as_bytes(), 2), [200], "then it is over");
    let chunked = "PUT /_matrix/client/v3/login HTTP/1.1\r\nHost: instagram.localhost\r\n\
                   Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(statuses(server, chunked.as_bytes(), 1), [405]);
    let awaited = "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: instagram.localhost\r\n\
                   Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(statuses(server, awaited.as_bytes(), 1), [400]);
    spoiler.server.check_health();
}

#[test]
fn a_connection_goes_on_after_requests_that_are_refused_unread() {
    let mut spoiler = Spoiler::start();
    let server = &spoiler.server;
    let token = spoiler.household.anna.token.clone();
    // This is more than one read takes.
    let body = json!({ "msgtype": "m.text", "body": "a".repeat(60_000) }).to_string();
    let message = full_path("/v3/rooms/!room/send/m.room.message/1");
    let put = |token: Option<&str>| Request::new("PUT", &message).by(token).json(&body);
    let cases = [
        (INSTAGRAM, put(None), 401),
        (INSTAGRAM, put(Some("made up")), 401),
        (MESSENGER, put(Some(&token)), 401),
        ("elsewhere.localhost", put(Some(&token)), 404),
        (INSTAGRAM, Request::new("PUT", "/_matrix/nowhere").json(&body), 404),
        (INSTAGRAM, Request::new("DELETE", &message).json(&body), 405),
        // Pages.
        ("elsewhere.localhost", Request::new("POST", "/_linkspan/log-in").json(&body), 404),
        (INSTAGRAM, Request::new("POST", "/_linkspan/email").json(&body), 404),
        (INSTAGRAM, Request::new("POST", "/").json(&body), 405),
    ];
    let mut connection = Connection::open(server.address());
    for (host, request, status) in cases {
        // Many clients send the head first and then the body.
        let bytes = request.to_bytes(host);
        let (head, body) = bytes.split_at(bytes.len() - body.len());
        connection.send(head);
        connection.send(body);
        let answer = connection.answer().expect("the connection is still there");
        assert_eq!((answer.status, answer.header("connection")), (status, None), "{}", answer.text());
    }
    // If the rest is too much, the client gets the answer, and is told that the connection ends with it.
    let upload = |token: &str| {
        let mut request = Request::new("POST", full_path("/_matrix/media/v3/upload")).by(Some(token));
        request.body = vec![0; 8 << 20];
        request
    };
    let too_large = Request::new("PUT", &message).by(Some(&token)).json("a".repeat(8 << 20));
    for (request, status) in [(upload("made up"), 401), (too_large, 413)] {
        let mut connection = Connection::open(server.address());
        connection.send(&request.to_bytes(INSTAGRAM));
        let answer = connection.answer().expect("the answer arrives");
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")));
        assert!(connection.answer().is_none());
    }
    spoiler.server.check_health();
}

#[test]
fn the_slow_hold_up_nobody() {
    let mut spoiler = Spoiler::start();
    let token = spoiler.household.anna.token.clone();
    let slow = |bytes: String| {
        let mut connection = Connection::open(spoiler.server.address());
        connection.send(bytes.as_bytes());
        connection
    };
    let heads: Vec<_> = (0..100).map(|_| slow("GET / HTTP/1.1\r\nHo".to_owned())).collect();
    let body = format!(
        "POST /_matrix/client/v3/createRoom HTTP/1.1\r\nHost: instagram.localhost\r\n\
         Authorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n{{\"name\":"
    );
    let bodies: Vec<_> = (0..100).map(|_| slow(body.clone())).collect();
    let upload = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: instagram.localhost\r\n\
         Authorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\nhalf"
    );
    let uploads: Vec<_> = (0..20).map(|_| slow(upload.clone())).collect();
    check_serves(&spoiler.server);
    let create = Request::new("POST", full_path("/v3/createRoom")).by(Some(&token)).json("{}");
    let answer = spoiler.town.ask(INSTAGRAM, &create);
    assert_eq!((answer.status, problem(&answer)), (200, None), "{}", answer.text());
    drop((heads, bodies, uploads));
    check_serves(&spoiler.server);
    spoiler.server.check_health();
}
