//! Accounts.

use axum::response::Response;
use linkspan_accounts::{AccountInfo, AccountsError, DeviceInfo, Restriction};
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{MAX_COUNTED, MAX_PAGE, Numbered, own_user, user_of};
use crate::endpoints::users::deactivate;

#[derive(Deserialize)]
struct Query {
    #[serde(flatten)]
    page: Numbered,
    name: Option<String>,
    user_id: Option<String>,
    guests: Option<bool>,
    deactivated: Option<String>,
}

impl Query {
    fn matches(&self, account: &AccountInfo) -> bool {
        let name = self.name.as_ref().or(self.user_id.as_ref()).map(|name| name.to_lowercase());
        let found = name.is_none_or(|name| account.user_id.as_str().to_lowercase().contains(&name));
        let shows_gone = self.deactivated.as_deref() == Some("true");
        found && (shows_gone || !account.deactivated) && (self.guests != Some(false) || !account.guest)
    }
}

pub(crate) async fn synapse_list_users(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let query: Query = request.query()?;
    let (from, limit) = query.page.read()?;
    let platform = operator.platform.server_name().to_owned();
    let (mut users, mut total) = (Vec::new(), 0);
    let mut after: Option<OwnedUserId> = None;
    loop {
        let page = app.accounts.list_accounts(&platform, after.as_ref(), MAX_PAGE).await?;
        for account in page.iter().filter(|account| query.matches(account)) {
            if (from..from + limit).contains(&total) {
                let profile = app.accounts.profile(&account.user_id).await?;
                users.push(to_wire(account, &json!(profile)));
            }
            total += 1;
        }
        let is_last = page.len() < MAX_PAGE || total >= MAX_COUNTED;
        after = page.into_iter().next_back().map(|account| account.user_id);
        if is_last {
            break;
        }
    }
    let mut answer = json!({ "users": users, "total": total });
    if from + limit < total {
        answer["next_token"] = (from + limit).to_string().into();
    }
    Ok(json_answer(&answer))
}

pub(crate) async fn synapse_get_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    Ok(json_answer(&shown(&app, &user_id).await?))
}

async fn shown(app: &App, user_id: &OwnedUserId) -> Result<Value, ApiError> {
    let account = app.accounts.account_info(user_id).await?;
    let profile = app.accounts.profile(user_id).await?;
    Ok(to_wire(&account, &json!(profile)))
}

#[derive(Deserialize)]
struct Change {
    password: Option<String>,
    #[serde(default = "yes")]
    logout_devices: bool,
    displayname: Option<String>,
    admin: Option<bool>,
    deactivated: Option<bool>,
    locked: Option<bool>,
}

fn yes() -> bool {
    true
}

/// Makes an account, or changes one.
pub(crate) async fn synapse_put_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (user_id, change): (_, Change) = (user_of(&operator, &request)?, request.json()?);
    match app.accounts.account_info(&user_id).await {
        Err(AccountsError::NotFound(_)) => {
            let password = change.password.clone();
            let password =
                password.ok_or_else(|| ApiError::invalid_param("a new account needs a password"))?;
            let (platform, admin) = (user_id.server_name().to_owned(), change.admin == Some(true));
            let name = user_id.localpart();
            app.accounts.create_account(&platform, name, password, admin, now_ts()).await?;
        }
        found => {
            found?;
            modify(&app, &operator, &user_id, &change).await?;
        }
    }
    if let Some(name) = change.displayname {
        app.rooms.set_profile_field(&user_id, "displayname", Some(name.into()), now_ts()).await?;
    }
    Ok(json_answer(&shown(&app, &user_id).await?))
}

