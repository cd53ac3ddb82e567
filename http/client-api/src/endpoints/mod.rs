//! The endpoints, a file for each area of the specification.

pub(crate) mod discovery;
pub(crate) mod push;
