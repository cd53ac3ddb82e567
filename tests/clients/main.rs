//! Conversations over real client libraries: matrix-js-sdk, matrix-nio and matrix-sdk.
//!
//! Three people talk over one server, each with another library, on three platforms or all on one: the same
//! conversation, so that whatever holds between two platforms holds within one. Each of them sees what the others do,
//! in order, with the right counts, receipts and typing. Then with encryption on, where one platform requires it: every
//! message is read by every device that it is for, and by no other. And people use the pages of a platform in Chromium.
//! `make test` builds what this needs.

mod browser;
mod closing;
mod conversation;
mod demo;
mod device;
mod driver;
mod encrypted;
mod history;
mod mailbox;
mod many_devices;
mod matching;
mod oauth;
mod pages;
mod person;
mod sliding;
mod trust;
mod verifying;
mod walks;
mod walls;

use conversation::Cast;
use driver::Library::{self, Js, Nio, Rust, Sliding};
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

#[test]
fn six_people_encrypt() {
    let server = Server::start_requiring_encryption(Whatsapp);
    let clients = [
        (Instagram, Rust),
        (Messenger, Nio),
        (Whatsapp, Js),
        (Messenger, Library::in_browser()),
        (Whatsapp, Nio),
        (Instagram, Sliding),
    ];
    encrypted::all(&server, clients);
}

#[test]
fn a_browser_that_closes_its_database_is_reloaded() {
    if Library::in_browser() == Library::Chromium {
        let server = Server::start_requiring_encryption(Whatsapp);
        closing::all(&server);
    }
}

#[test]
fn people_of_different_platforms_compare_emoji() {
    let server = Server::start_requiring_encryption(Whatsapp);
    verifying::all(&server);
}

#[test]
fn second_devices_read_everything() {
    let server = Server::start_requiring_encryption(Whatsapp);
    many_devices::second_devices(&server);
}

#[test]
fn lost_devices_are_replaced_from_the_backup() {
    let server = Server::start_requiring_encryption(Whatsapp);
    many_devices::lost_devices(&server);
}

#[test]
fn dehydrated_devices_listen_while_there_is_no_other() {
    let server = Server::start_requiring_encryption(Whatsapp);
    many_devices::dehydrated_devices(&server);
}

#[test]
fn removed_devices_are_out() {
    let server = Server::start_requiring_encryption(Whatsapp);
    many_devices::removed_devices(&server);
}

#[test]
fn who_comes_late_reads_what_the_room_allows() {
    let server = Server::start_requiring_encryption(Whatsapp);
    history::all(&server);
}

#[test]
fn sliding_sync_goes_on_over_a_restart() {
    let mut server = Server::start_requiring_encryption(Whatsapp);
    sliding::all(&mut server);
}

#[test]
fn a_group_goes_on_over_a_restart() {
    let mut server = Server::start_requiring_encryption(Whatsapp);
    sliding::group(&mut server);
}

#[test]
fn people_log_in_by_their_browsers() {
    let server = Server::start();
    oauth::all(&server);
}

#[test]
fn the_demo_is_encrypted_and_read_again() {
    demo::twice();
}

#[test]
fn people_of_three_kinds_sign_up_and_find_each_other() {
    if Library::in_browser() == Library::Chromium {
        walks::all();
    }
}

#[test]
fn people_use_the_pages_in_a_browser() {
    if Library::in_browser() == Library::Chromium {
        pages::all();
    }
}
