//! Rendered events, as the types of ruma's responses carry them.

use ruma::serde::Raw;
use serde_json::value::RawValue;

/// Rendered events, as the events that a response has.
pub(crate) fn raw_events<T>(events: Vec<Box<RawValue>>) -> Vec<Raw<T>> {
    events.into_iter().map(Raw::from_json).collect()
}
