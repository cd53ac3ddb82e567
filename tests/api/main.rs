//! The client-server API as clients of three platforms see it, a file for each area. Each test has
//! a server of its own, in this process, over a store in memory.

mod delayed_events;
mod directory;
mod email;
mod features;
mod history;
mod invite_permission;
mod membership;
mod moderation;
mod network;
mod presence;
mod previews;
mod profile;
mod receipts;
mod rooms;
mod search;
mod spaces;
mod to_device;
