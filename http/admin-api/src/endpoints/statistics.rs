//! How the platform is used, how the server is, and what is limited. Of what all platforms share, an operator sees how
//! much there is and never who uses it; of other platforms, how much goes between them and the own one.

use axum::response::Response;
use linkspan_operators::{Latency, SAMPLED_EVERY, Sample};
use linkspan_platforms::{Platform, Sent};
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    after_ts: u64,
}

pub(crate) async fn get_statistics(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { after_ts } = request.query()?;
    let platform = operator.platform.server_name();
    let samples = app.operators.watched().samples(platform, after_ts);
    let totals = app.census.totals(platform).map(|totals| {
        json!({
            "accounts": totals.accounts,
            "guests": totals.guests,
            "deactivated": totals.deactivated,
            "devices": totals.devices,
            "rooms": totals.rooms,
            "media_files": totals.media_files,
            "media_bytes": totals.media_bytes,
        })
    });
    let latencies = |of: fn(&Sample) -> Option<Latency>| {
        json!({
            "p50": each(&samples, |sample| of(sample).map(|latency| latency.p50_ms)),
            "p99": each(&samples, |sample| of(sample).map(|latency| latency.p99_ms)),
        })
    };
    Ok(json_answer(&json!({
        "interval_ms": SAMPLED_EVERY.as_millis() as u64,
        "ts": each(&samples, |sample| sample.ts),
        "messages_per_second": each(&samples, |sample| sample.messages_per_second),
        "requests_per_second": each(&samples, |sample| sample.requests_per_second),
        "syncs_waiting": each(&samples, |sample| sample.syncs_waiting),
        "send_ms": latencies(|sample| sample.send),
        "sync_ms": latencies(|sample| sample.sync),
        "commits_waiting": each(&samples, |sample| sample.commits_waiting),
        "memory_bytes": each(&samples, |sample| sample.memory_bytes),
        "disk_free_bytes": each(&samples, |sample| sample.disk_free_bytes),
        "disk_bytes": app.operators.watched().condition().and_then(|condition| condition.disk_bytes),
        "totals": totals,
    })))
}

/// One value of each sample.
fn each<V: Serialize>(samples: &[Sample], value: impl Fn(&Sample) -> V) -> Vec<V> {
    samples.iter().map(value).collect()
}

pub(crate) async fn get_health(app: App, operator: Operator, _: WholeRequest) -> Result<Response, ApiError> {
    let platform = &operator.platform;
    let counts = &platform.counts;
    let condition = app.operators.watched().condition();
    let refused: Map<String, Value> = platform
        .rate_limiter
        .refused()
        .filter(|(_, refused)| *refused > 0)
        .map(|(class, refused)| (class.name().to_owned(), json!(refused)))
        .collect();
    Ok(json_answer(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ts": condition.as_ref().map(|condition| condition.ts),
        "started_ts": condition.as_ref().map(|condition| condition.started_ts),
        // Who answers is there.
        "live": condition.as_ref().is_none_or(|condition| condition.live),
        "ready": condition.as_ref().is_none_or(|condition| condition.ready),
        "reasons": condition.map(|condition| condition.reasons).unwrap_or_default(),
        "mails": sent_to_wire(&counts.mails),
        "sms": sent_to_wire(&counts.sms),
        "pushes": sent_to_wire(&counts.pushes),
        "pushers_waiting": counts.push_queues.read(),
        "refused": refused,
    })))
}

fn sent_to_wire(Sent { sent, failed }: &Sent) -> Value {
    json!({ "sent": sent.read(), "failed": failed.read() })
}

pub(crate) async fn get_limits(_: App, operator: Operator, _: WholeRequest) -> Result<Response, ApiError> {
    let settings = &operator.platform.settings;
    Ok(json_answer(&json!({ "rate_limits": settings.rate_limits, "limits": settings.limits })))
}

pub(crate) async fn list_conversations(
    app: App,
    operator: Operator,
    _: WholeRequest,
) -> Result<Response, ApiError> {
    let own = &operator.platform;
    // Of a platform that came only now, the one as it was when it was asked knows nothing yet.
    let sent = |from: &Platform, to: &Platform| from.messages_to.get(to.number).map_or(0, |it| it.read());
    let others = app.platforms.iter().filter(|other| other.number != own.number);
    let conversations: Vec<Value> = others
        .map(|other| {
            json!({
                "server_name": other.server_name(),
                "name": other.display_name(),
                "sent": sent(own, &other),
                "received": sent(&other, own),
            })
        })
        .collect();
    Ok(json_answer(&json!({ "conversations": conversations, "own": own.counts.messages.read() })))
}
