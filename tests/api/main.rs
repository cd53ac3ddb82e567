//! The client-server API as clients of three platforms see it, a file for each area. Each test has
//! a server of its own, in this process, over a store in memory.

mod directory;
mod encryption_rules;
mod history;
mod key_backup;
mod keys;
mod membership;
mod network;
mod oauth;
mod oauth_account;
mod oauth_browser;
mod olm;
mod presence;
mod profile;
mod receipts;
mod rooms;
mod search;
mod sliding_sync;
mod spaces;
mod to_device;
