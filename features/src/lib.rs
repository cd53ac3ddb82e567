//! Nothing but the list of features in this crate's manifest: whichever packages are built, crates of others
//! are built with the same features, and so once.
//!
//! Cargo gives a crate the features that the chosen packages ask for. `cargo test -p linkspan-rooms` asks for
//! fewer than `cargo build --workspace`, and without this list a hundred crates would be compiled for each
//! choice. The list holds what only some packages ask for, of crates that others use too; `domain`,
//! `storage`, `outbound`, `demo` and `bench` depend on it, and with them all that stand above. `cargo xtask
//! features` says what is missing. `tests/rust-client`, which has a workspace of its own, shares what it can
//! in the same way.
