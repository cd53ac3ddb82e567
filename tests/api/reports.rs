//! Reports: which platform's operators learn of them, and what.

use linkspan_rooms::Report;
use linkspan_storage::catalogue::{Reports, UserReports};
use linkspan_wire::{Services, now_ts};
use ruma::OwnedServerName;
use serde_json::{Value, json};

use crate::export::export;
use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PATIENCE, WHATSAPP, encoded, text};

const REPORTS: &str = "/_linkspan/client/v1/reports";
const NOBODY: &str = "@nobody:messenger.localhost";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Anna of Instagram is in a room of Ben's, of Messenger, with Carl of WhatsApp.
struct Scene {
    network: Network,
    anna: Client,
    ben: Client,
    carl: Client,
    room: String,
}

impl Scene {
    async fn open() -> Self {
        Self::on(Network::open().await).await
    }

    async fn on(network: Network) -> Self {
        let anna = network.register(INSTAGRAM, "anna").await;
        let ben = network.register(MESSENGER, "ben").await;
        let carl = network.register(WHATSAPP, "carl").await;
        let room = ben.create_room(json!({ "preset": "public_chat" })).await;
        anna.join(&room).await.ok();
        carl.join(&room).await.ok();
        Self { network, anna, ben, carl, room }
    }

    /// The reports that the operators of a platform have.
    async fn reports(&self, platform: &str) -> Vec<Report> {
        let platform = server_name(platform);
        self.network.app.rooms.list_reports(&platform, None, 100).await.expect("reports are read")
    }

    /// The only report of each platform.
    async fn each_report<const N: usize>(&self, platforms: [&str; N]) -> [Report; N] {
        let mut found = Vec::new();
        for platform in [INSTAGRAM, MESSENGER, WHATSAPP] {
            let reports = self.reports(platform).await;
            assert_eq!(reports.len(), usize::from(platforms.contains(&platform)), "{platform}");
            found.extend(reports);
        }
        found.try_into().expect("each has one")
    }

    async fn report_message(&self, event: &str, disclose: Value) -> Answer {
        let report = json!({
            "kind": "message", "room_id": self.room, "event_id": event, "reason": "rude", "disclose": disclose,
        });
        self.anna.post(REPORTS, report).await
    }
}

fn server_name(platform: &str) -> OwnedServerName {
    platform.try_into().expect("a server name")
}

fn names(report: &Report) -> [Option<String>; 4] {
    let record = &report.record;
    let [reporter, user] = [&record.reporter, &record.user_id].map(|id| id.as_ref().map(ToString::to_string));
    let room = record.room_id.as_ref().map(ToString::to_string);
    [reporter, user, room, record.event_id.as_ref().map(ToString::to_string)]
}

/// What is said to have been said.
fn body_of(report: &Report) -> String {
    let content: Value = report
        .record
        .content
        .as_deref()
        .map_or(Value::Null, |content| serde_json::from_str(content).expect("it is JSON"));
    text(&content["content"]["body"])
}

fn ciphertext(room_key: &str) -> Value {
    json!({
        "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEnACgAkLmt6qF84IK++J7UDH2Za1YVchHyprqTqsg",
        "session_id": room_key,
    })
}

#[tokio::test]
async fn a_message_is_reported_to_both_platforms_and_to_no_third() {
    let scene = Scene::open().await;
    let event = scene.ben.say(&scene.room, "You landlubber").await;
    let (anna, ben) = (scene.anna.user_id.clone(), scene.ben.user_id.clone());
    let path = format!("/v3/rooms/{}/report/{}", scene.room, encoded(&event));
    scene.anna.post(&path, json!({ "reason": "rude", "score": -50 })).await.ok();

    let [own, other] = scene.each_report([INSTAGRAM, MESSENGER]).await;
    let (user, room, event) = (Some(ben), Some(scene.room.clone()), Some(event));
    assert_eq!(names(&own), [Some(anna), user.clone(), room.clone(), event.clone()]);
    assert_eq!(names(&other), [None, user, room, event], "the other platform does not learn who reports");
    for report in [&own, &other] {
        assert_eq!((report.record.reason.as_deref(), report.record.score), (Some("rude"), Some(-50)));
        assert_eq!((body_of(report), report.record.is_claimed), ("You landlubber".to_owned(), false));
    }
}

#[tokio::test]
async fn who_reports_chooses_to_be_named() {
    let scene = Scene::open().await;
    let event = scene.ben.say(&scene.room, "You landlubber").await;
    scene.report_message(&event, json!({ "reporter": true })).await.ok();
    let [own, other] = scene.each_report([INSTAGRAM, MESSENGER]).await;
    assert_eq!(names(&own), names(&other));
    assert_eq!(names(&other)[0], Some(scene.anna.user_id.clone()));
}

