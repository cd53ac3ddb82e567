//! What messages take on the disk, and how much the server writes for them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{finding_of, only_with_own_server, pairs, settle};
use crate::{
    client::encode,
    load::{Exchange, Pace, Plan, exchange},
    report::{Finding, Row},
    server::{Server, written_bytes},
    setup::{Bench, BenchError, During},
};

/// How many bytes may be stored for each byte of an event's JSON.
const STORED_TARGET: f64 = 2.5;
const MB: f64 = 1_000_000.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let Some(mut fresh) = bench.on_fresh_server().await? else {
        return Ok(only_with_own_server());
    };
    let pairs = pairs(&mut fresh).await?;
    settle(&fresh).await;
    let data = |bench: &Bench| {
        let size = bench.server.as_ref().map(Server::data_size).transpose();
        size.map(Option::unwrap_or_default).map_err(|error| BenchError::Other(error.to_string()))
    };
    let written = |bench: &Bench| bench.pid().and_then(written_bytes);
    let (data_before, written_before) = (data(&fresh)?, written(&fresh));
    let length = fresh.settings.load.max(Duration::from_secs(2));
    let plan = Plan { pace: Pace::FlatOut, length, gap_closers: usize::MAX };
    let outcome = exchange(&mut fresh, &pairs, &plan).await?;
    settle(&fresh).await;
    let (data_after, written_after) = (data(&fresh)?, written(&fresh));

    let event_bytes = event_bytes(&pairs).await?;
    let events_mb = outcome.acked as f64 * event_bytes / MB;
    let stored_mb = data_after.all_bytes.saturating_sub(data_before.all_bytes) as f64 / MB;
    let journals_mb = data_after.journal_bytes.saturating_sub(data_before.journal_bytes) as f64 / MB;
    let tables = (stored_mb - journals_mb) / events_mb;
    let mut rows = vec![
        Row::new("stored in tables for each byte of event JSON")
            .figure(format!("{tables:.2} B"))
            .target("< 2.5 B", tables < STORED_TARGET),
        Row::new("journals, which have a greatest size").figure(format!("{journals_mb:.0} MB")),
    ];
    // A file system in memory writes nothing.
    let written_mb = written_before.zip(written_after).map(|(before, after)| (after - before) as f64 / MB);
    rows.push(Row::new("written for each byte of event JSON").figure(match written_mb {
        Some(written_mb) if written_mb > 0.0 => format!("{:.2} B", written_mb / events_mb),
        _ => "not known".to_owned(),
    }));
    let mut finding = finding_of(&outcome, rows);
    finding.describe(format!(
        "The load of one-to-one on a process and data of its own, and then rest, in which the server writes \
         tables and compacts them as it always does. An event's JSON is what another server would be given, \
         unsigned: {event_bytes:.0} bytes on average, {events_mb:.0} MB in all. Stored is what all files of \
         the data folder have grown by, {stored_mb:.0} MB, so with the indices, inboxes, unread counts and \
         transactions of these messages; {journals_mb:.0} MB of it are journals, which are compared with \
         nothing: they hold what is to be replayed at a start and do not grow with the messages. Written is \
         what the system has written to the disk for the process.",
    ));
    Ok(finding)
}

/// The mean size of the newest messages of the first room in the form for servers. It includes what clients
/// are not told, but no signature.
async fn event_bytes(pairs: &Exchange) -> Result<f64, BenchError> {
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=50", encode(&pairs.rooms[0].id));
    let body = pairs.users[0].client().get(&path).await.during("messages")?;
    let page: Value = serde_json::from_slice(&body).during("messages")?;
    let sizes: Vec<usize> = page["chunk"].as_array().into_iter().flatten().map(pdu_bytes).collect();
    if sizes.is_empty() {
        return Err(BenchError::Other("the room has no events".to_owned()));
    }
    Ok(sizes.iter().sum::<usize>() as f64 / sizes.len() as f64)
}

/// The size of the PDU of a message that follows one event and is allowed by the sender's membership and the
/// power levels.
fn pdu_bytes(event: &Value) -> usize {
    let id = "$abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
    let pdu = json!({
        "auth_events": [id, id],
        "content": event["content"],
        "depth": 10_000,
        "hashes": { "sha256": &id[1..] },
        "origin_server_ts": event["origin_server_ts"],
        "prev_events": [id],
        "room_id": event["room_id"],
        "sender": event["sender"],
        "type": event["type"],
    });
    pdu.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdu_is_what_servers_exchange() {
        let id = "$abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
        let event = json!({
            "event_id": id, "room_id": "!r", "sender": "@a:b", "type": "m.room.message", "content": {},
            "origin_server_ts": 1, "unsigned": {"age": 5},
        });
        let pdu = format!(
            r#"{{"auth_events":["{id}","{id}"],"content":{{}},"depth":10000,"hashes":{{"sha256":"{}"}},"#,
            &id[1..]
        ) + &format!(
            r#""origin_server_ts":1,"prev_events":["{id}"],"room_id":"!r","sender":"@a:b","#
        ) + r#""type":"m.room.message"}"#;
        assert_eq!(pdu_bytes(&event), pdu.len());
    }
}
