//! What the server says it can do. Each is proved by a request: versions, capabilities, and features of
//! proposals.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, each, encoded, list, text};

/// A room of two, with a thread and an edit, in which everything can be tried.
struct Scene {
    anna: Client,
    bert: Client,
    room: String,
    root: String,
    reply: String,
}

impl Scene {
    async fn set(network: &Network) -> Self {
        let anna = network.register(INSTAGRAM, "anna").await;
        let bert = network.register(MESSENGER, "bert").await;
        let room = anna.create_room(json!({ "preset": "public_chat" })).await;
        bert.join(&room).await.ok();
        let root = anna.say(&room, "root").await;
        let relation = json!({ "rel_type": "m.thread", "event_id": root });
        let content = json!({ "msgtype": "m.text", "body": "reply", "m.relates_to": relation });
        let reply = bert.send(&room, "m.room.message", content).await;
        Self { anna, bert, room, root, reply }
    }

    async fn get(&self, path: &str) -> Value {
        self.anna.get(path).await.ok()
    }

    /// Events of the room that pass a filter.
    async fn filtered(&self, filter: Value) -> Vec<String> {
        let filter = encoded(&filter.to_string());
        let page = self.get(&format!("/v3/rooms/{}/messages?dir=b&filter={filter}", self.room)).await;
        list(&page["chunk"]).iter().map(|event| text(&event["event_id"])).collect()
    }
}

#[tokio::test]
async fn every_feature_that_is_advertised_works() {
    let network = Network::open().await;
    let scene = Scene::set(&network).await;
    let versions = scene.get("/versions").await;
    let features = versions["unstable_features"].as_object().expect("features").clone();
    let unproved: BTreeSet<_> = {
        let mut unproved = BTreeSet::new();
        for (feature, on) in &features {
            assert_eq!(on, &json!(true), "{feature}");
            if !proves(&scene, feature).await {
                unproved.insert(feature.clone());
            }
        }
        unproved
    };
    assert_eq!(unproved, BTreeSet::new(), "nothing here shows that these work");
}

