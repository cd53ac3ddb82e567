//! People of different platforms compare emoji.

use linkspan_tests::{
    Platform::{Instagram, Messenger, Whatsapp},
    Server,
};

use crate::{
    driver::Library::{self, Js, Nio, Rust, Sliding},
    encrypted::{sign_up, talk_alone},
    trust::Verification,
};

/// Each library verifies each other one: a device, and, where both libraries can, a person in a direct chat.
pub(crate) fn all(server: &Server) {
    let clients = [
        (Instagram, Nio),
        (Messenger, Rust),
        (Whatsapp, Js),
        (Instagram, Library::in_browser()),
        (Whatsapp, Sliding),
    ];
    let people = sign_up(server, clients);
    let [anna, ben, chloe, dan, edda] = &people[..] else { unreachable!("five signed up") };
    for person in people.iter().filter(|person| person.knows_identities()) {
        person.gets_identity();
    }
    for (asking, answering) in [(ben, chloe), (chloe, anna), (anna, ben), (edda, anna), (anna, dan)] {
        talk_alone(asking, answering);
        Verification::begin(asking, answering, None).succeed();
    }

    let room = talk_alone(dan, ben);
    Verification::begin(dan, ben, Some(&room)).succeed();
    let room = talk_alone(edda, chloe);
    Verification::begin(edda, chloe, Some(&room)).fail();
    Verification::begin(edda, chloe, Some(&room)).succeed();
    talk_alone(edda, dan);
    Verification::begin(dan, edda, None).fail();
}
