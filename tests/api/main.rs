//! The client-server API as clients of three platforms see it, a file for each area. Each test has
//! a server of its own, in this process, over a store in memory.

mod directory;
mod history;
mod membership;
mod network;
mod oauth;
mod oauth_account;
mod oauth_browser;
mod presence;
mod profile;
mod receipts;
mod rooms;
mod search;
mod spaces;
mod to_device;
