//! Valid calls with random damage, the same in every run, for a bounded time.

use std::time::{Duration, Instant};

use linkspan_tests::{http1::Request, table::table};

use crate::{Spoiler, short};

/// How long the test goes on at most.
const TIME: Duration = Duration::from_secs(15);
/// How many calls are damaged at most.
const CALLS: usize = 6_000;
/// The seed of the randomness.
const SEED: u64 = 0x6c69_6e6b_7370_616e;

/// Texts that are put into calls.
const PIECES: [&str; 24] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "-1",
    "1e400",
    "\\ud800",
    "\\u0000",
    "\u{1f6a2}",
    "%00",
    "%2f",
    "%ff",
    "..",
    "*",
    "m.room.create",
    "m.room.member",
    "m.relates_to",
    "@x:instagram.localhost",
    "!x",
    "9007199254740993",
];

/// The generator xorshift64*, which is good enough for choosing.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let rolled = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(rolled).expect("it has 31 bits") % sides.max(1)
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.roll(3) {
            let (from, to) = (self.roll(bytes.len() + 1), self.roll(bytes.len() + 1));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 20));
            match self.roll(5) {
                0 if from < bytes.len() => bytes[from] ^= 1 << self.roll(8),
                1 => drop(bytes.drain(from..to)),
                2 => {
                    let copy = bytes[from..to].to_vec();
                    bytes.splice(from..from, copy);
                }
                3 => {
                    let piece = PIECES[self.roll(PIECES.len())].bytes();
                    bytes.splice(from..to, piece);
                }
                _ => {
                    let piece = PIECES[self.roll(PIECES.len())].bytes();
                    bytes.splice(from..from, piece);
                }
            }
        }
    }

    fn spoil(&mut self, request: &mut Request) {
        match self.roll(3) {
            0 => self.damage(&mut request.body),
            1 => self.damage_target(request),
            _ => {
                self.damage(&mut request.body);
                self.damage_target(request);
            }
        }
    }

    fn damage_target(&mut self, request: &mut Request) {
        let mut rest = request.target.split_off(request.target.len().min("/_matrix/client".len()));
        self.damage(&mut rest);
        // Another test puts in what would end the request line.
        rest.retain(|byte| !byte.is_ascii_whitespace() && !byte.is_ascii_control());
        request.target.extend(rest);
    }
}

#[test]
fn damaged_calls_are_answered() {
    let mut spoiler = Spoiler::start();
    let (mut dice, entries, begun) = (Dice(SEED), table(), Instant::now());
    for call in 0..CALLS {
        if begun.elapsed() > TIME {
            break;
        }
        let entry = &entries[dice.roll(entries.len())];
        let state = dice.0;
        let what = std::cell::RefCell::new(String::new());
        let answer = spoiler.ask(entry, |request| {
            Dice(state).spoil(request);
            *what.borrow_mut() =
                format!("{call}: {} {} {}", request.method, short(&request.target), short(&request.body));
        });
        dice.roll(2);
        // A target that is no path is refused without a body.
        let is_no_http = answer.status == 400 && answer.body.is_empty();
        if !is_no_http {
            spoiler.judge(&what.take(), &answer, |_| true);
        }
    }
    spoiler.finish();
}
