//! Device lists when people come and go between two syncs. Those who share a room now and were away
//! meanwhile, or whose keys changed, are in `changed`; those who share none any more are in `left`.

use serde_json::{Value, json};

use crate::{
    keys::{changes, proof},
    network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, list, text},
    olm::{Identity, OlmDevice},
};

/// With more local members than this, a room is read instead of fanned out to.
const BIG_ROOM_MEMBERS: usize = 100;

/// A client that is told in every way there is.
struct Told<'a> {
    client: &'a Client,
    since: String,
    pos: String,
}

impl<'a> Told<'a> {
    async fn begin(client: &'a Client) -> Self {
        let since = text(&client.get("/v3/sync?timeout=0").await.ok()["next_batch"]);
        let mut told = Self { client, since, pos: String::new() };
        told.sliding_sync().await;
        told
    }

    async fn sliding_sync(&mut self) -> Value {
        let at = match self.pos.as_str() {
            "" => String::new(),
            pos => format!("&pos={pos}"),
        };
        let path = format!("/unstable/org.matrix.simplified_msc3575/sync?timeout=0{at}");
        let asked = json!({ "lists": {}, "extensions": { "e2ee": { "enabled": true } } });
        let answer = self.client.post(&path, asked).await.ok();
        self.pos = text(&answer["pos"]);
        answer["extensions"]["e2ee"]["device_lists"].clone()
    }

    /// The users in `changed` and in `left` since the last time.
    async fn news(&mut self) -> (Vec<String>, Vec<String>) {
        let told = changes(self.client, &mut self.since).await;
        let sliding = self.sliding_sync().await;
        let names = |field: &str| -> Vec<String> { list(&sliding[field]).iter().map(text).collect() };
        assert_eq!(told, (names("changed"), names("left")), "sliding sync says the same as /sync");
        told
    }
}

fn only(client: &Client) -> Vec<String> {
    vec![client.user_id.clone()]
}

async fn publish_keys(client: &Client) {
    let keys = OlmDevice::new(client).device_keys();
    client.post("/v3/keys/upload", json!({ "device_keys": keys })).await.ok();
}

/// Two people, and a room that one of them runs and both are in.
async fn pair(network: &Network, platform: &'static str) -> (Client, Client, String) {
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(platform, "ben").await;
    publish_keys(&anna).await;
    publish_keys(&ben).await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    (anna, ben, room)
}

/// The way in which somebody goes.
#[derive(Clone, Copy, Debug)]
enum Goes {
    Leaves,
    Kicked,
    Banned,
}

/// What changes while somebody is away.
#[derive(Clone, Copy, Debug)]
enum While {
    NewDevice,
    RemovedDevice,
    NewIdentity,
    Renamed,
}

async fn go(goes: Goes, who: &Client, host: &Client, room: &str) {
    let target = json!({ "user_id": who.user_id });
    let act = async |deed: &str| {
        host.post(&format!("/v3/rooms/{room}/{deed}"), target.clone()).await.ok();
    };
    match goes {
        Goes::Leaves => drop(who.leave(room).await.ok()),
        Goes::Kicked => act("kick").await,
        Goes::Banned => {
            act("ban").await;
            act("unban").await;
        }
    }
}

async fn change(change: While, who: &Client) {
    match change {
        While::NewDevice => publish_keys(&who.another_device().await).await,
        While::RemovedDevice => {
            let tablet = who.another_device().await;
            publish_keys(&tablet).await;
            tablet.post("/v3/logout", json!({})).await.ok();
        }
        While::NewIdentity => {
            let mut body = Identity::new(who).upload();
            let asked = who.post("/v3/keys/device_signing/upload", body.clone()).await;
            if asked.status == 401 {
                body["auth"] = proof(who, &asked.json);
                who.post("/v3/keys/device_signing/upload", body).await.ok();
            }
        }
        While::Renamed => {
            let path = format!("/v3/devices/{}", who.device_id);
            who.put(&path, json!({ "display_name": "another name" })).await.ok();
        }
    }
}

const CHANGES: [While; 4] = [While::NewDevice, While::RemovedDevice, While::NewIdentity, While::Renamed];