async fn modify(
    app: &App,
    operator: &Operator,
    user_id: &OwnedUserId,
    change: &Change,
) -> Result<(), ApiError> {
    let is_self = operator.name() == Some(user_id);
    if is_self && (change.admin == Some(false) || change.deactivated == Some(true)) {
        return Err(ApiError::forbidden("another administrator has to do this: nobody might be left"));
    }
    if change.deactivated == Some(false) && app.accounts.account_info(user_id).await?.deactivated {
        return Err(ApiError::forbidden("an account that was deactivated cannot be used again"));
    }
    if let Some(password) = &change.password {
        app.reset_password(user_id, password.clone(), change.logout_devices).await?;
    }
    if let Some(locked) = change.locked {
        app.accounts.set_restricted(operator.name(), user_id, Restriction::Locked, locked).await?;
    }
    if let Some(admin) = change.admin {
        app.accounts.set_admin(user_id, admin).await?;
    }
    if change.deactivated == Some(true) {
        app.deactivate(user_id, None, false, now_ts()).await?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct NewPassword {
    new_password: String,
    #[serde(default = "yes")]
    logout_devices: bool,
}

pub(crate) async fn synapse_reset_password(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let NewPassword { new_password, logout_devices } = request.json()?;
    app.reset_password(&user_id, new_password, logout_devices).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn synapse_deactivate_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    deactivate(&app, &operator, &request).await?;
    Ok(json_answer(&json!({ "id_server_unbind_result": "success" })))
}

#[derive(Deserialize)]
struct Suspend {
    suspend: bool,
}

pub(crate) async fn synapse_suspend_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (user_id, Suspend { suspend }) = (user_of(&operator, &request)?, request.json()?);
    app.accounts.set_restricted(operator.name(), &user_id, Restriction::Suspended, suspend).await?;
    Ok(json_answer(&json!({ format!("user_{user_id}_suspended"): suspend })))
}

pub(crate) async fn synapse_whois(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let devices = app.accounts.list_devices(&user_id).await?;
    let device = |device: &DeviceInfo| {
        let connection =
            json!({ "ip": device.last_seen_ip, "last_seen": device.last_seen_ts, "user_agent": null });
        (device.device_id.to_string(), json!({ "sessions": [{ "connections": [connection] }] }))
    };
    let devices: Map<String, Value> = devices.iter().map(device).collect();
    Ok(json_answer(&json!({ "user_id": user_id, "devices": devices })))
}

pub(crate) async fn synapse_list_devices(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let devices = app.accounts.list_devices(&user_id).await?;
    let device = |device: &DeviceInfo| {
        json!({
            "device_id": device.device_id,
            "display_name": device.display_name,
            "last_seen_ip": device.last_seen_ip,
            "last_seen_ts": device.last_seen_ts,
            "user_id": user_id,
        })
    };
    let devices: Vec<Value> = devices.iter().map(device).collect();
    Ok(json_answer(&json!({ "total": devices.len(), "devices": devices })))
}

#[derive(Deserialize)]
struct Devices {
    devices: Vec<OwnedDeviceId>,
}

pub(crate) async fn synapse_delete_devices(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (user_id, Devices { devices }) = (user_of(&operator, &request)?, request.json()?);
    app.accounts.account_info(&user_id).await?;
    for device_id in devices.iter().take(MAX_PAGE) {
        app.log_device_out(&user_id, device_id).await?;
    }
    Ok(json_answer(&json!({})))
}

pub(crate) async fn synapse_list_joined_rooms(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let rooms = app.rooms_of_account(&user_of(&operator, &request)?).await?;
    Ok(json_answer(&json!({ "total": rooms.len(), "joined_rooms": rooms })))
}

#[derive(Deserialize)]
struct Notice {
    user_id: String,
    content: Map<String, Value>,
}

pub(crate) async fn synapse_send_server_notice(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Notice { user_id, content } = request.json()?;
    let user_id = own_user(&operator, &user_id)?;
    let content = Value::from(content).to_string();
    let (_, event_id) = app.rooms.send_notice(&user_id, &content, now_ts()).await?;
    Ok(json_answer(&json!({ "event_id": event_id })))
}

fn to_wire(account: &AccountInfo, profile: &Value) -> Value {
    json!({
        "name": account.user_id,
        "displayname": profile["displayname"],
        "avatar_url": profile["avatar_url"],
        "is_guest": account.guest,
        "admin": account.admin,
        "deactivated": account.deactivated,
        "locked": account.locked,
        "suspended": account.suspended,
        "shadow_banned": false,
        "user_type": null,
        "creation_ts": account.created_ts,
    })
}
