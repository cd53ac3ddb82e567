//! Push rules about one room. A user who follows a room to the one that replaces it gets the same rules for
//! that one.

use std::sync::{Arc, Weak};

use linkspan_rooms::{Copying, RoomSettings};
use ruma::{
    OwnedRoomId, OwnedUserId,
    push::{ConditionalPushRule, PushCondition, Ruleset, ScalarJsonValue},
};

use crate::{Push, Result, Shared, rules::is_possible_rule_id};

/// Copies push rules about rooms. Its reference to push is weak, because push itself keeps the rooms service,
/// which holds this.
#[derive(Debug)]
pub struct RoomRules(Weak<Shared>);

impl RoomSettings for RoomRules {
    fn copy<'a>(
        &'a self,
        user_id: &'a OwnedUserId,
        from: &'a OwnedRoomId,
        to: &'a OwnedRoomId,
    ) -> Copying<'a> {
        Box::pin(async move {
            let Some(shared) = self.0.upgrade() else { return Ok(()) };
            Ok(Push { shared }.copy_room_rules(user_id, from, to).await?)
        })
    }
}

impl Push {
    /// Gives the copier of rules for the rooms service.
    pub fn room_rules(&self) -> RoomRules {
        RoomRules(Arc::downgrade(&self.shared))
    }

    async fn copy_room_rules(
        &self,
        user_id: &OwnedUserId,
        from: &OwnedRoomId,
        to: &OwnedRoomId,
    ) -> Result<()> {
        // Most users have no such rules, and nothing is written for them.
        if !copy_rules(&mut self.ruleset(user_id).await?, from, to) {
            return Ok(());
        }
        self.change_rules(user_id, |ruleset| {
            copy_rules(ruleset, from, to);
            Ok(())
        })
        .await
    }
}

/// Adds, right after each rule about one room, a rule that does the same about another. Returns whether some
/// are new.
fn copy_rules(ruleset: &mut Ruleset, from: &OwnedRoomId, to: &OwnedRoomId) -> bool {
    let mut is_changed = false;
    if !ruleset.room.contains(to.as_str())
        && let Some(place) = ruleset.room.get_index_of(from.as_str())
    {
        let mut copy = ruleset.room[place].clone();
        copy.rule_id = to.clone();
        ruleset.room.shift_insert(place + 1, copy);
        is_changed = true;
    }
    for rules in [&mut ruleset.override_, &mut ruleset.underride] {
        let about = rules.iter().enumerate();
        let copies: Vec<_> =
            about.filter_map(|(place, rule)| Some((place, copy_of(rule, from, to)?))).collect();
        // It goes from the last rule to the first, so that those before stay in their places.
        for (place, copy) in copies.into_iter().rev() {
            if !rules.contains(copy.rule_id.as_str()) {
                rules.shift_insert(place + 1, copy);
                is_changed = true;
            }
        }
    }
    is_changed
}

/// The same rule about another room, or None if it is not about the first.
fn copy_of(rule: &ConditionalPushRule, from: &OwnedRoomId, to: &OwnedRoomId) -> Option<ConditionalPushRule> {
    let mut copy = rule.clone();
    let mut is_about = false;
    for condition in &mut copy.conditions {
        match condition {
            PushCondition::EventMatch(data) if data.key == "room_id" && data.pattern == *from => {
                data.pattern = to.to_string();
                is_about = true;
            }
            PushCondition::EventPropertyIs(data) if data.key == "room_id" && is_text(&data.value, from) => {
                data.value = ScalarJsonValue::String(to.to_string());
                is_about = true;
            }
            _ => {}
        }
    }
    copy.rule_id = if rule.rule_id.contains(from.as_str()) {
        rule.rule_id.replace(from.as_str(), to.as_str())
    } else {
        format!("{}:{to}", rule.rule_id)
    };
    (is_about && is_possible_rule_id(&copy.rule_id)).then_some(copy)
}

fn is_text(value: &ScalarJsonValue, text: &OwnedRoomId) -> bool {
    matches!(value, ScalarJsonValue::String(value) if *text == **value)
}

#[cfg(test)]
mod tests {
    use ruma::{push::Ruleset, room_id};
    use serde_json::{Value, json};

    use super::copy_rules;

    fn rule(id: &str, conditions: Value) -> Value {
        json!({
            "rule_id": id, "actions": ["notify"], "default": false, "enabled": false, "conditions": conditions,
        })
    }

    #[test]
    fn a_rule_about_a_room_stands_before_its_copy() {
        let glob = |room: &str| json!([{ "kind": "event_match", "key": "room_id", "pattern": room }]);
        let value = |room: &str| json!([{ "kind": "event_property_is", "key": "room_id", "value": room }]);
        let sender = json!([{ "kind": "event_match", "key": "sender", "pattern": "!old:a" }]);
        let room_rule =
            |id: &str| json!({ "rule_id": id, "actions": [], "default": false, "enabled": false });
        let before = json!({
            "override": [rule("!old:a", glob("!old:a")), rule("x", value("!old:a")), rule("y", sender.clone())],
            "underride": [rule("x", glob("!else:a"))],
            "room": [room_rule("!old:a"), room_rule("!else:a")],
        });
        let after = json!({
            "override": [
                rule("!old:a", glob("!old:a")), rule("!new:a", glob("!new:a")),
                rule("x", value("!old:a")), rule("x:!new:a", value("!new:a")), rule("y", sender),
            ],
            "underride": [rule("x", glob("!else:a"))],
            "room": [room_rule("!old:a"), room_rule("!new:a"), room_rule("!else:a")],
        });
        let parse = |rules: &Value| serde_json::from_value::<Ruleset>(rules.clone()).expect("rules");
        let mut rules = parse(&before);
        let (old, new) = (room_id!("!old:a").to_owned(), room_id!("!new:a").to_owned());
        assert!(copy_rules(&mut rules, &old, &new));
        let order = |rules: &Ruleset| serde_json::to_value(rules).expect("JSON");
        assert_eq!(order(&rules), order(&parse(&after)));
        assert!(!copy_rules(&mut rules, &old, &new), "it is copied once");
        assert_eq!(order(&rules), order(&parse(&after)));
    }
}
