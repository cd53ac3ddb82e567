//! How many people who do not know somebody that person may approach in a day.
//!
//! The allowance depends only on what its owner sees: how old the account is, whom it has approached, and who has
//! joined. So nobody can find out by it who has deleted a request, ignores the sender or has reported the sender. The
//! reasons stand in docs/decisions/0019-first-contact.md.

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The days of which the answers count.
pub const ANSWER_DAYS: u64 = 28;
/// The days for which somebody may think about an answer before silence counts as none.
pub const DAYS_TO_ANSWER: u64 = 2;

/// From this age on, in days, an account may approach so many times as many people as a new one.
const BY_AGE: [(u64, u32); 4] = [(30, 8), (7, 4), (1, 2), (0, 1)];
/// So many people, if they are at least a third of those approached, make the allowance so many times as great.
const BY_GOOD_ANSWERS: [(u32, u32); 2] = [(20, 4), (5, 2)];
/// With fewer people than this who had time to answer, silence says nothing.
const ENOUGH_TO_JUDGE: u32 = 10;
/// If fewer than one in ten have come, the allowance is divided by this.
const BY_SILENCE: u32 = 5;

/// What an account is known by when it approaches people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstContacts {
    /// The age of the account, in milliseconds.
    pub age_ms: u64,
    /// The people approached within [`ANSWER_DAYS`] who have come, or had time to.
    pub approached: u32,
    /// Those of them who have come, and are there.
    pub accepted: u32,
}

/// How many times an account may approach people who do not know it in a day: at least once, and at most `most`
/// times. A new account may do it `first` times.
pub fn approaches_per_day(first: u32, most: u32, known: FirstContacts) -> u32 {
    let days = known.age_ms / DAY_MS;
    let by_age = BY_AGE.iter().find(|(from, _)| days >= *from).map_or(1, |(_, times)| *times);
    let allowance = first.saturating_mul(by_age);
    let allowance = if is_met_with_silence(known) {
        allowance / BY_SILENCE
    } else {
        allowance.saturating_mul(by_good_answers(known))
    };
    allowance.min(most).max(1)
}

fn is_met_with_silence(known: FirstContacts) -> bool {
    known.approached >= ENOUGH_TO_JUDGE && known.accepted < known.approached.div_ceil(10)
}

fn by_good_answers(known: FirstContacts) -> u32 {
    let is_welcome = known.accepted >= known.approached.div_ceil(3);
    let step = BY_GOOD_ANSWERS.iter().find(|(from, _)| is_welcome && known.accepted >= *from);
    step.map_or(1, |(_, times)| *times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(days: u64, approached: u32, accepted: u32) -> u32 {
        let known = FirstContacts { age_ms: days * DAY_MS, approached, accepted };
        approaches_per_day(10, 200, known)
    }

    #[test]
    fn it_grows_with_age() {
        assert_eq!(
            [0, 1, 6, 7, 29, 30, 3_000].map(|days| allowance(days, 0, 0)),
            [10, 20, 20, 40, 40, 80, 80]
        );
        let minute_before = FirstContacts { age_ms: DAY_MS - 60_000, ..FirstContacts::default() };
        assert_eq!(approaches_per_day(10, 200, minute_before), 10);
    }

    #[test]
    fn it_grows_with_good_answers_in_steps() {
        let of_all = |accepted| allowance(0, accepted, accepted);
        assert_eq!([4, 5, 19, 20, 500].map(of_all), [10, 20, 20, 40, 40]);
        assert_eq!([15, 16].map(|approached| allowance(0, approached, 5)), [20, 10], "a third have to come");
    }

    #[test]
    fn it_shrinks_where_nearly_nobody_answers() {
        assert_eq!([9, 10].map(|approached| allowance(0, approached, 0)), [10, 2]);
        assert_eq!([10, 11].map(|approached| allowance(30, approached, 1)), [80, 16]);
    }

    #[test]
    fn it_has_bounds() {
        assert_eq!(allowance(30, 20, 20), 200);
        assert_eq!(
            approaches_per_day(1, 200, FirstContacts { approached: 10, ..FirstContacts::default() }),
            1
        );
        assert_eq!(
            approaches_per_day(
                u32::MAX,
                u32::MAX,
                FirstContacts { age_ms: u64::MAX, ..FirstContacts::default() }
            ),
            u32::MAX
        );
    }

    /// The table of the decision is what the function says.
    #[test]
    fn the_decision_says_the_same() {
        let page = include_str!("../../docs/decisions/0019-first-contact.md");
        for (from, age) in [(0, "under a day"), (1, "a day"), (7, "a week"), (30, "30 days")] {
            let [silence, usual, five, twenty] = [(10, 0), (0, 0), (5, 5), (20, 20)]
                .map(|(approached, accepted)| allowance(from, approached, accepted));
            let row = format!("| {age} | {silence} | {usual} | {five} | {twenty} |");
            assert!(page.contains(&row), "{row}");
        }
    }
}
