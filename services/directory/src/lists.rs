//! The lists of words that each platform has: of names and of handles, and of each by what the people in it have
//! said of who may find them. So a search reads only the words of people whom the searcher may find, however many
//! others have the same name.
//!
//! People who have said nothing have a list of their own: when an operator changes what that means, no word moves.

use linkspan_domain::{Audience, Discovery, Finder, FoundBy, may_find};
use linkspan_platforms::Platform;
use linkspan_storage::records::DirectoryUserRecord;
use ruma::UserId;

/// The numbers that are left for each of names and handles.
const NUMBERS: u8 = 5;

/// What people have said, in the order of the numbers by which it is stored.
const SAID: [Option<Audience>; NUMBERS as usize] = [
    None,
    Some(Audience::Nobody),
    Some(Audience::Contacts),
    Some(Audience::Platform),
    Some(Audience::Everyone),
];

/// The two by which people are searched.
pub(crate) const SEARCHED: [FoundBy; 2] = [FoundBy::Name, FoundBy::Handle];

/// Somebody who searches, as a user of the platform or from elsewhere.
pub(crate) fn searcher_on(platform: &Platform, searcher: &UserId) -> Finder {
    let is_on_platform = platform.server_name() == searcher.server_name();
    Finder { is_contact: false, is_on_platform, is_blocked: false }
}

/// The list that a word is in if its user has said this, or none if only contacts find the user by it: for them the
/// people are looked through whose contacts they are.
pub(crate) fn list_of(by: FoundBy, said: u8) -> Option<u8> {
    let is_searched = matches!(said_of(said), None | Some(Audience::Platform | Audience::Everyone));
    let first = if by == FoundBy::Name { 0 } else { NUMBERS };
    is_searched.then_some(first + said)
}

/// The lists of a platform in which somebody may search.
pub(crate) fn lists_for(platform: &Platform, searcher: &UserId, by: FoundBy) -> Vec<u8> {
    let finder = searcher_on(platform, searcher);
    let is_open = |said: &u8| may_find(audience(platform, by, *said), finder);
    (0..NUMBERS).filter(is_open).filter_map(|said| list_of(by, said)).collect()
}

/// The words of a user of the platform that somebody may find the user by.
pub(crate) fn words_for<'a>(
    platform: &Platform,
    record: &'a DirectoryUserRecord,
    finder: Finder,
    by: FoundBy,
) -> &'a [String] {
    let (words, said) = match by {
        FoundBy::Name => (&record.name_words, record.name_said),
        _ => (&record.handle_words, record.handle_said),
    };
    if may_find(audience(platform, by, said), finder) { words } else { &[] }
}

/// The numbers of what a user has said, of the name and of the handle.
pub(crate) fn numbers_of(own: Discovery) -> (u8, u8) {
    let number = |said| SAID.iter().position(|known| *known == said).unwrap_or(0) as u8;
    (number(own.name), number(own.handle))
}

fn audience(platform: &Platform, by: FoundBy, said: u8) -> Audience {
    said_of(said).unwrap_or_else(|| platform.settings.discovery().audience(by))
}

fn said_of(number: u8) -> Option<Audience> {
    SAID.get(usize::from(number)).copied().flatten()
}
