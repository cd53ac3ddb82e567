//! Deciding which events notify whom. Push rules are compiled once, events are prepared once, and then each
//! is held against the others.
//! <https://spec.matrix.org/v1.19/client-server-api/#push-rules>
//!
//! Nothing here reads the store.

use std::{
    ops::RangeBounds as _,
    sync::{Arc, OnceLock},
};

use linkspan_domain::{Pdu, PowerLevels};
use linkspan_rooms::{IgnoredUsers, is_withheld};
use ruma::{
    OwnedUserId, UInt, UserId,
    push::{Action, PushCondition, Ruleset, ScalarJsonValue},
};
use serde_json::Value;

use crate::glob::{Folded, Glob, contains_name};

/// The rules of a user, ready to be asked. Rules that are switched off are left out.
#[derive(Debug)]
pub struct Compiled {
    rules: Vec<Rule>,
    /// Whether a condition asks for the user's display name in the room.
    pub(crate) asks_display_name: bool,
    /// Whether a condition asks if the user is subscribed to the event's thread.
    pub(crate) asks_subscription: bool,
    /// Whether many users have exactly these rules.
    shared: bool,
}

#[derive(Debug)]
struct Rule {
    conditions: Vec<Condition>,
    /// Whether it is an old rule that says nothing about events with `m.mentions`.
    unless_mentions: bool,
    actions: Vec<Action>,
    notify: bool,
    highlight: bool,
}

#[derive(Debug)]
enum Condition {
    /// The field is text that matches as a whole.
    Matches(Path, Glob),
    /// The body has words that match.
    BodyMatches(Glob),
    Is(Path, ScalarJsonValue),
    Contains(Path, ScalarJsonValue),
    /// The field is the user's own id.
    IsMe(Path),
    /// The field is a list in which the user's own id is.
    ContainsMe(Path),
    DisplayName,
    MemberCount(ruma::push::RoomMemberCountIs),
    /// The sender has enough power to notify with this key.
    SenderMay(String),
    /// The user is subscribed to the thread that the event is in. With false: is not subscribed to it.
    Subscribed(bool),
    /// The kind of condition is not known here.
    Never,
}

/// The field of an event that a condition asks about.
#[derive(Debug)]
enum Path {
    Type,
    Sender,
    StateKey,
    RoomId,
    EventId,
    Content(Vec<String>),
    /// It is no field that a rule can ask about.
    Nowhere,
}

impl Path {
    /// Reads a dot-separated property path.
    /// <https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths>
    fn new(path: &str) -> Self {
        let mut keys = vec![String::new()];
        let mut chars = path.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' if matches!(chars.peek(), Some('.' | '\\')) => {
                    keys.last_mut().expect("never empty").extend(chars.next());
                }
                '.' => keys.push(String::new()),
                char => keys.last_mut().expect("never empty").push(char),
            }
        }
        match (keys[0].as_str(), keys.len()) {
            ("content", _) => Self::Content(keys.split_off(1)),
            ("type", 1) => Self::Type,
            ("sender", 1) => Self::Sender,
            ("state_key", 1) => Self::StateKey,
            ("room_id", 1) => Self::RoomId,
            ("event_id", 1) => Self::EventId,
            _ => Self::Nowhere,
        }
    }
}

/// An event, prepared to be held against many users' rules.
#[derive(Debug)]
pub struct PushEvent<'a> {
    /// The event.
    pub pdu: &'a Pdu,
    event_type: String,
    content: Value,
    /// The body in lower case.
    body: OnceLock<Option<Folded<'static>>>,
}

/// What rules ask about a room.
#[derive(Clone, Copy, Debug)]
pub struct RoomContext<'a> {
    /// The number of joined members.
    pub member_count: u64,
    /// The power levels, which say who may notify the room.
    pub power_levels: &'a PowerLevels,
}

/// What rules ask about the user and the event. A field is needed only where the rules ask for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserContext<'a> {
    /// The user's display name in the room.
    pub name: Option<&'a str>,
    /// Whether the user is subscribed to the event's thread. None if it is in no thread.
    pub subscribed: Option<bool>,
}

/// A user whose rules are asked.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The user.
    pub user_id: OwnedUserId,
    /// The user's rules.
    pub rules: Arc<Compiled>,
    /// Whom the user does not want to hear of.
    pub ignored: IgnoredUsers,
}

/// What the rules say about an event.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    /// Whether the user is notified.
    pub notify: bool,
    /// Whether the event stands out.
    pub highlight: bool,
    /// The actions of the rule that applied.
    pub actions: &'a [Action],
}

