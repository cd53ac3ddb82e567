//! What black-box tests share: the server as a program of its own, which may be killed, requests to it,
//! people with secrets, their keys, and the table of how every endpoint is called.
//!
//! It does not know what a test is about, and asks the server only over HTTP.

mod built;
pub mod household;
mod http;
pub mod http1;
pub mod olm;
pub mod sealed;
mod server;
#[path = "../walls/table.rs"]
pub mod table;

pub use built::built;
pub use http::{Answer, Body, Http, Lost};
pub use server::{INSTAGRAM, MESSENGER, PASSWORD, Platform, Server, WHATSAPP};
