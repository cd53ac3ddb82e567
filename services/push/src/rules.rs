//! The push rules of users: read, changed, compiled.
//! <https://spec.matrix.org/v1.19/client-server-api/#push-rules-api>

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use linkspan_accounts::put_account_data;
use linkspan_storage::{CacheSize, Copies, Limits, Store, WriteSet, catalogue::AccountData};
use ruma::{
    OwnedUserId, UserId,
    push::{
        Action, AnyPushRule, ConditionalPushRule, NewPushRule, PatternedPushRule, PushCondition, RuleKind,
        Ruleset, SimplePushRule,
    },
};
use serde::{Deserialize, Serialize};

use crate::{Compiled, Push, PushError, Recipient, Result, glob::Glob};

/// The account data that rules are kept as.
const PUSH_RULES: &str = "m.push_rules";
/// The most bytes of a rule's id.
const MAX_RULE_ID_BYTES: usize = 255;
/// The most bytes of a pattern or of the path of a property.
const MAX_PATTERN_BYTES: usize = 512;
/// The most conditions of a rule.
const MAX_CONDITIONS: usize = 32;
/// The most actions of a rule.
const MAX_ACTIONS: usize = 16;
/// The most rules that a user may add.
const MAX_RULES: usize = 1000;
/// The most bytes of all of a user's rules.
const MAX_RULES_BYTES: usize = 256 << 10;
/// How many compiled rules are kept; the default rules of any number of users count once.
const CACHED_RULES: u64 = 1 << 20;
/// About how many users that is.
const CACHED_USERS: usize = 100_000;

/// The compiled rules of users who were lately asked about.
#[derive(Debug)]
pub(crate) struct RuleCache {
    compiled: Copies<OwnedUserId, Arc<Compiled>>,
    default: OnceLock<Arc<Compiled>>,
}

impl RuleCache {
    /// Nothing is compiled yet. Rules are compiled anew after each change of the account data that they are kept as.
    pub(crate) fn new(store: &Store) -> Self {
        let limits = Limits { entries: CACHED_USERS, weight: CACHED_RULES };
        let compiled = Copies::weighted(limits, |_, compiled: &Arc<Compiled>| compiled.weight());
        let compiled = compiled.forget_on::<AccountData>(store, |key| {
            let is_rules = key.room_id.is_none() && key.event_type == PUSH_RULES;
            is_rules.then_some(Cow::Borrowed(&key.user_id))
        });
        Self { compiled, default: OnceLock::new() }
    }

    /// How much is kept.
    pub(crate) fn size(&self) -> CacheSize {
        self.compiled.size()
    }
}

/// The content of `m.push_rules`.
#[derive(Deserialize, Serialize)]
struct PushRulesContent {
    #[serde(default)]
    global: Ruleset,
}

impl Push {
    /// All push rules of a user, those of the server included.
    pub async fn ruleset(&self, user_id: &OwnedUserId) -> Result<Ruleset> {
        let follows_threads = self.follows_threads(user_id).await?;
        Ok(ruleset(user_id, self.stored_rules(user_id).await?, follows_threads))
    }

    /// The content, JSON, of the user's account data `m.push_rules`; users have it who never changed a rule, too.
    pub async fn push_rules_content(&self, user_id: &OwnedUserId) -> Result<String> {
        Ok(to_json(self.ruleset(user_id).await?))
    }

    /// A rule of a user.
    pub async fn rule(&self, user_id: &OwnedUserId, kind: RuleKind, rule_id: &str) -> Result<AnyPushRule> {
        let ruleset = self.ruleset(user_id).await?;
        ruleset.get(kind, rule_id).map(|rule| rule.to_owned()).ok_or(PushError::NoSuchRule)
    }

