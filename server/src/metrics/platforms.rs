//! What each platform has and does: people, events, syncs, pushes, messages to the outside, memory for bodies and answers.

use std::fmt::Display;

use linkspan_lifecycle::Totals;
use linkspan_platforms::{HeldMemory, Platform, Sent};
use linkspan_wire::App;

use super::{
    US,
    text::{Kind, Text},
};

/// The most pairs of platforms for which it is told what went from one to the other: what Prometheus keeps for a server
/// should not grow with the square of its platforms. Those that stand first in the configuration are told.
const MAX_PAIRS: usize = 1_024;

/// Writes a metric with a sample for each platform.
fn write_each<V: Display>(
    text: &mut Text,
    app: &App,
    (name, kind, help): (&'static str, Kind, &str),
    value: impl Fn(&Platform) -> V,
) {
    let mut metric = text.metric(name, kind, help);
    for platform in app.platforms.iter() {
        metric.sample(&[("platform", platform.server_name().as_str())], value(&platform));
    }
}

/// Writes everything about platforms.
pub(super) fn write(text: &mut Text, app: &App) {
    write_totals(text, app);
    write_events(text, app);
    write_syncs(text, app);
    write_sent(text, app);
    write_refusals(text, app);
    write_held(text, app);
}

fn write_totals(text: &mut Text, app: &App) {
    let totals = |platform: &Platform| app.census.totals(platform.server_name()).unwrap_or_default();
    let mut metric = text.metric(
        "linkspan_accounts",
        Kind::Gauge,
        "Accounts by their state, as they were counted last: in use, of guests, deactivated.",
    );
    for platform in app.platforms.iter() {
        let Totals { accounts, guests, deactivated, .. } = totals(&platform);
        for (state, count) in [("in_use", accounts), ("guest", guests), ("deactivated", deactivated)] {
            metric.sample(&[("platform", platform.server_name().as_str()), ("state", state)], count);
        }
    }
    let devices = ("linkspan_devices", Kind::Gauge, "Devices that are logged in, as they were counted last.");
    write_each(text, app, devices, |platform| totals(platform).devices);
    let rooms = (
        "linkspan_rooms",
        Kind::Gauge,
        "Rooms by the platform of who created them, as they were counted last.",
    );
    write_each(text, app, rooms, |platform| totals(platform).rooms);
    let files = ("linkspan_media_files", Kind::Gauge, "Uploads that are kept, as they were counted last.");
    write_each(text, app, files, |platform| totals(platform).media_files);
    let bytes = ("linkspan_media_bytes", Kind::Gauge, "Bytes of these uploads, without thumbnails.");
    write_each(text, app, bytes, |platform| totals(platform).media_bytes);
}

fn write_events(text: &mut Text, app: &App) {
    let mut metric = text.metric(
        "linkspan_events_sent_total",
        Kind::Counter,
        "Events that a platform's people have sent, by kind; messages are m.room.message, m.room.encrypted and m.sticker.",
    );
    for platform in app.platforms.iter() {
        let counts = &platform.counts;
        let kinds = [
            ("message", &counts.messages),
            ("state", &counts.state_events),
            ("redaction", &counts.redactions),
            ("other", &counts.other_events),
        ];
        for (kind, count) in kinds {
            let labels = [("platform", platform.server_name().as_str()), ("kind", kind)];
            metric.sample(&labels, count.read());
        }
    }
    let created =
        ("linkspan_rooms_created_total", Kind::Counter, "Rooms that a platform's people have created.");
    write_each(text, app, created, |platform| platform.counts.rooms_created.read());
    let mut metric = text.metric(
        "linkspan_messages_between_platforms_total",
        Kind::Counter,
        "Messages of one platform's people in rooms with people of another; pairs show once they are used.",
    );
    let platforms: Vec<_> = app.platforms.iter().collect();
    let pairs = platforms.iter().flat_map(|from| platforms.iter().map(move |to| (from, to)));
    let counted = pairs.filter_map(|(from, to)| {
        let count = from.messages_to.get(to.number)?.read();
        (count > 0).then_some((from, to, count))
    });
    for (from, to, count) in counted.take(MAX_PAIRS) {
        metric.sample(&[("from", from.server_name().as_str()), ("to", to.server_name().as_str())], count);
    }
}

fn write_syncs(text: &mut Text, app: &App) {
    let waiting = ("linkspan_syncs_waiting", Kind::Gauge, "Syncs that wait for news.");
    write_each(text, app, waiting, |platform| platform.counts.syncs_waiting.read());
    let mut metric = text.metric(
        "linkspan_sync_work_seconds",
        Kind::Histogram,
        "Time that a sync took, without waiting for news.",
    );
    for platform in app.platforms.iter() {
        let labels = [("platform", platform.server_name().as_str())];
        metric.histogram(&labels, &platform.counts.syncs_us.read(), US);
    }
}

fn write_sent(text: &mut Text, app: &App) {
    let mut metric = text.metric(
        "linkspan_pushes_total",
        Kind::Counter,
        "What became of tries to tell a pusher something: sent, failed, or refused for good.",
    );
    for platform in app.platforms.iter() {
        let counts = &platform.counts;
        let outcomes = [
            ("sent", &counts.pushes.sent),
            ("failed", &counts.pushes.failed),
            ("refused", &counts.pushes_refused),
        ];
        for (outcome, count) in outcomes {
            let labels = [("platform", platform.server_name().as_str()), ("outcome", outcome)];
            metric.sample(&labels, count.read());
        }
    }
    let waiting = ("linkspan_pushers_waiting", Kind::Gauge, "Pushers that have something to be told.");
    write_each(text, app, waiting, |platform| platform.counts.push_queues.read());
    let mails =
        ("linkspan_mails_total", "Mails to a platform's people that were sent, and that were given up.");
    write_outcomes(text, app, mails, |platform| &platform.counts.mails);
    let sms = ("linkspan_sms_total", "SMS to a platform's people that were sent, and that were given up.");
    write_outcomes(text, app, sms, |platform| &platform.counts.sms);
}

fn write_outcomes(
    text: &mut Text,
    app: &App,
    (name, help): (&'static str, &str),
    of: fn(&Platform) -> &Sent,
) {
    let mut metric = text.metric(name, Kind::Counter, help);
    for platform in app.platforms.iter() {
        let Sent { sent, failed } = of(&platform);
        for (outcome, count) in [("sent", sent), ("failed", failed)] {
            let labels = [("platform", platform.server_name().as_str()), ("outcome", outcome)];
            metric.sample(&labels, count.read());
        }
    }
}

fn write_refusals(text: &mut Text, app: &App) {
    let mut metric = text.metric(
        "linkspan_refusals_total",
        Kind::Counter,
        "What was refused by why: somebody did too much of a class of actions.",
    );
    for platform in app.platforms.iter() {
        let mut refused: Vec<_> = platform.rate_limiter.refused().collect();
        refused.sort_by_key(|(class, _)| class.name());
        for (class, refused) in refused {
            let labels = [("platform", platform.server_name().as_str()), ("reason", class.name())];
            metric.sample(&labels, refused);
        }
    }
}

fn write_held(text: &mut Text, app: &App) {
    let bodies = ("linkspan_bodies_held_bytes", Kind::Gauge, "Bodies of requests in memory.");
    write_each(text, app, bodies, |platform| platform.incoming.counts().bytes);
    let refused = (
        "linkspan_bodies_refused_total",
        Kind::Counter,
        "Bodies of requests for which there was no memory left.",
    );
    write_each(text, app, refused, |platform| platform.incoming.counts().refused);
    let limit = ("linkspan_bodies_limit_bytes", "The most that all bodies of requests in memory may be.");
    write_limit(text, app, limit, |platform| &platform.incoming);
    let answers =
        ("linkspan_answers_held_bytes", Kind::Gauge, "Answers in memory that clients have not taken yet.");
    write_each(text, app, answers, |platform| platform.unsent.counts().bytes);
    let refused =
        ("linkspan_answers_refused_total", Kind::Counter, "Answers for which there was no memory left.");
    write_each(text, app, refused, |platform| platform.unsent.counts().refused);
    let limit = ("linkspan_answers_limit_bytes", "The most that all such answers in memory may be.");
    write_limit(text, app, limit, |platform| &platform.unsent);
}

/// Writes the limit that all platforms have in common.
fn write_limit(
    text: &mut Text,
    app: &App,
    (name, help): (&'static str, &str),
    of: fn(&Platform) -> &HeldMemory,
) {
    let mut metric = text.metric(name, Kind::Gauge, help);
    if let Some(platform) = app.platforms.iter().next() {
        metric.sample(&[], of(&platform).limit_bytes());
    }
}
