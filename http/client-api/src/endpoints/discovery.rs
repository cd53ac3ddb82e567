//! What this server can do.

use linkspan_wire::{Anybody, ApiError, App};
use ruma::api::client::discovery::get_supported_versions;

/// The versions of the specification that are implemented.
const VERSIONS: [&str; 19] = [
    "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12",
    "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
];

/// What is implemented beyond these versions, or under an earlier name. A request for each of them is in the
/// tests that shows it: `tests/api/features.rs`.
const FEATURES: &[&str] = &[
    "com.beeper.msc4169",
    "fi.mau.msc2246",
    "fi.mau.msc2246.stable",
    "org.linkspan.disappearing_messages",
    "org.matrix.msc2946",
    "org.matrix.msc3030",
    "org.matrix.msc3266",
    "org.matrix.msc3391",
    "org.matrix.msc3715.stable",
    "org.matrix.msc3771",
    "org.matrix.msc3814",
    "org.matrix.msc3874",
    "org.matrix.msc3916.stable",
    "org.matrix.msc3981",
    "org.matrix.msc4140",
    "org.matrix.msc4143",
    "org.matrix.msc4222",
    "org.matrix.msc4306",
    "org.matrix.msc4308",
    "org.matrix.msc4380",
    "org.matrix.msc4380.stable",
    "org.matrix.simplified_msc3575",
    "uk.half-shot.msc2666.query_mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms.stable",
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
    "uk.timedout.msc4323",
];

pub(crate) async fn get_versions(
    _: App,
    _: Anybody,
    _: get_supported_versions::Request,
) -> Result<get_supported_versions::Response, ApiError> {
    let mut response = get_supported_versions::Response::new(VERSIONS.map(str::to_owned).to_vec());
    response.unstable_features = FEATURES.iter().map(|feature| ((*feature).to_owned(), true)).collect();
    Ok(response)
}
