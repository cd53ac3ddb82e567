//! Many addresses of one attacker, and many attackers of one account.

use std::thread;

use linkspan_tests::{
    INSTAGRAM, PASSWORD, Platform, Server,
    household::Town,
    http1::{Answer, Client, Request},
};
use serde_json::json;

use crate::{ask, is_limited, request};

/// How many registrations fit before waiting begins. None comes back while a test lasts.
const BURST: usize = 3;
/// How many networks' worth a wider network of IPv6 has.
const NETWORKS: usize = 16;
/// How many OAuth clients a platform keeps, and some more.
const CLIENTS: usize = 10_020;
/// How many connections register them.
const REGISTERING: usize = 8;
/// How many wrong passwords can be tried for an account in a day, in this test.
const GUESSES: usize = 12;

/// Begins to register from an address. Says whether there was room for that.
fn registers(server: &Server, from: &str) -> bool {
    let asked = request("POST", "/v3/register", None).header("X-Forwarded-For", from).json("{}");
    let answer = ask(server, Platform::Instagram, &asked);
    if answer.status == 429 {
        is_limited(&answer);
        return false;
    }
    assert_eq!(answer.status, 401, "{}", answer.text());
    true
}

#[test]
fn a_network_of_ipv6_counts_as_one_and_a_wider_one_as_sixteen() {
    let limits = format!("[platform.limits]\nregistration = 0.0001\nregistration_burst = {BURST}");
    let mut server = Server::start_with(&limits, &[]);
    for address in ["2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "[2001:db8:1:2::7]:443"] {
        assert!(registers(&server, address), "{address}");
    }
    assert!(!registers(&server, "2001:db8:1:2::8"));
    let mut from_wider = BURST;
    for network in 3..3 + 2 * NETWORKS {
        for address in 0..=BURST {
            from_wider += usize::from(registers(&server, &format!("2001:db8:1:{network:x}::{address}")));
        }
    }
    assert_eq!(from_wider, NETWORKS * BURST);
    assert!(registers(&server, "2001:db8:2:2::1"), "another wider network has its own");

    // A port is no part of an address, and what stands before the last may be made up.
    for address in ["192.0.2.1", "192.0.2.1:1234", "203.0.113.9, 192.0.2.1:999"] {
        assert!(registers(&server, address), "{address}");
    }
    for address in ["192.0.2.1:4711", "203.0.113.10, 192.0.2.1", "::ffff:192.0.2.1"] {
        assert!(!registers(&server, address), "{address}");
    }
    assert!(registers(&server, "203.0.113.9"), "it was only named by somebody else");
    server.check_health();
}

/// Registers the OAuth client with a number.
fn client(number: usize, from: &str) -> Request {
    let body = json!({
        "client_name": format!("App {number}"), "client_uri": "https://app.example.org/",
        "redirect_uris": ["https://app.example.org/callback"], "application_type": "web",
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
    });
    let path = "/_linkspan/oauth2/registration";
    Request::new("POST", path).header("X-Forwarded-For", from).json(body.to_string())
}

#[test]
fn who_registers_very_many_oauth_clients_displaces_their_own() {
    let mut server = Server::start();
    let registered = ask(&server, Platform::Instagram, &client(0, "198.51.100.7"));
    assert_eq!(registered.status, 201, "{}", registered.text());
    let id = registered.json()["client_id"].as_str().expect("an id").to_owned();
    let address = &server.addresses()[Platform::Instagram as usize];
    thread::scope(|scope| {
        for part in 0..REGISTERING {
            scope.spawn(move || {
                let mut connection = Client::new(address);
                for number in (1..=CLIENTS).filter(|number| number % REGISTERING == part) {
                    let asked = client(number, &format!("2001:db8:1:2::{number:x}"));
                    let answer = connection.ask(INSTAGRAM, &asked).expect("it is answered");
                    assert_eq!(answer.status, 201, "{}", answer.text());
                }
            });
        }
    });
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let known = |id: &str| -> Answer {
        let path = format!(
            "/_linkspan/oauth2/authorize?response_type=code&client_id={id}&state=s\
             &redirect_uri=https%3A%2F%2Fapp.example.org%2Fcallback&code_challenge={challenge}\
             &code_challenge_method=S256&scope=urn%3Amatrix%3Aclient%3Aapi%3A%2A%20urn%3Amatrix%3Aclient%3Adevice%3APHONE"
        );
        ask(&server, Platform::Instagram, &Request::new("GET", path))
    };
    let still = known(&id);
    assert_eq!(still.status, 303, "the first client is still known: {}", still.text());
    assert_eq!(known("another").status, 400, "what is not known is refused");
    server.check_health();
}

#[test]
fn oauth_clients_of_one_network_are_limited() {
    let limits = format!("[platform.limits]\nregistration = 0.0001\nregistration_burst = {BURST}");
    let mut server = Server::start_with(&limits, &[]);
    for number in 0..10 {
        let asked = client(number, &format!("2001:db8:1:2::{number:x}"));
        let answer = ask(&server, Platform::Instagram, &asked);
        match number < BURST {
            true => assert_eq!(answer.status, 201, "{}", answer.text()),
            false => is_limited(&answer),
        }
    }
    assert_eq!(ask(&server, Platform::Instagram, &client(0, "198.51.100.7")).status, 201);
    server.check_health();
}

#[test]
fn guesses_at_an_account_from_many_networks_have_an_end() {
    let limits = format!("[platform.limits]\nlogin_burst = 1000\npassword_guesses_per_day = {GUESSES}");
    let mut server = Server::start_with(&limits, &[]);
    let town = Town::strangers(&server);
    town.register(INSTAGRAM, "anna", "a phone");
    let log_in = |from: &str, password: &str| {
        let identifier = json!({ "type": "m.id.user", "user": "anna" });
        let body = json!({ "type": "m.login.password", "identifier": identifier, "password": password });
        let asked = request("POST", "/v3/login", None).header("X-Forwarded-For", from);
        ask(&server, Platform::Instagram, &asked.json(body.to_string()))
    };
    let home = "198.51.100.7";
    assert_eq!(log_in(home, PASSWORD).status, 200);
    for number in 0..3 * GUESSES {
        let answer = log_in(&format!("10.0.{number}.1"), "a guess");
        match number < GUESSES {
            true => assert_eq!(answer.errcode(), "M_FORBIDDEN", "{}", answer.text()),
            false => is_limited(&answer),
        }
    }
    is_limited(&log_in("10.1.0.1", PASSWORD));
    assert_eq!(log_in(home, PASSWORD).status, 200, "it keeps nobody out who is logged in there");
    server.check_health();
}
