//! The program as it is deployed: behind the proxies whose configurations are in deploy/proxies, and with TLS of its own.
//! What is not installed is left out, and a line says so.

mod certificate;
mod deployed;
mod proxies;
mod tls;
mod told;
