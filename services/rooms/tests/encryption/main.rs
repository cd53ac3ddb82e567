//! Platforms that require encryption, or forbid it: every way in which a message or a person can come into a room.

mod anything;
mod coming;
mod creating;
mod earlier;
mod saying;
mod scene;
#[path = "../../../../tests/harness/sealed.rs"]
mod sealed;
mod turning;
#[path = "../world/mod.rs"]
mod world;
