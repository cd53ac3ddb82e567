//! A program of one platform's operator that does not answer: others' are asked meanwhile.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use linkspan_tests::{INSTAGRAM, MESSENGER, Platform, Server, WHATSAPP, household::Town};
use serde_json::json;

use crate::{begin, open_room, request, wait_until};

/// How many people of the one platform ask at once. Each may ask about 16 invitations at a time, and all of the platform
/// about 32.
const INVITERS: usize = 4;
/// How many invitations each of them sends at once.
const INVITATIONS: usize = 12;
/// How many questions are held at least when the other platform asks.
const HELD: usize = 30;

/// A hook: its address, and how often it was asked.
struct Hook {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Hook {
    /// One that takes questions. It answers `answer`, or never if that is None.
    fn open(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/check", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                match answer {
                    Some(answer) => drop(thread::spawn(move || reply(stream, answer))),
                    None => held.push(stream),
                }
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn settings(&self) -> String {
        format!(
            "[platform.policy]\nurl = \"{}\"\nsecret = \"a secret of the operator\"\non_failure = \"refuse\"\n\
             timeout_ms = 10000",
            self.url
        )
    }
}

/// Reads one request and answers it.
fn reply(mut stream: TcpStream, answer: &str) {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    // The question is one object, which ends with the request.
    while !received.ends_with(b"}") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => received.extend(&buffer[..read]),
            _ => return,
        }
    }
    let length = answer.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}");
    let _ = stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n{answer}").as_bytes());
}

#[test]
fn a_hook_that_does_not_answer_keeps_no_other_platform_waiting() {
    let (silent, quick) = (Hook::open(None), Hook::open(Some(r#"{"action":"allow"}"#)));
    let mut server = Server::start_with_settings(|platform| match platform {
        Platform::Instagram => silent.settings(),
        Platform::Messenger => quick.settings(),
        Platform::Whatsapp => String::new(),
    });
    let town = Town::strangers(&server);
    let dora = town.register(MESSENGER, "dora", "a phone");
    town.register(WHATSAPP, "emil", "a phone");
    let stranger = json!({ "user_id": format!("@emil:{WHATSAPP}") });
    let invite = |room: &str| format!("/v3/rooms/{room}/invite");

    let mut waiting = Vec::new();
    for number in 0..INVITERS {
        let inviter = town.register(INSTAGRAM, &format!("inviter{number}"), "a phone");
        for _ in 0..INVITATIONS {
            let room = open_room(&town, &inviter);
            let asked = request("POST", &invite(&room), Some(&inviter)).json(stranger.to_string());
            waiting.push(begin(&server, Platform::Instagram, &asked));
        }
    }
    wait_until("that all places are held", || silent.asked() >= HELD);
    let room = open_room(&town, &dora);
    town.does(&dora, "POST", &invite(&room), &stranger);
    assert_eq!(quick.asked(), 1);
    assert!(waiting.iter().all(|connection| !connection.has_bytes()), "the others still wait");
    println!("{} of {} questions were held", silent.asked(), waiting.len());
    server.check_health();
}
