//! The keys of devices and users for end-to-end encryption.

use std::collections::BTreeMap;

use axum::response::Response;
use linkspan_accounts::{Proof, Purpose};
use linkspan_inbox::SyncToken;
use linkspan_keys::{Identity, KeysError, OneTimeKey, Upload, Wanted};
use linkspan_platforms::Platforms;
use linkspan_wire::{ACCOUNT_PAGE, ApiError, App, User, WholeRequest, base_url, now_ts, respond};
use ruma::{
    OneTimeKeyAlgorithm, OneTimeKeyName, OwnedOneTimeKeyId, OwnedServerName, OwnedUserId, UInt,
    api::client::keys::{
        claim_keys, get_key_changes, get_keys, upload_keys, upload_signatures, upload_signing_keys,
    },
    encryption,
    serde::Raw,
};
use serde_json::{Value, json, value::RawValue};

pub(crate) async fn upload_keys(
    app: App,
    caller: User,
    request: upload_keys::v3::Request,
) -> Result<upload_keys::v3::Response, ApiError> {
    let upload = Upload {
        device_keys: request.device_keys.map(json_of),
        one_time_keys: one_time_keys(request.one_time_keys),
        fallback_keys: one_time_keys(request.fallback_keys),
    };
    let remaining = app.keys.upload(&caller.user_id, &caller.device_id, &upload).await?;
    let counts = remaining.one_time.iter();
    let counts = counts.map(|(algorithm, count)| (algorithm.as_str().into(), uint(*count)));
    Ok(upload_keys::v3::Response::new(counts.collect()))
}

pub(crate) async fn get_keys(
    app: App,
    caller: User,
    request: get_keys::v3::Request,
) -> Result<get_keys::v3::Response, ApiError> {
    let found = app.keys.query(&caller.user_id, &request.device_keys).await?;
    let mut response = get_keys::v3::Response::new();
    for (user_id, devices) in found.device_keys {
        let devices = devices.into_iter().filter_map(|(device_id, keys)| Some((device_id, raw(keys)?)));
        response.device_keys.insert(user_id, devices.collect());
    }
    response.master_keys = raw_keys(found.master_keys);
    response.self_signing_keys = raw_keys(found.self_signing_keys);
    response.user_signing_keys = raw_keys(found.user_signing_keys);
    response.failures = failures(&app.platforms, request.device_keys.keys());
    Ok(response)
}

pub(crate) async fn claim_keys(
    app: App,
    caller: User,
    request: claim_keys::v3::Request,
) -> Result<claim_keys::v3::Response, ApiError> {
    let failures = failures(&app.platforms, request.one_time_keys.keys());
    let wanted = request.one_time_keys.into_iter().flat_map(|(user_id, devices)| {
        devices.into_iter().map(move |(device_id, algorithm)| Wanted {
            user_id: user_id.clone(),
            device_id,
            algorithm: algorithm.to_string(),
        })
    });
    let mut found: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (wanted, key) in app.keys.claim(&caller.user_id, wanted.collect()).await? {
        let name: &OneTimeKeyName = key.key_id.as_str().into();
        let id = ruma::OneTimeKeyId::from_parts(key.algorithm.as_str().into(), name);
        let keys = raw(key.json).map(|key| BTreeMap::from([(id, key)])).unwrap_or_default();
        found.entry(wanted.user_id).or_default().insert(wanted.device_id, keys);
    }
    let mut response = claim_keys::v3::Response::new(found);
    response.failures = failures;
    Ok(response)
}

pub(crate) async fn get_key_changes(
    app: App,
    caller: User,
    request: get_key_changes::v3::Request,
) -> Result<get_key_changes::v3::Response, ApiError> {
    let token =
        |text: &str| text.parse::<SyncToken>().map_err(|_| ApiError::invalid_param("not a sync token"));
    let since = token(&request.from)?;
    // Changes after `to` are told as well: looking somebody up too early does no harm.
    token(&request.to)?;
    let changes = app.keys.device_list_changes(&caller.user_id, since.position).await?;
    Ok(get_key_changes::v3::Response::new(changes.changed, changes.left))
}

