//! What the store tells of itself: commits, what waits for them, how large everything is, and how full the disk.

use linkspan_platforms::Platforms;
use linkspan_storage::{Shortage, Store, StoreStats};

use super::{
    US,
    text::{Kind, Text},
};

/// Writes what is known of a store and of its disk.
pub(super) async fn write(text: &mut Text, store: &Store, platforms: &Platforms) {
    match store.stats().await {
        Ok(stats) => {
            write_commits(text, &stats);
            write_sizes(text, &stats);
        }
        Err(error) => tracing::warn!(%error, "the store tells nothing of itself"),
    }
    let waiting = || {
        platforms.iter().map(|platform| {
            let waiting = store.waiting_of(platform.server_name());
            (platform, waiting)
        })
    };
    let mut metric = text.metric(
        "linkspan_platform_commits_waiting",
        Kind::Gauge,
        "Write-sets that wait for their group, of requests of a platform's people.",
    );
    for (platform, waiting) in waiting() {
        metric.sample(&[("platform", platform.server_name().as_str())], waiting.count);
    }
    let mut metric = text.metric(
        "linkspan_platform_commits_waiting_bytes",
        Kind::Gauge,
        "Bytes of the write-sets that wait for their group, of requests of a platform's people.",
    );
    for (platform, waiting) in waiting() {
        metric.sample(&[("platform", platform.server_name().as_str())], waiting.bytes);
    }
    let mut metric = text.metric(
        "linkspan_disk_reserve_bytes",
        Kind::Gauge,
        "The free space from which on uploads are refused; at half of it, most writes.",
    );
    if let Some(reserve) = store.space().reserve_bytes() {
        metric.sample(&[], reserve);
    }
    let shortage = store.space().shortage();
    let mut metric =
        text.metric("linkspan_disk_stops", Kind::Gauge, "Whether the disk is so full that this is refused.");
    let stops =
        [("uploads", Shortage::Uploads), ("writes", Shortage::Writes), ("everything", Shortage::Everything)];
    for (what, from) in stops {
        metric.sample(&[("what", what)], u8::from(shortage >= from));
    }
}

fn write_commits(text: &mut Text, stats: &StoreStats) {
    let commits = &stats.commits;
    text.counter("linkspan_commits_total", "Write-sets that are on disk.", commits.group_sizes.sum);
    text.metric("linkspan_commit_group_size", Kind::Histogram, "How many write-sets went to disk together.")
        .histogram(&[], &commits.group_sizes, 1.0);
    text.metric("linkspan_commit_duration_seconds", Kind::Histogram, "Time until a group was on disk.")
        .histogram(&[], &commits.durations_us, US);
    text.metric(
        "linkspan_commit_wait_seconds",
        Kind::Histogram,
        "Time from when a write-set was queued until it was on disk.",
    )
    .histogram(&[], &commits.waits_us, US);
    text.gauge("linkspan_commits_waiting", "Write-sets that wait for their group.", commits.waiting);
    text.gauge(
        "linkspan_commits_waiting_bytes",
        "Bytes of the write-sets that wait for their group.",
        commits.waiting_bytes,
    );
    let mut metric = text.metric(
        "linkspan_commits_refused_total",
        Kind::Counter,
        "Write-sets that were refused: busy, too much waited; full, the disk is nearly full.",
    );
    metric.sample(&[("reason", "busy")], commits.refused_busy);
    metric.sample(&[("reason", "full")], commits.refused_full);
    let mut metric = text.metric(
        "linkspan_rows_written_total",
        Kind::Counter,
        "Rows put into each table: timeline are events, to_device are messages to devices.",
    );
    for &(table, put) in &commits.rows_put {
        metric.sample(&[("table", table)], put);
    }
}

fn write_sizes(text: &mut Text, stats: &StoreStats) {
    let mut metric = text.metric(
        "linkspan_table_rows",
        Kind::Gauge,
        "About how many rows a table has; those replaced or deleted lately may be counted, too.",
    );
    for table in &stats.tables {
        metric.sample(&[("table", table.name)], table.rows);
    }
    let mut metric = text.metric("linkspan_table_bytes", Kind::Gauge, "Bytes in the files of a table.");
    for table in &stats.tables {
        metric.sample(&[("table", table.name)], table.bytes);
    }
    text.gauge("linkspan_store_bytes", "The size of the store on disk.", stats.disk_bytes);
    text.gauge("linkspan_store_cache_bytes", "Blocks of the store in memory.", stats.cache_bytes);
    text.gauge("linkspan_store_cache_limit_bytes", "The most that these may be.", stats.cache_limit_bytes);
    text.gauge(
        "linkspan_store_unwritten_bytes",
        "Rows in memory that are only in the journal yet.",
        stats.unwritten_bytes,
    );
}
