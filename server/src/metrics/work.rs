//! Fair lines, connections, and what is in memory.

use std::collections::BTreeMap;

use linkspan_wire::App;

use super::text::{Kind, Text};
use crate::{
    connections::{Connections, End},
    under_way::Requests,
};

/// What is counted of a kind of work.
#[derive(Default)]
struct Line {
    places: usize,
    /// What is done, what waits and what was refused, by platform.
    by_platform: BTreeMap<String, (usize, usize, u64)>,
}

/// Writes who does, waits for and was refused each kind of work whose places are shared.
pub(super) fn write_lines(text: &mut Text, app: &App) {
    let reading = ("reading", app.long_work().shares().clone());
    let mut lines = BTreeMap::<_, Line>::new();
    // Kinds of work that nobody has set up are told, too.
    lines.insert("hooks", Line::default());
    for (work, shares) in app.shares().into_iter().chain([reading]) {
        let line = lines.entry(work).or_default();
        line.places += shares.places();
        for counts in shares.counts() {
            // Whoever is not hosted gets no label.
            if app.platforms.hosts(&counts.platform) {
                let of_platform = line.by_platform.entry(counts.platform.to_string()).or_default();
                of_platform.0 += counts.holding;
                of_platform.1 += counts.waiting;
                of_platform.2 += counts.refused;
            }
        }
    }
    let mut metric = text.metric(
        "linkspan_work_places",
        Kind::Gauge,
        "How much of a kind of work is done at a time at most.",
    );
    for (work, line) in &lines {
        metric.sample(&[("work", work)], line.places);
    }
    let all = || {
        let of_lines = lines.iter();
        of_lines.flat_map(|(work, line)| {
            line.by_platform
                .iter()
                .map(|(platform, counts)| ([("work", *work), ("platform", platform)], counts))
        })
    };
    let mut metric = text.metric(
        "linkspan_work_running",
        Kind::Gauge,
        "How much of a kind of work is done now for a platform; platforms show once they have asked.",
    );
    all().for_each(|(labels, (running, ..))| metric.sample(&labels, running));
    let mut metric =
        text.metric("linkspan_work_waiting", Kind::Gauge, "How much of a kind of work waits for its turn.");
    all().for_each(|(labels, (_, waiting, _))| metric.sample(&labels, waiting));
    let mut metric = text.metric(
        "linkspan_work_refused_total",
        Kind::Counter,
        "How much of a kind of work was refused because too much waited.",
    );
    all().for_each(|(labels, (.., refused))| metric.sample(&labels, refused));
}

/// Writes which connections there are, and what became of others.
pub(super) fn write_connections(text: &mut Text, connections: &Connections) {
    let counts = connections.counts();
    let all = || counts.iter().map(|(platform, counts)| (platform, counts));
    let mut metric = text.metric(
        "linkspan_connections",
        Kind::Gauge,
        "Open connections; any: of where all platforms are.",
    );
    all().for_each(|(platform, counts)| metric.sample(&[("platform", platform)], counts.open));
    text.gauge(
        "linkspan_connections_limit",
        "The most open connections that there may be.",
        connections.most(),
    );
    let mut metric =
        text.metric("linkspan_connections_accepted_total", Kind::Counter, "Connections that were accepted.");
    all().for_each(|(platform, counts)| metric.sample(&[("platform", platform)], counts.admitted));
    let mut metric = text.metric(
        "linkspan_connections_refused_total",
        Kind::Counter,
        "Connections that were refused because all others were in a request.",
    );
    all().for_each(|(platform, counts)| metric.sample(&[("platform", platform)], counts.refused));
    let mut metric = text.metric(
        "linkspan_connections_ended_total",
        Kind::Counter,
        "Connections that the server has ended, by why.",
    );
    for (platform, counts) in all() {
        for (end, count) in End::ALL.into_iter().zip(counts.ended) {
            metric.sample(&[("platform", platform), ("reason", end.name())], count);
        }
    }
}

/// Writes how many requests were turned away before anything was done for them.
pub(super) fn write_turned_away(text: &mut Text, app: &App, requests: &Requests) {
    let mut metric = text.metric(
        "linkspan_requests_turned_away_total",
        Kind::Counter,
        "Requests that were answered by 429 at once, because too many of a network or platform were under way.",
    );
    for platform in app.platforms.iter() {
        metric.sample(&[("platform", platform.server_name().as_str())], requests.refused(platform.number));
    }
}

/// Writes what is in memory.
pub(super) fn write_memory(text: &mut Text, app: &App) {
    let entries = app.inbox.memory_entries();
    let mut metric =
        text.metric("linkspan_memory_entries", Kind::Gauge, "What is in memory because it is used.");
    for (what, count) in entries.into_iter().chain([("live_rooms", app.rooms.count_live())]) {
        metric.sample(&[("what", what)], count);
    }
    let caches = app.cache_sizes();
    let mut metric = text.metric("linkspan_cache_entries", Kind::Gauge, "How many copies a cache keeps.");
    for &(name, size) in &caches {
        metric.sample(&[("cache", name)], size.entries);
    }
    let mut metric = text.metric(
        "linkspan_cache_weight",
        Kind::Gauge,
        "What a cache counts towards its limit: about bytes, or entries where all are small.",
    );
    for &(name, size) in &caches {
        metric.sample(&[("cache", name)], size.weight);
    }
    let mut metric = text.metric("linkspan_cache_weight_limit", Kind::Gauge, "The most that this may be.");
    for &(name, size) in &caches {
        metric.sample(&[("cache", name)], size.limit);
    }
}