const SILENT: Evaluation<'static> = Evaluation { notify: false, highlight: false, actions: &[] };

impl<'a> PushEvent<'a> {
    /// Prepares an event.
    pub fn new(pdu: &'a Pdu) -> Self {
        let content = serde_json::from_str(pdu.content.get()).unwrap_or(Value::Null);
        Self { pdu, event_type: pdu.event_type.to_string(), content, body: OnceLock::new() }
    }

    fn value(&self, keys: &[String]) -> Option<&Value> {
        keys.iter().try_fold(&self.content, |value, key| value.as_object()?.get(key))
    }

    fn text(&self, path: &Path) -> Option<&str> {
        match path {
            Path::Type => Some(&self.event_type),
            Path::Sender => Some(self.pdu.sender.as_str()),
            Path::StateKey => self.pdu.state_key.as_deref(),
            Path::RoomId => Some(self.pdu.room_id.as_str()),
            Path::EventId => Some(self.pdu.event_id.as_str()),
            Path::Content(keys) => self.value(keys)?.as_str(),
            Path::Nowhere => None,
        }
    }

    fn is(&self, path: &Path, scalar: &ScalarJsonValue) -> bool {
        match path {
            Path::Content(keys) => self.value(keys).is_some_and(|value| is_scalar(value, scalar)),
            path => scalar.as_str().is_some_and(|scalar| self.text(path) == Some(scalar)),
        }
    }

    fn list(&self, path: &Path) -> &[Value] {
        match path {
            Path::Content(keys) => self.value(keys).and_then(Value::as_array).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    fn body(&self) -> Option<&Folded<'static>> {
        let fold = || {
            let body = self.content.get("body")?.as_str()?;
            Some(Folded::owned(body))
        };
        self.body.get_or_init(fold).as_ref()
    }

    fn has_mentions(&self) -> bool {
        self.content.get("m.mentions").is_some()
    }
}

fn is_scalar(value: &Value, scalar: &ScalarJsonValue) -> bool {
    match scalar {
        ScalarJsonValue::Null => value.is_null(),
        ScalarJsonValue::Bool(bool) => value.as_bool() == Some(*bool),
        ScalarJsonValue::Integer(integer) => value.as_i64() == Some((*integer).into()),
        ScalarJsonValue::String(text) => value.as_str() == Some(text),
    }
}

impl Compiled {
    /// Compiles the rules of `user_id`. Rules that name the user are compiled to name the user who asks, so
    /// that everybody who has the default rules shares them.
    pub fn new(ruleset: &Ruleset, user_id: &UserId) -> Self {
        let mut rules = Vec::new();
        let mut add = |enabled: bool, unless_mentions, conditions: Vec<Condition>, actions: &[Action]| {
            if enabled {
                rules.push(Rule {
                    conditions,
                    unless_mentions,
                    notify: actions.iter().any(Action::should_notify),
                    highlight: actions.iter().any(Action::is_highlight),
                    actions: actions.to_vec(),
                });
            }
        };
        let compile = |conditions: &[PushCondition]| -> Vec<Condition> {
            conditions.iter().map(|condition| Condition::new(condition, user_id)).collect()
        };
        for rule in &ruleset.override_ {
            let old = matches!(rule.rule_id.as_str(), ".m.rule.contains_display_name" | ".m.rule.roomnotif");
            add(rule.enabled, old, compile(&rule.conditions), &rule.actions);
        }
        for rule in &ruleset.content {
            let old = rule.rule_id == ".m.rule.contains_user_name";
            add(rule.enabled, old, vec![Condition::BodyMatches(Glob::new(&rule.pattern))], &rule.actions);
        }
        for rule in &ruleset.postcontent {
            add(rule.enabled, false, compile(&rule.conditions), &rule.actions);
        }
        for rule in &ruleset.room {
            let is_room = Condition::Is(Path::RoomId, rule.rule_id.as_str().into());
            add(rule.enabled, false, vec![is_room], &rule.actions);
        }
        for rule in &ruleset.sender {
            let is_sender = Condition::Is(Path::Sender, rule.rule_id.as_str().into());
            add(rule.enabled, false, vec![is_sender], &rule.actions);
        }
        for rule in &ruleset.underride {
            add(rule.enabled, false, compile(&rule.conditions), &rule.actions);
        }
        let asks = |what: fn(&Condition) -> bool| rules.iter().any(|rule| rule.conditions.iter().any(what));
        let asks_display_name = asks(|condition| matches!(condition, Condition::DisplayName));
        let asks_subscription = asks(|condition| matches!(condition, Condition::Subscribed(_)));
        Self { rules, asks_display_name, asks_subscription, shared: false }
    }

