//! Requests to programs of the operator, which know by a signature that it is Linkspan who asks.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, RequestBuilder, Url};
use sha2::Sha256;

/// The header that says when a request was sent, in seconds since the Unix epoch.
pub const TIMESTAMP: &str = "linkspan-timestamp";
/// The header with the signature.
pub const SIGNATURE: &str = "linkspan-signature";

/// A request that posts JSON, signed with a secret that the operator has set. `now_ts`: milliseconds since the Unix
/// epoch.
pub fn post_signed(client: &Client, url: Url, secret: &str, now_ts: u64, body: String) -> RequestBuilder {
    let timestamp = (now_ts / 1_000).to_string();
    client
        .post(url)
        .header("content-type", "application/json")
        .header(SIGNATURE, sign(secret, &timestamp, &body))
        .header(TIMESTAMP, timestamp)
        .body(body)
}

/// The signature of a body at a time, in hexadecimal.
pub fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
