//! Conversations over real client libraries: matrix-js-sdk, matrix-nio and matrix-sdk.
//!
//! Three people talk over one server, each with another library, on three platforms or all on one: the same
//! conversation, so that whatever holds between two platforms holds within one. Each of them sees what the others do,
//! in order, with the right counts, receipts and typing. `make test` builds what this needs.

mod conversation;
mod driver;
mod person;
mod walls;

use conversation::Cast;
use driver::Library::{Js, Nio, Rust};
use linkspan_tests::{
    Platform::{Instagram, Messenger, Whatsapp},
    Server,
};

#[test]
fn three_platforms() {
    let server = Server::start();
    let cast = Cast::new(&server, [(Instagram, Js), (Messenger, Rust), (Whatsapp, Nio)]);
    conversation::all(&server, &cast);
}

#[test]
fn three_platforms_with_libraries_changed() {
    let server = Server::start();
    let cast = Cast::new(&server, [(Instagram, Rust), (Messenger, Nio), (Whatsapp, Js)]);
    conversation::all(&server, &cast);
}

#[test]
fn one_platform() {
    let server = Server::start();
    let cast = Cast::new(&server, [(Messenger, Nio), (Messenger, Js), (Messenger, Rust)]);
    conversation::all(&server, &cast);
}

#[test]
fn platforms_are_walls() {
    let server = Server::start();
    walls::all(&server);
}