#[tokio::test]
async fn who_was_away_between_two_syncs_is_looked_up_again() {
    for platform in [INSTAGRAM, MESSENGER] {
        let network = Network::open().await;
        let (anna, ben, room) = pair(&network, platform).await;
        let mut told = Told::begin(&anna).await;
        for goes in [Goes::Leaves, Goes::Kicked, Goes::Banned] {
            for while_away in CHANGES {
                let tag = format!("{platform} {goes:?} {while_away:?}");
                go(goes, &ben, &anna, &room).await;
                change(while_away, &ben).await;
                anna.invite(&room, &ben).await.ok();
                assert_eq!(told.news().await, (only(&ben), vec![]), "{tag}: who is only invited");
                go(goes, &ben, &anna, &room).await;
                change(while_away, &ben).await;
                ben.join(&room).await.ok();
                assert_eq!(told.news().await, (only(&ben), vec![]), "{tag}: who is back");
                assert_eq!(told.news().await, (vec![], vec![]), "{tag}: once");
            }
        }
    }
}

#[tokio::test]
async fn who_was_away_looks_up_everybody_again() {
    for platform in [INSTAGRAM, MESSENGER] {
        let network = Network::open().await;
        let (anna, ben, room) = pair(&network, platform).await;
        let mut told = Told::begin(&ben).await;
        for goes in [Goes::Leaves, Goes::Kicked, Goes::Banned] {
            for while_away in CHANGES {
                go(goes, &ben, &anna, &room).await;
                change(while_away, &anna).await;
                ben.join(&room).await.ok();
                let tag = format!("{platform} {goes:?} {while_away:?}");
                assert_eq!(told.news().await, (only(&anna), vec![]), "{tag}");
            }
        }
    }
}

#[tokio::test]
async fn who_shares_nothing_any_more_has_left() {
    for platform in [INSTAGRAM, MESSENGER] {
        let network = Network::open().await;
        let (anna, ben, room) = pair(&network, platform).await;
        let mut told = Told::begin(&anna).await;
        // The user goes as well, either first or last.
        ben.leave(&room).await.ok();
        anna.leave(&room).await.ok();
        assert_eq!(told.news().await, (vec![], only(&ben)));
        anna.join(&room).await.ok();
        ben.join(&room).await.ok();
        assert_eq!(told.news().await, (only(&ben), vec![]));
        anna.leave(&room).await.ok();
        ben.leave(&room).await.ok();
        assert_eq!(told.news().await, (vec![], only(&ben)));

        // Somebody whom the client never knew has not left, whatever it was told of them meanwhile.
        anna.join(&room).await.ok();
        assert_eq!(told.news().await, (vec![], vec![]));
        ben.join(&room).await.ok();
        publish_keys(&ben.another_device().await).await;
        ben.leave(&room).await.ok();
        assert_eq!(told.news().await, (vec![], vec![]), "who came and went between two syncs");

        // Somebody who goes from one room and is in another has not left.
        let other = anna.create_room(json!({ "preset": "public_chat" })).await;
        ben.join(&room).await.ok();
        told.news().await;
        ben.leave(&room).await.ok();
        ben.join(&other).await.ok();
        assert_eq!(told.news().await, (only(&ben), vec![]));
    }
}

#[tokio::test]
async fn big_rooms_and_restarts_make_no_difference() {
    let network = Network::open().await;
    let (anna, ben, room) = pair(&network, MESSENGER).await;
    for number in 0..BIG_ROOM_MEMBERS {
        network.register(WHATSAPP, &format!("guest{number}")).await.join(&room).await.ok();
    }
    let people = anna.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
    assert!(people["joined"].as_object().is_some_and(|joined| joined.len() > BIG_ROOM_MEMBERS));
    let mut told = Told::begin(&anna).await;
    change(While::NewDevice, &ben).await;
    assert_eq!(told.news().await, (only(&ben), vec![]), "who stays");
    for goes in [Goes::Leaves, Goes::Kicked, Goes::Banned] {
        go(goes, &ben, &anna, &room).await;
        change(While::NewDevice, &ben).await;
        ben.join(&room).await.ok();
        assert_eq!(told.news().await, (only(&ben), vec![]), "{goes:?}");
    }
    ben.leave(&room).await.ok();
    change(While::NewDevice, &ben).await;
    ben.join(&room).await.ok();
    let network = network.reopen().await;
    let (anna, ben) = (anna.on(&network), ben.on(&network));
    let mut told = Told { client: &anna, ..told };
    assert_eq!(told.news().await, (only(&ben), vec![]), "after a restart");

    ben.leave(&room).await.ok();
    anna.leave(&room).await.ok();
    let (changed, left) = told.news().await;
    assert!(changed.is_empty() && left.contains(&ben.user_id), "{changed:?} {left:?}");
    change(While::NewDevice, &ben).await;
    anna.join(&room).await.ok();
    ben.join(&room).await.ok();
    let (changed, left) = told.news().await;
    assert!(changed.contains(&ben.user_id) && left.is_empty(), "{changed:?} {left:?}");
    assert_eq!(changed.len(), BIG_ROOM_MEMBERS + 1, "everybody else who is there");
}
