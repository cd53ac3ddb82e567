//! What the log tells of log-ins that fail, so that an operator sees where somebody tries passwords.

use std::net::IpAddr;

use linkspan_platforms::Platform;

/// Says that a log-in has failed. Nothing of what was typed is told: it may be another account's name or a password.
pub fn note_failed_log_in(platform: &Platform, address: IpAddr) {
    tracing::info!(target: "linkspan::log_in", platform = %platform.server_name(), %address, "a log-in failed");
}
