//! Which names accounts can have.
//! <https://spec.matrix.org/v1.19/appendices/#user-identifiers>

use linkspan_platforms::{Identity, Platform};
use ruma::{OwnedServerName, OwnedUserId, UserId, user_id::localpart_is_fully_conforming};

use crate::{AccountsError, token::random_text};

/// The greatest length of a user id, in bytes.
const USER_ID_BYTES: usize = 255;
/// How many digits make a name look like a phone number.
const PHONE_DIGITS: usize = 7;
/// The letters of generated names. Those that are mistaken for others are left out.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz";
const LETTERS_AND_DIGITS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// The user id that a new account of a platform gets under `name`. Capitals become small letters.
pub(crate) fn new_user_id(platform: &Platform, name: &str) -> Result<OwnedUserId, AccountsError> {
    if platform.settings.identity == Identity::Phone && looks_like_phone_number(name) {
        return Err(AccountsError::InvalidUsername("a phone number cannot be part of a user id"));
    }
    user_id_of(platform.server_name(), name)
}

/// The user id of a localpart, if it is one that an account can have.
pub(crate) fn user_id_of(server_name: &OwnedServerName, name: &str) -> Result<OwnedUserId, AccountsError> {
    let localpart = name.to_ascii_lowercase();
    if !matches!(localpart_is_fully_conforming(&localpart), Ok(true)) {
        return Err(AccountsError::InvalidUsername("names are made of a-z, 0-9 and ._=-/+ only"));
    }
    let user_id = format!("@{localpart}:{server_name}");
    if user_id.len() > USER_ID_BYTES {
        return Err(AccountsError::InvalidUsername("this name is too long"));
    }
    UserId::parse(user_id).map_err(|_| AccountsError::InvalidUsername("this is not a name"))
}

/// The user of a platform whom a log-in names, by localpart or by whole user id. None if it is nobody's, or
/// of another platform.
pub(crate) fn named_user(server_name: &OwnedServerName, name: &str) -> Option<OwnedUserId> {
    let localpart = match name.strip_prefix('@') {
        Some(id) => id.split_once(':').filter(|(_, server)| *server == server_name.as_str())?.0,
        None => name,
    };
    user_id_of(server_name, localpart).ok()
}

/// A name that means nothing, such as `u7k2m9x4`.
pub(crate) fn generate() -> String {
    random_text(LETTERS, 1) + &random_text(LETTERS_AND_DIGITS, 7)
}

/// Whether a name is made like a phone number.
pub(crate) fn looks_like_phone_number(name: &str) -> bool {
    let number = name.replace(['+', '-', '.', '_', '/', '=', ' ', '(', ')'], "");
    number.len() >= PHONE_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use ruma::{OwnedServerName, owned_server_name};

    use super::{generate, looks_like_phone_number, named_user, user_id_of};

    fn here() -> OwnedServerName {
        owned_server_name!("instagram.localhost")
    }

    #[test]
    fn names_follow_the_grammar() {
        assert_eq!(user_id_of(&here(), "Anna").expect("a name"), "@anna:instagram.localhost");
        assert!(user_id_of(&here(), "a.b_c=d-e/f+1").is_ok());
        for name in ["", "a b", "ä", "a:b", "@anna", "a\0", &"a".repeat(250)] {
            assert!(user_id_of(&here(), name).is_err(), "{name}");
        }
    }

    #[test]
    fn users_of_other_platforms_are_not_named() {
        assert_eq!(named_user(&here(), "Anna").expect("named"), "@anna:instagram.localhost");
        assert_eq!(named_user(&here(), "@anna:instagram.localhost").expect("named").localpart(), "anna");
        assert_eq!(named_user(&here(), "@anna:messenger.localhost"), None);
    }

    #[test]
    fn phone_numbers_are_recognised() {
        assert!(looks_like_phone_number("+49-170-1234567"));
        assert!(!looks_like_phone_number("anna1234567"));
        assert!(!looks_like_phone_number("123"));
        assert!(!looks_like_phone_number(&generate()));
    }
}
