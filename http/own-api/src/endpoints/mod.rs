//! The endpoints, a file for each area.

pub(crate) mod matching;
pub(crate) mod platform;
