//! Findings as a table for the terminal and as a page for the documentation. No measuring happens here.

use std::{fs, process::Command, time::Duration, time::SystemTime, time::UNIX_EPOCH};

use crate::server::Usage;

/// The number of bytes in a MiB.
pub(crate) const MIB: u64 = 1024 * 1024;

/// One figure.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    measured: String,
    figure: String,
    target: String,
    met: Option<bool>,
    always: bool,
    measure: Option<Measure>,
}

/// A figure as a number that can be compared with the same figure of another time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Measure {
    /// The figure is better if it is more.
    Rate(f64),
    /// The figure is better if it is less.
    Cost(f64),
}

impl Measure {
    /// How many times worse this is than it was before.
    pub(crate) fn worse_than(self, before: Self) -> f64 {
        self.cost() / before.cost()
    }

    /// A number that is less the better the figure is.
    pub(crate) fn cost(self) -> f64 {
        match self {
            Self::Rate(rate) => rate.recip(),
            Self::Cost(cost) => cost,
        }
    }
}

impl Row {
    /// A row that measures this.
    pub(crate) fn new(measured: &str) -> Self {
        Self {
            measured: measured.to_owned(),
            figure: String::new(),
            target: "–".to_owned(),
            met: None,
            always: false,
            measure: None,
        }
    }

    /// Sets what came out, with its unit.
    pub(crate) fn figure(mut self, figure: String) -> Self {
        self.figure = figure;
        self
    }

    /// Sets what should come out, and whether it did.
    pub(crate) fn target(mut self, target: &str, met: bool) -> Self {
        self.target = target.to_owned();
        self.met = Some(met);
        self
    }

    /// Says that the target holds for a run of any size.
    pub(crate) fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// Has the row compared with that of another time, or of another version.
    pub(crate) fn compared(mut self, measure: Measure) -> Self {
        self.measure = Some(measure);
        self
    }

    /// The name of the row, what came out, and the number that is compared, if one is.
    pub(crate) fn comparison(&self) -> Option<(&str, &str, Measure)> {
        Some((&self.measured, &self.figure, self.measure?))
    }

    fn verdict(&self, quick: bool) -> &'static str {
        match self.met {
            Some(_) if quick && !self.always => "quick run",
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "–",
        }
    }
}

/// All that a scenario found.
#[derive(Debug, Default)]
pub(crate) struct Finding {
    /// Its figures.
    pub(crate) rows: Vec<Row>,
    /// How they were measured, and what a reader must know.
    pub(crate) notes: Vec<String>,
    /// How many messages or keys were lost.
    pub(crate) lost: u64,
    /// How many messages or keys came twice.
    pub(crate) duplicated: u64,
    /// The processor time of the measured part and the memory at its end, if the process is known.
    pub(crate) server: Option<Usage>,
}

impl Finding {
    /// Stands for figures that there are none of. The reason goes into the description.
    pub(crate) fn not_run() -> Self {
        Self { rows: vec![Row::new("not run, see below").figure("–".to_owned())], ..Self::default() }
    }

    /// Puts the description before all other notes.
    pub(crate) fn describe(&mut self, text: String) {
        self.notes.insert(0, text);
    }

    /// Sets what the server used: the processor time of the measured part, and the memory at its end.
    pub(crate) fn use_of(&mut self, usage: Option<Usage>) {
        self.server = usage;
    }

    /// Sets the same from two readings.
    pub(crate) fn use_since(&mut self, before: Option<Usage>, after: Option<Usage>) {
        self.server = before.zip(after).map(|(before, after)| Usage {
            cpu_ms: after.cpu_ms.saturating_sub(before.cpu_ms),
            rss_bytes: after.rss_bytes,
        });
    }
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    /// Whether counts are small, so that figures are not compared with targets.
    pub(crate) quick: bool,
    /// What was under load, in words.
    pub(crate) subject: String,
    /// The median time of one disk sync where the data lay, if known.
    pub(crate) disk_sync_us: Option<u64>,
    /// Scenarios and their findings, in order.
    pub(crate) findings: Vec<(String, Finding)>,
}

const HEAD: [&str; 7] =
    ["scenario", "measured", "figure", "target", "verdict", "server CPU", "server memory"];

impl Report {
    /// How many messages and keys were lost or doubled in the whole run.
    pub(crate) fn broken(&self) -> u64 {
        self.findings.iter().map(|(_, finding)| finding.lost + finding.duplicated).sum()
    }

    fn cells(&self) -> Vec<[String; 7]> {
        let mut cells = Vec::new();
        for (name, finding) in &self.findings {
            cells.extend(finding_cells(name, finding, self.quick));
        }
        cells
    }

