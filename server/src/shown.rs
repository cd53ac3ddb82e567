//! What commands print of answers.

use serde_json::Value;

/// Prints an answer: as JSON, or a line for each of its fields.
pub(crate) fn show(answer: &Value, json: bool) {
    if json {
        println!("{}", printable(&serde_json::to_string_pretty(answer).unwrap_or_default()));
        return;
    }
    for (name, value) in answer.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => println!("{name}\t{}", printable(text)),
            value => println!("{name}\t{}", printable(&value.to_string())),
        }
    }
}

/// A line whose columns are parted by tabs, each without characters that a terminal would obey.
pub(crate) fn columns(line: &str) -> String {
    line.split('\t').map(printable).collect::<Vec<_>>().join("\t")
}

/// A text without characters that a terminal would obey: strangers have written what it says.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // Those that turn the direction of writing are no controls to Unicode's mind.
        let turns = matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        match character {
            '\n' => shown.push('\n'),
            _ if turns || character.is_control() => {
                shown.push_str(&format!("\\u{:04x}", u32::from(character)))
            }
            _ => shown.push(character),
        }
    }
    shown
}
