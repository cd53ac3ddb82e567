//! Key backups.

use std::collections::BTreeMap;

use linkspan_keys::{BackedUpKey, BackupVersion, Which};
use linkspan_wire::{ApiError, App, User};
use ruma::{
    OwnedRoomId,
    api::{
        client::backup::{
            KeyBackupData, RoomKeyBackup, add_backup_keys, add_backup_keys_for_room,
            add_backup_keys_for_session, create_backup_version, delete_backup_keys,
            delete_backup_keys_for_room, delete_backup_keys_for_session, delete_backup_version,
            get_backup_info, get_backup_keys, get_backup_keys_for_room, get_backup_keys_for_session,
            get_latest_backup_info, update_backup_version,
        },
        error::ErrorKind,
    },
    serde::Raw,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::endpoints::keys::uint;

/// What a version of a key backup is made of.
#[derive(Deserialize, Serialize)]
struct VersionData {
    algorithm: String,
    auth_data: Box<RawValue>,
}

/// A key of a room as it stands in requests and answers.
#[derive(Deserialize, Serialize)]
struct KeyData {
    first_message_index: u64,
    forwarded_count: u64,
    is_verified: bool,
    session_data: Box<RawValue>,
}

pub(crate) async fn create_backup_version(
    app: App,
    caller: User,
    request: create_backup_version::v3::Request,
) -> Result<create_backup_version::v3::Response, ApiError> {
    let data = version_data(&request.algorithm)?;
    let auth_data = data.auth_data.get();
    let version = app.keys.create_backup(&caller.user_id, &data.algorithm, auth_data).await?;
    Ok(create_backup_version::v3::Response::new(version.to_string()))
}

pub(crate) async fn get_latest_backup_info(
    app: App,
    caller: User,
    _: get_latest_backup_info::v3::Request,
) -> Result<get_latest_backup_info::v3::Response, ApiError> {
    let found = app.keys.backup(&caller.user_id, None).await?;
    let (count, etag) = (uint(found.state.count), found.state.etag.to_string());
    let version = found.version.to_string();
    Ok(get_latest_backup_info::v3::Response::new(version_to_wire(found)?, count, etag, version))
}

pub(crate) async fn get_backup_info(
    app: App,
    caller: User,
    request: get_backup_info::v3::Request,
) -> Result<get_backup_info::v3::Response, ApiError> {
    let found = app.keys.backup(&caller.user_id, Some(version(&request.version)?)).await?;
    let (count, etag) = (uint(found.state.count), found.state.etag.to_string());
    let version = found.version.to_string();
    Ok(get_backup_info::v3::Response::new(version_to_wire(found)?, count, etag, version))
}

pub(crate) async fn update_backup_version(
    app: App,
    caller: User,
    request: update_backup_version::v3::Request,
) -> Result<update_backup_version::v3::Response, ApiError> {
    let data = version_data(&request.algorithm)?;
    let version = version(&request.version)?;
    app.keys.update_backup(&caller.user_id, version, &data.algorithm, data.auth_data.get()).await?;
    Ok(update_backup_version::v3::Response::new())
}

pub(crate) async fn delete_backup_version(
    app: App,
    caller: User,
    request: delete_backup_version::v3::Request,
) -> Result<delete_backup_version::v3::Response, ApiError> {
    app.keys.delete_backup(&caller.user_id, version(&request.version)?).await?;
    Ok(delete_backup_version::v3::Response::new())
}

pub(crate) async fn add_backup_keys(
    app: App,
    caller: User,
    request: add_backup_keys::v3::Request,
) -> Result<add_backup_keys::v3::Response, ApiError> {
    let mut keys = Vec::new();
    for (room_id, backup) in &request.rooms {
        add_room(&mut keys, room_id, &backup.sessions)?;
    }
    let state = app.keys.back_up(&caller.user_id, version(&request.version)?, &keys).await?;
    Ok(add_backup_keys::v3::Response::new(state.etag.to_string(), uint(state.count)))
}

pub(crate) async fn add_backup_keys_for_room(
    app: App,
    caller: User,
    request: add_backup_keys_for_room::v3::Request,
) -> Result<add_backup_keys_for_room::v3::Response, ApiError> {
    let mut keys = Vec::new();
    add_room(&mut keys, &request.room_id, &request.sessions)?;
    let state = app.keys.back_up(&caller.user_id, version(&request.version)?, &keys).await?;
    Ok(add_backup_keys_for_room::v3::Response::new(state.etag.to_string(), uint(state.count)))
}

pub(crate) async fn add_backup_keys_for_session(
    app: App,
    caller: User,
    request: add_backup_keys_for_session::v3::Request,
) -> Result<add_backup_keys_for_session::v3::Response, ApiError> {
    let key = key(&request.room_id, &request.session_id, &request.session_data)?;
    let state = app.keys.back_up(&caller.user_id, version(&request.version)?, &[key]).await?;
    Ok(add_backup_keys_for_session::v3::Response::new(state.etag.to_string(), uint(state.count)))
}

pub(crate) async fn get_backup_keys(
    app: App,
    caller: User,
    request: get_backup_keys::v3::Request,
) -> Result<get_backup_keys::v3::Response, ApiError> {
    let mut rooms = BTreeMap::new();
    for key in app.keys.backed_up(&caller.user_id, version(&request.version)?, &Which::All).await? {
        let room = rooms.entry(key.room_id.clone()).or_insert_with(|| RoomKeyBackup::new(BTreeMap::new()));
        room.sessions.insert(key.session_id.clone(), key_to_wire(&key)?);
    }
    Ok(get_backup_keys::v3::Response::new(rooms))
}

pub(crate) async fn get_backup_keys_for_room(
    app: App,
    caller: User,
    request: get_backup_keys_for_room::v3::Request,
) -> Result<get_backup_keys_for_room::v3::Response, ApiError> {
    let which = Which::Room(request.room_id);
    let mut sessions = BTreeMap::new();
    for key in app.keys.backed_up(&caller.user_id, version(&request.version)?, &which).await? {
        sessions.insert(key.session_id.clone(), key_to_wire(&key)?);
    }
    Ok(get_backup_keys_for_room::v3::Response::new(sessions))
}

pub(crate) async fn get_backup_keys_for_session(
    app: App,
    caller: User,
    request: get_backup_keys_for_session::v3::Request,
) -> Result<get_backup_keys_for_session::v3::Response, ApiError> {
    let which = Which::Session(request.room_id, request.session_id);
    let found = app.keys.backed_up(&caller.user_id, version(&request.version)?, &which).await?;
    let key = found.first().ok_or_else(|| ApiError::not_found("there is no such key in this backup"))?;
    Ok(get_backup_keys_for_session::v3::Response::new(key_to_wire(key)?))
}

pub(crate) async fn delete_backup_keys(
    app: App,
    caller: User,
    request: delete_backup_keys::v3::Request,
) -> Result<delete_backup_keys::v3::Response, ApiError> {
    let version = version(&request.version)?;
    let state = app.keys.remove_backed_up(&caller.user_id, version, &Which::All).await?;
    Ok(delete_backup_keys::v3::Response::new(state.etag.to_string(), uint(state.count)))
}

pub(crate) async fn delete_backup_keys_for_room(
    app: App,
    caller: User,
    request: delete_backup_keys_for_room::v3::Request,
) -> Result<delete_backup_keys_for_room::v3::Response, ApiError> {
    let (version, which) = (version(&request.version)?, Which::Room(request.room_id));
    let state = app.keys.remove_backed_up(&caller.user_id, version, &which).await?;
    Ok(delete_backup_keys_for_room::v3::Response::new(state.etag.to_string(), uint(state.count)))
}

pub(crate) async fn delete_backup_keys_for_session(
    app: App,
    caller: User,
    request: delete_backup_keys_for_session::v3::Request,
) -> Result<delete_backup_keys_for_session::v3::Response, ApiError> {
    let which = Which::Session(request.room_id, request.session_id);
    let state = app.keys.remove_backed_up(&caller.user_id, version(&request.version)?, &which).await?;
    Ok(delete_backup_keys_for_session::v3::Response::new(state.etag.to_string(), uint(state.count)))
}

fn version(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("there is no such version of a key backup"))
}

