//! What a hook is asked, and what it answers.

use linkspan_domain::ReachKind;
use linkspan_platforms::PolicyCheck;
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Verdict;

/// The longest reason that the sender is told, in characters.
const MAX_REASON: usize = 300;

/// A question for the hook of a platform.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// Whose hook is asked.
    pub platform: OwnedServerName,
    /// What it is about.
    pub check: PolicyCheck,
    /// Who approaches somebody.
    pub sender: OwnedUserId,
    /// Who is approached: only those whom the hook may know of.
    pub recipients: Vec<OwnedUserId>,
    /// The room, unless it is just being created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<OwnedRoomId>,
    /// What it is to be.
    pub kind: ReachKind,
    /// The type of the event.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What the event says, if the hook is shown it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Box<RawValue>>,
}

impl Question {
    /// Whether another question of the same operation is about the same thing. The room may be another one: a room
    /// that is being created may get another id with each attempt.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.platform, self.check, &self.event_type, &self.recipients)
            == (&other.platform, other.check, &other.event_type, &other.recipients)
    }
}

#[derive(Deserialize)]
struct Answer {
    action: Action,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Allow,
    Ignore,
    Refuse,
}

/// Reads the body of an answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Verdict, serde_json::Error> {
    let Answer { action, reason } = serde_json::from_slice(body)?;
    Ok(match action {
        Action::Allow => Verdict::Allow,
        Action::Ignore => Verdict::Ignore,
        Action::Refuse => Verdict::Refuse(reason.map(|reason| reason.chars().take(MAX_REASON).collect())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_others_are_refused() {
        let read = |body: &str| read_answer(body.as_bytes()).ok();
        assert_eq!(read(r#"{"action":"allow","more":1}"#), Some(Verdict::Allow));
        assert_eq!(read(r#"{"action":"ignore","reason":"spam"}"#), Some(Verdict::Ignore));
        assert_eq!(read(r#"{"action":"refuse"}"#), Some(Verdict::Refuse(None)));
        let long = format!(r#"{{"action":"refuse","reason":"{}"}}"#, "é".repeat(MAX_REASON + 1));
        assert_eq!(read(&long), Some(Verdict::Refuse(Some("é".repeat(MAX_REASON)))));
        for wrong in ["", "[]", "{}", r#"{"action":"perhaps"}"#, r#"{"action":"allow"} more"#] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_strictest_verdict_is_the_greatest() {
        let mut all = [Verdict::Refuse(None), Verdict::Ignore, Verdict::Later, Verdict::Allow];
        all.sort();
        assert_eq!(all, [Verdict::Allow, Verdict::Ignore, Verdict::Later, Verdict::Refuse(None)]);
    }
}
