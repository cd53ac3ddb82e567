//! Who may find a person, and by what: by handle, by phone number, by e-mail address, by name.
//!
//! For each of these a person says who finds them by it. What they leave open their platform says. What each kind
//! of platform begins with is explained in docs/decisions/0020-finding-people.md.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

/// The type of the account data that holds what a person has chosen.
pub const DISCOVERY_TYPE: &str = "org.linkspan.discovery";

/// What somebody knows of a person who is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The person's handle or, where people have none, the user name.
    Handle,
    /// The person's phone number.
    Phone,
    /// The person's e-mail address.
    Email,
    /// Words of the name that the person shows.
    Name,
}

/// Who may find a person. Each has those in it who stand before it.
///
/// Contacts of another platform are among the people of one's platform, so that nobody is kept out by a choice
/// that lets more people in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Nobody may.
    Nobody,
    /// The people may whom the person has accepted or written to.
    Contacts,
    /// The people of the person's platform may, too.
    Platform,
    /// Everybody may.
    Everyone,
}

/// How somebody who looks for a person stands to that person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finder {
    /// The person has them as a contact.
    pub is_contact: bool,
    /// They have an account on the person's platform.
    pub is_on_platform: bool,
    /// The person ignores them.
    pub is_blocked: bool,
}

/// Who may find a person by what, as far as it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// Who may by the handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Audience>,
    /// Who may by a phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Audience>,
    /// Who may by an e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Audience>,
    /// Who may by the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Audience>,
}

/// A choice that cannot be somebody's.
#[derive(Debug, thiserror::Error)]
#[error("this does not say who may find somebody: {0}")]
pub struct BadDiscovery(String);

/// Whether somebody may find a person whom this audience may find.
pub fn may_find(audience: Audience, finder: Finder) -> bool {
    let is_among = match audience {
        Audience::Nobody => false,
        Audience::Contacts => finder.is_contact,
        Audience::Platform => finder.is_contact || finder.is_on_platform,
        Audience::Everyone => true,
    };
    is_among && !finder.is_blocked
}

/// What stands in account data of the type [`DISCOVERY_TYPE`].
pub fn parse_discovery(content: &str) -> Result<Discovery, BadDiscovery> {
    // A list would do for the fields in their order.
    let content = serde_json::from_str::<Map<String, Value>>(content);
    let read = content.and_then(|content| serde_json::from_value(Value::Object(content)));
    read.map_err(|error| BadDiscovery(error.to_string()))
}

/// Account data of the type [`DISCOVERY_TYPE`].
pub fn write_discovery(discovery: &Discovery) -> Box<RawValue> {
    to_raw_value(discovery).expect("a choice is JSON")
}

impl Discovery {
    /// This, and where it leaves something open, what is below it.
    pub fn over(self, below: Self) -> Self {
        Self {
            handle: self.handle.or(below.handle),
            phone: self.phone.or(below.phone),
            email: self.email.or(below.email),
            name: self.name.or(below.name),
        }
    }

    /// What is said of one way of being found.
    pub fn of(&self, by: FoundBy) -> Option<Audience> {
        match by {
            FoundBy::Handle => self.handle,
            FoundBy::Phone => self.phone,
            FoundBy::Email => self.email,
            FoundBy::Name => self.name,
        }
    }

    /// Who may find the person by this. Where nothing is said, nobody may.
    pub fn audience(&self, by: FoundBy) -> Audience {
        self.of(by).unwrap_or(Audience::Nobody)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Audience, Discovery, Finder, FoundBy, may_find, parse_discovery, write_discovery};

    const AUDIENCES: [Audience; 4] =
        [Audience::Nobody, Audience::Contacts, Audience::Platform, Audience::Everyone];

    fn finder(is_contact: bool, is_on_platform: bool) -> Finder {
        Finder { is_contact, is_on_platform, is_blocked: false }
    }

    #[test]
    fn an_audience_has_these_people_in_it() {
        for (who, found) in [
            (finder(false, false), [false, false, false, true]),
            (finder(false, true), [false, false, true, true]),
            (finder(true, false), [false, true, true, true]),
            (finder(true, true), [false, true, true, true]),
        ] {
            assert_eq!(AUDIENCES.map(|audience| may_find(audience, who)), found, "{who:?}");
            let blocked = Finder { is_blocked: true, ..who };
            assert_eq!(AUDIENCES.map(|audience| may_find(audience, blocked)), [false; 4], "{who:?}");
        }
    }

    #[test]
    fn a_wider_audience_keeps_nobody_out() {
        assert!(AUDIENCES.is_sorted());
        for who in [finder(false, false), finder(false, true), finder(true, false), finder(true, true)] {
            assert!(AUDIENCES.map(|audience| may_find(audience, who)).is_sorted(), "{who:?}");
        }
    }

    #[test]
    fn what_is_left_open_is_said_below() {
        let own = Discovery { name: Some(Audience::Nobody), ..Discovery::default() };
        let platform = Discovery {
            name: Some(Audience::Everyone),
            phone: Some(Audience::Contacts),
            ..Discovery::default()
        };
        let both = own.over(platform);
        let said = [FoundBy::Handle, FoundBy::Phone, FoundBy::Email, FoundBy::Name].map(|by| both.of(by));
        assert_eq!(said, [None, Some(Audience::Contacts), None, Some(Audience::Nobody)]);
        assert_eq!(both.audience(FoundBy::Handle), Audience::Nobody);
    }

    #[test]
    fn what_says_nothing_of_this_is_refused() {
        for content in [
            json!([]),
            json!({ "handle": "friends" }),
            json!({ "handle": ["everyone"] }),
            json!({ "address": "everyone" }),
            json!({ "phone": true }),
        ] {
            assert!(parse_discovery(&content.to_string()).is_err(), "{content}");
        }
        let kept = parse_discovery(r#"{ "phone": "platform", "name": null }"#).expect("a choice");
        assert_eq!(kept, Discovery { phone: Some(Audience::Platform), ..Discovery::default() });
        assert_eq!(write_discovery(&kept).get(), r#"{"phone":"platform"}"#);
    }
}
