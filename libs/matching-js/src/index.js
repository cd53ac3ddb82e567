/**
 * Finds the people of an address book on a Linkspan server, without handing over the book.
 *
 * The server keeps, for each address of somebody who lets themselves be found, an entry that says who that is. Where an
 * entry lies and by which key it is sealed follows from the address and a key that only the server has, by an oblivious
 * pseudo-random function (RFC 9497, ristretto255-SHA512, mode OPRF). The app blinds its addresses, has them evaluated,
 * takes the blinds off, and fetches whole buckets of entries, of which it can open those of its own addresses.
 *
 * `libs/matching-rs` of Linkspan is the same in Rust. What a hostile server or a curious person could learn all the same
 * stands in `docs/decisions/0017-address-book-matching.md`.
 */
export { email, phoneNumber } from "./address.js";
export { findPeople, MatchingError } from "./find.js";
export { callWith } from "./call.js";
