//! Searching, as people type it: words of a name, a handle, a user id, a number, an e-mail address.
//! <https://spec.matrix.org/v1.19/client-server-api/#user-directory>

use linkspan_accounts::ThirdPartyId;
use ruma::{OwnedUserId, UserId, thirdparty::Medium};

use crate::{Finding, FoundPerson, Result, Wanted};

/// The most results of a search.
const RESULTS: usize = 100;
/// The most people whose contact the finder is that are looked through.
const CONTACT_OF: usize = 1_000;

impl Finding {
    /// Searches the people of all platforms whom the finder may find. First come those whom the whole term names,
    /// then people of the finder's platform, then the others.
    ///
    /// Returns at most `limit` (and at most 100) people, and whether there may be more.
    pub async fn search(
        &self,
        finder: &OwnedUserId,
        term: &str,
        limit: usize,
        now_ts: u64,
    ) -> Result<(Vec<FoundPerson>, bool)> {
        let limit = limit.min(RESULTS);
        let mut found = match address_in(term) {
            Some(id) => self.owners(finder, &Wanted::Address(id), now_ts).await?,
            None => self.named_by_id(finder, term).await?,
        };
        let contact_of = self.contacts.contact_of(finder, CONTACT_OF).await?;
        let (others, mut more) = self.directory.search_users(finder, &contact_of, term).await?;
        for user_id in others {
            if found.len() > limit {
                break;
            }
            let is_known = found.contains(&user_id);
            if !is_known && !self.rooms.turns_away(&user_id, finder).await? {
                found.push(user_id);
            }
        }
        more |= found.len() > limit;
        found.truncate(limit);
        Ok((self.show(found).await?, more))
    }

    /// The user whose whole id a term is, if the finder may know of them.
    async fn named_by_id(&self, finder: &OwnedUserId, term: &str) -> Result<Vec<OwnedUserId>> {
        let Ok(user_id) = UserId::parse(term.trim()) else { return Ok(Vec::new()) };
        let may_see = self.rooms.may_see_profile(&user_id, Some(finder)).await?;
        let is_active = self.accounts.is_active(&user_id).await?;
        Ok(if may_see && is_active { vec![user_id] } else { Vec::new() })
    }
}

/// The number or the e-mail address that a term is. Numbers are recognised by their `+`, so that no other digits count
/// as one.
fn address_in(term: &str) -> Option<ThirdPartyId> {
    let term = term.trim();
    match term.starts_with('+') {
        true => ThirdPartyId::new(&Medium::Msisdn, term).ok(),
        false => ThirdPartyId::email(term).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn addresses_are_recognised_among_names() {
        for (term, address) in [
            (" +49 170 1234567", "491701234567"),
            ("+49 (170) 123-4567", "491701234567"),
            ("Anna@Example.org ", "anna@example.org"),
        ] {
            assert_eq!(address_in(term).expect("an address").address(), address);
        }
        for term in ["anna", "@anna", "@anna:a.example", "491701234567", "+49 170", "+anna", ""] {
            assert_eq!(address_in(term), None, "{term}");
        }
    }
}
