//! Lists that come in pages, and what each of them does with tokens, limits and directions that make no
//! sense.

use serde_json::json;

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, encoded, text};

/// An endpoint with a list, and what its parameters are.
struct Pages {
    path: String,
    /// The names of its parameters with tokens.
    tokens: &'static [&'static str],
    /// Whether the list has a limit, and what zero means for it.
    limit: Limit,
    dir: Direction,
}

#[derive(Clone, Copy, PartialEq)]
enum Limit {
    None,
    /// Zero stands for the least or the usual limit.
    Lenient,
    /// The limit must be a number greater than zero.
    Positive,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    None,
    Optional,
    Needed,
}

fn all_lists(room: &str, event: &str, other: &str) -> Vec<Pages> {
    use Limit::{Lenient, Positive};
    let (room, event) = (encoded(room), encoded(event));
    let list = |path: &str, tokens, limit, dir| Pages { path: path.to_owned(), tokens, limit, dir };
    vec![
        list(&format!("/v3/rooms/{room}/messages?dir=b"), &["from", "to"], Lenient, Direction::Needed),
        list(&format!("/v3/rooms/{room}/context/{event}?x"), &[], Lenient, Direction::None),
        list(&format!("/v3/rooms/{room}/members?x"), &["at"], Limit::None, Direction::None),
        list(&format!("/v1/rooms/{room}/relations/{event}?x"), &["from", "to"], Lenient, Direction::Optional),
        list(
            &format!("/v1/rooms/{room}/relations/{event}/m.thread?x"),
            &["from", "to"],
            Lenient,
            Direction::Optional,
        ),
        list(
            &format!("/v1/rooms/{room}/relations/{event}/m.thread/m.room.message?x"),
            &["from", "to"],
            Lenient,
            Direction::Optional,
        ),
        list(&format!("/v1/rooms/{room}/threads?x"), &["from"], Positive, Direction::None),
        list(&format!("/v1/rooms/{room}/hierarchy?x"), &["from"], Positive, Direction::None),
        list(&format!("/v1/rooms/{room}/timestamp_to_event?ts=0&dir=f"), &[], Limit::None, Direction::Needed),
        list("/v3/notifications?x", &["from"], Lenient, Direction::None),
        list("/v3/publicRooms?x", &["since"], Lenient, Direction::None),
        list("/v3/keys/changes?from=s0_0&to=s0_0", &["from", "to"], Limit::None, Direction::None),
        list("/v3/sync?x", &["since"], Limit::None, Direction::None),
        list(
            "/unstable/io.element.msc4308/thread_subscriptions?dir=b",
            &["from", "to"],
            Positive,
            Direction::Needed,
        ),
        list(
            &format!("/v1/mutual_rooms?user_id={}", encoded(other)),
            &["from"],
            Limit::None,
            Direction::None,
        ),
    ]
}

/// The path with a parameter that replaces the one of this name.
fn with(path: &str, name: &str, value: &str) -> String {
    let (path, query) = path.split_once('?').expect("each has a query");
    let others = query.split('&').filter(|pair| pair.split('=').next() != Some(name));
    let query: Vec<_> = others.map(str::to_owned).chain([format!("{name}={value}")]).collect();
    format!("{path}?{}", query.join("&"))
}

async fn people() -> (Client, Client, String, String) {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat", "visibility": "public" })).await;
    ben.join(&room).await.ok();
    let root = anna.say(&room, "root").await;
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    ben.send(&room, "m.room.message", json!({ "body": "reply", "m.relates_to": relation })).await;
    (anna, ben, room, root)
}