    /// The page for the documentation.
    pub(crate) fn markdown(&self) -> String {
        let mut page = String::from("# Benchmarks\n\n");
        page.push_str(&fill(
            "Written by `make bench` (the crate `bench/`); do not edit. The same load on other servers: \
             [peers](benchmarks-peers.md). The chat app: [app](benchmarks-app.md).",
        ));
        page.push('\n');
        for (name, value) in circumstances(self.disk_sync_us) {
            page.push_str(&format!("- {name}: {value}\n"));
        }
        page.push_str(&format!("- under load: {}\n", self.subject));
        if self.quick {
            page.push_str(
                "\n**A quick run with small counts: its figures say nothing about the targets.**\n",
            );
        }
        page.push_str(&format!("\n| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len())));
        for row in self.cells() {
            page.push_str(&format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
        page.push_str("\n## How it was measured\n\n");
        page.push_str(&fill(
            "Load generator and server share the machine's cores. The generator runs on one thread, over \
             plain HTTP/1.1 with connections that stay open, and reads from `/proc` what the server used \
             while a load ran. Messages are acknowledged by the server's answer to `PUT …/send/…`. \
             Percentiles are of all samples. Making users and rooms is not part of any figure.",
        ));
        for (name, finding) in &self.findings {
            page.push_str(&format!("\n### {name}\n\n"));
            for note in &finding.notes {
                page.push_str(&fill(note));
            }
        }
        page
    }
}

/// How long it is since the Unix epoch; nothing, if the clock says that it is to come.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// When, where and on what a run was made.
pub(crate) fn circumstances(disk_sync_us: Option<u64>) -> Vec<(&'static str, String)> {
    let mut all = vec![("date", date(since_epoch().as_secs())), ("machine", machine())];
    if let Some(micros) = disk_sync_us {
        let name = "one disk sync of 4 KiB where the data lies, median";
        all.push((name, format!("{} µs", grouped(micros))));
    }
    all.push(("commit", commit().unwrap_or_else(|| "unknown".to_owned())));
    all.push(("load generator", format!("linkspan-bench, {} build", profile())));
    all
}

fn finding_cells(name: &str, finding: &Finding, quick: bool) -> Vec<[String; 7]> {
    let used = |text: Option<String>, first: bool| {
        if first { text.unwrap_or("–".to_owned()) } else { String::new() }
    };
    let rows = finding.rows.iter().enumerate().map(|(index, row)| {
        let first = index == 0;
        [
            name.to_owned(),
            row.measured.clone(),
            row.figure.clone(),
            row.target.clone(),
            row.verdict(quick).to_owned(),
            used(finding.server.map(|server| format!("{} ms", grouped(server.cpu_ms))), first),
            used(finding.server.map(|server| format!("{} MiB", grouped(server.rss_bytes / MIB))), first),
        ]
    });
    rows.collect()
}

/// One scenario for the terminal.
pub(crate) fn terminal(name: &str, finding: &Finding, quick: bool) -> String {
    let mut table = vec![HEAD.map(str::to_owned)];
    table.extend(finding_cells(name, finding, quick));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &table {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    for note in &finding.notes {
        text.push_str(&format!("  {}", fill(note).trim_end().replace('\n', "\n  ")));
        text.push('\n');
    }
    text
}

/// Breaks a paragraph into lines.
pub(crate) fn fill(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 110 {
            lines.push('\n');
            width = 0;
        } else if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += length;
    }
    lines.push('\n');
    lines
}

/// A number with a comma before every three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds as milliseconds.
pub(crate) fn ms(micros: u32) -> String {
    format!("{:.2} ms", f64::from(micros) / 1000.0)
}

/// The day of a time in seconds since the Unix epoch, UTC.
fn date(seconds: u64) -> String {
    // Years are counted from March on, so that the leap day is the last one of a year. There are 719,468 days
    // between the first of March of the year 0 and the epoch.
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn machine() -> String {
    let find = |file: &str, key: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, |count| count.get());
    let model = find("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = find("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok())
        .map_or_else(|| "unknown memory".to_owned(), |kib| format!("{} GiB memory", kib / MIB));
    format!("{cores} cores of {model}, {memory}")
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_709_164_800), "2024-02-29");
        assert_eq!(date(1_735_689_599), "2024-12-31");
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(20_000), "20,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn slower_and_fewer_are_both_worse() {
        assert_eq!(Measure::Rate(500.0).worse_than(Measure::Rate(1000.0)), 2.0);
        assert_eq!(Measure::Cost(500.0).worse_than(Measure::Cost(1000.0)), 0.5);
    }

    #[test]
    fn a_quick_run_judges_only_what_holds_at_any_size() {
        assert_eq!(Row::new("speed").target("≥ 1", false).verdict(true), "quick run");
        assert_eq!(Row::new("loss").target("0", false).always().verdict(true), "NOT MET");
        assert_eq!(Row::new("speed").target("≥ 1", true).verdict(false), "met");
    }
}