    /// Compiles rules that everybody shares who has never changed one. `user_id` may be any user.
    pub(crate) fn shared(ruleset: &Ruleset, user_id: &UserId) -> Self {
        Self { shared: true, ..Self::new(ruleset, user_id) }
    }

    /// About how much memory the rules take, counted in rules, if one user has them.
    pub(crate) fn weight(&self) -> u64 {
        if self.shared { 1 } else { 1 + self.rules.len() as u64 }
    }
}

impl Condition {
    fn new(condition: &PushCondition, user_id: &UserId) -> Self {
        match condition {
            PushCondition::EventMatch(data) if data.key == "content.body" => {
                Self::BodyMatches(Glob::new(&data.pattern))
            }
            PushCondition::EventMatch(data) if data.pattern == user_id.as_str() => {
                Self::IsMe(Path::new(&data.key))
            }
            PushCondition::EventMatch(data) => Self::Matches(Path::new(&data.key), Glob::new(&data.pattern)),
            PushCondition::EventPropertyIs(data) => Self::Is(Path::new(&data.key), data.value.clone()),
            PushCondition::EventPropertyContains(data) => {
                if data.value.as_str() == Some(user_id.as_str()) {
                    Self::ContainsMe(Path::new(&data.key))
                } else {
                    Self::Contains(Path::new(&data.key), data.value.clone())
                }
            }
            #[allow(deprecated)]
            PushCondition::ContainsDisplayName => Self::DisplayName,
            PushCondition::RoomMemberCount(data) => Self::MemberCount(data.is),
            PushCondition::SenderNotificationPermission(data) => Self::SenderMay(data.key.to_string()),
            PushCondition::ThreadSubscription(data) => Self::Subscribed(data.subscribed),
            _ => Self::Never,
        }
    }

    fn holds(
        &self,
        event: &PushEvent<'_>,
        user_id: &UserId,
        user: UserContext<'_>,
        room: RoomContext<'_>,
    ) -> bool {
        match self {
            Self::Matches(path, glob) => event.text(path).is_some_and(|text| glob.matches(text)),
            Self::BodyMatches(glob) => event.body().is_some_and(|body| glob.matches_words(body)),
            Self::Is(path, scalar) => event.is(path, scalar),
            Self::Contains(path, scalar) => event.list(path).iter().any(|value| is_scalar(value, scalar)),
            Self::IsMe(path) => {
                event.text(path).is_some_and(|text| text.eq_ignore_ascii_case(user_id.as_str()))
            }
            Self::ContainsMe(path) => event.list(path).iter().any(|value| value == user_id.as_str()),
            Self::DisplayName => {
                user.name.zip(event.body()).is_some_and(|(name, body)| contains_name(body, name))
            }
            Self::MemberCount(is) => is.contains(&UInt::new_saturating(room.member_count)),
            Self::SenderMay(key) => {
                room.power_levels.user(&event.pdu.sender) >= room.power_levels.needed_to_notify(key)
            }
            // The server cannot see whom an encrypted event mentions, so the user's client has to be told of
            // it.
            Self::Subscribed(false) if event.event_type == "m.room.encrypted" => false,
            Self::Subscribed(subscribed) => user.subscribed == Some(*subscribed),
            Self::Never => false,
        }
    }
}

impl Recipient {
    fn ignores(&self, pdu: &Pdu) -> bool {
        self.ignored.contains(&pdu.sender) || is_withheld(pdu, &self.user_id)
    }

    /// What the user's rules say about an event. An event never notifies if it was redacted, or if the user
    /// or somebody ignored has sent it.
    pub fn evaluate(
        &self,
        event: &PushEvent<'_>,
        user: UserContext<'_>,
        room: RoomContext<'_>,
    ) -> Evaluation<'_> {
        let sender = &event.pdu.sender;
        if *sender == self.user_id || event.pdu.redacted_by.is_some() || self.ignores(event.pdu) {
            return SILENT;
        }
        let applies = |rule: &&Rule| {
            !(rule.unless_mentions && event.has_mentions())
                && rule.conditions.iter().all(|condition| condition.holds(event, &self.user_id, user, room))
        };
        self.rules.rules.iter().find(applies).map_or(SILENT, |rule| Evaluation {
            notify: rule.notify,
            highlight: rule.highlight,
            actions: &rule.actions,
        })
    }
}
