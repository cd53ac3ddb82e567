//! Tokens of the pages of a list: where a page begins, and of which list it is.

use linkspan_wire::ApiError;
use std::{
    fmt::Display,
    hash::{DefaultHasher, Hash, Hasher},
    str::FromStr,
};

/// What stands in a token between the place where a page begins and the list that it is a page of.
const SEPARATOR: char = '~';

/// A list that somebody pages through. Who asks for something else asks for another list, whose pages begin
/// elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PagedList {
    /// A hash of what was asked for. It may change with the program: its tokens live no longer than a
    /// conversation.
    fingerprint: u64,
}

impl PagedList {
    /// The list that is the answer to `asked`: everything that decides what is on it, and in which order.
    pub(crate) fn of(asked: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        asked.hash(&mut hasher);
        Self { fingerprint: hasher.finish() }
    }

    /// The place where the page begins that a token names, or `None` without a token.
    pub(crate) fn place<T: FromStr>(self, token: Option<&str>) -> Result<Option<T>, ApiError> {
        let Some(token) = token else { return Ok(None) };
        let unknown = || ApiError::invalid_param("this is no token of a page");
        let (place, fingerprint) = token.rsplit_once(SEPARATOR).ok_or_else(unknown)?;
        let place = place.parse().map_err(|_| unknown())?;
        if u64::from_str_radix(fingerprint, 16).map_err(|_| unknown())? != self.fingerprint {
            return Err(ApiError::invalid_param(
                "this token is of a list that was asked for with other parameters",
            ));
        }
        Ok(Some(place))
    }

    /// The token of the page that begins at a place.
    pub(crate) fn token(self, place: impl Display) -> String {
        format!("{place}{SEPARATOR}{:x}", self.fingerprint)
    }
}
