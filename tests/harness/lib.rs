//! What black-box tests share: the server as a program of its own, which may be killed, and requests to it.
//!
//! It must not know what a test is about.

mod http;
mod server;

pub use http::{Answer, Body, Http, Lost};
pub use server::{Platform, Server, built};
