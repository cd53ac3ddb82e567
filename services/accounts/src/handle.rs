//! Which handles there can be, which of them look alike, and which are reserved.
//!
//! A handle is the public name of a person on a platform whose people are known by handles. Who has which is the matter
//! of `take_handle.rs`.

use linkspan_platforms::Platform;

use crate::AccountsError;

/// How many characters a handle has.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=30;
/// Words that nobody calls themselves by, because who is called so is believed to speak for the platform, and what broken
/// apps say instead of a name. A handle that is made of several of them is reserved, too.
const RESERVED: [&str; 29] = [
    "abuse",
    "account",
    "admin",
    "administrator",
    "billing",
    "everyone",
    "help",
    "helpdesk",
    "hostmaster",
    "legal",
    "linkspan",
    "matrix",
    "mod",
    "moderator",
    "noreply",
    "null",
    "official",
    "postmaster",
    "privacy",
    "root",
    "safety",
    "security",
    "service",
    "staff",
    "support",
    "system",
    "team",
    "undefined",
    "webmaster",
];

/// A well-formed handle, in small letters and without its `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle(String);

impl Handle {
    /// Reads a handle as people type it: with its `@` or without, in small or in capital letters.
    pub fn parse(text: &str) -> Result<Self, AccountsError> {
        let handle = text.strip_prefix('@').unwrap_or(text).to_ascii_lowercase();
        let letter = |byte: u8| byte.is_ascii_lowercase();
        let allowed = |byte: u8| letter(byte) || byte.is_ascii_digit() || b"._".contains(&byte);
        if !LENGTHS.contains(&handle.len()) || !handle.bytes().all(allowed) {
            return Err(AccountsError::InvalidUsername("a handle is made of 3 to 30 of a-z, 0-9, . and _"));
        }
        if handle.starts_with('.') || handle.ends_with('.') || handle.contains("..") {
            return Err(AccountsError::InvalidUsername("the dots of a handle stand alone and inside it"));
        }
        if !handle.bytes().any(letter) {
            return Err(AccountsError::InvalidUsername("a handle has at least one letter"));
        }
        Ok(Self(handle))
    }

    /// The handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What this handle has in common with all that people may take for it.
    pub(crate) fn skeleton(&self) -> String {
        skeleton(&self.0)
    }

    /// Refuses a handle by which somebody could pass for the platform itself.
    pub(crate) fn check_not_reserved(&self, platform: &Platform) -> Result<(), AccountsError> {
        let display_name = platform.display_name();
        let server_name = first_label(platform.server_name().as_str());
        let own_names = [platform.settings.name.as_str(), display_name.as_str(), server_name];
        let words: Vec<_> = RESERVED.into_iter().chain(own_names).map(skeleton).collect();
        match is_made_of(&self.skeleton(), &words) {
            true => Err(AccountsError::InvalidUsername("this name is reserved")),
            false => Ok(()),
        }
    }
}

/// The skeleton of the Unicode Consortium's technical standard 39 without what is overlooked: capitals and marks between
/// letters. The standard compares single characters, so two that together look like one are added here.
/// <https://www.unicode.org/reports/tr39/#Confusable_Detection>
pub(crate) fn skeleton(name: &str) -> String {
    let letters: String = name.chars().filter(|char| char.is_ascii_alphanumeric()).collect();
    let skeleton: String = unicode_security::skeleton(&letters.to_ascii_lowercase()).collect();
    // Spelled out and not drawn together, because three of them could be drawn together in two ways.
    skeleton.to_ascii_lowercase().replace('w', "vv")
}

fn first_label(server_name: &str) -> &str {
    server_name.split(['.', ':']).next().unwrap_or_default()
}

/// Whether a text is some of these words, one after another.
fn is_made_of(text: &str, words: &[String]) -> bool {
    let rests =
        words.iter().filter(|word| !word.is_empty()).filter_map(|word| text.strip_prefix(word.as_str()));
    rests.into_iter().any(|rest| rest.is_empty() || is_made_of(rest, words))
}

#[cfg(test)]
mod tests {
    use linkspan_platforms::{Platforms, Settings};
    use linkspan_storage::{Memory, Store};
    use ruma::server_name;

    use super::{Handle, skeleton};

    #[test]
    fn handles_follow_the_grammar() {
        for (typed, handle) in
            [("anna", "anna"), ("@Anna.K", "anna.k"), ("_a_1", "_a_1"), ("7th.sea", "7th.sea")]
        {
            assert_eq!(Handle::parse(typed).expect("a handle").as_str(), handle);
        }
        let longest = "a".repeat(30);
        assert!(Handle::parse(&longest).is_ok());
        let too_long = "a".repeat(31);
        for wrong in [
            "", "@", "ab", &too_long, "an na", "anna-k", "änna", "аnna", "@@anna", ".anna", "anna.",
            "an..na", "12345", "anna\0",
        ] {
            assert!(Handle::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_looks_alike_has_one_skeleton() {
        for (one, other) in [
            ("marina", "rnarina"),
            ("paul", "pau1"),
            ("zoe", "z0e"),
            ("anna_k", "annak"),
            ("an.na", "anna"),
            ("willow", "vvillow"),
            ("ravw", "ravvv"),
            ("vwin", "vvvin"),
            ("anna", "Anna"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("anna", "hanna"), ("anna1", "anna2"), ("paul", "paula"), ("nina", "mina")] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[tokio::test]
    async fn nobody_passes_for_the_platform() {
        let store = Store::in_memory(Memory::new().expect("an engine"));
        let text = serde_json::json!({
            "name": "photos", "server_name": "gallery.example", "display_name": "Lumen",
        });
        let settings: Settings = serde_json::from_value(text).expect("settings");
        let platforms = Platforms::open(&store, vec![settings], 1).await.expect("platforms");
        let platform = platforms.get(server_name!("gallery.example")).expect("it is hosted");
        let check = |handle: &str| Handle::parse(handle).expect("a handle").check_not_reserved(&platform);
        for reserved in [
            "admin",
            "adm_in",
            "supp0rt",
            "photos",
            "ph0tos",
            "gallery",
            "lumen_support",
            "photos.help.team",
            "officialphotos",
            "moderator",
        ] {
            assert!(check(reserved).is_err(), "{reserved}");
        }
        for free in ["administer", "anna.photos", "photosynthesis", "helpful", "modern", "gal"] {
            assert!(check(free).is_ok(), "{free}");
        }
    }
}
