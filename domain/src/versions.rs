//! The room versions that Linkspan hosts.

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};

/// The versions in which rooms can be created and joined. The oldest comes first.
pub const SUPPORTED: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

/// The rules of a supported version, or None for any other.
pub fn rules(version: &RoomVersionId) -> Option<RoomVersionRules> {
    SUPPORTED.contains(version).then(|| version.rules()).flatten()
}
