//! Who may reach somebody, and how: rules on invitations and calls.
//!
//! A rule says where something comes from, how the two people stand to each other and what it is, as far as
//! it cares, and how it reaches the person then. Of several rules that fit, the last one holds. So a
//! platform's rules go before a person's own, and what is general goes before what is special. The rules that
//! all platforms begin with are explained in docs/decisions/0016-reachability.md.

use ruma::{OwnedServerName, ServerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// The type of the account data that holds a person's own rules.
pub const REACH_TYPE: &str = "org.linkspan.reach";
/// The most rules of a person or a platform. Twenty-seven say everything once for all servers alike.
pub const MAX_REACH_RULES: usize = 100;

/// Where somebody comes from, as the person sees it who is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Both are on one platform.
    OwnPlatform,
    /// The other one is on another platform that is hosted here.
    HostedPlatform,
    /// The other one is on a server elsewhere.
    OtherServer,
}

/// How somebody stands to the person who is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The person has accepted them, or written to them first.
    Contact,
    /// Both are in some room.
    CommonRoom,
    /// Neither of these.
    Stranger,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReachKind {
    /// To begin a direct chat.
    DirectChat,
    /// To bring the person into a group.
    Group,
    /// To call.
    Call,
}

/// How something reaches the person. Where several are asked, the greatest holds.
///
/// Refusing is greater than ignoring. Whoever is refused, as others are, learns nothing by it; one who is
/// ignored where others are refused could tell that this person ignores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It is simply there: the person is in the chat at once, and a call rings.
    Straight,
    /// It waits among the person's requests. A call does not ring.
    Request,
    /// The person never learns of it, and the other side does not learn that.
    Ignored,
    /// The other side is told that it is not wanted.
    Refused,
}

/// A rule: what it leaves open, it holds for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReachRule {
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The server of who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub server: Option<OwnedServerName>,
    /// How the two stand to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ReachKind>,
    /// How it reaches the person.
    pub reach: Reach,
}

/// Somebody's attempt to reach a person.
#[derive(Clone, Copy, Debug)]
pub struct Approach<'a> {
    /// Where it comes from.
    pub source: Source,
    /// The server of who wants it.
    pub server: &'a ServerName,
    /// How the two stand to each other.
    pub relation: Relation,
    /// What it is.
    pub kind: ReachKind,
}

