//! The shape in which a client gets events: the format, and the fields that it wants.
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, api::client::filter::EventFormat};
use serde_json::{Map, Value};

use crate::{Ask, Event, Result, Sync};

/// The longest path to a field, in names. No event is as deep.
const MAX_PATH: usize = 100;

/// The fields of events that a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventFields {
    /// Whether everything in the field is wanted.
    is_whole: bool,
    /// If not, the wanted fields in it, by name.
    within: BTreeMap<String, Self>,
}

impl EventFields {
    /// Reads paths as clients write them.
    /// <https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths>
    pub(crate) fn new(paths: &[String]) -> Self {
        let mut fields = Self::default();
        for path in paths.iter().map(|path| names(path)).filter(|path| path.len() <= MAX_PATH) {
            let mut field = &mut fields;
            for name in path {
                field = field.within.entry(name).or_default();
            }
            field.is_whole = true;
        }
        fields
    }

    /// The event with only the wanted fields.
    fn pick(&self, event: Event) -> Event {
        let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(event.get()) else { return event };
        self.keep_in(&mut object);
        serde_json::value::to_raw_value(&object).unwrap_or(event)
    }

    fn keep_in(&self, object: &mut Map<String, Value>) {
        object.retain(|name, value| match (self.within.get(name), value) {
            (Some(field), _) if field.is_whole => true,
            (Some(field), Value::Object(inner)) => {
                field.keep_in(inner);
                !inner.is_empty()
            }
            _ => false,
        });
    }
}

/// The names along a path. A backslash makes a dot or a backslash part of a name.
fn names(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut rest = path.chars().peekable();
    while let Some(character) = rest.next() {
        let escaped = rest.next_if(|next| character == '\\' && matches!(next, '.' | '\\'));
        match (character, escaped, names.last_mut()) {
            ('.', ..) => names.push(String::new()),
            (_, escaped, Some(name)) => name.push(escaped.unwrap_or(character)),
            _ => {}
        }
    }
    names
}

impl Sync {
    /// Renders events of a room in the format, and with the fields, that the client wants.
    pub(crate) async fn formatted(
        &self,
        ask: &Ask,
        room_id: &OwnedRoomId,
        events: Vec<Event>,
    ) -> Result<Vec<Event>> {
        let events = match ask.filter.definition.event_format {
            EventFormat::Federation => self.rooms.in_federation_format(room_id, events).await?,
            _ => events,
        };
        Ok(match &ask.filter.fields {
            Some(fields) => events.into_iter().map(|event| fields.pick(event)).collect(),
            None => events,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn picked(paths: &[&str], event: &Value) -> Value {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        let event = serde_json::value::to_raw_value(event).expect("JSON");
        serde_json::from_str(EventFields::new(&paths).pick(event).get()).expect("JSON")
    }

    #[test]
    fn what_is_named_is_kept_with_all_that_is_in_it() {
        let event =
            json!({ "type": "m", "content": { "body": "b", "info": { "w": 1, "h": 2 } }, "sender": "s" });
        assert_eq!(picked(&["type"], &event), json!({ "type": "m" }));
        assert_eq!(
            picked(&["content.body", "sender"], &event),
            json!({ "content": { "body": "b" }, "sender": "s" })
        );
        assert_eq!(picked(&["content.info.w"], &event), json!({ "content": { "info": { "w": 1 } } }));
        assert_eq!(picked(&["content.info.w", "content"], &event), json!({ "content": event["content"] }));
        assert_eq!(picked(&["content.none", "type.none", ""], &event), json!({}));
    }

    #[test]
    fn dots_and_backslashes_of_names_are_escaped() {
        assert_eq!(names(r"content.m\.relates_to.x"), ["content", "m.relates_to", "x"]);
        assert_eq!(names(r"m\\foo.b"), [r"m\foo", "b"]);
        assert_eq!(names(r"a\x.b\"), [r"a\x", r"b\"]);
        assert_eq!(names(r"a\\.b"), [r"a\", "b"]);
        assert_eq!(names(".a."), ["", "a", ""]);
    }

    #[test]
    fn a_path_that_is_too_long_is_of_no_event() {
        assert_eq!(EventFields::new(&["a.".repeat(30_000)]), EventFields::default());
    }
}
