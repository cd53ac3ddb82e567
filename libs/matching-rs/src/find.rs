//! Finding the people of an address book: all steps, over an HTTP client that the app brings.

use std::collections::{BTreeMap, BTreeSet};

use rand_core_06::OsRng;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Address, Blinded, MAX_BUCKET_BITS, Secret, bucket_of, server_hash,
    wire::{
        BUCKETS_PATH, Buckets, EVALUATE_PATH, Evaluate, Evaluated, MAX_BUCKETS, MAX_ELEMENTS, MODE,
        PARAMETERS_PATH, Parameters, SUITE, decode_element, encode_element, read_buckets,
    },
};

/// How often it is begun anew because the server has another key or another number of buckets by now. Both
/// are rare.
const ATTEMPTS: usize = 3;
/// The status by which the server says so.
const CHANGED: u16 = 409;

/// A request that the app makes, with its access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, from the server's root.
    pub path: &'static str,
    /// The body, which is JSON, or empty.
    pub body: Vec<u8>,
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Somebody who was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The address in the book.
    pub address: Address,
    /// The user id of whose address it is.
    pub user_id: String,
}

/// Why nobody could be looked for.
#[derive(Debug, thiserror::Error)]
pub enum FindError<E> {
    /// The app's own call failed.
    #[error("the call failed: {0}")]
    Call(E),
    /// The server refused. If the status is 429, too much was asked for today.
    #[error("the server answered with status {}", .0.status)]
    Refused(Answer),
    /// The answer is not what it has to be.
    #[error("the server's answer cannot be used: {0}")]
    Unusable(&'static str),
    /// The server has got another key meanwhile. Try again another day.
    #[error("the server has another key by now: try again another day")]
    OtherKey,
    /// The server's key or number of buckets changed again and again.
    #[error("the server's parameters change all the time")]
    Unsteady,
}

/// Finds the people of an address book, in the order of their addresses. `call` makes a request. A book of a
/// thousand addresses takes five of them, and the server counts a thousand evaluations.
pub async fn find_people<E>(
    book: &[Address],
    mut call: impl AsyncFnMut(Call) -> Result<Answer, E>,
) -> Result<Vec<Found>, FindError<E>> {
    let book: Vec<_> = BTreeSet::from_iter(book).into_iter().collect();
    let mut secrets: Option<(u32, Vec<Secret>)> = None;
    for _ in 0..ATTEMPTS {
        let Some(parameters) = fetch_parameters(&mut call).await? else { continue };
        match &secrets {
            // With buckets under a second key, the server could tell which numbers they are of.
            Some((version, _)) if *version != parameters.version => return Err(FindError::OtherKey),
            Some(_) => {}
            None => {
                let evaluated = evaluate(&book, &parameters, &mut call).await?;
                secrets = evaluated.map(|evaluated| (parameters.version, evaluated));
            }
        }
        let Some((_, secrets)) = &secrets else { continue };
        let Some(entries) = fetch_buckets(secrets, &parameters, &mut call).await? else { continue };
        return Ok(open_all(&book, secrets, &entries, &parameters));
    }
    Err(FindError::Unsteady)
}

/// The steps below give `None` if the server has changed meanwhile.
type Step<T, E> = Result<Option<T>, FindError<E>>;

async fn fetch_parameters<E>(call: &mut impl AsyncFnMut(Call) -> Result<Answer, E>) -> Step<Parameters, E> {
    let request = Call { method: "GET", path: PARAMETERS_PATH, body: Vec::new() };
    let Some(body) = ask(request, call).await? else { return Ok(None) };
    let parameters: Parameters = parse(&body)?;
    if parameters.suite != SUITE || parameters.mode != MODE || parameters.bucket_bits > MAX_BUCKET_BITS {
        return Err(FindError::Unusable("it speaks another protocol"));
    }
    Ok(Some(parameters))
}

async fn evaluate<E>(
    book: &[&Address],
    parameters: &Parameters,
    call: &mut impl AsyncFnMut(Call) -> Result<Answer, E>,
) -> Step<Vec<Secret>, E> {
    let mut secrets = Vec::with_capacity(book.len());
    for addresses in book.chunks(MAX_ELEMENTS) {
        let blinded: Vec<_> = addresses.iter().map(|address| Blinded::new(address, &mut OsRng)).collect();
        let elements = blinded.iter().map(|blinded| encode_element(&blinded.element)).collect();
        let request = Evaluate { version: parameters.version, elements };
        let Some(body) = ask(post(EVALUATE_PATH, &request), call).await? else { return Ok(None) };
        let evaluated: Evaluated = parse(&body)?;
        if evaluated.elements.len() != blinded.len() {
            return Err(FindError::Unusable("it has evaluated another number of elements"));
        }
        for (blinded, element) in blinded.iter().zip(&evaluated.elements) {
            let secret = decode_element(element).and_then(|element| blinded.finish(&element));
            secrets.push(secret.map_err(|_| FindError::Unusable("an element is none of the group"))?);
        }
    }
    Ok(Some(secrets))
}

/// The entries of all buckets in which something of the book may be. The buckets are asked for in their own
/// order, so that the order of the book shows nowhere.
async fn fetch_buckets<E>(
    secrets: &[Secret],
    parameters: &Parameters,
    call: &mut impl AsyncFnMut(Call) -> Result<Answer, E>,
) -> Step<BTreeMap<u32, Vec<Vec<u8>>>, E> {
    let bits = parameters.bucket_bits;
    let wanted: Vec<u32> = BTreeSet::from_iter(secrets.iter().map(|secret| bucket_of(secret.slot(), bits)))
        .into_iter()
        .collect();
    let mut fetched = BTreeMap::new();
    for buckets in wanted.chunks(MAX_BUCKETS) {
        let request = Buckets { version: parameters.version, bucket_bits: bits, buckets: buckets.to_owned() };
        let Some(body) = ask(post(BUCKETS_PATH, &request), call).await? else { return Ok(None) };
        let contents = read_buckets(&body, buckets.len());
        let contents = contents.ok_or(FindError::Unusable("the buckets are not whole"))?;
        let contents = contents.into_iter().map(|entries| entries.into_iter().map(<[u8]>::to_vec).collect());
        fetched.extend(buckets.iter().copied().zip(contents));
    }
    Ok(Some(fetched))
}

fn open_all(
    book: &[&Address],
    secrets: &[Secret],
    entries: &BTreeMap<u32, Vec<Vec<u8>>>,
    parameters: &Parameters,
) -> Vec<Found> {
    let servers: BTreeMap<_, _> =
        parameters.servers.iter().map(|server_name| (server_hash(server_name), server_name)).collect();
    let mut found = Vec::new();
    for (address, secret) in book.iter().zip(secrets) {
        let bucket = entries.get(&bucket_of(secret.slot(), parameters.bucket_bits));
        for (server_hash, localpart) in bucket.into_iter().flatten().filter_map(|entry| secret.open(entry)) {
            // Somebody whose platform is not served any more is not found.
            if let Some(server_name) = servers.get(&server_hash) {
                let user_id = format!("@{localpart}:{server_name}");
                found.push(Found { address: (*address).clone(), user_id });
            }
        }
    }
    found.sort();
    found
}

fn post(path: &'static str, body: &impl Serialize) -> Call {
    let body = serde_json::to_vec(body).expect("texts and numbers can be written as JSON");
    Call { method: "POST", path, body }
}

async fn ask<E>(request: Call, call: &mut impl AsyncFnMut(Call) -> Result<Answer, E>) -> Step<Vec<u8>, E> {
    let answer = call(request).await.map_err(FindError::Call)?;
    match answer.status {
        200 => Ok(Some(answer.body)),
        CHANGED => Ok(None),
        _ => Err(FindError::Refused(answer)),
    }
}

fn parse<T: DeserializeOwned, E>(body: &[u8]) -> Result<T, FindError<E>> {
    serde_json::from_slice(body).map_err(|_| FindError::Unusable("it is not the JSON that was expected"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Answer, FindError, find_people};
    use crate::{
        Address,
        wire::{BUCKETS_PATH, MODE, PARAMETERS_PATH, SUITE},
    };

    /// A server that has another key whenever it is asked sees the buckets of one.
    #[tokio::test]
    async fn buckets_are_asked_for_under_one_key_only() {
        let (mut versions, mut buckets) = (0, 0);
        let book = [Address::phone_number("+4930123456").expect("a number")];
        let found = find_people(&book, async |call| {
            let (status, body) = match call.path {
                PARAMETERS_PATH => {
                    versions += 1;
                    let parameters = json!({
                        "suite": SUITE, "mode": MODE, "version": versions, "bucket_bits": 20, "servers": [],
                        "elements_per_day": 5_000, "buckets_per_day": 10_000,
                    });
                    (200, parameters.to_string())
                }
                BUCKETS_PATH => {
                    buckets += 1;
                    (409, String::new())
                }
                // With a key of one, what is blinded is what is evaluated.
                _ => (200, String::from_utf8(call.body).expect("JSON")),
            };
            Ok::<_, ()>(Answer { status, body: body.into_bytes() })
        });
        assert!(matches!(found.await, Err(FindError::OtherKey)));
        assert_eq!((versions, buckets), (2, 1));
    }
}
