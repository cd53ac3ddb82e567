//! What somebody's client shows of what it received, in lines for the screen.

use serde_json::Value;

use crate::{
    heard::Heard,
    person::Sign,
    screen::{Line, Look},
};

/// The mark of what came encrypted, and was decrypted by the person's own device.
pub(super) const LOCK: char = '🔒';

pub(super) fn plain(text: impl Into<String>) -> Line {
    (Look::Plain, text.into())
}

pub(super) fn name(text: impl Into<String>) -> Line {
    (Look::Bold, text.into())
}

pub(super) fn soft(text: impl Into<String>) -> Line {
    (Look::Soft, text.into())
}

/// A user id in two lines, because it is wider than a column.
pub(super) fn halves(user: &str) -> [String; 2] {
    match user.split_once(':') {
        Some((localpart, server)) => [localpart.to_owned(), format!(":{server}")],
        None => [user.to_owned(), String::new()],
    }
}

/// What somebody's client shows of a sign that it received.
pub(super) fn describe(heard: &Heard, sign: &Sign) -> Vec<Line> {
    match sign {
        Sign::Invitation { room } => {
            let state = &heard.rooms[room];
            let inviter = state["inviter"].as_str().unwrap_or_default();
            let title = state["name"].as_str();
            let what = if title.is_some() { "An invitation from" } else { "A message request from" };
            let mut lines = vec![plain(what), name(heard.name_of(room, inviter))];
            lines.extend(title.map(|title| plain(format!("to “{title}”"))));
            lines
        }
        Sign::Members { room, users } => {
            let joined = |user: &&String| heard.rooms[room]["members"][user]["membership"] == "join";
            let names: Vec<_> = users.iter().filter(joined).map(|user| heard.name_of(room, user)).collect();
            let mut lines = vec![plain(format!("{} people are here:", names.len()))];
            lines.extend(names.into_iter().map(|one| plain(format!("  {one}"))));
            if heard.rooms[room]["encrypted"] == true {
                lines.push(plain(format!("{LOCK} encrypted")));
            }
            lines
        }
        Sign::Typing { room, user } => vec![name(heard.name_of(room, user)), soft("  is typing …")],
        Sign::Receipt { room, id, user } => {
            let what = heard.item(room, id).map(body).unwrap_or_default();
            vec![plain(format!("✓ read by {}", heard.name_of(room, user))), soft(format!("  “{what}”"))]
        }
        Sign::Event { room, id } => {
            let mut lines =
                heard.item(room, id).map(|item| describe_event(heard, room, item)).unwrap_or_default();
            if let Some((_, first)) = lines.first_mut().filter(|_| heard.has_opened(room, id)) {
                *first = format!("{LOCK} {first}");
            }
            lines
        }
    }
}

fn describe_event(heard: &Heard, room: &str, item: &Value) -> Vec<Line> {
    let content = &item["content"];
    let sender = heard.name_of(room, item["sender"].as_str().unwrap_or_default());
    let relation = &content["m.relates_to"];
    let related =
        |id: &Value| heard.item(room, id.as_str().unwrap_or_default()).map(body).unwrap_or_default();
    if let Some(key) = relation["key"].as_str() {
        return vec![
            name(sender),
            plain(format!("  {key} to")),
            soft(format!("  “{}”", related(&relation["event_id"]))),
        ];
    }
    if relation["rel_type"] == "m.replace" {
        let was = soft(format!("  was: {}", related(&relation["event_id"])));
        return vec![name(format!("{sender}, edited")), plain(format!("  {}", body(item))), was];
    }
    let mut lines = vec![name(sender)];
    let replied_to = &relation["m.in_reply_to"]["event_id"];
    if !replied_to.is_null() {
        lines.push(soft(format!("  to “{}”", related(replied_to))));
    }
    let what = if content["msgtype"] == "m.image" { "picture: " } else { "" };
    lines.push(plain(format!("  {what}{}", body(item))));
    lines
}

/// The text of a message. Of an edit, it is the new text.
fn body(item: &Value) -> String {
    let content = &item["content"];
    let body = content["m.new_content"]["body"].as_str().or(content["body"].as_str());
    body.unwrap_or_default().to_owned()
}