/// Rules that cannot be somebody's.
#[derive(Debug, thiserror::Error)]
#[error("these are no rules on who may reach somebody: {0}")]
pub struct BadReachRules(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReachContent {
    rules: Vec<ReachRule>,
}

/// The rules that stand in account data of the type [`REACH_TYPE`].
pub fn parse_reach_rules(content: &str) -> Result<Vec<ReachRule>, BadReachRules> {
    let content = serde_json::from_str::<ReachContent>(content);
    let ReachContent { rules } = content.map_err(|error| BadReachRules(error.to_string()))?;
    if rules.len() > MAX_REACH_RULES {
        return Err(BadReachRules(format!("there are more than {MAX_REACH_RULES}")));
    }
    Ok(rules)
}

/// Account data of the type [`REACH_TYPE`] with these rules.
pub fn write_reach_rules(rules: Vec<ReachRule>) -> Box<RawValue> {
    to_raw_value(&ReachContent { rules }).expect("rules are JSON")
}

/// The rules that every platform begins with.
pub fn default_reach_rules() -> Vec<ReachRule> {
    let rule = |relation, kind, reach| ReachRule { source: None, server: None, relation, kind, reach };
    let elsewhere = |relation, kind, reach| ReachRule {
        source: Some(Source::OtherServer),
        ..rule(Some(relation), Some(kind), reach)
    };
    vec![
        rule(None, None, Reach::Request),
        rule(Some(Relation::Stranger), Some(ReachKind::Call), Reach::Refused),
        // Who is in a room with others has come there to hear them.
        rule(Some(Relation::CommonRoom), Some(ReachKind::Call), Reach::Straight),
        rule(Some(Relation::Contact), None, Reach::Straight),
        elsewhere(Relation::Contact, ReachKind::Group, Reach::Request),
    ]
}

/// How an attempt reaches a person with these rules, of which the last that fits holds.
pub fn decide_reach(rules: &[ReachRule], approach: &Approach<'_>) -> Reach {
    let fitting = rules.iter().rev().find(|rule| rule.fits(approach));
    fitting.map_or(Reach::Request, |rule| rule.reach)
}

impl ReachRule {
    fn fits(&self, approach: &Approach<'_>) -> bool {
        self.source.is_none_or(|source| source == approach.source)
            && self.server.as_ref().is_none_or(|server| server == approach.server)
            && self.relation.is_none_or(|relation| relation == approach.relation)
            && self.kind.is_none_or(|kind| kind == approach.kind)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        Approach, MAX_REACH_RULES, Reach, ReachKind, ReachRule, Relation, Source, decide_reach,
        default_reach_rules, parse_reach_rules, write_reach_rules,
    };

    const SOURCES: [Source; 3] = [Source::OwnPlatform, Source::HostedPlatform, Source::OtherServer];
    const RELATIONS: [Relation; 3] = [Relation::Contact, Relation::CommonRoom, Relation::Stranger];
    const KINDS: [ReachKind; 3] = [ReachKind::DirectChat, ReachKind::Group, ReachKind::Call];

    /// What becomes of each kind, for each relation, for each source, in the order of the lists above.
    fn table(rules: &[ReachRule], server: &str) -> [[[Reach; 3]; 3]; 3] {
        let server = server.try_into().expect("a server name");
        SOURCES.map(|source| {
            RELATIONS.map(|relation| {
                KINDS.map(|kind| decide_reach(rules, &Approach { source, server, relation, kind }))
            })
        })
    }

    fn rules(rules: Value) -> Vec<ReachRule> {
        parse_reach_rules(&json!({ "rules": rules }).to_string()).expect("rules")
    }

    #[test]
    fn the_rules_that_platforms_begin_with_say_this_of_every_cell() {
        use Reach::{Refused, Request, Straight};
        let hosted =
            [[Straight, Straight, Straight], [Request, Request, Straight], [Request, Request, Refused]];
        let elsewhere = [[Straight, Request, Straight], hosted[1], hosted[2]];
        assert_eq!(table(&default_reach_rules(), "a.example"), [hosted, hosted, elsewhere]);
    }

    #[test]
    fn a_rule_changes_the_cells_that_it_names_and_no_others() {
        let before = table(&default_reach_rules(), "a.example");
        for (source_at, source) in SOURCES.into_iter().enumerate() {
            for (relation_at, relation) in RELATIONS.into_iter().enumerate() {
                for (kind_at, kind) in KINDS.into_iter().enumerate() {
                    for reach in [Reach::Straight, Reach::Request, Reach::Ignored, Reach::Refused] {
                        let own = json!([{
                            "source": source, "relation": relation, "kind": kind, "reach": reach,
                        }]);
                        let mut expected = before;
                        expected[source_at][relation_at][kind_at] = reach;
                        let all = [default_reach_rules(), rules(own)].concat();
                        assert_eq!(table(&all, "a.example"), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn the_last_rule_that_fits_holds() {
        let both = rules(json!([
            { "reach": "ignored" },
            { "server": "b.example", "kind": "group", "reach": "straight" },
        ]));
        assert_eq!(table(&both, "a.example"), [[[Reach::Ignored; 3]; 3]; 3]);
        let row = [Reach::Ignored, Reach::Straight, Reach::Ignored];
        assert_eq!(table(&both, "b.example"), [[row; 3]; 3]);
        assert_eq!(table(&[], "a.example"), [[[Reach::Request; 3]; 3]; 3]);
    }

    #[test]
    fn what_are_no_rules_is_refused() {
        for content in [
            json!({}),
            json!({ "rules": {} }),
            json!({ "rules": [{}] }),
            json!({ "rules": [{ "reach": "perhaps" }] }),
            json!({ "rules": [{ "reach": "ignored", "relation": "friend" }] }),
            json!({ "rules": [{ "reach": "ignored", "server": "not a name" }] }),
            json!({ "rules": [{ "reach": "ignored", "sauce": "own_platform" }] }),
            json!({ "rules": vec![json!({ "reach": "ignored" }); MAX_REACH_RULES + 1] }),
        ] {
            assert!(parse_reach_rules(&content.to_string()).is_err(), "{content}");
        }
        let kept = rules(json!([{ "relation": "stranger", "reach": "refused" }]));
        assert_eq!(parse_reach_rules(write_reach_rules(kept.clone()).get()).expect("rules"), kept);
    }

    #[test]
    fn refusing_is_the_strictest() {
        assert!(Reach::Straight < Reach::Request && Reach::Request < Reach::Ignored);
        assert!(Reach::Ignored < Reach::Refused);
    }
}
