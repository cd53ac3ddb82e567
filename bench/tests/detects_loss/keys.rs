//! The keys that the server in memory has for the only device of each user.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::world::{Fault, VICTIM};

#[derive(Default)]
pub(crate) struct KeyStore {
    devices: HashMap<String, Device>,
    claimed: u64,
}

struct Device {
    device_id: String,
    keys: Value,
    one_time: Vec<(String, Value)>,
}

impl KeyStore {
    pub(crate) fn answer(&mut self, user: &str, action: &str, body: &Value, fault: Fault) -> Value {
        match action {
            "upload" => self.upload(user, body),
            "query" => self.query(&body["device_keys"]),
            _ => self.claim(&body["one_time_keys"], fault),
        }
    }

    fn upload(&mut self, user: &str, body: &Value) -> Value {
        let keys = body["device_keys"].clone();
        let device_id = keys["device_id"].as_str().expect("the generator says which device").to_owned();
        let one_time = body["one_time_keys"].as_object().cloned().unwrap_or_default().into_iter().collect();
        self.devices.insert(user.to_owned(), Device { device_id, keys, one_time });
        json!({"one_time_key_counts": {}})
    }

    fn query(&self, wanted: &Value) -> Value {
        let of_user = |user: &String| {
            let device = self.devices.get(user)?;
            Some((user.clone(), json!({ &device.device_id: device.keys })))
        };
        let found: Map<String, Value> =
            wanted.as_object().into_iter().flat_map(Map::keys).filter_map(of_user).collect();
        json!({ "device_keys": found })
    }

    fn claim(&mut self, wanted: &Value, fault: Fault) -> Value {
        let mut found = Map::new();
        for user in wanted.as_object().into_iter().flat_map(Map::keys) {
            let Some(device) = self.devices.get_mut(user) else { continue };
            let Some((name, key)) = device.one_time.pop() else { continue };
            self.claimed += 1;
            if self.claimed == VICTIM && fault == Fault::HandOutTwice {
                device.one_time.push((name.clone(), key.clone()));
            }
            if self.claimed != VICTIM || fault != Fault::LoseKey {
                found.insert(user.clone(), json!({ &device.device_id: { name: key } }));
            }
        }
        json!({ "one_time_keys": found })
    }
}
