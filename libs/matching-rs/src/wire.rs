//! The forms of requests and answers, for both sides. The endpoints are described in
//! `docs/openapi/client-v1.json`.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::oprf::{BadElement, Element};

/// The suite of RFC 9497.
pub const SUITE: &str = "ristretto255-SHA512";
/// The mode of RFC 9497.
pub const MODE: &str = "OPRF";
/// The most elements of a request to evaluate.
pub const MAX_ELEMENTS: usize = 500;
/// The most buckets of a request.
pub const MAX_BUCKETS: usize = 500;
/// The most entries of a bucket that is handed out.
pub const MAX_ENTRIES: usize = 1_000;

/// The path of the parameters.
pub const PARAMETERS_PATH: &str = "/_linkspan/client/v1/matching/parameters";
/// The path at which blinded addresses are evaluated.
pub const EVALUATE_PATH: &str = "/_linkspan/client/v1/matching/evaluate";
/// The path at which buckets are fetched.
pub const BUCKETS_PATH: &str = "/_linkspan/client/v1/matching/buckets";

/// What an app has to know before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// Always [`SUITE`] so far.
    pub suite: String,
    /// Always [`MODE`] so far.
    pub mode: String,
    /// The number of the server's key. Secrets are good for one key only.
    pub version: u32,
    /// How many bits name a bucket: there are two to the power of this.
    pub bucket_bits: u8,
    /// The server names of those who can be found.
    pub servers: Vec<String>,
    /// How many elements may be evaluated for a person in a day.
    pub elements_per_day: u32,
    /// How many buckets a person may fetch in a day.
    pub buckets_per_day: u32,
}

/// Asks for elements to be evaluated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluate {
    /// The number of the key, as the parameters said.
    pub version: u32,
    /// Blinded addresses, in unpadded base64.
    pub elements: Vec<String>,
}

/// The elements, evaluated, in the same order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluated {
    /// Elements in unpadded base64.
    pub elements: Vec<String>,
}

/// Asks for the contents of buckets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Buckets {
    /// The number of the key, as the parameters said.
    pub version: u32,
    /// How many bits name a bucket, as the parameters said.
    pub bucket_bits: u8,
    /// The numbers of the buckets in ascending order, each once.
    pub buckets: Vec<u32>,
}

/// Writes an element as it stands in JSON.
pub fn encode_element(element: &Element) -> String {
    BASE64_STANDARD_NO_PAD.encode(element)
}

/// Reads an element as it stands in JSON. Whether it is one of the group is not looked at.
pub fn decode_element(text: &str) -> Result<Element, BadElement> {
    let bytes = BASE64_STANDARD_NO_PAD.decode(text).map_err(|_| BadElement)?;
    bytes.try_into().map_err(|_| BadElement)
}

/// Appends the contents of a bucket: two bytes that say how many entries there are, and before each entry two
/// bytes that say how long it is. Numbers have their greater byte first.
pub fn write_bucket(to: &mut Vec<u8>, entries: &[Vec<u8>]) {
    push_number(to, entries.len());
    for entry in entries {
        push_number(to, entry.len());
        to.extend_from_slice(entry);
    }
}

fn push_number(to: &mut Vec<u8>, number: usize) {
    let number = u16::try_from(number).expect("a bucket and an entry have limits");
    to.extend_from_slice(&number.to_be_bytes());
}

/// Reads the contents of so many buckets. None: that is not what the bytes are.
pub fn read_buckets(mut bytes: &[u8], count: usize) -> Option<Vec<Vec<&[u8]>>> {
    let buckets = (0..count).map(|_| {
        let entries = take_number(&mut bytes)?;
        (0..entries)
            .map(|_| {
                let length = take_number(&mut bytes)?;
                bytes.split_off(..usize::from(length))
            })
            .collect::<Option<Vec<_>>>()
    });
    let buckets = buckets.collect::<Option<Vec<_>>>()?;
    bytes.is_empty().then_some(buckets)
}

fn take_number(bytes: &mut &[u8]) -> Option<u16> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u16::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_read_as_they_were_written() {
        let buckets = [vec![vec![1, 2, 3], vec![4]], vec![], vec![vec![5; 300]]];
        let mut bytes = Vec::new();
        buckets.iter().for_each(|entries| write_bucket(&mut bytes, entries));
        assert_eq!(read_buckets(&bytes, 3).expect("they are whole"), buckets);
        assert_eq!(read_buckets(&bytes, 2), None, "something is left over");
        for len in 0..bytes.len() {
            assert_eq!(read_buckets(&bytes[..len], 3), None, "{len} bytes");
        }
    }

    #[test]
    fn elements_have_one_length() {
        let element = [7; 32];
        assert_eq!(decode_element(&encode_element(&element)), Ok(element));
        for wrong in
            ["", "AAAA", "!", &encode_element(&element)[1..], &format!("{}=", encode_element(&element))]
        {
            assert_eq!(decode_element(wrong), Err(BadElement), "{wrong:?}");
        }
    }
}
