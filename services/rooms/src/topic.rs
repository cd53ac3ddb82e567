//! Topics of rooms: one text, in several representations.
//! <https://spec.matrix.org/v1.19/client-server-api/#mroomtopic>

use ruma::{CanonicalJsonObject, CanonicalJsonValue};
use serde_json::Value;

use crate::append::{object, text};

/// The content of a topic that is plain text.
pub(crate) fn topic_content(topic: &str) -> CanonicalJsonObject {
    let plain = object([("body", text(topic)), ("mimetype", text("text/plain"))]);
    let texts = CanonicalJsonValue::Array(vec![CanonicalJsonValue::Object(plain)]);
    let block = CanonicalJsonValue::Object(object([("m.text", texts)]));
    object([("topic", text(topic)), ("m.topic", block)])
}

/// The plain text of a topic: of the representations, or else the field that was there before them.
pub(crate) fn plain_topic(content: &Value) -> Option<&str> {
    represented(content).or_else(|| content.get("topic")?.as_str())
}

/// The plain text among the representations of a topic.
pub(crate) fn represented(content: &Value) -> Option<&str> {
    let texts = content.get("m.topic")?.get("m.text")?.as_array()?;
    let is_plain = |text: &&Value| text.get("mimetype").is_none_or(|mimetype| mimetype == "text/plain");
    texts.iter().filter(is_plain).find_map(|text| text.get("body")?.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_plain_representation_is_the_topic() {
        let html = json!({ "mimetype": "text/html", "body": "<b>tea</b>" });
        let plain = json!({ "body": "tea" });
        let topic = |texts: Value| json!({ "topic": "old", "m.topic": { "m.text": texts } });
        assert_eq!(plain_topic(&topic(json!([html, plain]))), Some("tea"));
        assert_eq!(plain_topic(&json!({ "m.topic": { "m.text": [plain] } })), Some("tea"));
        for nothing in [json!([html]), json!([]), json!([{ "body": 5 }]), json!("tea")] {
            assert_eq!(plain_topic(&topic(nothing)), Some("old"));
        }
        assert_eq!(plain_topic(&json!({ "topic": "old" })), Some("old"));
        assert_eq!(plain_topic(&json!({})), None);
    }

    #[test]
    fn a_topic_that_is_made_is_read_back() {
        let made = topic_content("tea & cake");
        assert_eq!(plain_topic(&json!(made)), Some("tea & cake"));
        assert_eq!(represented(&json!(made)), Some("tea & cake"));
    }
}
