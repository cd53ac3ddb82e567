//! Encrypting what the built-in client says: finding out for whom, and giving them the key first.

use std::sync::Arc;

use hyper::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    device::{Device, Peer},
    http::{Http, escape},
};
use crate::person::Refusal;

/// The content of the `m.room.encrypted` that stands for a message. All devices of who is in the room have
/// its key then; they are asked for each time, so that nobody is forgotten who came a moment ago.
pub(super) async fn seal(
    http: &Http,
    device: &Arc<Mutex<Device>>,
    room: &str,
    (kind, content): (&str, Value),
) -> Result<Value, Refusal> {
    let path = format!("/rooms/{}/joined_members", escape(room));
    let members = http.json(Method::GET, &path, Value::Null).await?;
    let members = members["joined"].as_object().into_iter().flatten();
    let wanted: Value = members.map(|(user, _)| (user.clone(), json!([]))).collect();
    let known = http.post("/keys/query", json!({ "device_keys": wanted })).await?;
    let newcomers = {
        let mut device = device.lock();
        let peers = device.peers(&known);
        device.newcomers(room, &peers)
    };
    if !newcomers.is_empty() {
        share(http, device, room, &newcomers).await?;
    }
    device.lock().seal(room, kind, content)
}

async fn share(http: &Http, device: &Mutex<Device>, room: &str, peers: &[Peer]) -> Result<(), Refusal> {
    let claim = device.lock().claim(peers);
    if let Some(claim) = claim {
        let claimed = http.post("/keys/claim", claim).await?;
        device.lock().take_claimed(peers, &claimed);
    }
    let messages = device.lock().share(room, peers)?;
    let path = format!("/sendToDevice/m.room.encrypted/{:032x}", rand::random::<u128>());
    http.json(Method::PUT, &path, json!({ "messages": messages })).await?;
    device.lock().has_shared(room, &messages);
    Ok(())
}
