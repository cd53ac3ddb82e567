//! Whom somebody ignores: not heard of, not counted, not notified of; between platforms as on one.
//! <https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>

use serde_json::{Value, json};

use crate::{
    network::{Client, INSTAGRAM, MESSENGER, Network, bodies, each, list},
    receipts::{Told, told},
};

async fn ignore(who: &Client, ignored: &[&Client]) {
    let users: serde_json::Map<_, _> =
        ignored.iter().map(|one| (one.user_id.clone(), Value::Object(serde_json::Map::new()))).collect();
    let path = format!("/v3/user/{}/account_data/m.ignored_user_list", who.user_id);
    who.put(&path, json!({ "ignored_users": users })).await.ok();
}

async fn sliding(who: &Client) -> Value {
    let list = json!({ "ranges": [[0, 9]], "timeline_limit": 10, "required_state": [] });
    let words = json!({ "lists": { "all": list } });
    who.post("/unstable/org.matrix.simplified_msc3575/sync", words).await.ok()
}

#[tokio::test]
async fn the_ignored_are_not_heard_of() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for platform in [MESSENGER, INSTAGRAM] {
        let bert = network.register(platform, "bert").await;
        let carl = network.register(platform, "carl").await;
        let room = carl.create_room(json!({ "invite": [anna.user_id, bert.user_id] })).await;
        anna.join(&room).await.ok();
        bert.join(&room).await.ok();
        ignore(&anna, &[&bert]).await;
        let mention = |body: &str| json!({ "msgtype": "m.text", "body": body, "m.mentions": { "user_ids": [anna.user_id] } });
        let since = anna.get("/v3/sync").await.ok()["next_batch"].clone();
        bert.send(&room, "m.room.message", mention("Anna!")).await;
        let heard = carl.send(&room, "m.room.message", mention("Anna?")).await;
        bert.send(&room, "m.room.message", mention("Anna!!")).await;
        let uninvited = bert.create_room(json!({ "invite": [anna.user_id] })).await;

        let since = since.as_str().expect("a token");
        for query in ["", &format!("?since={since}")] {
            let sync = anna.get(&format!("/v3/sync{query}")).await.ok();
            let joined = &sync["rooms"]["join"][&room];
            assert_eq!(bodies(&joined["timeline"]["events"]), ["Anna?"]);
            let counts = json!({ "notification_count": 1, "highlight_count": 1 });
            assert_eq!(joined["unread_notifications"], counts);
            assert_eq!(sync["rooms"]["invite"][&uninvited], Value::Null);
        }
        let sliding = sliding(&anna).await;
        let seen = &sliding["rooms"][&room];
        assert_eq!(bodies(&seen["timeline"]), ["Anna?"]);
        assert_eq!((&seen["notification_count"], &seen["highlight_count"]), (&json!(1), &json!(1)));
        assert_eq!(sliding["rooms"][&uninvited], Value::Null, "{sliding}");
        let notifications = anna.get("/v3/notifications").await.ok();
        let notified: Vec<_> = list(&notifications["notifications"])
            .iter()
            .filter(|one| one["room_id"] == room.as_str() || one["room_id"] == uninvited.as_str())
            .map(|one| one["event"].clone())
            .collect();
        assert_eq!(each(&json!(notified), "event_id"), [heard]);
        carl.leave(&room).await.ok();
    }
}

#[tokio::test]
async fn the_ignored_are_not_seen_typing_or_reading() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for platform in [MESSENGER, INSTAGRAM] {
        let bert = network.register(platform, "bert").await;
        let carl = network.register(platform, "carl").await;
        let room = carl.create_room(json!({ "preset": "public_chat" })).await;
        anna.join(&room).await.ok();
        bert.join(&room).await.ok();
        let words = carl.say(&room, "words").await;
        ignore(&anna, &[&bert]).await;
        let act = async |who: &Client, types: bool| {
            let typing = format!("/v3/rooms/{room}/typing/{}", who.user_id);
            who.put(&typing, json!({ "typing": types })).await.ok();
            who.post(&format!("/v3/rooms/{room}/receipt/m.read/{words}"), json!({})).await.ok();
        };
        let is_nothing = |told: &Told| {
            let of_sliding = [&told.typing[1], &told.receipts[1]];
            told.room.is_null() && of_sliding.iter().all(|content| content.is_null())
        };
        let before = told(&anna, &room, None).await;
        act(&bert, true).await;
        let before = told(&anna, &room, Some(&before)).await;
        assert!(is_nothing(&before), "there is nothing to wake anybody for");
        act(&carl, true).await;
        let news = told(&anna, &room, Some(&before)).await;
        for told in [&news, &told(&anna, &room, None).await] {
            for (typing, receipts) in told.typing.iter().zip(&told.receipts) {
                assert_eq!(*typing, json!({ "user_ids": [carl.user_id] }));
                let readers = receipts[&words]["m.read"].as_object().expect("receipts");
                assert_eq!(readers.keys().collect::<Vec<_>>(), [&carl.user_id]);
            }
        }
        act(&bert, false).await;
        assert!(is_nothing(&told(&anna, &room, Some(&news)).await), "nor when he stops");
    }
}
