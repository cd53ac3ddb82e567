//! Verifying other people and devices, by comparing emoji.

use std::pin::pin;

use futures_util::StreamExt;
use matrix_sdk::{
    Client,
    encryption::verification::{
        CancelInfo, SasState, SasVerification, VerificationRequest, VerificationRequestState,
    },
    ruma::{
        OwnedUserId, UserId,
        events::{
            key::verification::{VerificationMethod, request::ToDeviceKeyVerificationRequestEvent},
            room::message::{MessageType, OriginalSyncRoomMessageEvent},
        },
    },
};
use serde_json::{Value, json};

use crate::{
    Command, Refused,
    commands::{Answer, done},
    write,
};

/// Obeys a command about verification. None means that it is another kind of command.
pub(crate) async fn obey(client: &Client, name: &str, command: &Command) -> Option<Answer> {
    Some(match name {
        "is_verified" => is_verified(client, command).await,
        "verify" => verify(client, command).await,
        "verification_accept" | "verification_start" | "verification_cancel" => {
            answer(client, name, command).await
        }
        "sas_confirm" | "sas_mismatch" => compare(client, name, command).await,
        _ => return None,
    })
}

/// Tells of requests of others from now on.
pub(crate) fn listen(client: &Client) {
    client.add_event_handler(|event: ToDeviceKeyVerificationRequestEvent, client: Client| async move {
        heard(&client, &event.sender, event.content.transaction_id.as_str()).await;
    });
    client.add_event_handler(|event: OriginalSyncRoomMessageEvent, client: Client| async move {
        if let MessageType::VerificationRequest(_) = &event.content.msgtype {
            heard(&client, &event.sender, event.event_id.as_str()).await;
        }
    });
}

async fn heard(client: &Client, user: &UserId, flow: &str) {
    let request = client.encryption().get_verification_request(user, flow).await;
    if let Some(request) = request.filter(|request| !request.we_started()) {
        let told = Told::new(&request);
        if let VerificationRequestState::Requested { other_device_data, .. } = request.state() {
            told.tell("requested", json!({ "device": other_device_data.device_id() }));
        }
        tokio::spawn(follow(request, told));
    }
}

/// A verification of which each step is told once.
struct Told {
    user: OwnedUserId,
    flow: String,
}

impl Told {
    fn new(request: &VerificationRequest) -> Self {
        Self { user: request.other_user_id().to_owned(), flow: request.flow_id().to_owned() }
    }

    fn tell(&self, state: &str, more: Value) {
        let mut line = json!({
            "event": "verification", "user": self.user, "device": null, "flow": self.flow, "state": state,
            "emoji": null, "reason": null,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            line[key] = value.clone();
        }
        write(&line);
    }

    fn tell_cancelled(&self, info: &CancelInfo) {
        self.tell("cancelled", json!({ "reason": info.cancel_code() }));
    }
}

async fn follow(request: VerificationRequest, told: Told) {
    let mut changes = pin!(request.changes());
    let mut state = Some(request.state());
    let mut ready = false;
    while let Some(now) = state {
        match now {
            VerificationRequestState::Ready { other_device_data, .. } => {
                told.tell("ready", json!({ "device": other_device_data.device_id() }));
                ready = true;
            }
            VerificationRequestState::Transitioned { verification } => {
                let Some(sas) = verification.sas() else { return };
                let device = json!({ "device": sas.other_device().device_id() });
                if !ready {
                    told.tell("ready", device.clone());
                }
                return follow_sas(sas, told, device).await;
            }
            VerificationRequestState::Cancelled(info) => return told.tell_cancelled(&info),
            VerificationRequestState::Done => return,
            VerificationRequestState::Created { .. } | VerificationRequestState::Requested { .. } => {}
        }
        state = changes.next().await;
    }
}

async fn follow_sas(sas: SasVerification, told: Told, device: Value) {
    let mut changes = pin!(sas.changes());
    let mut state = Some(sas.state());
    while let Some(now) = state {
        match now {
            SasState::Started { .. } if !sas.we_started() => {
                if let Err(error) = sas.accept().await {
                    return told.tell("cancelled", json!({ "reason": error.to_string() }));
                }
            }
            SasState::KeysExchanged { emojis: Some(emojis), .. } => {
                let emoji: Vec<_> = emojis.emojis.iter().map(|one| one.description.to_lowercase()).collect();
                told.tell("emoji", json!({ "device": device["device"], "emoji": emoji }));
            }
            SasState::Done { .. } => return told.tell("done", device),
            SasState::Cancelled(info) => return told.tell_cancelled(&info),
            _ => {}
        }
        state = changes.next().await;
    }
}

async fn is_verified(client: &Client, command: &Command) -> Answer {
    let encryption = client.encryption();
    let user = command.user()?;
    let identity = encryption.get_user_identity(&user).await?;
    let device = match command.optional("device") {
        None => None,
        Some(device) => {
            let device = encryption.get_device(&user, device.into()).await?;
            Some(device.is_some_and(|device| device.is_verified()))
        }
    };
    Ok(json!({ "user": identity.map(|identity| identity.is_verified()), "device": device }))
}

async fn verify(client: &Client, command: &Command) -> Answer {
    let encryption = client.encryption();
    let (user, methods) = (command.user()?, vec![VerificationMethod::SasV1]);
    let request = if let Some(device) = command.optional("device") {
        let device = encryption.get_device(&user, device.into()).await?;
        let device = device.ok_or_else(|| Refused::new("the library does not know the device"))?;
        device.request_verification_with_methods(methods).await?
    } else {
        let identity = encryption.get_user_identity(&user).await?;
        let identity =
            identity.ok_or_else(|| Refused::new("the library does not know the person's identity"))?;
        identity.request_verification_with_methods(methods).await?
    };
    let told = Told::new(&request);
    let flow = told.flow.clone();
    tokio::spawn(follow(request, told));
    Ok(json!(flow))
}

async fn answer(client: &Client, name: &str, command: &Command) -> Answer {
    let (user, flow) = (command.user()?, command.text("flow")?);
    let request = client.encryption().get_verification_request(&user, flow).await;
    let request = request.ok_or_else(|| Refused::new("there is no such request"))?;
    match name {
        "verification_accept" => request.accept_with_methods(vec![VerificationMethod::SasV1]).await?,
        "verification_start" => {
            request.start_sas().await?.ok_or_else(|| Refused::new("the request is not ready"))?;
        }
        _ => request.cancel().await?,
    }
    done()
}

async fn compare(client: &Client, name: &str, command: &Command) -> Answer {
    let (user, flow) = (command.user()?, command.text("flow")?);
    let verification = client.encryption().get_verification(&user, flow).await;
    let sas = verification.and_then(|verification| verification.sas());
    let sas = sas.ok_or_else(|| Refused::new("no emoji are being compared"))?;
    if name == "sas_confirm" {
        sas.confirm().await?
    } else {
        sas.mismatch().await?
    }
    done()
}
