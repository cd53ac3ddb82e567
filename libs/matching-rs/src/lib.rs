//! Finds the people of an address book on a Linkspan server, without handing over the book.
//!
//! The server keeps, for each address of somebody who lets themselves be found, an entry that says who that
//! is. Where an entry lies and by which key it is sealed follows from the address and a key that only the
//! server has, by an oblivious pseudo-random function (RFC 9497, ristretto255-SHA512, mode OPRF):
//!
//! 1. The app blinds each address. The server evaluates what it gets and cannot tell what it was.
//! 2. The app takes the blind off and has the [`Secret`] of the address, which the server counts but does not
//!    see.
//! 3. The first bits of the secret name a bucket. The app asks for whole buckets, and opens the entries of
//!    the addresses that it knows. All others tell it nothing.
//!
//! [`find_people`] does all of this; the app brings the HTTP client. What a hostile server or a curious
//! person could learn all the same stands in `docs/decisions/0017-address-book-matching.md` of Linkspan.
//!
//! The server's side uses this crate too, for what both have to do in the same way: [`Address`], [`Secret`]
//! and the forms of requests and answers in [`wire`]. It has no I/O.

mod address;
mod find;
mod oprf;
mod secret;
pub mod wire;

pub use address::{Address, AddressError};
pub use find::{Answer, Call, FindError, Found, find_people};
pub use oprf::{BadElement, Blinded, ELEMENT_BYTES, Element};
pub use secret::{MAX_BUCKET_BITS, Secret, bucket_of, server_hash};
