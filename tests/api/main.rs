//! The client-server API as clients of three platforms see it, a file for each area. Each test has
//! a server of its own, in this process, over a store in memory.

mod deactivation;
mod delayed_events;
mod directory;
mod email;
mod encryption_rules;
mod features;
mod gone_clients;
mod history;
mod ignored;
mod invite_permission;
mod key_backup;
mod keys;
mod legacy_media;
mod membership;
mod moderation;
mod network;
mod oauth;
mod oauth_account;
mod oauth_browser;
mod olm;
mod presence;
mod previews;
mod profile;
mod receipts;
mod rooms;
mod search;
mod sliding_connections;
mod sliding_model;
mod sliding_sync;
mod spaces;
mod thread_subscriptions;
mod to_device;
mod upgrades;
