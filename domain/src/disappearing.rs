//! Messages that disappear: the timer of a room, and which events it holds for.
//!
//! The timer is a state event that bridges and their clients use already. What it says of reading is not supported: who
//! has read what differs from person to person, and an event has one content for all of them.

use ruma::events::TimelineEventType;
use serde::Deserialize;

use crate::{Malformed, Pdu};

/// The type of the state event with the timer, whose state key is empty.
pub const TIMER_TYPE: &str = "com.beeper.disappearing_timer";
/// The shortest timer: five seconds, in milliseconds.
pub const MIN_TIMER_MS: u64 = 5_000;
/// The longest timer: 365 days, in milliseconds.
pub const MAX_TIMER_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Reads the content of the timer's event: for how many milliseconds messages stay, or `None` if they stay for good.
pub fn parse_timer(content: &str) -> Result<Option<u64>, Malformed> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        timer: u64,
    }
    let wrong = |reason: &str| Err(Malformed(format!("{TIMER_TYPE}: {reason}")));
    let Ok(Content { kind, timer }) = serde_json::from_str(content) else {
        return wrong("`type` is a text, and `timer` a whole number of milliseconds");
    };
    match (kind.as_str(), timer) {
        ("", 0) => Ok(None),
        ("after_send", MIN_TIMER_MS..=MAX_TIMER_MS) => Ok(Some(timer)),
        ("after_send", _) => wrong("`timer` is at least 5000 and at most 31536000000 milliseconds"),
        _ => wrong("`type` can only be `after_send`"),
    }
}

/// Whether an event is one that a timer holds for. State is the room's, and a redaction says nothing of its own: without
/// it, clients would not know what was taken away.
pub fn can_disappear(pdu: &Pdu) -> bool {
    pdu.state_key.is_none() && pdu.event_type != TimelineEventType::RoomRedaction
}

#[cfg(test)]
mod tests {
    use super::{MAX_TIMER_MS, parse_timer};

    #[test]
    fn timers_are_read_and_bounded() {
        let read = |content: &str| parse_timer(content).ok();
        for off in ["{}", r#"{"type":"","timer":0}"#, r#"{"org.example":1}"#] {
            assert_eq!(read(off), Some(None), "{off}");
        }
        for timer in [5_000, 86_400_000, MAX_TIMER_MS] {
            let content = format!(r#"{{"type":"after_send","timer":{timer}}}"#);
            assert_eq!(read(&content), Some(Some(timer)));
        }
        for wrong in [
            r#"{"type":"after_send"}"#,
            r#"{"type":"after_send","timer":4999}"#,
            r#"{"type":"after_send","timer":31536000001}"#,
            r#"{"type":"after_send","timer":-5000}"#,
            r#"{"type":"after_send","timer":5000.5}"#,
            r#"{"type":"after_send","timer":"5000"}"#,
            r#"{"type":"after_read","timer":5000}"#,
            r#"{"timer":5000}"#,
            r#"{"type":1,"timer":5000}"#,
        ] {
            assert!(parse_timer(wrong).is_err(), "{wrong}");
        }
    }
}
