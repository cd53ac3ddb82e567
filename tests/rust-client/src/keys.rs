//! Cross-signing, backups of room keys, and the person's own devices.

use std::path::PathBuf;

use matrix_sdk::{
    Client,
    encryption::backups::BackupState,
    ruma::api::client::{
        backup::get_latest_backup_info,
        keys::get_keys,
        uiaa::{AuthData, Password, UiaaInfo, UserIdentifier},
    },
};
use serde_json::json;

use crate::{
    Command, Refused,
    commands::{Answer, done},
};

/// Obeys a command about keys. None means that it is another kind of command.
pub(crate) async fn obey(client: &Client, name: &str, command: &Command) -> Option<Answer> {
    Some(match name {
        "bootstrap_cross_signing" => bootstrap(client, command).await,
        "cross_signing" => cross_signing(client).await,
        "enable_recovery" => enable_recovery(client).await,
        "backed_up" => backed_up(client).await,
        "recover" => recover(client, command).await,
        "backup" => backup(client).await,
        "devices" => devices(client).await,
        "delete_device" => delete_device(client, command).await,
        "export_keys" => export(client, command).await,
        "import_keys" => import(client, command).await,
        _ => return None,
    })
}

/// Checks that others can encrypt for this device.
pub(crate) async fn check_uploaded(client: &Client) -> Result<(), Refused> {
    let (Some(me), Some(device)) = (client.user_id(), client.device_id()) else {
        return Err(Refused::new("not logged in"));
    };
    let mut request = get_keys::v3::Request::new();
    request.device_keys.insert(me.to_owned(), Vec::new());
    let mine = client.send(request).await?.device_keys;
    if mine.get(me).is_some_and(|mine| mine.contains_key(device)) {
        return Ok(());
    }
    Err(Refused::new("the device's keys were not uploaded"))
}

/// The password for the stage that the server asks for.
fn password(client: &Client, command: &Command, info: &UiaaInfo) -> Result<AuthData, Refused> {
    let me = client.user_id().ok_or_else(|| Refused::new("not logged in"))?;
    let mut password =
        Password::new(UserIdentifier::Matrix(me.to_owned().into()), command.text("password")?.to_owned());
    password.session = info.session.clone();
    Ok(AuthData::Password(password))
}

async fn bootstrap(client: &Client, command: &Command) -> Answer {
    let encryption = client.encryption();
    if let Err(error) = encryption.bootstrap_cross_signing(None).await {
        let Some(info) = error.as_uiaa_response() else { return Err(error.into()) };
        encryption.bootstrap_cross_signing(Some(password(client, command, info)?)).await?;
    }
    done()
}

async fn cross_signing(client: &Client) -> Answer {
    let encryption = client.encryption();
    let status = encryption.cross_signing_status().await;
    let device = encryption.get_own_device().await?;
    Ok(json!({
        "private": status.is_some_and(|status| status.is_complete()),
        "signed": device.is_some_and(|device| device.is_cross_signed_by_owner()),
    }))
}

async fn enable_recovery(client: &Client) -> Answer {
    let key = client.encryption().recovery().enable().wait_for_backups_to_upload().await?;
    Ok(json!({ "key": key }))
}

async fn backed_up(client: &Client) -> Answer {
    client.encryption().backups().wait_for_steady_state().await?;
    done()
}

async fn recover(client: &Client, command: &Command) -> Answer {
    client.encryption().recovery().recover(command.text("key")?).await?;
    if client.encryption().backups().state() != BackupState::Enabled {
        return Err(Refused::new("the backup is not in use"));
    }
    done()
}

async fn backup(client: &Client) -> Answer {
    if !client.encryption().backups().are_enabled().await {
        return Ok(json!({ "version": null }));
    }
    let info = client.send(get_latest_backup_info::v3::Request::new()).await?;
    Ok(json!({ "version": info.version }))
}

async fn devices(client: &Client) -> Answer {
    let all = client.devices().await?.devices;
    Ok(all.iter().map(|one| json!({ "device": one.device_id, "name": one.display_name })).collect())
}

async fn delete_device(client: &Client, command: &Command) -> Answer {
    let devices = [command.device()?];
    if let Err(error) = client.delete_devices(&devices, None).await {
        let Some(info) = error.as_uiaa_response() else { return Err(error.into()) };
        client.delete_devices(&devices, Some(password(client, command, info)?)).await?;
    }
    done()
}

async fn export(client: &Client, command: &Command) -> Answer {
    let path = PathBuf::from(command.text("path")?);
    client.encryption().export_room_keys(path, command.text("passphrase")?, |_| true).await?;
    done()
}

async fn import(client: &Client, command: &Command) -> Answer {
    let path = PathBuf::from(command.text("path")?);
    client.encryption().import_room_keys(path, command.text("passphrase")?).await?;
    done()
}
