//! A further API beside that of clients, whose callers are proved in another way: by a signature over the whole
//! request, as servers sign theirs. <https://spec.matrix.org/v1.19/server-server-api/#request-authentication>

use std::collections::BTreeMap;

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use linkspan_platforms::RateClass;
use linkspan_wire::{
    Access, Api, ApiError, App, Caller, RequestHead, WholeRequest, json_answer, raw_endpoint,
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedUserId, ServerName,
    api::error::ErrorKind,
    serde::Base64,
    signatures::{sign_json, verify_json},
};
use serde_json::{Value, json};

use crate::network::{INSTAGRAM, MESSENGER, Network, WHATSAPP};

const PATH: &str = "/_test/greet";

/// Another server, which has signed its request.
struct OtherServer {
    name: String,
}

/// What the head of a request says of the server that sends it.
struct Signature {
    /// What is signed besides the body.
    head: Value,
    origin: String,
    key: String,
    signature: String,
}

fn refused(message: &str) -> ApiError {
    ApiError::unauthorized(ErrorKind::Unauthorized, message)
}

fn canonical(value: Value) -> CanonicalJsonObject {
    match CanonicalJsonValue::try_from(value) {
        Ok(CanonicalJsonValue::Object(object)) => object,
        _ => panic!("this is no canonical JSON object"),
    }
}

impl Caller for OtherServer {
    // There is no level for servers as long as no API of the program has such callers.
    const ACCESS: Access = Access::Anybody;
    type Claim = Signature;

    fn user_id(&self) -> Option<&OwnedUserId> {
        None
    }

    async fn claim(_: &App, head: &RequestHead<'_>) -> Result<Signature, ApiError> {
        head.check_rate(None)?;
        let header = head.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let fields = header.and_then(|header| header.strip_prefix("X-Matrix ")).unwrap_or_default();
        let pairs = fields.split(',').filter_map(|pair| pair.split_once('='));
        let fields: BTreeMap<_, _> = pairs.map(|(name, value)| (name, value.trim_matches('"'))).collect();
        let field = |name| fields.get(name).copied().ok_or_else(|| refused("this is not signed"));
        let (origin, destination) = (field("origin")?, field("destination")?);
        if destination != head.platform.server_name().as_str() {
            return Err(refused("this is for another server"));
        }
        let (method, uri) = (head.parts.method.as_str(), head.parts.uri.to_string());
        Ok(Signature {
            head: json!({ "method": method, "uri": uri, "origin": origin, "destination": destination }),
            origin: origin.to_owned(),
            key: field("key")?.to_owned(),
            signature: field("sig")?.to_owned(),
        })
    }

    async fn prove(claim: Signature, app: &App, body: &[u8]) -> Result<Self, ApiError> {
        let Signature { mut head, origin, key, signature } = claim;
        head["content"] = serde_json::from_slice(body).map_err(|error| ApiError::from_json(&error, body))?;
        head["signatures"] = json!({ &origin: { &key: signature } });
        let server = ServerName::parse(&origin).ok().and_then(|server| app.platforms.get(&server));
        let server = server.ok_or_else(|| refused("this server is not known"))?;
        let keys = BTreeMap::from([(key, Base64::new(server.signing_key.public_key().to_vec()))]);
        verify_json(&BTreeMap::from([(origin.clone(), keys)]), &canonical(head))
            .map_err(|_| refused("the signature is wrong"))?;
        Ok(Self { name: origin })
    }
}

async fn greet(_: App, caller: OtherServer, request: WholeRequest) -> Result<Response, ApiError> {
    let greeting: Value = request.json()?;
    Ok(json_answer(&json!({ "from": caller.name, "greeting": greeting["greeting"] })))
}

/// The API of clients and this one, at the addresses of the same platforms.
fn both(network: &Network) -> Api {
    let greetings = raw_endpoint(Method::PUT, &[PATH], greet, RateClass::Other, "");
    Api::new(network.app.clone(), [linkspan_client_api::endpoints(), vec![greetings]], Router::new())
}

/// A request from one platform's server to that of another, with the signature that belongs to `signed`.
fn request(network: &Network, from: &str, to: &str, signed: &Value, body: Body) -> Request {
    let server = ServerName::parse(from).expect("a server name");
    let platform = network.app.platforms.get(&server).expect("it is hosted");
    let mut object = canonical(
        json!({ "method": "PUT", "uri": PATH, "origin": from, "destination": to, "content": signed }),
    );
    sign_json(from, &*platform.signing_key, &mut object).expect("it can be signed");
    let object: Value = serde_json::to_value(object).expect("it is JSON");
    let signatures = object["signatures"][from].as_object().expect("there are signatures");
    let (key, signature) = signatures.iter().next().expect("there is one");
    let signature = signature.as_str().expect("it is text");
    let authorization =
        format!("X-Matrix origin=\"{from}\",destination=\"{to}\",key=\"{key}\",sig=\"{signature}\"");
    let request = Request::put(PATH).header(header::HOST, INSTAGRAM);
    request.header(header::AUTHORIZATION, authorization).body(body).expect("it is well formed")
}

async fn ask(api: &Api, request: Request) -> (StatusCode, Value) {
    let response = api.answer(request).await.into_response();
    let status = response.status();
    let body = response.into_body().collect().await.expect("the body arrives").to_bytes();
    (status, serde_json::from_slice(&body).expect("it is JSON"))
}

#[tokio::test]
async fn a_caller_is_proved_with_the_body() {
    let network = Network::open().await;
    let api = both(&network);
    let greeting = json!({ "greeting": "hello" });
    let body = || Body::from(greeting.to_string());

    let (status, answer) = ask(&api, request(&network, MESSENGER, INSTAGRAM, &greeting, body())).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "from": MESSENGER, "greeting": "hello" })));

    let other = Body::from(json!({ "greeting": "farewell" }).to_string());
    let (status, answer) = ask(&api, request(&network, MESSENGER, INSTAGRAM, &greeting, other)).await;
    assert_eq!((status, &answer["errcode"]), (StatusCode::UNAUTHORIZED, &json!("M_UNAUTHORIZED")));

    // The API of clients is there as before.
    let versions = Request::get("/_matrix/client/versions").header(header::HOST, INSTAGRAM);
    let (status, _) = ask(&api, versions.body(Body::empty()).expect("it is well formed")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn what_the_head_says_is_refused_before_the_body_is_read() {
    let network = Network::open().await;
    let api = both(&network);
    let endless = || Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());

    let unsigned = Request::put(PATH).header(header::HOST, INSTAGRAM).body(endless());
    let (status, _) = ask(&api, unsigned.expect("it is well formed")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    let for_others = request(&network, MESSENGER, WHATSAPP, &json!({}), endless());
    let (status, _) = ask(&api, for_others).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}
