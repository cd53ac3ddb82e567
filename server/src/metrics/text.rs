//! Writing the text format of Prometheus.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt::{Display, Write};

use linkspan_storage::HistogramReading;

/// The type of content of what is written.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values of the labels of a sample.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// What a metric is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// It only rises, and begins at 0 with each start.
    Counter,
    /// It is what is now.
    Gauge,
    /// Counts by bounds.
    Histogram,
}

/// Metrics, written one after the other.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// Begins a metric. Its samples follow.
    pub(crate) fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> Metric<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        Metric { text: self, name }
    }

    /// A metric with one sample.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.metric(name, Kind::Gauge, help).sample(&[], value);
    }

    /// A counter with one sample.
    pub(crate) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.metric(name, Kind::Counter, help).sample(&[], value);
    }

    /// All of it.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// A metric whose samples are being written.
#[derive(Debug)]
pub(crate) struct Metric<'t> {
    text: &'t mut Text,
    name: &'static str,
}

impl Metric<'_> {
    /// Writes a sample.
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.write("", labels, None, value);
    }

    /// Writes the samples of a histogram. Its numbers are divided by `unit`, as microseconds are by a million.
    pub(crate) fn histogram(&mut self, labels: Labels<'_>, reading: &HistogramReading, unit: f64) {
        let mut up_to = 0;
        let bounds = reading.bounds.iter().map(|bound| (*bound as f64 / unit).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&reading.counts) {
            up_to += count;
            self.write("_bucket", labels, Some(("le", &bound)), up_to);
        }
        self.write("_sum", labels, None, reading.sum as f64 / unit);
        self.write("_count", labels, None, up_to);
    }

    fn write(&mut self, suffix: &str, labels: Labels<'_>, more: Option<(&str, &str)>, value: impl Display) {
        let name = self.name;
        let labels: Vec<_> = labels
            .iter()
            .copied()
            .chain(more)
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.text.line(format_args!("{name}{suffix}{labels} {value}"));
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use linkspan_storage::Histogram;

    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let mut text = Text::default();
        text.metric("a_total", Kind::Counter, "Help.").sample(&[("of", "x\"\\\n"), ("to", "y")], 7);
        let histogram = Histogram::new(&[500, 1_000]);
        [100, 600, 5_000].into_iter().for_each(|value| histogram.note(value));
        text.metric("b_seconds", Kind::Histogram, "Help.").histogram(&[("of", "x")], &histogram.read(), 1e3);
        let expected = "# HELP a_total Help.\n# TYPE a_total counter\na_total{of=\"x\\\"\\\\\\n\",to=\"y\"} 7\n\
            # HELP b_seconds Help.\n# TYPE b_seconds histogram\n\
            b_seconds_bucket{of=\"x\",le=\"0.5\"} 1\nb_seconds_bucket{of=\"x\",le=\"1\"} 2\n\
            b_seconds_bucket{of=\"x\",le=\"+Inf\"} 3\nb_seconds_sum{of=\"x\"} 5.7\nb_seconds_count{of=\"x\"} 3\n";
        assert_eq!(text.into_string(), expected);
    }
}