pub(crate) async fn upload_signing_keys(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let base_url = base_url(&request.parts.headers, &caller.platform);
    let request: upload_signing_keys::v3::Request = request.parse()?;
    let identity = Identity {
        master_key: request.master_key.map(json_of),
        self_signing_key: request.self_signing_key.map(json_of),
        user_signing_key: request.user_signing_key.map(json_of),
    };
    let uploaded = app.keys.upload_identity(&caller.user_id, &identity, false).await;
    if let Err(KeysError::ReplacesIdentity) = uploaded {
        let purpose = Purpose::of_user(&caller.user_id, "upload cross-signing keys");
        let url = format!("{base_url}{ACCOUNT_PAGE}?action=org.matrix.cross_signing_reset");
        let proof = if caller.oauth { Proof::Approval { url: &url } } else { Proof::Password };
        let attempt = caller.attempt(request.auth.as_ref());
        let approval = app.accounts.prove_user(&purpose, proof, attempt, now_ts()).await?;
        let replaced = app.keys.upload_identity(&caller.user_id, &identity, true).await;
        if let (Err(_), Some(approval)) = (&replaced, approval) {
            app.accounts.give_back_approval(approval, now_ts());
        }
        replaced?;
    } else {
        uploaded?;
    }
    respond(upload_signing_keys::v3::Response::new())
}

pub(crate) async fn upload_signatures(
    app: App,
    caller: User,
    request: upload_signatures::v3::Request,
) -> Result<upload_signatures::v3::Response, ApiError> {
    let objects = |keys: upload_signatures::v3::SignedKeys| {
        keys.iter().map(|(name, json)| (name.to_owned(), json.get().to_owned())).collect()
    };
    let signed = request.signed_keys.into_iter().map(|(user_id, keys)| (user_id, objects(keys))).collect();
    let refused = app.keys.upload_signatures(&caller.user_id, &signed).await?;
    let mut response = upload_signatures::v3::Response::new();
    for (user_id, errors) in refused {
        let errors = errors.into_iter().filter_map(|(name, error)| Some((name, failure(error)?)));
        response.failures.insert(user_id, errors.collect());
    }
    Ok(response)
}

/// Why the signatures of one key were not taken.
fn failure(error: KeysError) -> Option<upload_signatures::v3::Failure> {
    let ApiError::Standard { kind, message, .. } = error.into() else { return None };
    serde_json::from_value(json!({ "errcode": kind.errcode(), "error": message })).ok()
}

/// The keys of a request as the service takes them.
pub(crate) fn one_time_keys(
    keys: BTreeMap<OwnedOneTimeKeyId, Raw<encryption::OneTimeKey>>,
) -> Vec<OneTimeKey> {
    let key = |(id, key): (OwnedOneTimeKeyId, Raw<encryption::OneTimeKey>)| OneTimeKey {
        algorithm: OneTimeKeyAlgorithm::to_string(&id.algorithm()),
        key_id: id.key_name().to_string(),
        json: json_of(key),
    };
    keys.into_iter().map(key).collect()
}

/// What a request holds as JSON.
pub(crate) fn json_of<T>(raw: Raw<T>) -> String {
    Box::<str>::from(raw.into_json()).into()
}

fn raw<T>(json: String) -> Option<Raw<T>> {
    RawValue::from_string(json).ok().map(Raw::from_json)
}

fn raw_keys<T>(keys: BTreeMap<OwnedUserId, String>) -> BTreeMap<OwnedUserId, Raw<T>> {
    keys.into_iter().filter_map(|(user_id, key)| Some((user_id, raw(key)?))).collect()
}

/// Says which servers are not hosted here, and so were not asked.
fn failures<'a>(
    platforms: &Platforms,
    users: impl Iterator<Item = &'a OwnedUserId>,
) -> BTreeMap<String, Value> {
    let servers = users.map(|user_id| OwnedServerName::from(user_id.server_name()));
    let unknown = servers.filter(|server| !platforms.hosts(server));
    let failure = json!({ "errcode": "M_NOT_FOUND", "error": "this server cannot be reached" });
    unknown.map(|server| (server.to_string(), failure.clone())).collect()
}

pub(crate) fn uint(number: u64) -> UInt {
    UInt::try_from(number).unwrap_or(UInt::MAX)
}
