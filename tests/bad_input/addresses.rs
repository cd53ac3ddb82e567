//! Paths, parameters, methods and hosts that lead nowhere.

use std::collections::BTreeSet;

use linkspan_tests::{
    INSTAGRAM,
    http1::{Answer, Request},
    table::{list_endpoints, table},
};

use crate::{Spoiler, is, short};

/// Parameters that may be any text. What such a text names is found or made, whatever it is.
const FREE: [&str; 12] = [
    "{event_type}",
    "{eventType}",
    "{state_key}",
    "{session_id}",
    "{txn_id}",
    "{tag}",
    "{rule_id}",
    "{filename}",
    "{field}",
    "{rel_type}",
    "{kind}",
    "{receipt_type}",
];

fn segments() -> Vec<String> {
    let mut segments: Vec<String> = [
        "",
        ".",
        "..",
        "%2e",
        "%2e%2e",
        "%2e%2e%2f%2e%2e",
        "%00",
        "a%00b",
        "%2f",
        "%252e%252e",
        "%25",
        "%",
        "%zz",
        "%f",
        "%ff",
        "%c3%28",
        "%ed%a0%80",
        "%F0%9F%9A%A2",
        "\\",
        "..;",
        "*",
        ".*",
        "(a+)+$",
        "[a-z",
        "?",
        "~",
        "-1",
        "@",
        "@a",
        "@:",
        "@:b",
        "@a:",
        "@a:b:c",
        "@a:b:99999",
        "@%00:b",
        "@*:*",
        "!",
        "!:",
        "!a:",
        "!*",
        "$",
        "$*",
        "$a:b",
        "%23",
        "%23a",
        "%23:b",
        "%23a:",
        "%23*:*",
        "%23a%00:b",
        "@a:instagram.localhost",
        "!a:nowhere",
        "@a:[::1",
        "%20",
        "+",
        "null",
        "undefined",
        "18446744073709551616",
    ]
    .map(str::to_owned)
    .to_vec();
    for (sigil, size) in [("@", 256), ("!", 256), ("$", 256), ("%23", 256), ("", 256), ("", 8_000)] {
        segments.push(format!("{sigil}{}:{INSTAGRAM}", "x".repeat(size)));
    }
    segments
}

#[test]
fn paths_may_hold_anything() {
    let mut spoiler = Spoiler::start();
    let endpoints = list_endpoints();
    for entry in table() {
        let pattern = endpoints.iter().find(|info| (info.name, info.method) == (entry.name, entry.method));
        let pattern = pattern.expect("the entry has an endpoint").path;
        for (place, parameter) in pattern.split('/').enumerate().filter(|(_, part)| part.starts_with('{')) {
            for segment in segments() {
                let answer = spoiler.ask(&entry, |request| replace_segment(request, place, &segment));
                let what = format!("{} {parameter} = {}", entry.name, short(segment.as_bytes()));
                let may_work = FREE.contains(&parameter) || is_right_for(entry.name, parameter, &segment);
                spoiler.judge(&what, &answer, |answer| may_work || answer.status >= 400);
            }
        }
    }
    spoiler.finish();
}

/// Whether the segment may name something that does not exist, such as a device that is gone already. A parameter
/// whose name begins with `user` may name any user.
fn is_right_for(name: &str, parameter: &str, segment: &str) -> bool {
    let is_user = segment.starts_with('@') && parameter.starts_with("{user");
    let is_room = segment.starts_with('!');
    // A segment that begins with `?` is a query.
    is_user || is_room || name == "delete_device" || segment == "?"
}

fn replace_segment(request: &mut Request, place: usize, segment: &str) {
    let target = String::from_utf8_lossy(&request.target).into_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut parts: Vec<_> = path.split('/').collect();
    parts[place] = segment;
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    request.target = format!("{}{query}", parts.join("/")).into_bytes();
}

