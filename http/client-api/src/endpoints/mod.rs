//! The endpoints, a file for each area of the specification.

pub(crate) mod account;
pub(crate) mod account_data;
pub(crate) mod delayed_events;
pub(crate) mod devices;
pub(crate) mod directory;
pub(crate) mod discovery;
pub(crate) mod filters;
pub(crate) mod media;
pub(crate) mod membership;
pub(crate) mod moderation;
pub(crate) mod presence;
pub(crate) mod profile;
pub(crate) mod push;
pub(crate) mod read;
pub(crate) mod receipts;
pub(crate) mod registration;
pub(crate) mod report;
pub(crate) mod rooms;
pub(crate) mod search;
pub(crate) mod send;
pub(crate) mod server_info;
pub(crate) mod session;
pub(crate) mod sync;
pub(crate) mod third_party_ids;
pub(crate) mod thirdparty;
pub(crate) mod to_device;
