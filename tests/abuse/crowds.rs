//! Hundreds of connections to one platform that want a place, and never let it go or all come at once.

use linkspan_tests::{
    INSTAGRAM, MESSENGER, PASSWORD, Platform, Server,
    household::Town,
    http1::{Connection, Request},
};
use serde_json::json;

use crate::{MIB, ask, begin, crowd, is_limited, request, wait_until};

/// How many connections the server takes in all, where a crowd wants more than that.
const CONNECTIONS: usize = 600;
/// How many half-open heads there are.
const HALF_OPEN: usize = 700;
/// How many strangers begin a body and do not end it.
const BODIES: usize = 500;
/// How much of its body each of them sends, in bytes. All of them together send 30 MB.
const SENT: usize = 60_000;
/// How many of these a network cannot have: it has 16 MiB, so 279 of them.
const REFUSED_BODIES: usize = 100;
/// How many log-ins come at once, each from a network of its own.
const LOG_INS: usize = 600;
/// How many of them are refused at least: 256 of a platform wait, and some are done meanwhile.
const REFUSED_LOG_INS: usize = 200;
/// How many of them still wait when somebody of another platform is logged in. A fair turn comes after one of them.
const STILL_WAITING: usize = 100;

/// A log-in that fails, from an address.
fn guess(user: &str, from: &str) -> Request {
    let identifier = json!({ "type": "m.id.user", "user": user });
    let body = json!({ "type": "m.login.password", "identifier": identifier, "password": "a guess" });
    request("POST", "/v3/login", None).header("X-Forwarded-For", from).json(body.to_string())
}

/// Those of the connections that have an answer.
fn answered(connections: &mut [Connection]) -> Vec<&mut Connection> {
    connections.iter_mut().filter(|connection| connection.has_bytes()).collect()
}

#[test]
fn half_open_heads_keep_nobody_out() {
    let _crowd = crowd();
    let mut server = Server::start_with_connections(CONNECTIONS);
    let half_open: Vec<_> = (0..HALF_OPEN)
        .map(|_| {
            let mut connection = Connection::open(&server.addresses()[Platform::Instagram as usize]);
            connection.send(b"GET /_matrix/client/versions HTTP/1.1\r\nHo");
            connection
        })
        .collect();
    for _ in 0..20 {
        for platform in Platform::ALL {
            let answer = ask(&server, platform, &request("GET", "/versions", None));
            assert_eq!(answer.status, 200, "{platform:?}: {}", answer.text());
        }
    }
    drop(half_open);
    server.check_health();
}

#[test]
fn bodies_that_strangers_do_not_end_are_few_in_memory() {
    let _crowd = crowd();
    // That logging in is limited besides is not what is looked at.
    let mut server = Server::start_with("[platform.limits]\nlogin = 100000.0\nlogin_burst = 100000", &[]);
    let town = Town::strangers(&server);
    town.register(INSTAGRAM, "anna", "a phone");
    town.register(MESSENGER, "dora", "a phone");
    let (before, _) = server.memory_bytes();
    let head = format!(
        "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: {INSTAGRAM}\r\nX-Forwarded-For: 198.51.100.7\r\n\
         Content-Length: 65000\r\n\r\n"
    );
    let begun = [head.as_bytes(), &vec![b' '; SENT]].concat();
    let mut unfinished: Vec<_> = (0..BODIES)
        .map(|_| {
            let mut connection = Connection::open(&server.addresses()[Platform::Instagram as usize]);
            connection.send(&begun);
            connection
        })
        .collect();
    wait_until("that many are refused", || answered(&mut unfinished).len() >= REFUSED_BODIES);
    let (_, most) = server.memory_bytes();
    let more = most.saturating_sub(before);
    assert!(more < 256 * MIB, "{} MiB more", more / MIB);
    let refused = answered(&mut unfinished);
    println!("{} MiB more, {} of {BODIES} are refused", more / MIB, refused.len());
    for connection in refused {
        is_limited(&connection.answer().expect("it is refused"));
    }
    // Others of the same platform, and of another, log in.
    town.log_in(INSTAGRAM, "anna");
    town.log_in(MESSENGER, "dora");
    server.check_health();
}

#[test]
fn a_crowd_that_logs_in_on_one_platform_keeps_no_other_waiting() {
    let _crowd = crowd();
    let mut server = Server::start_with("", &[]);
    let town = Town::strangers(&server);
    town.register(MESSENGER, "dora", "a phone");
    let log_in = |number: usize| {
        let from = format!("10.{}.{}.1", number / 250, number % 250);
        begin(&server, Platform::Instagram, &guess(&format!("nobody{number}"), &from))
    };
    let mut crowd: Vec<_> = (0..LOG_INS).map(log_in).collect();
    wait_until("that many are refused", || answered(&mut crowd).len() >= REFUSED_LOG_INS);
    town.log_in(MESSENGER, "dora");
    let done = answered(&mut crowd);
    assert!(LOG_INS - done.len() >= STILL_WAITING, "{} of {LOG_INS} are answered", done.len());
    let (mut refused, mut tried) = (0, 0);
    for connection in done {
        let answer = connection.answer().expect("it is answered");
        match answer.status {
            403 => tried += 1,
            _ => {
                is_limited(&answer);
                refused += 1;
            }
        }
    }
    println!("{refused} refused, {tried} tried, and {} still waited", LOG_INS - refused - tried);
    assert!(refused >= REFUSED_LOG_INS / 2, "{refused}");
    drop(crowd);
    // Whoever went away is not waited for.
    let body = json!({
        "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "dora" }, "password": PASSWORD,
    });
    let again = request("POST", "/v3/login", None).json(body.to_string());
    assert_eq!(ask(&server, Platform::Messenger, &again).status, 200);
    server.check_health();
}
