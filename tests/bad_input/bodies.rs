//! Bodies that are not JSON, or other JSON than is expected, or far too much of it.

use linkspan_tests::{
    http1::Request,
    table::{Entry, table},
};
use serde_json::Value;

use crate::{Spoiler, is, refuses, short};

/// How deeply a body is nested that is too deep, and still small enough for somebody who has not logged in.
const DEPTH: usize = 30_000;

/// Values that are put in the place of others, mostly of another type.
const VALUES: [&str; 19] = [
    "null",
    "true",
    "7",
    "-1",
    "0.5",
    "1e400",
    "-1e400",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551616",
    r#""""#,
    r#""x""#,
    r#""\u0000""#,
    r#""\ud800""#,
    r#"".*""#,
    "[]",
    "{}",
    "[[]]",
    r#"{"type": "x", "x": [1]}"#,
];

/// The entries whose body the endpoint looks at.
fn entries() -> Vec<Entry> {
    table().into_iter().filter(Entry::has_json).collect()
}

fn with_body(body: &[u8]) -> impl Fn(&mut Request) {
    let body = body.to_owned();
    move |request| request.body = body.clone()
}

#[test]
fn what_is_no_json_object_is_refused() {
    let mut spoiler = Spoiler::start();
    let open = "[".repeat(DEPTH);
    let closed = format!("{open}{}", "]".repeat(DEPTH));
    let no_json: [&[u8]; 7] =
        [b"{\"a\":", b"{\"a\" 1}", b"\xff{}", b"{\"a\": \"\xff\"}", b"{} {}", b"\0", open.as_bytes()];
    // Where nothing is expected, the endpoint need not look at the body.
    for entry in entries().iter().filter(|entry| entry.body != "{}") {
        for body in no_json {
            let answer = spoiler.ask(entry, with_body(body));
            spoiler.judge(
                &format!("{} {}", entry.name, short(body)),
                &answer,
                refuses(entry, &["M_NOT_JSON"]),
            );
        }
        for body in ["[]", "[[]]", "\"x\"", "7", "null", "true", &closed] {
            let answer = spoiler.ask(entry, with_body(body.as_bytes()));
            spoiler.judge(
                &format!("{} {}", entry.name, short(body.as_bytes())),
                &answer,
                refuses(entry, &["M_BAD_JSON"]),
            );
        }
    }
    spoiler.finish();
}

#[test]
fn fields_may_hold_anything() {
    let mut spoiler = Spoiler::start();
    let deep = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    for entry in entries() {
        let Ok(Value::Object(fields)) = serde_json::from_slice(&spoiler.request(&entry).body) else {
            panic!("the body of {} is no object", entry.name);
        };
        for spoiled in fields.keys() {
            let body = |value: Option<&str>| {
                let others = fields.iter().filter(|(name, _)| *name != spoiled);
                let mut parts: Vec<_> = others.map(|(name, value)| format!("{name:?}: {value}")).collect();
                parts.extend(value.map(|value| format!("{spoiled:?}: {value}")));
                format!("{{{}}}", parts.join(", "))
            };
            let values = VALUES.iter().copied().map(Some).chain([None, Some(deep.as_str())]);
            for value in values {
                let answer = spoiler.ask(&entry, with_body(body(value).as_bytes()));
                let what = format!("{} {spoiled}: {}", entry.name, short(value.unwrap_or("-").as_bytes()));
                // No field is a list of lists.
                let must_fail = value == Some("[[]]") && !entry.free_content;
                let codes: &[&str] = match spoiled.as_str() {
                    "new_version" => &["M_UNSUPPORTED_ROOM_VERSION"],
                    _ => &["M_BAD_JSON", "M_INVALID_PARAM"],
                };
                let refused = refuses(&entry, codes);
                spoiler.judge(&what, &answer, |answer| !must_fail || refused(answer));
            }
            let twice = format!("{{\"{spoiled}\": 1, {}", &body(Some("1"))[1..]);
            let answer = spoiler.ask(&entry, with_body(twice.as_bytes()));
            spoiler.judge(&format!("{} {spoiled} twice", entry.name), &answer, |_| true);
        }
        let answer = spoiler.ask(&entry, with_body(format!("{{\"x\": {deep}}}").as_bytes()));
        spoiler.judge(&format!("{} deep in an unknown field", entry.name), &answer, |_| true);
    }
    spoiler.finish();
}

#[test]
fn bodies_have_a_greatest_size() {
    let mut spoiler = Spoiler::start();
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(10 << 20));
    for entry in entries() {
        let answer = spoiler.ask(&entry, with_body(large.as_bytes()));
        spoiler.judge(entry.name, &answer, is(413, "M_TOO_LARGE"));
    }
    spoiler.finish();
}

#[test]
fn the_content_type_does_not_matter() {
    let mut spoiler = Spoiler::start();
    let entries = entries();
    let send = entries.iter().find(|entry| entry.name == "send_message").expect("it is in the table");
    let text = "text/plain; charset=utf-16";
    for content_type in [text, "application/x-www-form-urlencoded", "multipart/form-data", "", ";;", "x"] {
        let answer = spoiler.ask(send, |request| {
            request.headers.retain(|(name, _)| name != "Content-Type");
            request.headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        });
        spoiler.judge(content_type, &answer, |answer| answer.status == 200);
    }
    spoiler.finish();
}