/// Parameters that the table's paths do without.
const MORE: [(&str, &[&str]); 19] = [
    ("sync", &["since", "filter", "full_state", "set_presence", "use_state_after"]),
    ("register", &["kind"]),
    ("put_push_rule", &["before", "after"]),
    ("get_notifications", &["from"]),
    ("get_hierarchy", &["from", "suggested_only"]),
    ("get_mutual_rooms", &["from"]),
    ("join_room_or_alias", &["via", "server_name"]),
    ("knock_room", &["via", "server_name"]),
    ("get_members", &["at", "not_membership"]),
    ("get_messages", &["from", "to", "filter"]),
    ("get_context", &["filter"]),
    ("get_relations", &["from", "to", "dir"]),
    ("get_threads", &["from"]),
    ("get_thread_subscriptions", &["from", "to"]),
    ("search", &["next_batch"]),
    ("get_public_rooms", &["since", "server"]),
    ("search_public_rooms", &["server"]),
    ("download", &["timeout_ms", "allow_remote"]),
    ("get_thumbnail", &["timeout_ms", "animated"]),
];

#[test]
fn queries_may_hold_anything() {
    let mut spoiler = Spoiler::start();
    let long = "x".repeat(5_000);
    let rooms = vec!["%22!x:y%22"; 3_000].join(",");
    let filter = format!("%7B%22room%22:%7B%22rooms%22:[{rooms}]%7D%7D");
    let values = [
        "",
        "-1",
        "0",
        "1.5",
        "1e400",
        "9007199254740993",
        "9223372036854775808",
        "18446744073709551616",
        "%00",
        "%ff",
        "%",
        "%zz",
        "%F0%9F%9A%A2",
        "true",
        "[",
        "%7B%7D",
        "%7B",
        "*",
        ".*",
        "s1",
        "p-1",
        "p99999999999999999999",
        "p18446744073709551615",
        &long,
        &filter,
    ];
    for entry in table() {
        let names = entry.path.split_once('?').map_or("", |(_, query)| query).split('&');
        let own = names.filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
        let own = own.filter(|name| *name != "timeout");
        let names = own
            .chain(MORE.iter().filter(|more| more.0 == entry.name).flat_map(|more| more.1.iter().copied()));
        for name in names.collect::<BTreeSet<_>>() {
            for value in values {
                let answer = spoiler.ask(&entry, |request| set_query(request, name, value));
                let what = format!("{} {name}={}", entry.name, short(value.as_bytes()));
                spoiler.judge(&what, &answer, |_| true);
            }
        }
    }
    spoiler.finish();
}

fn set_query(request: &mut Request, name: &str, value: &str) {
    let target = String::from_utf8_lossy(&request.target).into_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let start = format!("{name}=");
    let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with(&start));
    let pairs: Vec<_> = others.map(str::to_owned).chain([format!("{start}{value}")]).collect();
    request.target = format!("{path}?{}", pairs.join("&")).into_bytes();
}