#[tokio::test]
async fn a_token_that_no_list_gave_is_refused() {
    let (anna, ben, room, root) = people().await;
    let lists = all_lists(&room, &root, &ben.user_id);
    for Pages { path, tokens, .. } in &lists {
        anna.get(path).await.ok();
        for name in *tokens {
            for token in [
                "nonsense",
                "t",
                "tx",
                "t1.5",
                "-1",
                "s",
                "s1",
                "p1",
                "p1~0",
                "%00",
                "99999999999999999999999",
            ] {
                let asked = with(path, name, token);
                let answer = anna.get(&asked).await;
                assert_eq!(
                    (answer.status.as_u16(), text(&answer.json["errcode"])),
                    (400, "M_INVALID_PARAM".to_owned()),
                    "{asked}: {}",
                    answer.json
                );
            }
        }
    }
    for token in ["nonsense", "p1", "1.2.3", "1.2.3~0"] {
        let body = json!({ "search_categories": { "room_events": { "search_term": "root" } } });
        anna.post(&format!("/v3/search?next_batch={token}"), body).await.fails(400, "M_INVALID_PARAM");
        anna.post("/v3/publicRooms", json!({ "since": token })).await.fails(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn limits_are_kept_within_bounds_or_refused() {
    let (anna, ben, room, root) = people().await;
    let lists = all_lists(&room, &root, &ben.user_id);
    for Pages { path, limit, .. } in lists.iter().filter(|list| list.limit != Limit::None) {
        for refused in ["-1", "1.5", "many", ""] {
            anna.get(&with(path, "limit", refused)).await.fails(400, "M_INVALID_PARAM");
        }
        anna.get(&with(path, "limit", "9007199254740991")).await.ok();
        let zero = anna.get(&with(path, "limit", "0")).await;
        match limit {
            Limit::Positive => zero.fails(400, "M_INVALID_PARAM"),
            _ => drop(zero.ok()),
        }
    }
    for (path, body) in [
        ("/v3/user_directory/search", json!({ "search_term": "ben", "limit": -1 })),
        ("/v3/publicRooms", json!({ "limit": -1 })),
        (
            "/v3/search",
            json!({ "search_categories": { "room_events": { "search_term": "x", "filter": { "limit": -1 } } } }),
        ),
    ] {
        anna.post(path, body).await.fails(400, "M_BAD_JSON");
    }
    for limit in [0_u64, 9_007_199_254_740_991] {
        let body = json!({ "search_term": "ben", "limit": limit });
        anna.post("/v3/user_directory/search", body).await.ok();
        anna.post("/v3/publicRooms", json!({ "limit": limit })).await.ok();
        let events = json!({ "search_term": "root", "filter": { "limit": limit } });
        anna.post("/v3/search", json!({ "search_categories": { "room_events": events } })).await.ok();
    }
}

#[tokio::test]
async fn a_direction_is_forwards_or_backwards() {
    let (anna, ben, room, root) = people().await;
    let lists = all_lists(&room, &root, &ben.user_id);
    for Pages { path, dir, .. } in lists.iter().filter(|list| list.dir != Direction::None) {
        for refused in ["x", "B", "forwards", ""] {
            anna.get(&with(path, "dir", refused)).await.fails(400, "M_INVALID_PARAM");
        }
        let without = anna.get(&with(path, "dir", "b").replacen("dir=b", "x", 1)).await;
        match dir {
            Direction::Needed => without.fails(400, "M_MISSING_PARAM"),
            _ => drop(without.ok()),
        }
    }
}

#[tokio::test]
async fn a_token_of_one_list_is_none_of_another() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for name in ["Ferry one", "Ferry two", "Harbour"] {
        let room = json!({ "preset": "public_chat", "visibility": "public", "name": name });
        let room = anna.create_room(room).await;
        anna.say(&room, "a lamp and a rope").await;
    }
    let page = anna.get("/v3/publicRooms?limit=1").await.ok();
    let since = text(&page["next_batch"]);
    let of = |term: &str| json!({ "limit": 1, "since": since, "filter": { "generic_search_term": term } });
    anna.post("/v3/publicRooms", of("")).await.ok();
    anna.post("/v3/publicRooms", of("ferry")).await.fails(400, "M_INVALID_PARAM");
    let elsewhere = format!("/v3/publicRooms?server={INSTAGRAM}&since={}", encoded(&since));
    anna.get(&elsewhere).await.fails(400, "M_INVALID_PARAM");

    let search = async |words: &str, order: &str, next: &str| {
        let events = json!({ "search_term": words, "order_by": order, "filter": { "limit": 1 } });
        let body = json!({ "search_categories": { "room_events": events } });
        let path = format!("/v3/search?{next}");
        anna.post(&path, body).await
    };
    let page = search("lamp", "recent", "").await.ok();
    let next = text(&page["search_categories"]["room_events"]["next_batch"]);
    let next = format!("next_batch={}", encoded(&next));
    search("lamp", "recent", &next).await.ok();
    search("lamp", "rank", &next).await.fails(400, "M_INVALID_PARAM");
    search("rope", "recent", &next).await.fails(400, "M_INVALID_PARAM");
    let filter = json!({ "limit": 1, "senders": [anna.user_id] });
    let events = json!({ "search_term": "lamp", "order_by": "recent", "filter": filter });
    let body = json!({ "search_categories": { "room_events": events } });
    anna.post(&format!("/v3/search?{next}"), body).await.fails(400, "M_INVALID_PARAM");
    search("lamp", "alphabet", "").await.fails(400, "M_INVALID_PARAM");
}

/// By MSC3391, an entry that is set to nothing is deleted, on each path.
#[tokio::test]
async fn empty_account_data_is_deleted() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let user = &anna.user_id;
    let sync = async |since: &str| {
        let told = anna.get(&format!("/v3/sync?timeout=0{since}")).await.ok();
        let of = |events: &serde_json::Value| -> Vec<serde_json::Value> {
            let events = events.as_array().cloned().unwrap_or_default();
            events.into_iter().filter(|event| event["type"] == "org.example").collect()
        };
        let in_room = of(&told["rooms"]["join"][&room]["account_data"]["events"]);
        (of(&told["account_data"]["events"]), in_room, format!("&since={}", text(&told["next_batch"])))
    };
    let gone = json!({ "type": "org.example", "content": {} });
    for (below, in_room) in [
        (format!("user/{user}/account_data/org.example"), false),
        (format!("user/{user}/rooms/{room}/account_data/org.example"), true),
    ] {
        let path = format!("/v3/{below}");
        for way in [None, Some(path.clone()), Some(format!("/unstable/org.matrix.msc3391/{below}"))] {
            anna.put(&path, json!({ "a": 1 })).await.ok();
            let (.., since) = sync("").await;
            match &way {
                None => anna.put(&path, json!({})).await.ok(),
                Some(path) => anna.delete(path).await.ok(),
            };
            anna.get(&path).await.fails(404, "M_NOT_FOUND");
            let (global, of_room, _) = sync(&since).await;
            let (told, others) = if in_room { (of_room, global) } else { (global, of_room) };
            assert_eq!((told.as_slice(), others.len()), (std::slice::from_ref(&gone), 0), "{way:?}");
            let (global, of_room, _) = sync("").await;
            assert!(global.is_empty() && of_room.is_empty(), "a first sync knows nothing of it: {way:?}");
        }
    }
    for kept in ["m.push_rules", "m.fully_read"] {
        let path = format!("/v3/user/{user}/account_data/{kept}");
        anna.put(&path, json!({})).await.fails(405, "M_BAD_JSON");
        anna.delete(&path).await.fails(405, "M_BAD_JSON");
    }
}
