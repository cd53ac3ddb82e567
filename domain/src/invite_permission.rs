//! Whose invitations somebody wants, as clients have said it in account data: for all alike, or by lists of users and
//! servers. What is not understood says nothing.
//! <https://spec.matrix.org/v1.19/client-server-api/#invite-permission>

use ruma::UserId;
use serde::Deserialize;
use serde_json::Value;

use crate::Reach;

/// The types of the account data that block everybody: the one that is specified, and the one that clients
/// used before.
pub const INVITE_PERMISSION_TYPES: [&str; 2] =
    ["m.invite_permission_config", "org.matrix.msc4380.invite_permission_config"];
/// The type of the account data that has lists (MSC4155).
pub const INVITE_LISTS_TYPE: &str = "org.matrix.msc4155.invite_permission_config";

/// The most entries of a list that count: whoever invites has them compared.
const MAX_ENTRIES: usize = 1_000;

/// Whose invitations somebody wants.
#[derive(Clone, Debug, Default)]
pub struct InvitePermission {
    blocks_all: bool,
    lists: Option<Lists>,
}

/// The content that blocks everybody.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Blocking {
    default_action: Value,
    block_all: Value,
}

/// The content that has lists, of globs.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Lists {
    enabled: bool,
    allowed_users: Vec<String>,
    ignored_users: Vec<String>,
    blocked_users: Vec<String>,
    allowed_servers: Vec<String>,
    ignored_servers: Vec<String>,
    blocked_servers: Vec<String>,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            enabled: true,
            allowed_users: Vec::new(),
            ignored_users: Vec::new(),
            blocked_users: Vec::new(),
            allowed_servers: Vec::new(),
            ignored_servers: Vec::new(),
            blocked_servers: Vec::new(),
        }
    }
}

impl InvitePermission {
    /// What account data says: the contents of [`INVITE_PERMISSION_TYPES`], and that of
    /// [`INVITE_LISTS_TYPE`].
    pub fn parse<'a>(blocking: impl IntoIterator<Item = &'a str>, lists: Option<&str>) -> Self {
        let blocks = |content: &str| {
            let content = serde_json::from_str::<Blocking>(content).unwrap_or_default();
            content.default_action == "block" || content.block_all == Value::Bool(true)
        };
        let lists = lists.and_then(|lists| serde_json::from_str::<Lists>(lists).ok());
        Self { blocks_all: blocking.into_iter().any(blocks), lists: lists.filter(|lists| lists.enabled) }
    }

    /// How invitations of somebody reach the person as far as this goes: [`Reach::Straight`] means that
    /// nothing is said against them.
    pub fn reach(&self, sender: &UserId) -> Reach {
        match &self.lists {
            _ if self.blocks_all => Reach::Refused,
            Some(lists) => lists.reach(sender),
            None => Reach::Straight,
        }
    }
}

impl Lists {
    /// The first list that names the sender decides; lists of users come before those of servers.
    fn reach(&self, sender: &UserId) -> Reach {
        let (user, server) = (sender.as_str(), sender.server_name().as_str());
        let lists = [
            (&self.allowed_users, user, Reach::Straight),
            (&self.ignored_users, user, Reach::Ignored),
            (&self.blocked_users, user, Reach::Refused),
            (&self.allowed_servers, server, Reach::Straight),
            (&self.ignored_servers, server, Reach::Ignored),
            (&self.blocked_servers, server, Reach::Refused),
        ];
        let names = |globs: &[String], name: &str| {
            globs.iter().take(MAX_ENTRIES).any(|glob| glob_matches(glob.as_bytes(), name.as_bytes()))
        };
        let naming = lists.iter().find(|(globs, name, _)| names(globs, name));
        naming.map_or(Reach::Straight, |(_, _, reach)| *reach)
    }
}

/// Whether a glob is met by all of a text: `*` stands for any bytes, `?` for one. It takes at most as many
/// steps as the product of both lengths, because only the last star is ever tried again.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at_glob, mut at_text) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match glob.get(at_glob) {
            Some(b'*') => {
                last_star = Some((at_glob, at_text));
                at_glob += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[at_text] => {
                at_glob += 1;
                at_text += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                at_glob = star + 1;
                at_text = taken + 1;
            }
        }
    }
    glob[at_glob..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{InvitePermission, glob_matches};
    use crate::Reach;

    fn reach(blocking: &[Value], lists: Option<Value>, sender: &str) -> Reach {
        let blocking: Vec<_> = blocking.iter().map(Value::to_string).collect();
        let lists = lists.map(|lists| lists.to_string());
        let permission = InvitePermission::parse(blocking.iter().map(String::as_str), lists.as_deref());
        permission.reach(sender.try_into().expect("a user id"))
    }

    #[test]
    fn everybody_is_blocked_by_either_name() {
        for blocking in [json!({ "default_action": "block" }), json!({ "block_all": true })] {
            assert_eq!(reach(&[json!({}), blocking], None, "@anna:a.example"), Reach::Refused);
        }
        for blocking in
            [json!({}), json!({ "default_action": "allow" }), json!({ "block_all": "yes" }), json!([])]
        {
            assert_eq!(reach(&[blocking], None, "@anna:a.example"), Reach::Straight);
        }
    }

    #[test]
    fn the_first_list_that_names_somebody_decides() {
        let lists = json!({
            "allowed_users": ["@anna:*"],
            "ignored_users": ["@a?na:a.example", "@ben:b.example"],
            "blocked_users": ["@ben:*"],
            "allowed_servers": ["good.b.example"],
            "ignored_servers": ["*.b.example"],
            "blocked_servers": ["*"],
        });
        for (sender, expected) in [
            ("@anna:a.example", Reach::Straight),
            ("@a_na:a.example", Reach::Ignored),
            ("@ben:b.example", Reach::Ignored),
            ("@ben:good.b.example", Reach::Refused),
            ("@cleo:good.b.example", Reach::Straight),
            ("@cleo:bad.b.example", Reach::Ignored),
            ("@cleo:c.example", Reach::Refused),
        ] {
            assert_eq!(reach(&[], Some(lists.clone()), sender), expected, "{sender}");
            assert_eq!(reach(&[json!({ "block_all": true })], Some(lists.clone()), sender), Reach::Refused);
        }
        let mut off = lists;
        off["enabled"] = false.into();
        assert_eq!(reach(&[], Some(off), "@cleo:c.example"), Reach::Straight);
        assert_eq!(reach(&[], Some(json!({ "blocked_users": "all" })), "@cleo:c.example"), Reach::Straight);
    }

    #[test]
    fn globs_match_whole_texts() {
        for (glob, text, matches) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*aab", "aaaab", true),
            ("A", "a", false),
        ] {
            assert_eq!(glob_matches(glob.as_bytes(), text.as_bytes()), matches, "{glob} {text}");
        }
    }
}