#[test]
fn tokens_and_limits_are_checked() {
    let mut spoiler = Spoiler::start();
    let wrong = [
        ("sync", "since", "made-up"),
        ("sync", "since", "s1_2_3_4_5_6_7_8_9"),
        ("sync", "since", "18446744073709551616"),
        ("sync", "timeout", "-1"),
        ("sync", "filter", "987654"),
        ("get_messages", "from", "made-up"),
        ("get_messages", "to", "-5"),
        ("get_messages", "limit", "-1"),
        ("get_messages", "limit", "1e400"),
        ("get_messages", "dir", "sideways"),
        ("get_members", "at", "made-up"),
        ("get_relations", "from", "made-up"),
        ("get_threads", "from", "made-up"),
        ("get_thread_subscriptions", "from", "made-up"),
        ("get_thread_subscriptions", "to", "made-up"),
        ("get_thread_subscriptions", "dir", "sideways"),
        ("get_thread_subscriptions", "limit", "-1"),
        ("get_hierarchy", "from", "made-up"),
        ("get_hierarchy", "max_depth", "-1"),
        ("get_public_rooms", "since", "made-up"),
        ("get_notifications", "from", "made-up"),
        ("get_event_near", "ts", "-1"),
        ("get_thumbnail", "width", "-1"),
    ];
    let find = |name: &str| {
        let found = table().into_iter().find(|entry| entry.name == name);
        found.unwrap_or_else(|| panic!("{name} is not in the table"))
    };
    for (name, parameter, value) in wrong {
        let answer = spoiler.ask(&find(name), |request| set_query(request, parameter, value));
        spoiler.judge(&format!("{name} {parameter}={value}"), &answer, is(400, "M_INVALID_PARAM"));
    }
    // A number that is greater than any limit counts as the limit, and a filter names whatever it names.
    let fine = [
        ("sync", "timeout", "9007199254740991"),
        ("get_messages", "limit", "9007199254740991"),
        ("get_context", "limit", "9007199254740991"),
        ("get_threads", "limit", "9007199254740991"),
        ("get_thread_subscriptions", "limit", "9007199254740991"),
        ("get_hierarchy", "max_depth", "9007199254740991"),
        ("get_public_rooms", "limit", "9007199254740991"),
        ("download", "timeout_ms", "18446744073709551615"),
        (
            "get_messages",
            "filter",
            "%7B%22types%22:[%22*.*.*.*.*.*.*.*m%22,%22(a%2B)%2B$%22],%22not_rooms%22:[%22!*%22]%7D",
        ),
    ];
    for (name, parameter, value) in fine {
        let answer = spoiler.ask(&find(name), |request| set_query(request, parameter, value));
        spoiler.judge(&format!("{name} {parameter}={value}"), &answer, |answer| answer.status == 200);
    }
    spoiler.finish();
}

#[test]
fn methods_paths_and_hosts_are_known_or_not() {
    let mut spoiler = Spoiler::start();
    for entry in table() {
        for method in ["PATCH", "TRACE", "BREW"] {
            let answer = spoiler.ask(&entry, |request| request.method = method.to_owned());
            spoiler.judge(&format!("{method} {}", entry.name), &answer, is(405, "M_UNRECOGNIZED"));
        }
        let answer = spoiler.ask(&entry, |request| request.method = "OPTIONS".to_owned());
        spoiler.judge(&format!("OPTIONS {}", entry.name), &answer, allows_origins);
        // What an operator's call is answered depends on whom it is about.
        if entry.method == "GET" && !entry.is_for_operators() {
            let answer = spoiler.ask(&entry, |request| request.method = "HEAD".to_owned());
            if answer.status != entry.own.0 || !answer.body.is_empty() {
                spoiler.failures.push(format!("HEAD {}: {}", entry.name, answer.status));
            }
        }
        let mut request = spoiler.request(&entry);
        for host in ["nowhere.example", "", "instagram.localhost.nowhere.example", "@", "[::1", "\u{e9}"] {
            let answer = spoiler.town.ask(host, &request);
            spoiler.judge(&format!("{} at {host:?}", entry.name), &answer, |answer| answer.status == 404);
        }
        request.target.extend(b"/nowhere");
        if !entry.path.contains('?') && !entry.name.starts_with("download") {
            let answer = spoiler.town.ask(INSTAGRAM, &request);
            spoiler.judge(&format!("{} and further", entry.name), &answer, |answer| answer.status >= 400);
        }
    }
    for path in [
        "/_matrix",
        "/_matrix/client/v3/nowhere",
        "/_matrix/client/v99/sync",
        "/_matrix/client/v3/../v3/sync",
    ] {
        let answer = spoiler.town.ask(INSTAGRAM, &Request::new("GET", path));
        spoiler.judge(path, &answer, is(404, "M_UNRECOGNIZED"));
        spoiler.judge(path, &answer, |answer| answer.header("access-control-allow-origin") == Some("*"));
    }
    spoiler.finish();
}

/// Whether an answer lets pages from anywhere read it.
/// <https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients>
fn allows_origins(answer: &Answer) -> bool {
    let header = |name: &str| answer.header(name).unwrap_or_default();
    answer.status < 300
        && answer.body.is_empty()
        && header("access-control-allow-origin") == "*"
        && header("access-control-allow-methods").contains("PUT")
        && header("access-control-allow-headers").contains("Authorization")
}