    /// Adds a rule, or replaces the one of that kind and id, which stays on or off as it was. `after` and
    /// `before` name rules of the user of the same kind: the rule comes next to them.
    pub async fn put_rule(
        &self,
        user_id: &OwnedUserId,
        rule: NewPushRule,
        after: Option<&str>,
        before: Option<&str>,
    ) -> Result<()> {
        check_rule(&rule)?;
        for neighbour in [after, before].into_iter().flatten() {
            if neighbour.starts_with('.') {
                return Err(PushError::Misplaced("rules are placed among the user's own only".into()));
            }
        }
        self.change_rules(user_id, |ruleset| insert(ruleset, rule.clone(), after, before)).await
    }

    /// Removes a rule of the user.
    pub async fn delete_rule(&self, user_id: &OwnedUserId, kind: RuleKind, rule_id: &str) -> Result<()> {
        self.change_rules(user_id, |ruleset| {
            use ruma::push::RemovePushRuleError::ServerDefault;
            ruleset.remove(kind.clone(), rule_id).map_err(|error| match error {
                ServerDefault => PushError::Invalid("a rule of the server can only be disabled".into()),
                _ => PushError::NoSuchRule,
            })
        })
        .await
    }

    /// Switches a rule on or off.
    pub async fn set_rule_enabled(
        &self,
        user_id: &OwnedUserId,
        kind: RuleKind,
        rule_id: &str,
        enabled: bool,
    ) -> Result<()> {
        self.change_rules(user_id, |ruleset| {
            ruleset.set_enabled(kind.clone(), rule_id, enabled).map_err(|_| PushError::NoSuchRule)
        })
        .await
    }

    /// Sets what a rule does.
    pub async fn set_rule_actions(
        &self,
        user_id: &OwnedUserId,
        kind: RuleKind,
        rule_id: &str,
        actions: Vec<Action>,
    ) -> Result<()> {
        check_actions(&actions)?;
        self.change_rules(user_id, |ruleset| {
            ruleset.set_actions(kind.clone(), rule_id, actions.clone()).map_err(|_| PushError::NoSuchRule)
        })
        .await
    }

    pub(crate) async fn change_rules(
        &self,
        user_id: &OwnedUserId,
        change: impl Fn(&mut Ruleset) -> Result<()>,
    ) -> Result<()> {
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                let stored = self.expect_rules(&mut writes, user_id).await?;
                // This is read after the entry, which whoever subscribes for the first time changes.
                let follows_threads = self.follows_threads(user_id).await?;
                let mut ruleset = ruleset(user_id, stored, follows_threads);
                change(&mut ruleset)?;
                check_count(&ruleset)?;
                let content = to_json(ruleset);
                if content.len() > MAX_RULES_BYTES {
                    let reason = format!("push rules take at most {MAX_RULES_BYTES} bytes");
                    return Err(PushError::Invalid(reason));
                }
                put_account_data(&mut writes, user_id, None, PUSH_RULES, content);
                Ok((writes, ()))
            })
            .await
    }

    /// Writes the rules of a user who subscribes to a thread for the first time.
    pub(crate) async fn put_thread_rules(&self, writes: &mut WriteSet, user_id: &OwnedUserId) -> Result<()> {
        let stored = self.expect_rules(writes, user_id).await?;
        put_account_data(writes, user_id, None, PUSH_RULES, to_json(ruleset(user_id, stored, true)));
        Ok(())
    }

    /// The rules as they are stored; the write-set is refused if they change meanwhile.
    async fn expect_rules(&self, writes: &mut WriteSet, user_id: &OwnedUserId) -> Result<Option<String>> {
        Ok(self.shared.accounts.expect_account_data(writes, user_id, None, PUSH_RULES).await?)
    }

    async fn stored_rules(&self, user_id: &OwnedUserId) -> Result<Option<String>> {
        Ok(self.shared.accounts.account_data(user_id, None, PUSH_RULES).await?)
    }

    /// The compiled rules of a user.
    pub async fn compiled_rules(&self, user_id: &OwnedUserId) -> Result<Arc<Compiled>> {
        self.shared.rules.compiled.get_or_read(user_id, || self.compile_rules(user_id)).await
    }

    async fn compile_rules(&self, user_id: &OwnedUserId) -> Result<Arc<Compiled>> {
        let follows_threads = self.follows_threads(user_id).await?;
        let stored = self.stored_rules(user_id).await?;
        Ok(match parse_rules(user_id, stored, follows_threads) {
            Some(ruleset) => Arc::new(Compiled::new(&ruleset, user_id)),
            None if follows_threads => Arc::new(Compiled::new(&server_rules(user_id, true), user_id)),
            None => {
                let default = || Arc::new(Compiled::shared(&server_rules(user_id, false), user_id));
                self.shared.rules.default.get_or_init(default).clone()
            }
        })
    }

    /// A user with rules and the list of ignored users, to be asked about events.
    pub async fn recipient(&self, user_id: &OwnedUserId) -> Result<Recipient> {
        let rules = self.compiled_rules(user_id).await?;
        let ignored = self.rooms().ignored_users(user_id).await?;
        Ok(Recipient { user_id: user_id.clone(), rules, ignored })
    }
}

