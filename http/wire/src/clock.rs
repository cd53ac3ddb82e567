//! The clock. Services are told the time by those who call them.

use std::time::{SystemTime, UNIX_EPOCH};

use ruma::{MilliSecondsSinceUnixEpoch, UInt};

/// What time it is, in milliseconds since the Unix epoch.
pub fn now_ts() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A time of a record as ruma has it. `None` if it is later than any time on the wire.
pub fn timestamp(ts: u64) -> Option<MilliSecondsSinceUnixEpoch> {
    UInt::new(ts).map(MilliSecondsSinceUnixEpoch)
}
