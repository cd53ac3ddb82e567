//! Reading the text format of Prometheus, strictly: what it does not allow is a failure.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::collections::{BTreeMap, BTreeSet};

/// The names and values of labels of a sample.
pub(crate) type Labels = BTreeMap<String, String>;

/// A metric with all its samples. The name of a sample may go on after that of the metric, as in `_bucket`.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

/// All metrics of a text, by name.
pub(crate) fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line ends, too");
    let mut families = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help =
            line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("a metric begins with help: {line}"));
        let (name, help) = help.split_once(' ').expect("there is a help");
        assert!(is_name(name) && help.ends_with('.'), "{line}");
        let kind =
            lines.next().and_then(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
        let kind = kind.unwrap_or_else(|| panic!("{name} has no type")).to_owned();
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.push(sample(line));
        }
        let family = Family { kind, samples };
        check(name, &family);
        assert!(families.insert(name.to_owned(), family).is_none(), "{name} is there twice");
    }
    families
}

fn is_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_inner)
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (rest, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = if value == "+Inf" { Ok(f64::INFINITY) } else { value.parse() };
    let value = value.unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, labels)) = rest.split_once('{') else {
        assert!(is_name(rest), "{line}");
        return (rest.to_owned(), Labels::new(), value);
    };
    assert!(is_name(name), "{line}");
    let mut rest = labels.strip_suffix('}').unwrap_or_else(|| panic!("labels do not end: {line}"));
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(is_name(label), "{line}");
        let mut text = String::new();
        let mut inner = quoted.char_indices();
        let end = loop {
            match inner.next().unwrap_or_else(|| panic!("a label does not end: {line}")) {
                (end, '"') => break end,
                (_, '\\') => match inner.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    other => panic!("{other:?} is escaped: {line}"),
                },
                (_, c) => text.push(c),
            }
        };
        assert!(labels.insert(label.to_owned(), text).is_none(), "a label is there twice: {line}");
        let after = &quoted[end + 1..];
        rest = after.strip_prefix(',').unwrap_or(after);
        assert!(rest.is_empty() || after.starts_with(','), "{line}");
    }
    (name.to_owned(), labels, value)
}

fn check(name: &str, Family { kind, samples }: &Family) {
    let mut seen = BTreeSet::new();
    for (sample, labels, value) in samples {
        assert!(seen.insert((sample, labels)), "{sample} {labels:?} is there twice");
        assert!(!value.is_nan() && *value >= 0.0, "{sample} {labels:?} {value}");
    }
    match kind.as_str() {
        "counter" => assert!(name.ends_with("_total"), "{name} is a counter"),
        "gauge" => assert!(!name.ends_with("_total"), "{name} is a gauge"),
        "histogram" => return check_histogram(name, samples),
        other => panic!("{name} is of the type {other}"),
    }
    assert!(samples.iter().all(|(sample, ..)| sample == name), "{name} has samples of another");
}

/// The buckets of each histogram rise, and the last of them has all.
fn check_histogram(name: &str, samples: &[(String, Labels, f64)]) {
    let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let mut ends: BTreeMap<Labels, BTreeMap<&str, f64>> = BTreeMap::new();
    for (sample, labels, value) in samples {
        let mut labels = labels.clone();
        match sample.strip_prefix(name) {
            Some("_bucket") => {
                let bound = labels.remove("le").expect("a bucket has a bound");
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a number") };
                buckets.entry(labels).or_default().push((bound, *value));
            }
            Some(end @ ("_sum" | "_count")) => drop(ends.entry(labels).or_default().insert(end, *value)),
            _ => panic!("{sample} is no part of {name}"),
        }
    }
    assert_eq!(buckets.keys().collect::<Vec<_>>(), ends.keys().collect::<Vec<_>>(), "{name}");
    for (labels, buckets) in buckets {
        assert!(
            buckets.is_sorted_by(|(one, few), (other, more)| one < other && few <= more),
            "{name} {labels:?}"
        );
        let (last, all) = buckets.last().expect("there are buckets");
        assert_eq!((*last, Some(all)), (f64::INFINITY, ends[&labels].get("_count")), "{name} {labels:?}");
        assert!(ends[&labels].contains_key("_sum"), "{name} {labels:?}");
    }
}

#[test]
#[should_panic(expected = "is there twice")]
fn what_is_there_twice_is_refused() {
    parse("# HELP a_total Help.\n# TYPE a_total counter\na_total{of=\"x\"} 1\na_total{of=\"x\"} 1\n");
}

#[test]
#[should_panic(expected = "has no type")]
fn what_has_no_type_is_refused() {
    parse("# HELP a_total Help.\na_total 1\n");
}

#[test]
fn labels_are_unescaped() {
    let families = parse("# HELP a Help.\n# TYPE a gauge\na{of=\"x\\\"\\\\\\n,}\",to=\"\"} 1\n");
    let (_, labels, value) = &families["a"].samples[0];
    assert_eq!((labels["of"].as_str(), labels["to"].as_str(), *value), ("x\"\\\n,}", "", 1.0));
}
