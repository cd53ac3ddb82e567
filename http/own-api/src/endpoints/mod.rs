//! The endpoints, a file for each area.

pub(crate) mod handle;
pub(crate) mod matching;
pub(crate) mod platform;
pub(crate) mod report;
pub(crate) mod validation;