/// The user's rules as they are stored, those of the server included; None: the user has never changed any.
fn parse_rules(user_id: &UserId, stored: Option<String>, follows_threads: bool) -> Option<Ruleset> {
    match serde_json::from_str::<PushRulesContent>(&stored?) {
        Ok(content) => Some(renewed(content.global, server_rules(user_id, follows_threads))),
        Err(error) => {
            tracing::warn!(%user_id, %error, "the user's push rules cannot be read: the defaults stand in");
            None
        }
    }
}

fn ruleset(user_id: &UserId, stored: Option<String>, follows_threads: bool) -> Ruleset {
    let stored = parse_rules(user_id, stored, follows_threads);
    stored.unwrap_or_else(|| server_rules(user_id, follows_threads))
}

/// The rules of the server. Those about threads are for users who have subscribed to one:
/// docs/decisions/0009-thread-subscriptions.md.
fn server_rules(user_id: &UserId, follows_threads: bool) -> Ruleset {
    let mut rules = Ruleset::server_default(user_id);
    if !follows_threads {
        rules.postcontent.clear();
    }
    rules
}

/// A user's rules with those of the server as they are now, on or off and with actions as the user had them.
fn renewed(mut ruleset: Ruleset, mut of_server: Ruleset) -> Ruleset {
    let before = std::mem::take(&mut ruleset.postcontent);
    let thread_rules = std::mem::take(&mut of_server.postcontent);
    ruleset.update_with_server_default(of_server);
    // ruma leaves this kind out. Users have no rules of their own of it.
    let as_before = |mut rule: ConditionalPushRule| {
        if let Some(before) = before.get(rule.rule_id.as_str()) {
            rule.enabled = before.enabled;
            rule.actions.clone_from(&before.actions);
        }
        rule
    };
    ruleset.postcontent = thread_rules.into_iter().map(as_before).collect();
    ruleset
}

fn to_json(global: Ruleset) -> String {
    serde_json::to_string(&PushRulesContent { global }).expect("rules are JSON")
}

fn check_count(ruleset: &Ruleset) -> Result<()> {
    if ruleset.iter().filter(|rule| !rule.is_server_default()).count() > MAX_RULES {
        return Err(PushError::Invalid(format!("a user may have {MAX_RULES} push rules")));
    }
    Ok(())
}

