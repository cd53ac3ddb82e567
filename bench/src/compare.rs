//! Two versions of the program under the same loads, in turns: whether one of them is slower.
//!
//! How fast a machine is changes from minute to minute, where it is shared with others by more than what is looked for. So
//! both versions run all the time, each on data of its own, and get short loads in turns. What counts is how they differ
//! within a round. The one that is first in a round is second in the next.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use crate::{
    report::Measure,
    scenarios::{self, NAMES},
    server::{Limits, Server},
    setup::{Bench, BenchError, Settings},
};

/// The scenarios that are compared unless some are named: those whose loads may be short, and which can be repeated.
const USUAL: [&str; 7] =
    ["one-to-one", "latency", "room-200", "room-10", "initial-sync", "sliding-sync", "incremental-sync"];
/// How many times worse a figure may be.
const TARGET: f64 = 1.03;
/// How probable it may be, on either side, that what is true lies outside of the interval that is told.
const DOUBT: f64 = 0.025;

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The Linkspan binary that the other one is compared with.
    #[arg(long, value_name = "PATH")]
    before: PathBuf,
    /// The Linkspan binary that should not be slower.
    #[arg(long, value_name = "PATH")]
    after: PathBuf,
    /// Only this scenario; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = NAMES)]
    only: Vec<String>,
    /// How often each scenario is run on both.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(6..=200))]
    rounds: u8,
    /// How long a load lasts.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=60))]
    seconds: u16,
    /// The folder in which each server gets a folder for its data [default: the system's temporary folder].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// One figure, as often as there were rounds.
struct Compared {
    measured: String,
    /// How many times worse the version after was, in each round.
    worse: Vec<f64>,
    before: Vec<(f64, String)>,
    after: Vec<(f64, String)>,
}

/// Compares, and prints what came out. It fails if a version could not be run, or lost or doubled a message.
pub(crate) async fn run(args: CompareArgs) -> ExitCode {
    let data = args.data.clone().unwrap_or_else(std::env::temp_dir);
    let settings =
        Settings { quick: false, in_flight: 4, load: Duration::from_secs(u64::from(args.seconds)) };
    let benches = async {
        let before = start(&args.before, &data, &settings).await?;
        Ok::<_, BenchError>([before, start(&args.after, &data, &settings).await?])
    };
    let mut benches = match benches.await {
        Ok(benches) => benches,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let (mut broken, mut failed) = (0, false);
    let is_asked = |name: &&str| match args.only.is_empty() {
        true => USUAL.contains(name),
        false => args.only.iter().any(|only| only == name),
    };
    for name in NAMES.into_iter().filter(is_asked) {
        eprintln!("running {name} …");
        match compare(name, &mut benches, usize::from(args.rounds), &mut broken).await {
            Ok(rows) => rows.iter().for_each(|row| println!("{}", row.line(name))),
            Err(error) => {
                failed = true;
                println!("{name} could not be run: {error}");
            }
        }
    }
    match broken {
        0 if failed => ExitCode::from(2),
        0 => ExitCode::SUCCESS,
        broken => {
            println!("{broken} messages or keys were lost or came twice.");
            ExitCode::from(1)
        }
    }
}

async fn start(program: &Path, data: &Path, settings: &Settings) -> Result<Bench, BenchError> {
    let server = Server::start(program, data, Limits::None).await?;
    let platforms = server.platforms().to_vec();
    Ok(Bench::new(platforms, Some(server), Vec::new(), settings.clone(), crate::run_name()))
}

/// Runs a scenario so many times on both, and counts what was lost or doubled.
async fn compare(
    name: &str,
    benches: &mut [Bench; 2],
    rounds: usize,
    broken: &mut u64,
) -> Result<Vec<Compared>, BenchError> {
    let mut rows: Vec<Compared> = Vec::new();
    // The first round makes the people and the rooms, and does not count.
    for round in 0..=rounds {
        let mut findings = [None, None];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let finding = scenarios::run(name, &mut benches[which]).await?;
            *broken += finding.lost + finding.duplicated;
            findings[which] = Some(finding);
        }
        let [Some(before), Some(after)] = findings else { continue };
        let pairs = before.rows.iter().zip(&after.rows);
        let pairs = pairs.filter_map(|(before, after)| before.comparison().zip(after.comparison()));
        if round == 0 {
            let empty = |((measured, _, _), _): ((&str, _, _), _)| Compared {
                measured: measured.to_owned(),
                worse: Vec::new(),
                before: Vec::new(),
                after: Vec::new(),
            };
            rows = pairs.map(empty).collect();
            continue;
        }
        for (row, ((_, figure_before, before), (_, figure_after, after))) in rows.iter_mut().zip(pairs) {
            row.note((before, figure_before), (after, figure_after));
        }
    }
    Ok(rows)
}

impl Compared {
    fn note(&mut self, before: (Measure, &str), after: (Measure, &str)) {
        self.worse.push(after.0.worse_than(before.0));
        self.before.push((before.0.cost(), before.1.to_owned()));
        self.after.push((after.0.cost(), after.1.to_owned()));
    }

    fn line(&self, scenario: &str) -> String {
        let mut worse = self.worse.clone();
        worse.sort_by(f64::total_cmp);
        let rank = rank_of_bound(worse.len());
        let (low, high) = (worse[rank], worse[worse.len() - 1 - rank]);
        let verdict = match (low, high) {
            (low, _) if low > TARGET => "WORSE",
            (_, high) if high <= TARGET => "not worse",
            _ => "not decided",
        };
        let (before, after) = (middle(&self.before), middle(&self.after));
        format!(
            "{scenario}: {}: {before} → {after}; {:.3} times worse ({low:.3} to {high:.3}): {verdict}",
            self.measured,
            worse[worse.len() / 2],
        )
    }
}

/// The figure whose cost is in the middle.
fn middle(figures: &[(f64, String)]) -> &str {
    let mut sorted: Vec<_> = figures.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    &sorted[sorted.len() / 2].1
}

/// The median of all that could be measured lies between the value with this rank and the one with the same rank from the
/// end, as far as so many values tell: each of them is as probably above it as below. Ranks begin with 0.
fn rank_of_bound(values: usize) -> usize {
    let mut probability = 0.5_f64.powi(i32::try_from(values).unwrap_or(i32::MAX));
    let (mut below, mut rank) = (probability, 0);
    loop {
        probability *= (values - rank) as f64 / (rank + 1) as f64;
        below += probability;
        if below > DOUBT || 2 * (rank + 1) >= values {
            return rank;
        }
        rank += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_between_the_known_ranks() {
        // From tables of the sign test, whose ranks begin with 1.
        assert_eq!([6, 8, 9, 20, 50].map(rank_of_bound), [0, 0, 1, 5, 17]);
    }

    #[test]
    fn it_is_told_what_the_figures_say_and_no_more() {
        let of = |factors: &[f64]| {
            let mut row =
                Compared { measured: "rate".to_owned(), worse: vec![], before: vec![], after: vec![] };
            for factor in factors {
                row.note((Measure::Rate(100.0), "100 /s"), (Measure::Rate(100.0 / factor), "?"));
            }
            row.line("x").rsplit_once(": ").expect("a verdict").1.to_owned()
        };
        assert_eq!(of(&[0.99, 1.0, 1.01, 1.0, 1.02, 0.98]), "not worse");
        assert_eq!(of(&[1.09, 1.05, 1.1, 1.2, 1.04, 1.06]), "WORSE");
        assert_eq!(of(&[0.9, 1.1, 1.0, 1.0, 1.05, 0.98]), "not decided");
    }
}
