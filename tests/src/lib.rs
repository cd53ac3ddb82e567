//! What the tests from outside share: the program as a process, HTTP/1.1 in plain bytes, people with
//! secrets, and the table of how every endpoint is called.
//!
//! Nothing here may ask the server anything but over HTTP.

pub mod household;
pub mod http1;
pub mod program;
#[path = "../walls/table.rs"]
pub mod table;
