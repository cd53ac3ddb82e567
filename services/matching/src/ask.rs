//! What apps ask: the parameters, elements evaluated, the contents of buckets.

use std::sync::Arc;

use linkspan_address_book::{
    Element,
    wire::{MAX_BUCKETS, MAX_ELEMENTS, MODE, Parameters, SUITE},
};
use linkspan_storage::records::MatchingKeyRecord;
use ruma::OwnedUserId;
use voprf::{BlindedElement, Ristretto255};

use crate::{BUCKETS_PER_DAY, ELEMENTS_PER_DAY, Matching, MatchingError, Result, key::oprf_of, usage::Asked};

impl Matching {
    /// What an app has to know before it begins.
    pub async fn parameters(&self) -> Result<Parameters> {
        let key = self.index.key().await?;
        let servers = self.index.platforms.iter().map(|platform| platform.server_name().to_string());
        Ok(Parameters {
            suite: SUITE.to_owned(),
            mode: MODE.to_owned(),
            version: key.version,
            bucket_bits: key.bucket_bits,
            servers: servers.collect(),
            elements_per_day: ELEMENTS_PER_DAY,
            buckets_per_day: BUCKETS_PER_DAY,
        })
    }

    /// Evaluates blinded addresses with the key of a version, and counts them for the user. Nothing is
    /// counted if one of them is no element of the group.
    pub async fn evaluate(
        &self,
        user_id: &OwnedUserId,
        version: u32,
        elements: &[Element],
        now_ts: u64,
    ) -> Result<Vec<Element>> {
        check_count(elements.len(), MAX_ELEMENTS, "elements")?;
        let key = self.key_of_version(version).await?;
        let elements = elements.iter().enumerate().map(|(at, element)| {
            let read = BlindedElement::<Ristretto255>::deserialize(element);
            read.map_err(|_| MatchingError::Invalid(format!("element {at} is none of the group")))
        });
        let elements = elements.collect::<Result<Vec<_>>>()?;
        let asked = Asked { elements: elements.len() as u32, buckets: 0 };
        // Whoever finds no place has asked nothing.
        let place = self.places.take(user_id.server_name(), user_id.as_str()).await?;
        self.count(user_id, asked, now_ts).await?;
        let oprf = oprf_of(&key);
        let evaluate =
            move || elements.iter().map(|element| oprf.blind_evaluate(element).serialize().into()).collect();
        Ok(place.run(evaluate).await?)
    }

    /// The entries of some buckets, which are given in ascending order, and counts them for the user.
    pub async fn buckets(
        &self,
        user_id: &OwnedUserId,
        version: u32,
        bucket_bits: u8,
        buckets: &[u32],
        now_ts: u64,
    ) -> Result<Vec<Vec<Vec<u8>>>> {
        check_count(buckets.len(), MAX_BUCKETS, "buckets")?;
        if !buckets.is_sorted_by(|one, next| one < next) {
            return Err(MatchingError::Invalid("the buckets are not in ascending order".to_owned()));
        }
        let key = self.key_of_version(version).await?;
        if bucket_bits != key.bucket_bits {
            return Err(MatchingError::Changed);
        }
        if buckets.last().is_some_and(|last| u64::from(*last) >> bucket_bits > 0) {
            return Err(MatchingError::Invalid("there are fewer buckets".to_owned()));
        }
        let asked = Asked { elements: 0, buckets: buckets.len() as u32 };
        self.count(user_id, asked, now_ts).await?;
        let mut contents = Vec::with_capacity(buckets.len());
        for bucket in buckets {
            contents.push(self.index.bucket(*bucket, bucket_bits).await?);
            // Reading them all takes some milliseconds, in which others are to be served.
            tokio::task::yield_now().await;
        }
        Ok(contents)
    }

    async fn key_of_version(&self, version: u32) -> Result<Arc<MatchingKeyRecord>> {
        let key = self.index.key().await?;
        if key.version == version { Ok(key) } else { Err(MatchingError::Changed) }
    }

    /// Has as many buckets as there are people for.
    pub async fn fit_buckets(&self) -> Result<()> {
        Ok(self.index.fit_buckets().await?)
    }
}

pub(crate) fn check_count(count: usize, limit: usize, what: &str) -> Result<()> {
    match (1..=limit).contains(&count) {
        true => Ok(()),
        false => Err(MatchingError::Invalid(format!("a request has 1 to {limit} {what}"))),
    }
}