#[tokio::test]
async fn what_is_encrypted_stays_so_unless_the_reporter_discloses_it() {
    let scene = Scene::open().await;
    let secret = scene.ben.send(&scene.room, "m.room.encrypted", ciphertext("one")).await;
    let path = format!("/v3/rooms/{}/report/{}", scene.room, encoded(&secret));
    scene.anna.post(&path, json!({ "reason": "rude" })).await.ok();
    for report in scene.each_report([INSTAGRAM, MESSENGER]).await {
        assert_eq!(report.record.content, None, "not even the ciphertext");
    }

    let scene = Scene::open().await;
    let secret = scene.ben.send(&scene.room, "m.room.encrypted", ciphertext("one")).await;
    let said =
        json!({ "type": "m.room.message", "content": { "msgtype": "m.text", "body": "You landlubber" } });
    scene.report_message(&secret, json!({ "content": said })).await.ok();
    for report in scene.each_report([INSTAGRAM, MESSENGER]).await {
        assert_eq!((body_of(&report), report.record.is_claimed), ("You landlubber".to_owned(), true));
    }

    // What the server knows is not for the reporter to say.
    let scene = Scene::open().await;
    let plain = scene.ben.say(&scene.room, "Good morning").await;
    scene.report_message(&plain, json!({ "content": said })).await.ok();
    for report in scene.each_report([INSTAGRAM, MESSENGER]).await {
        assert_eq!((body_of(&report), report.record.is_claimed), ("Good morning".to_owned(), false));
    }
}

#[tokio::test]
async fn a_room_is_reported_to_the_platform_of_its_creator() {
    let scene = Scene::open().await;
    scene.carl.post(&format!("/v3/rooms/{}/report", scene.room), json!({ "reason": "noise" })).await.ok();
    let [other, own] = scene.each_report([MESSENGER, WHATSAPP]).await;
    assert_eq!(names(&own), [Some(scene.carl.user_id.clone()), None, Some(scene.room.clone()), None]);
    assert_eq!(names(&other), [None, None, Some(scene.room.clone()), None]);
}

#[tokio::test]
async fn a_person_is_reported_once_within_a_platform() {
    let scene = Scene::open().await;
    let dora = scene.network.register(MESSENGER, "dora").await;
    dora.post(REPORTS, json!({ "kind": "person", "user_id": scene.ben.user_id })).await.ok();
    let [report] = scene.each_report([MESSENGER]).await;
    assert_eq!(names(&report), [Some(dora.user_id.clone()), Some(scene.ben.user_id.clone()), None, None]);
}

#[tokio::test]
async fn reports_that_make_no_sense_are_refused() {
    let scene = Scene::open().await;
    let event = scene.ben.say(&scene.room, "Good morning").await;
    let (room, ben) = (&scene.room, &scene.ben.user_id);
    let large = json!({ "body": "x".repeat(65_536) });
    for (report, status, code) in [
        (json!({ "user_id": ben }), 400, "M_MISSING_PARAM"),
        (json!({ "kind": "person" }), 400, "M_MISSING_PARAM"),
        (json!({ "kind": "ship", "user_id": ben }), 400, "M_BAD_JSON"),
        (json!({ "kind": "person", "user_id": "ben" }), 400, "M_BAD_JSON"),
        (json!({ "kind": "person", "user_id": "@ben:elsewhere.example" }), 404, "M_NOT_FOUND"),
        (json!({ "kind": "person", "user_id": ben, "reason": "x".repeat(4_097) }), 413, "M_TOO_LARGE"),
        (json!({ "kind": "person", "user_id": ben, "disclose": { "content": {} } }), 400, "M_INVALID_PARAM"),
        (json!({ "kind": "message", "room_id": room }), 400, "M_MISSING_PARAM"),
        (json!({ "kind": "message", "room_id": room, "event_id": "$none" }), 404, "M_NOT_FOUND"),
        (
            json!({ "kind": "message", "room_id": room, "event_id": event, "disclose": { "content": large } }),
            413,
            "M_TOO_LARGE",
        ),
    ] {
        scene.anna.post(REPORTS, report).await.fails(status, code);
    }
    let stranger = scene.network.register(INSTAGRAM, "stranger").await;
    let secret = scene.ben.create_room(json!({})).await;
    let event = scene.ben.say(&secret, "Good morning").await;
    let report = json!({ "kind": "message", "room_id": secret, "event_id": event });
    stranger.post(REPORTS, report).await.fails(404, "M_NOT_FOUND");
    // Whoever reports does not learn that there is nobody, and nobody is told.
    let nobody = json!({ "kind": "person", "user_id": NOBODY });
    scene.anna.post(REPORTS, nobody).await.ok();
    scene.each_report([]).await;
}