/// Shows that a feature works. Returns false if there is no proof of it here.
async fn proves(scene: &Scene, feature: &str) -> bool {
    let Scene { anna, bert, room, root, reply } = scene;
    match feature {
        "com.beeper.msc4169" => redaction_by_sending(scene).await,
        "fi.mau.msc2246" => reserves_media(anna, "/_matrix/media/unstable/fi.mau.msc2246/create").await,
        "fi.mau.msc2246.stable" => reserves_media(anna, "/_matrix/media/v1/create").await,
        "org.linkspan.disappearing_messages" => {
            let timer = json!({ "type": "after_send", "timer": 3_600_000 });
            let chat = anna.create_room(json!({})).await;
            anna.set_state(&chat, "com.beeper.disappearing_timer", timer).await.ok();
            let said = anna.say(&chat, "for an hour").await;
            let event = scene.get(&format!("/v3/rooms/{chat}/event/{said}")).await;
            assert!(event["unsigned"]["org.linkspan.disappears_ts"].is_u64(), "{event}");
        }
        "org.matrix.msc3814" => {
            let path = "/unstable/org.matrix.msc3814.v1/dehydrated_device";
            let keys = crate::olm::OlmDevice::of(&anna.user_id, "DREAM").device_keys();
            let data = json!({ "algorithm": "org.matrix.msc3814.v2", "device_pickle": "p", "nonce": "n" });
            let body = json!({ "device_id": "DREAM", "device_keys": keys, "device_data": data });
            anna.put(path, body).await.ok();
            assert_eq!(scene.get(path).await["device_data"], data);
        }
        "org.matrix.simplified_msc3575" => {
            let list = json!({ "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] });
            let path = "/unstable/org.matrix.simplified_msc3575/sync";
            let answer = anna.post(path, json!({ "lists": { "all": list } })).await.ok();
            assert_eq!(answer["rooms"][room]["initial"], true);
        }
        "org.matrix.msc2946" => {
            let found = scene.get(&format!("/v1/rooms/{room}/hierarchy")).await;
            assert_eq!(found["rooms"][0]["room_id"], *room);
        }
        "org.matrix.msc3030" => {
            let path = "/unstable/org.matrix.msc3030/rooms";
            let found = scene.get(&format!("{path}/{room}/timestamp_to_event?ts=0&dir=f")).await;
            assert!(found["event_id"].is_string());
        }
        "org.matrix.msc3266" => {
            let found = scene.get(&format!("/unstable/im.nheko.summary/summary/{room}")).await;
            assert_eq!(found["room_id"], *room);
        }
        "org.matrix.msc3391" => {
            let data = format!("user/{}/account_data/org.example", anna.user_id);
            anna.put(&format!("/v3/{data}"), json!({ "a": 1 })).await.ok();
            anna.delete(&format!("/unstable/org.matrix.msc3391/{data}")).await.ok();
            anna.get(&format!("/v3/{data}")).await.fails(404, "M_NOT_FOUND");
        }
        "org.matrix.msc3715.stable" => {
            for name in ["dir", "org.matrix.msc3715.dir"] {
                let found = scene.get(&format!("/v1/rooms/{room}/relations/{root}?{name}=f")).await;
                assert_eq!(found["chunk"][0]["event_id"], *reply);
            }
        }
        "org.matrix.msc3771" => {
            let path = format!("/v3/rooms/{room}/receipt/m.read/{reply}");
            anna.post(&path, json!({ "thread_id": root })).await.ok();
        }
        "org.matrix.msc3874" => {
            let of_threads = json!({ "org.matrix.msc3874.rel_types": ["m.thread"] });
            assert_eq!(scene.filtered(of_threads).await, std::slice::from_ref(reply));
            let others = json!({ "org.matrix.msc3874.not_rel_types": ["m.thread"] });
            let others = scene.filtered(others).await;
            assert!(others.contains(root) && !others.contains(reply));
        }
        "org.matrix.msc3916.stable" => drop(scene.get("/v1/media/config").await),
        "org.matrix.msc3981" => {
            let relation = json!({ "rel_type": "m.reference", "event_id": reply });
            let indirect = bert.send(room, "org.example", json!({ "m.relates_to": relation })).await;
            for name in ["recurse", "org.matrix.msc3981.recurse"] {
                let found = scene.get(&format!("/v1/rooms/{room}/relations/{root}?{name}=true")).await;
                assert_eq!(found["chunk"][0]["event_id"], *indirect, "{name}");
            }
        }
        "org.matrix.msc4140" => {
            let send = format!("/v3/rooms/{room}/send/m.room.message/1?org.matrix.msc4140.delay=3600000");
            let content = json!({ "msgtype": "m.text", "body": "later" });
            let delay_id = text(&anna.put(&send, content).await.ok()["delay_id"]);
            let found = scene.get("/unstable/org.matrix.msc4140/delayed_events").await;
            assert_eq!(found["delayed_events"][0]["delay_id"], *delay_id);
        }
        "org.matrix.msc4143" => {
            let found = scene.get("/unstable/org.matrix.msc4143/rtc/transports").await;
            assert_eq!(found, json!({ "rtc_transports": [] }));
        }
        "org.matrix.msc4222" => {
            let answer = scene.get("/v3/sync?org.matrix.msc4222.use_state_after=true").await;
            let joined = &answer["rooms"]["join"][room];
            assert!(joined.get("org.matrix.msc4222.state_after").is_some() && joined.get("state").is_none());
        }
        "org.matrix.msc4306" => {
            let path = format!("/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription");
            anna.put(&path, json!({ "automatic": reply })).await.ok();
            assert_eq!(scene.get(&path).await, json!({ "automatic": true }));
            let rules = scene.get("/v3/pushrules/").await["global"]["postcontent"].clone();
            assert_eq!(list(&rules).len(), 2, "{rules}");
            anna.delete(&path).await.ok();
            anna.put(&path, json!({ "automatic": reply }))
                .await
                .fails(409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION");
        }
        "org.matrix.msc4308" => {
            let path = format!("/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription");
            bert.put(&path, json!({})).await.ok();
            let extension = "io.element.msc4308.thread_subscriptions";
            let body = json!({ "extensions": { extension: { "enabled": true } } });
            let sync = "/unstable/org.matrix.simplified_msc3575/sync";
            let told = bert.post(sync, body).await.ok()["extensions"][extension].clone();
            assert_eq!(told["subscribed"][room][root]["automatic"], false);
            let listed = "/unstable/io.element.msc4308/thread_subscriptions?dir=b";
            assert_eq!(bert.get(listed).await.ok()["subscribed"], told["subscribed"]);
        }
        "org.matrix.msc4380" => {
            let content = json!({ "block_all": true });
            invitations_are_blocked(scene, "org.matrix.msc4380.invite_permission_config", content).await;
        }
        "org.matrix.msc4380.stable" => {
            let content = json!({ "default_action": "block" });
            invitations_are_blocked(scene, "m.invite_permission_config", content).await;
        }
        "uk.half-shot.msc2666.query_mutual_rooms" => {
            let path = "/unstable/uk.half-shot.msc2666/user/mutual_rooms";
            let found = scene.get(&format!("{path}?user_id={}", bert.user_id)).await;
            assert_eq!(found["joined"], json!([room]));
        }
        "uk.half-shot.msc2666.query_mutual_rooms.stable" => {
            let found = scene.get(&format!("/v1/mutual_rooms?user_id={}", bert.user_id)).await;
            assert_eq!(found["joined"], json!([room]));
        }
        "uk.tcpip.msc4133" => keeps_a_field(anna, "/unstable/uk.tcpip.msc4133").await,
        "uk.tcpip.msc4133.stable" => keeps_a_field(anna, "/v3").await,
        "uk.timedout.msc4323" => {
            for what in ["lock", "suspend"] {
                let path = format!("/unstable/uk.timedout.msc4323/admin/{what}/{}", anna.user_id);
                anna.get(&path).await.fails(403, "M_FORBIDDEN");
            }
        }
        _ => return false,
    }
    true
}

async fn redaction_by_sending(scene: &Scene) {
    for version in ["10", "12"] {
        let room = scene.anna.create_room(json!({ "room_version": version })).await;
        let event = scene.anna.say(&room, "slip").await;
        scene.anna.send(&room, "m.room.redaction", json!({ "redacts": event })).await;
        let event = scene.get(&format!("/v3/rooms/{room}/event/{event}")).await;
        assert_eq!(event["content"], json!({}), "version {version}");
    }
}

async fn reserves_media(anna: &Client, path: &str) {
    assert!(text(&anna.post(path, json!({})).await.ok()["content_uri"]).starts_with("mxc://"));
}

async fn keeps_a_field(anna: &Client, below: &str) {
    let path = format!("{below}/profile/{}/org.example.colour", anna.user_id);
    anna.put(&path, json!({ "org.example.colour": "green" })).await.ok();
    assert_eq!(anna.get(&path).await.ok()["org.example.colour"], "green");
}

async fn invitations_are_blocked(scene: &Scene, event_type: &str, content: Value) {
    let config = format!("/v3/user/{}/account_data/{event_type}", scene.bert.user_id);
    let room = scene.anna.create_room(json!({})).await;
    scene.bert.put(&config, content).await.ok();
    scene.anna.invite(&room, &scene.bert).await.fails(403, "M_INVITE_BLOCKED");
    scene.bert.put(&config, json!({})).await.ok();
    scene.anna.invite(&room, &scene.bert).await.ok();
}

#[tokio::test]
async fn events_are_found_by_what_relates_to_them() {
    let network = Network::open().await;
    let scene = Scene::set(&network).await;
    let (root, bert) = (scene.root.clone(), &scene.bert.user_id);
    for filter in [
        json!({ "related_by_rel_types": ["m.thread"] }),
        json!({ "related_by_senders": [bert] }),
        json!({ "related_by_senders": [bert], "related_by_rel_types": ["m.thread"] }),
        json!({ "io.element.relation_senders": [bert], "io.element.relation_types": ["m.thread"] }),
    ] {
        assert_eq!(scene.filtered(filter.clone()).await, std::slice::from_ref(&root), "{filter}");
    }
    let by_anna = json!({ "related_by_senders": [scene.anna.user_id] });
    assert_eq!(scene.filtered(by_anna).await, Vec::<String>::new());
    let around = encoded(&json!({ "related_by_rel_types": ["m.replace"] }).to_string());
    let context = format!("/v3/rooms/{}/context/{}?filter={around}", scene.room, scene.reply);
    let context = scene.get(&context).await;
    assert_eq!(context["event"]["event_id"], *scene.reply);
    assert!(list(&context["events_before"]).is_empty(), "{context}");

    for wrong in [
        json!({ "related_by_senders": ["bert"] }),
        json!({ "related_by_senders": "@bert:messenger.localhost" }),
        json!({ "related_by_rel_types": [7] }),
        json!({ "org.matrix.msc3874.rel_types": "m.thread" }),
        json!({ "org.matrix.msc3874.not_rel_types": null }),
        json!([]),
    ] {
        let query = encoded(&wrong.to_string());
        let answer = scene.anna.get(&format!("/v3/rooms/{}/messages?dir=b&filter={query}", scene.room)).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.json);
    }
}

/// The events of the room in the timeline of a sync.
fn synced(sync: &Value, room: &str) -> Vec<String> {
    each(&sync["rooms"]["join"][room]["timeline"]["events"], "event_id")
}

#[tokio::test]
async fn relation_filters_hold_in_syncs_and_searches() {
    let network = Network::open().await;
    let scene = Scene::set(&network).await;
    let Scene { anna, bert, room, root, reply } = &scene;
    let since = text(&scene.get("/v3/sync").await["next_batch"]);
    let later = anna.say(room, "root, the second").await;
    let relation = json!({ "rel_type": "m.reference", "event_id": later });
    let reference = bert.send(room, "org.example", json!({ "m.relates_to": relation })).await;

    let related = json!({ "related_by_senders": [bert.user_id], "related_by_rel_types": ["m.thread"] });
    let referred = json!({ "related_by_rel_types": ["m.reference"] });
    let (timeline, state) = (|filter: &Value| json!({ "room": { "timeline": filter } }), "m.room.create");
    let sync = async |filter: &str, since: &str| {
        scene.get(&format!("/v3/sync?filter={}{since}", encoded(filter))).await
    };
    let whole = sync(&timeline(&related).to_string(), "").await;
    assert_eq!(synced(&whole, room), std::slice::from_ref(root));
    let whole = sync(&timeline(&referred).to_string(), "").await;
    assert_eq!(synced(&whole, room), std::slice::from_ref(&later));
    let since = format!("&since={since}");
    assert_eq!(synced(&sync(&timeline(&related).to_string(), &since).await, room), [""; 0]);
    let rel_types = json!({ "org.matrix.msc3874.rel_types": ["m.reference"] });
    assert_eq!(synced(&sync(&timeline(&rel_types).to_string(), &since).await, room), [reference]);

    // A filter that is stored keeps all that it says.
    let filters = format!("/v3/user/{}/filter", anna.user_id);
    let stored = json!({ "room": { "timeline": referred, "state": related } });
    let id = text(&anna.post(&filters, stored.clone()).await.ok()["filter_id"]);
    assert_eq!(scene.get(&format!("{filters}/{id}")).await, stored);
    for _ in ["parsed", "remembered"] {
        let whole = sync(&id, "").await;
        assert_eq!(synced(&whole, room), std::slice::from_ref(&later));
    }
    bert.get(&format!("/v3/sync?filter={id}")).await.fails(400, "M_INVALID_PARAM");
    let whole = sync(&id, "").await;
    assert!(list(&whole["rooms"]["join"][room]["state"]["events"]).is_empty(), "{whole}");
    let open = sync(r#"{"room":{"timeline":{"limit":1}}}"#, "").await;
    assert!(each(&open["rooms"]["join"][room]["state"]["events"], "type").contains(&state.to_owned()));

    let search = async |filter: &Value| {
        let criteria = json!({ "search_term": "root", "filter": filter, "order_by": "recent" });
        let found =
            anna.post("/v3/search", json!({ "search_categories": { "room_events": criteria } })).await;
        let results = found.ok()["search_categories"]["room_events"]["results"].take();
        list(&results).iter().map(|result| text(&result["result"]["event_id"])).collect::<Vec<_>>()
    };
    assert_eq!(search(&json!({})).await, [later.clone(), root.clone()]);
    assert_eq!(search(&related).await, std::slice::from_ref(root));
    assert_eq!(search(&referred).await, [later]);
    assert_eq!(search(&json!({ "related_by_senders": [anna.user_id] })).await, [""; 0]);
    assert_ne!(reply, root);

    let wrong = json!({ "related_by_senders": ["bert"] });
    let query = encoded(&timeline(&wrong).to_string());
    anna.get(&format!("/v3/sync?filter={query}")).await.fails(400, "M_INVALID_PARAM");
    anna.post(&filters, timeline(&wrong)).await.fails(400, "M_INVALID_PARAM");
    let criteria = json!({ "search_term": "root", "filter": wrong });
    anna.post("/v3/search", json!({ "search_categories": { "room_events": criteria } }))
        .await
        .fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn capabilities_are_true() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let capabilities = anna.get("/v3/capabilities").await.ok()["capabilities"].clone();
    let enabled = |name: &str| capabilities[name]["enabled"].clone();
    assert_eq!(enabled("m.change_password"), true);
    assert_eq!(enabled("m.set_displayname"), true);
    assert_eq!(enabled("m.set_avatar_url"), true);
    assert_eq!(enabled("m.profile_fields"), true);
    assert_eq!(enabled("m.forget_forced_upon_leave"), false);
    assert_eq!(capabilities.get("m.account_moderation"), None, "anna administers nothing");
    let versions = &capabilities["m.room_versions"];
    assert_eq!(versions["default"], "12");
    for version in versions["available"].as_object().expect("versions").keys() {
        let room = anna.create_room(json!({ "room_version": version })).await;
        anna.say(&room, "it works").await;
    }
}

#[tokio::test]
async fn no_other_network_is_found() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    assert_eq!(anna.get("/v3/thirdparty/protocols").await.ok(), json!({}));
    for path in ["protocol/irc", "location/irc?channel=a", "user/irc?nick=a"] {
        let answer: Answer = anna.get(&format!("/v3/thirdparty/{path}")).await;
        answer.fails(404, "M_NOT_FOUND");
    }
    anna.get("/v3/thirdparty/location").await.fails(400, "M_MISSING_PARAM");
    anna.get("/v3/thirdparty/user?userid=anna").await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn rules_of_threads_are_for_who_subscribes() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for changed in [false, true] {
        if changed {
            let rule = "/v3/pushrules/global/override/.m.rule.suppress_notices/enabled";
            anna.put(rule, json!({ "enabled": false })).await.ok();
        }
        let rules = anna.get("/v3/pushrules/").await.ok();
        assert!(rules["global"]["underride"].is_array() && !rules.to_string().contains("msc4306"), "{rules}");
    }
}

#[tokio::test]
async fn who_answers_for_a_platform_is_told() {
    let ask = async |network: &Network, platform| {
        network.call(platform, None, Method::GET, "/.well-known/matrix/support", None).await
    };
    let network = Network::open().await;
    ask(&network, INSTAGRAM).await.fails(404, "M_NOT_FOUND");

    let settings = r#"
        [support]
        support_page = "https://help.example/"
        [[support.contacts]]
        role = "m.role.admin"
        matrix_id = "@anna:instagram.localhost"
        [[support.contacts]]
        role = "m.role.security"
        email_address = "security@help.example"
    "#;
    let network = Network::with_settings_of(INSTAGRAM, settings).await;
    let told = json!({
        "support_page": "https://help.example/",
        "contacts": [
            { "role": "m.role.admin", "matrix_id": "@anna:instagram.localhost" },
            { "role": "m.role.security", "email_address": "security@help.example" },
        ],
    });
    assert_eq!(ask(&network, INSTAGRAM).await.ok(), told);
    // Each platform has contacts of its own.
    ask(&network, MESSENGER).await.fails(404, "M_NOT_FOUND");

    let page = r#"support.support_page = "https://help.example/""#;
    let network = Network::with_settings_of(MESSENGER, page).await;
    assert_eq!(ask(&network, MESSENGER).await.ok(), json!({ "support_page": "https://help.example/" }));
}

/// Browsers may ask from pages elsewhere, and for heads.
/// <https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients>
#[tokio::test]
async fn browsers_may_ask_from_elsewhere_and_for_heads() {
    let network = Network::open().await;
    let ask = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).header(header::HOST, INSTAGRAM);
        network.api.answer(request.body(Body::empty()).expect("a request")).await
    };
    let versions = "/_matrix/client/versions";
    for path in [versions, "/_matrix/client/v3/rooms/!a%2Fb:c/send/x/1", "/_matrix/nothing"] {
        let answer = ask(Method::OPTIONS, path).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    assert_eq!(ask(Method::HEAD, versions).await.status(), StatusCode::OK);
    for (method, path, status) in [
        (Method::DELETE, versions, StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/_matrix/nothing", StatusCode::NOT_FOUND),
    ] {
        let answer = ask(method, path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["errcode"], "M_UNRECOGNIZED");
    }
}
