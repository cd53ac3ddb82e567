//! Messages to devices.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network};

async fn waiting(network: &Network, client: &Client) -> Vec<Value> {
    let user_id = client.user_id.as_str().try_into().expect("a user id");
    let now = network.app.inbox.now().position;
    let waiting = network.app.inbox.to_device(&user_id, &client.device_id.as_str().into(), now).await;
    let (messages, _) = waiting.expect("the queue is read");
    messages.iter().map(|message| serde_json::from_str(&message.json).expect("a message is JSON")).collect()
}

#[tokio::test]
async fn messages_reach_devices_of_other_platforms_once() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let tablet = bert.another_device().await;
    let to = |device: &str, body: &str| {
        let mut devices = json!({});
        devices[device] = json!({ "body": body });
        let mut users = json!({});
        users[&bert.user_id] = devices;
        json!({ "messages": users })
    };

    let path = |txn: usize| format!("/v3/sendToDevice/org.example.hello/{txn}");
    anna.put(&path(1), to("*", "to all")).await.ok();
    anna.put(&path(1), to("*", "to all")).await.ok();
    anna.put(&path(2), to(&tablet.device_id, "to one")).await.ok();
    anna.put(&path(3), to("NOSUCHDEVICE", "to none")).await.ok();
    let to_all = json!({
        "content": { "body": "to all" }, "sender": anna.user_id, "type": "org.example.hello",
    });
    assert_eq!(waiting(&network, &bert).await, std::slice::from_ref(&to_all));
    let of_tablet = waiting(&network, &tablet).await;
    assert_eq!((of_tablet.len(), &of_tablet[0]), (2, &to_all));
    anna.put(&path(4), to("*", &"x".repeat(65_536))).await.fails(413, "M_TOO_LARGE");
}