#[tokio::test]
async fn each_platform_closes_its_reports_by_itself() {
    let scene = Scene::open().await;
    scene.anna.post(REPORTS, json!({ "kind": "person", "user_id": scene.ben.user_id })).await.ok();
    let [own, other] = scene.each_report([INSTAGRAM, MESSENGER]).await;
    let rooms = &scene.network.app.rooms;
    let (instagram, messenger) = (server_name(INSTAGRAM), server_name(MESSENGER));
    let note = Some("warned".to_owned());
    rooms.close_report(&messenger, other.number, note.clone(), 7_000).await.expect("it is closed");
    let closed = rooms.get_report(&messenger, other.number).await.expect("it is read").expect("it is there");
    assert_eq!((closed.record.closed_ts, closed.record.note), (Some(7_000), note.clone()));
    rooms.close_report(&messenger, other.number, None, 8_000).await.expect("it is closed");
    let again = rooms.get_report(&messenger, other.number).await.expect("it is read").expect("it is there");
    assert_eq!((again.record.closed_ts, again.record.note), (Some(8_000), note));
    assert_eq!(rooms.get_report(&instagram, own.number).await.expect("it is read"), Some(own));
    let unknown = rooms.close_report(&server_name(WHATSAPP), other.number, None, 7_000).await;
    assert!(unknown.is_err(), "a third platform has no such report");
    let long = rooms.close_report(&messenger, other.number, Some("x".repeat(4_097)), 7_000).await;
    assert!(long.is_err());
}

#[tokio::test]
async fn a_report_outlives_the_account_of_whoever_made_it_and_does_not_name_it() {
    let scene = Scene::open().await;
    let event = scene.ben.say(&scene.room, "You landlubber").await;
    scene.report_message(&event, json!({ "reporter": true })).await.ok();
    let user_id = scene.anna.user_id.as_str().try_into().expect("a user id");
    scene.network.app.deactivate(&user_id, None, false, now_ts()).await.expect("deactivated");
    for report in scene.each_report([INSTAGRAM, MESSENGER]).await {
        assert_eq!(names(&report)[..2], [None, Some(scene.ben.user_id.clone())]);
        assert_eq!(body_of(&report), "You landlubber");
    }
    assert_eq!(scene.network.rows::<UserReports>().await, 0);
}

#[tokio::test]
async fn the_archive_does_not_tell_who_of_those_reported_has_an_account() {
    let scene = Scene::open().await;
    for user_id in [&scene.ben.user_id, NOBODY] {
        let report = json!({ "kind": "person", "user_id": user_id, "reason": "rude" });
        scene.anna.post(REPORTS, report).await.ok();
    }
    let mut reports = export(&scene.network, &scene.anna).await.json("reports.json");
    for report in reports.as_array_mut().expect("a list") {
        report.as_object_mut().expect("a report").remove("ts").expect("a time");
    }
    let expected =
        |user_id: &str| json!({ "room_id": null, "event_id": null, "user_id": user_id, "reason": "rude" });
    assert_eq!(reports, json!([expected(&scene.ben.user_id), expected(NOBODY)]));
}

#[tokio::test]
async fn reports_are_forgotten_after_a_year() {
    let scene = Scene::open().await;
    scene.anna.post(REPORTS, json!({ "kind": "person", "user_id": scene.ben.user_id })).await.ok();
    scene.anna.post(REPORTS, json!({ "kind": "person", "user_id": NOBODY })).await.ok();
    let rows = async || (scene.network.rows::<Reports>().await, scene.network.rows::<UserReports>().await);
    for platform in [INSTAGRAM, MESSENGER] {
        let before_ts = now_ts() - DAY_MS;
        scene.network.app.rooms.forget_reports(&server_name(platform), before_ts).await.expect("swept");
    }
    assert_eq!(rows().await, (2, 2), "they are young");
    let mut commits = scene.network.store.follow();
    let sweeping = tokio::spawn(Services::clone(&scene.network.app).sweep(|| now_ts() + 366 * DAY_MS));
    let swept = async {
        while rows().await != (0, 0) {
            commits.next().await.expect("the store is open");
        }
    };
    tokio::time::timeout(PATIENCE, swept).await.expect("all of it goes");
    sweeping.abort();
}

#[tokio::test]
async fn nobody_floods_the_operators() {
    let scene = Scene::on(Network::with_limits("report_burst = 2").await).await;
    let report = json!({ "kind": "person", "user_id": scene.ben.user_id });
    scene.anna.post(REPORTS, report.clone()).await.ok();
    scene
        .anna
        .post(&format!("/v3/users/{}/report", scene.ben.user_id), json!({ "reason": "rude" }))
        .await
        .ok();
    scene.anna.post(REPORTS, report.clone()).await.fails(429, "M_LIMIT_EXCEEDED");
    scene.carl.post(REPORTS, report).await.ok();
}