fn check_rule(rule: &NewPushRule) -> Result<()> {
    let rule_id = rule.rule_id();
    if rule_id.starts_with('.') {
        return Err(PushError::Misplaced("rule ids that start with a dot belong to the server".into()));
    }
    if !is_possible_rule_id(rule_id) {
        return Err(PushError::Invalid("this is not a possible id of a push rule".into()));
    }
    match rule {
        NewPushRule::Override(rule) | NewPushRule::Underride(rule) => {
            check_conditions(&rule.conditions)?;
            check_actions(&rule.actions)
        }
        NewPushRule::Content(rule) => {
            check_pattern(&rule.pattern)?;
            check_actions(&rule.actions)
        }
        NewPushRule::Room(rule) => check_actions(&rule.actions),
        NewPushRule::Sender(rule) => check_actions(&rule.actions),
        _ => Err(PushError::Invalid("unknown kind of push rule".into())),
    }
}

pub(crate) fn is_possible_rule_id(rule_id: &str) -> bool {
    !rule_id.is_empty() && rule_id.len() <= MAX_RULE_ID_BYTES && !rule_id.contains(['/', '\\'])
}

fn check_conditions(conditions: &[PushCondition]) -> Result<()> {
    if conditions.len() > MAX_CONDITIONS {
        return Err(PushError::Invalid(format!("a push rule may have {MAX_CONDITIONS} conditions")));
    }
    for condition in conditions {
        let path = match condition {
            PushCondition::EventMatch(data) => {
                check_pattern(&data.pattern)?;
                &data.key
            }
            PushCondition::EventPropertyIs(data) => &data.key,
            PushCondition::EventPropertyContains(data) => &data.key,
            _ => continue,
        };
        if path.len() > MAX_PATTERN_BYTES {
            return Err(PushError::Invalid(format!(
                "a property's path has at most {MAX_PATTERN_BYTES} bytes"
            )));
        }
    }
    Ok(())
}

fn check_pattern(pattern: &str) -> Result<()> {
    if pattern.len() > MAX_PATTERN_BYTES || !Glob::new(pattern).is_possible() {
        return Err(PushError::Invalid("this pattern is too long".into()));
    }
    Ok(())
}

fn check_actions(actions: &[Action]) -> Result<()> {
    if actions.len() > MAX_ACTIONS {
        return Err(PushError::Invalid(format!("a push rule may have {MAX_ACTIONS} actions")));
    }
    Ok(())
}

fn insert(ruleset: &mut Ruleset, rule: NewPushRule, after: Option<&str>, before: Option<&str>) -> Result<()> {
    // A set of rules that the user puts into order: what ruma has for it does not take every order.
    macro_rules! insert_into {
        ($field:ident, $rule:expr, $first:expr) => {{
            let mut rule = $rule;
            let rules = &mut ruleset.$field;
            let id: String = rule.rule_id.to_string();
            let old = rules.get_index_of(id.as_str());
            if let Some(old) = rules.shift_take(id.as_str()) {
                rule.enabled = old.enabled;
            }
            let find = |id: &str| {
                rules.get_index_of(id).ok_or_else(|| PushError::Misplaced(format!("there is no rule `{id}`")))
            };
            let after = after.map(find).transpose()?;
            let before = before.map(find).transpose()?;
            let place = match (after, before) {
                (Some(after), Some(before)) if before <= after => {
                    return Err(PushError::Misplaced("`before` comes before `after`".into()));
                }
                (_, Some(before)) => before,
                (Some(after), None) => after + 1,
                (None, None) => old.unwrap_or($first),
            };
            rules.shift_insert(place.min(rules.len()), rule);
        }};
    }
    match rule {
        // The first is `.m.rule.master`, and stays it.
        NewPushRule::Override(rule) => insert_into!(override_, ConditionalPushRule::from(rule), 1),
        NewPushRule::Underride(rule) => insert_into!(underride, ConditionalPushRule::from(rule), 0),
        NewPushRule::Content(rule) => insert_into!(content, PatternedPushRule::from(rule), 0),
        NewPushRule::Room(rule) => insert_into!(room, SimplePushRule::from(rule), 0),
        NewPushRule::Sender(rule) => insert_into!(sender, SimplePushRule::from(rule), 0),
        _ => return Err(PushError::Invalid("unknown kind of push rule".into())),
    }
    Ok(())
}
