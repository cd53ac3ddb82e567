//! What was measured, as a page for the documentation and as lines for the terminal.

use std::time::Duration;

use super::{Entry, Figures, Measured, xmpp_load::ARCHIVES};
use crate::{
    load::{Outcome, percentile},
    report::{MIB, circumstances, fill, grouped, ms},
    scenarios::per_second,
};

/// The part of the processors that others on the machine may use. If they use more, the figures are
/// worthless.
const QUIET: f64 = 0.1;

/// A whole run.
pub(super) struct Page {
    /// Whether counts are small, so that the figures say nothing.
    pub(super) quick: bool,
    /// The median time of one disk sync where the data lay, if known.
    pub(super) disk_sync_us: Option<u64>,
    /// How long each load lasted.
    pub(super) load: Duration,
    pub(super) linkspan: Figures,
    pub(super) entries: Vec<Entry>,
}

impl Page {
    /// Writes everything in Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut page = String::from("# Peers\n\n");
        page.push_str(&fill(
            "Written by `make bench-peers` (the crate `bench/`); do not edit. Linkspan's own figures: \
             [benchmarks](benchmarks.md).",
        ));
        page.push('\n');
        for (name, value) in circumstances(self.disk_sync_us) {
            page.push_str(&format!("- {name}: {value}\n"));
        }
        page.push_str(&format!("- Linkspan: {}\n", self.linkspan.version));
        for entry in &self.entries {
            let state = match &entry.figures {
                Ok(figures) => figures.version.clone(),
                Err(reason) => format!("**not run**: {}", reason.replace('\n', " ")),
            };
            page.push_str(&format!("- {}: {state}\n", entry.peer.title()));
        }
        if self.quick {
            page.push_str("\n**A quick run with small counts: its figures say nothing.**\n");
        }
        if let Some(share) = self.disturbance().filter(|share| *share > QUIET) {
            page.push('\n');
            page.push_str(&fill(&format!(
                "**The machine was not quiet: other programs used up to {:.0} % of its processors during a \
                 load. Figures and ratios must be taken again.**",
                share * 100.0
            )));
        }
        page.push_str("\n## As fast as acknowledgements come\n\n");
        page.push_str(&fill(&format!(
            "{} people in pairs, the two of a pair on different platforms; each has 4 sends open for {} s \
             and receives at the same time. Ratios stand in brackets, Linkspan : peer for messages and peer \
             : Linkspan for all that is better when small, so that more than 1 always speaks for Linkspan.",
            self.linkspan.people,
            self.load.as_secs(),
        )));
        page.push('\n');
        page.push_str(&table(
            &[
                "server",
                "acknowledged /s",
                "delivered /s",
                "acknowledgement p50",
                "p99",
                "server CPU for a message",
                "server memory",
                "missing / doubled",
            ],
            self.rows(|figures| Some(flat_out_row(figures, &self.linkspan))),
        ));
        page.push_str("\n## Delay at a rate that the server sustains\n\n");
        page.push_str(&fill(
            "The same people, messages due at fixed times: 500 messages per second in total, or 60 % of what \
             the server did above, if that is less. From the time a message was due until it was read at the \
             receiver. Linkspan was measured at each of these rates too, and is compared at the same one.",
        ));
        page.push('\n');
        page.push_str(&table(
            &[
                "server",
                "rate",
                "acknowledged, of due",
                "acknowledgement p50",
                "p99",
                "arrival p50",
                "p99",
                "server CPU for a message",
                "missing / doubled",
            ],
            self.rows(|figures| paced_row(figures, &self.linkspan)),
        ));
        page.push_str(&self.explanation());
        page
    }

    /// The greatest part of the processors that others used during a load, if it is known.
    fn disturbance(&self) -> Option<f64> {
        let peers = self.entries.iter().flat_map(|entry| &entry.figures);
        let loads = std::iter::once(&self.linkspan).chain(peers).flat_map(|figures| {
            figures.paced.iter().map(|(_, measured)| measured).chain([&figures.flat_out])
        });
        loads.filter_map(|measured| measured.outcome.others).max_by(f64::total_cmp)
    }

    /// One row of Linkspan's, and one of each peer. A peer that was not run has a row that says so.
    fn rows(&self, row: impl Fn(&Figures) -> Option<Vec<String>>) -> Vec<Vec<String>> {
        let mut rows = vec![row(&self.linkspan).unwrap_or_default()];
        for entry in &self.entries {
            let not_run = || vec![entry.peer.title().to_owned(), "not run, see above".to_owned()];
            rows.push(entry.figures.as_ref().ok().and_then(&row).unwrap_or_else(not_run));
        }
        rows
    }

    fn explanation(&self) -> String {
        let mut text = String::from("\n## What is compared\n\n");
        text.push_str(&fill(
            "All servers ran one after the other on this machine and shared its cores with the load \
             generator, which runs on one thread and is the same for all: it counts what arrived against \
             what was acknowledged and measures delays in the same way. No client's connection is encrypted. \
             Processor time and memory are those of all processes of a server, its database included; memory \
             that processes share is counted once. Limits on rates are off, logs hold warnings only; \
             otherwise the servers are configured as they come. PostgreSQL has 256 MiB of shared buffers and \
             syncs to the disk at every commit, as it does by default. Missing is what had not arrived when \
             for three seconds nothing came any more, or a minute after the load.",
        ));
        text.push('\n');
        text.push_str(&fill(
            "An XMPP server has less to do than a Matrix server: a message there is no signed event in a \
             graph, no state of a room is resolved or checked for it, the sender's own devices are not told \
             of it, and its client keeps one stream open instead of asking for news. What it archives is one \
             row for each side. Ratios to ejabberd and Prosody compare what people notice, not the same \
             work. For the same reason only the receiver counts arrivals there; with Matrix both people of a \
             room do.",
        ));
        text.push_str("\n### Linkspan\n\n");
        text.push_str(&fill(
            "One process that hosts three platforms; the two people of a room are on different ones. \
             Acknowledged means: the event is in the room's graph and in the inboxes of all members, and a \
             disk sync has ended since. What is acknowledged at the same time shares one.",
        ));
        text.push_str(&loads(&self.linkspan));
        for entry in &self.entries {
            text.push_str(&format!("\n### {}\n\n", entry.peer.title()));
            text.push_str(&fill(entry.peer.description()));
            if let Ok(figures) = &entry.figures {
                text.push_str(&loads(figures));
            }
        }
        text
    }

    /// The ratios, as text for the terminal.
    pub(super) fn summary(&self) -> String {
        let ours = &self.linkspan.flat_out.outcome;
        let mut text = String::new();
        for figures in self.entries.iter().flat_map(|entry| &entry.figures) {
            let theirs = &figures.flat_out.outcome;
            text.push_str(&format!(
                "Linkspan : {} = {} in messages, {} in processor time for one\n",
                figures.title,
                times(per_second(ours.acked, ours), per_second(theirs.acked, theirs)),
                times(cpu_us(theirs), cpu_us(ours)),
            ));
        }
        text
    }
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for mut row in rows {
        row.resize(head.len(), "–".to_owned());
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

fn flat_out_row(figures: &Figures, linkspan: &Figures) -> Vec<String> {
    let (theirs, ours) = (&figures.flat_out.outcome, &linkspan.flat_out.outcome);
    let same = figures.title == linkspan.title;
    let rate = |count: fn(&Outcome) -> u64| {
        let (theirs, ours) = (per_second(count(theirs), theirs), per_second(count(ours), ours));
        with_ratio(grouped(theirs as u64), ours, theirs, same)
    };
    vec![
        figures.title.to_owned(),
        rate(|outcome| outcome.acked),
        rate(|outcome| outcome.delivered),
        delay(&theirs.ack_us, &ours.ack_us, 0.5, same),
        delay(&theirs.ack_us, &ours.ack_us, 0.99, same),
        cpu(theirs, ours, same),
        with_ratio(
            format!("{} MiB", grouped(memory(theirs) / MIB)),
            memory(theirs) as f64,
            memory(ours) as f64,
            same,
        ),
        format!("{} / {}", theirs.missing, theirs.duplicated),
    ]
}

/// The row of the first rate that a server was measured at. A peer has only one.
fn paced_row(figures: &Figures, linkspan: &Figures) -> Option<Vec<String>> {
    let (rate, Measured { outcome: theirs, .. }) = figures.paced.first()?;
    let ours = linkspan.at(*rate)?;
    let same = figures.title == linkspan.title;
    Some(vec![
        figures.title.to_owned(),
        format!("{} /s", grouped(*rate as u64)),
        format!("{} of {}", grouped(theirs.acked), grouped(theirs.due)),
        delay(&theirs.ack_us, &ours.ack_us, 0.5, same),
        delay(&theirs.ack_us, &ours.ack_us, 0.99, same),
        delay(&theirs.latency_us, &ours.latency_us, 0.5, same),
        delay(&theirs.latency_us, &ours.latency_us, 0.99, same),
        cpu(theirs, ours, same),
        format!("{} / {}", theirs.missing, theirs.duplicated),
    ])
}

/// Paragraphs on a server's loads: how much they were, what its archives hold, and what went wrong.
fn loads(figures: &Figures) -> String {
    let mut text = String::new();
    let flat_out = std::iter::once(("Flat out".to_owned(), &figures.flat_out));
    let paced = figures.paced.iter().map(|(rate, measured)| {
        let outcome = &measured.outcome;
        let delays = [0.5, 0.99].map(|part| ms(percentile(&outcome.latency_us, part)));
        (format!("At {} /s, arrival p50 {}, p99 {}", grouped(*rate as u64), delays[0], delays[1]), measured)
    });
    for (name, Measured { outcome, archived, errors }) in flat_out.chain(paced) {
        let mut line = format!(
            "{name}: {} messages acknowledged in {:.1} s; processor time {} ms, of the generator {} ms.",
            grouped(outcome.acked),
            outcome.elapsed.as_secs_f64(),
            outcome.server.map_or("unknown".to_owned(), |usage| grouped(usage.cpu_ms)),
            grouped(outcome.own_cpu_ms),
        );
        if let Some(others) = outcome.others {
            line.push_str(&format!(" Other programs used {:.0} % of the processors.", others * 100.0));
        }
        if let Some(archived) = archived {
            line.push_str(&format!(
                " The archives of up to {ARCHIVES} people, who were asked, grew by {} of {} messages.",
                grouped(archived.found),
                grouped(archived.expected)
            ));
        }
        if outcome.backfilled > 0 {
            let count = grouped(outcome.backfilled);
            line.push_str(&format!(" {count} messages were found only by reading rooms back afterwards."));
        }
        for (error, count) in errors {
            line.push_str(&format!(" {count} × {error}."));
        }
        text.push('\n');
        text.push_str(&fill(&line));
    }
    text
}

fn delay(theirs: &[u32], ours: &[u32], part: f64, same: bool) -> String {
    let (theirs, ours) = (percentile(theirs, part), percentile(ours, part));
    with_ratio(ms(theirs), f64::from(theirs), f64::from(ours), same)
}

fn cpu(theirs: &Outcome, ours: &Outcome, same: bool) -> String {
    with_ratio(format!("{:.2} ms", cpu_us(theirs) / 1000.0), cpu_us(theirs), cpu_us(ours), same)
}

/// The server's processor time for one acknowledged message, in microseconds.
fn cpu_us(outcome: &Outcome) -> f64 {
    outcome.server.map_or(0.0, |usage| usage.cpu_ms as f64 * 1000.0) / outcome.acked.max(1) as f64
}

fn memory(outcome: &Outcome) -> u64 {
    outcome.server.map_or(0, |usage| usage.rss_bytes)
}

fn with_ratio(figure: String, large: f64, small: f64, same: bool) -> String {
    if same { figure } else { format!("{figure} ({})", times(large, small)) }
}

fn times(large: f64, small: f64) -> String {
    match large / small {
        ratio if !ratio.is_finite() => "–".to_owned(),
        ratio if ratio < 10.0 => format!("{ratio:.2}"),
        ratio => format!("{ratio:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::Peer, server::Usage};

    fn figures(title: &'static str, acked: u64) -> Figures {
        let measured = || Measured {
            outcome: Outcome {
                acked,
                due: acked,
                elapsed: Duration::from_secs(1),
                ack_us: vec![2_000],
                latency_us: vec![3_000],
                server: Some(Usage { cpu_ms: 1_000, rss_bytes: MIB }),
                others: Some(0.25),
                ..Outcome::default()
            },
            archived: None,
            errors: Vec::new(),
        };
        let version = "1".to_owned();
        Figures { title, version, people: 40, flat_out: measured(), paced: vec![(500.0, measured())] }
    }

    #[test]
    fn a_peer_has_its_ratios_or_the_reason_why_not() {
        let page = Page {
            quick: false,
            disk_sync_us: None,
            load: Duration::from_secs(1),
            linkspan: figures("Linkspan", 1_000),
            entries: vec![
                Entry { peer: Peer::Ejabberd, figures: Ok(figures(Peer::Ejabberd.title(), 250)) },
                Entry { peer: Peer::Synapse, figures: Err("it is not installed".to_owned()) },
            ],
        };
        let text = page.markdown();
        assert!(text.contains("| Linkspan | 1,000 | 0 |"), "{text}");
        assert!(text.contains("PostgreSQL | 250 (4.00) |"), "{text}");
        assert!(text.contains("| 4.00 ms (4.00) |"), "processor time for one message: {text}");
        assert!(text.contains("other programs used up to 25 %"), "{text}");
        assert!(text.contains("- Synapse, one for all: **not run**: it is not installed"), "{text}");
        assert!(text.contains("| Synapse, one for all | not run, see above |"), "{text}");
    }
}
