//! Whose invitations somebody wants, as clients have said it in account data: for all alike, or by lists of users and
//! servers. What is not understood says nothing.
//! <https://spec.matrix.org/v1.19/client-server-api/#invite-permission>

use ruma::UserId;
use serde_json::Value;

use crate::Reach;

/// The types of the account data that block everybody: the one that is specified, and the one that clients used before.
/// The first that a user has decides.
pub const INVITE_PERMISSION_TYPES: [&str; 2] =
    ["m.invite_permission_config", "org.matrix.msc4380.invite_permission_config"];
/// The type of the account data that has lists (MSC4155).
pub const INVITE_LISTS_TYPE: &str = "org.matrix.msc4155.invite_permission_config";

/// Whose invitations somebody wants.
#[derive(Clone, Debug, Default)]
pub struct InvitePermission {
    blocks_all: bool,
    lists: Option<Lists>,
}

/// The lists, of globs.
#[derive(Clone, Debug)]
struct Lists {
    allowed_users: Vec<String>,
    ignored_users: Vec<String>,
    blocked_users: Vec<String>,
    allowed_servers: Vec<String>,
    ignored_servers: Vec<String>,
    blocked_servers: Vec<String>,
}

impl InvitePermission {
    /// What account data says: the contents of [`INVITE_PERMISSION_TYPES`], and that of
    /// [`INVITE_LISTS_TYPE`].
    pub fn parse(blocking: [Option<&str>; 2], lists: Option<&str>) -> Self {
        let read = |content: &str| serde_json::from_str::<Value>(content).unwrap_or_default();
        let [stable, unstable] = blocking.map(|content| content.map(read));
        let blocks = |content: &Value| content["default_action"] == "block";
        let blocks_all = match (&stable, &unstable) {
            (Some(stable), _) => blocks(stable),
            // A draft of the proposal had another key.
            (None, Some(unstable)) => blocks(unstable) || unstable["block_all"] == Value::Bool(true),
            (None, None) => false,
        };
        let lists = lists.map(read).filter(|lists| lists["enabled"] != Value::Bool(false));
        Self { blocks_all, lists: lists.as_ref().map(Lists::read) }
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
    /// What is no list, or no text in a list, is passed over: the rest must protect the person all the same.
    fn read(content: &Value) -> Self {
        let list = |name: &str| {
            let globs = content[name].as_array().into_iter().flatten();
            globs.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            allowed_users: list("allowed_users"),
            ignored_users: list("ignored_users"),
            blocked_users: list("blocked_users"),
            allowed_servers: list("allowed_servers"),
            ignored_servers: list("ignored_servers"),
            blocked_servers: list("blocked_servers"),
        }
    }

    /// The first list that names the sender decides; lists of users come before those of servers. Ports of servers do not
    /// count.
    fn reach(&self, sender: &UserId) -> Reach {
        let (user, server) = (sender.as_str(), sender.server_name().host());
        let lists = [
            (&self.allowed_users, user, Reach::Straight),
            (&self.ignored_users, user, Reach::Ignored),
            (&self.blocked_users, user, Reach::Refused),
            (&self.allowed_servers, server, Reach::Straight),
            (&self.ignored_servers, server, Reach::Ignored),
            (&self.blocked_servers, server, Reach::Refused),
        ];
        let names = |globs: &[String], name: &str| {
            globs.iter().any(|glob| glob_matches(glob.as_bytes(), name.as_bytes()))
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

    fn reach(blocking: [Option<Value>; 2], lists: Option<Value>, sender: &str) -> Reach {
        let [stable, unstable] = blocking.map(|content| content.map(|content| content.to_string()));
        let lists = lists.map(|lists| lists.to_string());
        let permission = InvitePermission::parse([stable.as_deref(), unstable.as_deref()], lists.as_deref());
        permission.reach(sender.try_into().expect("a user id"))
    }

    #[test]
    fn everybody_is_blocked_by_the_first_that_there_is() {
        let (block, allow) = (json!({ "default_action": "block" }), json!({ "default_action": "allow" }));
        let draft = json!({ "block_all": true });
        for (stable, unstable, expected) in [
            (Some(block.clone()), None, Reach::Refused),
            (None, Some(block.clone()), Reach::Refused),
            (None, Some(draft.clone()), Reach::Refused),
            (Some(draft), None, Reach::Straight),
            (Some(allow), Some(block.clone()), Reach::Straight),
            (Some(json!({ "other": 1 })), Some(block.clone()), Reach::Straight),
            (Some(block), Some(json!({})), Reach::Refused),
            (None, Some(json!({ "block_all": "yes" })), Reach::Straight),
            (Some(json!([])), None, Reach::Straight),
            (None, None, Reach::Straight),
        ] {
            let context = format!("{stable:?} {unstable:?}");
            assert_eq!(reach([stable, unstable], None, "@anna:a.example"), expected, "{context}");
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
            ("@cleo:bad.b.example:8448", Reach::Ignored),
        ] {
            assert_eq!(reach([None, None], Some(lists.clone()), sender), expected, "{sender}");
            let block = Some(json!({ "default_action": "block" }));
            assert_eq!(reach([block, None], Some(lists.clone()), sender), Reach::Refused);
        }
        let mut off = lists;
        off["enabled"] = false.into();
        assert_eq!(reach([None, None], Some(off), "@cleo:c.example"), Reach::Straight);
        // What is wrong in one place leaves the rest as it is.
        let half =
            json!({ "allowed_users": null, "ignored_users": "all", "blocked_servers": [7, "c.example"] });
        assert_eq!(reach([None, None], Some(half.clone()), "@cleo:c.example"), Reach::Refused);
        assert_eq!(reach([None, None], Some(half), "@cleo:d.example"), Reach::Straight);
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
