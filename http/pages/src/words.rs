//! Words that several pages build: numbers of things, times, sentences.

use std::time::Duration;

/// A number of things, in the singular or the plural.
pub(crate) fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {one}{plural}")
}

/// How long somebody has to wait, rounded up.
pub(crate) fn wait(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1_000).max(1) as u64;
    match seconds {
        0..=90 => count(seconds, "second"),
        _ => count(seconds.div_ceil(60), "minute"),
    }
}

/// How long ago something was, roughly.
pub(crate) fn ago(now_ts: u64, then_ts: u64) -> String {
    let minutes = now_ts.saturating_sub(then_ts) / 60_000;
    match minutes {
        0..=2 => "just now".to_owned(),
        3..=119 => format!("{} ago", count(minutes, "minute")),
        120..=2879 => format!("{} ago", count(minutes / 60, "hour")),
        _ => format!("{} ago", count(minutes / 1_440, "day")),
    }
}

/// Makes a sentence of a reason.
pub(crate) fn sentence(reason: &str) -> String {
    let mut characters = reason.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        for (millis, expected) in [
            (1, "1 second"),
            (1_000, "1 second"),
            (1_001, "2 seconds"),
            (90_000, "90 seconds"),
            (90_001, "2 minutes"),
            (3_600_000, "60 minutes"),
        ] {
            assert_eq!(wait(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn times_are_rough() {
        for (minutes, expected) in [
            (0, "just now"),
            (3, "3 minutes ago"),
            (120, "2 hours ago"),
            (2_880, "2 days ago"),
            (14_400, "10 days ago"),
        ] {
            assert_eq!(ago(minutes * 60_000, 0), expected);
        }
        assert_eq!(ago(0, 60_000), "just now", "a clock that was set back");
    }
}