fn version_data<T>(raw: &Raw<T>) -> Result<VersionData, ApiError> {
    let json = raw.json().get();
    let data: VersionData =
        serde_json::from_str(json).map_err(|error| ApiError::from_json(&error, json.as_bytes()))?;
    check_is_object(&data.auth_data)?;
    Ok(data)
}

fn version_to_wire<T>(found: BackupVersion) -> Result<Raw<T>, ApiError> {
    let auth_data = RawValue::from_string(found.auth_data).map_err(|error| ApiError::internal(&error))?;
    to_raw(&VersionData { algorithm: found.algorithm, auth_data })
}

fn add_room(
    keys: &mut Vec<BackedUpKey>,
    room_id: &OwnedRoomId,
    sessions: &BTreeMap<String, Raw<KeyBackupData>>,
) -> Result<(), ApiError> {
    for (session_id, data) in sessions {
        keys.push(key(room_id, session_id, data)?);
    }
    Ok(())
}

fn key(room_id: &OwnedRoomId, session_id: &str, raw: &Raw<KeyBackupData>) -> Result<BackedUpKey, ApiError> {
    let bad_json = |error: serde_json::Error| ApiError::bad_request(ErrorKind::BadJson, error.to_string());
    let data: KeyData = serde_json::from_str(raw.json().get()).map_err(bad_json)?;
    check_is_object(&data.session_data)?;
    Ok(BackedUpKey {
        room_id: room_id.clone(),
        session_id: session_id.to_owned(),
        first_message_index: data.first_message_index,
        forwarded_count: data.forwarded_count,
        is_verified: data.is_verified,
        session_data: data.session_data.get().to_owned(),
    })
}

fn key_to_wire(key: &BackedUpKey) -> Result<Raw<KeyBackupData>, ApiError> {
    let session_data =
        RawValue::from_string(key.session_data.clone()).map_err(|error| ApiError::internal(&error))?;
    to_raw(&KeyData {
        first_message_index: key.first_message_index,
        forwarded_count: key.forwarded_count,
        is_verified: key.is_verified,
        session_data,
    })
}

fn to_raw<T>(value: &impl Serialize) -> Result<Raw<T>, ApiError> {
    let json = serde_json::value::to_raw_value(value).map_err(|error| ApiError::internal(&error))?;
    Ok(Raw::from_json(json))
}

fn check_is_object(json: &RawValue) -> Result<(), ApiError> {
    if json.get().starts_with('{') {
        return Ok(());
    }
    Err(ApiError::bad_request(ErrorKind::BadJson, "auth_data and session_data are objects"))
}
