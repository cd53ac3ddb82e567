//! The endpoints, a file for each area.

pub(crate) mod platform;
pub(crate) mod validation;
