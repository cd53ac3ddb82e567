//! What the demo prints: at most 80 columns, colours on a terminal only, nothing that was received
//! unfiltered.

use std::io::{IsTerminal, Write};

/// How many columns of the terminal are used.
const WIDTH: usize = 80;
/// How far it is from the start of one of the three columns to the next.
const COLUMN: usize = 26;
/// The width of the text in a column.
const TEXT: usize = 23;

/// How a text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Bold,
    Soft,
    /// The colour of a platform, which is named by its place in the list of platforms.
    Platform(usize),
    Bad,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Soft => "2",
            Self::Platform(0) => "1;35",
            Self::Platform(1) => "1;34",
            Self::Platform(_) => "1;32",
            Self::Bad => "1;31",
        }
    }
}

/// A line of text, which may be longer than a column is wide.
pub(crate) type Line = (Look, String);

/// Standard output. If it is closed, nobody wants to read any more, and the demo goes on.
pub(crate) struct Screen {
    colours: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        // https://no-color.org
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: std::io::stdout().is_terminal() && !unwanted }
    }

    fn paint(&self, look: Look, text: &str) -> String {
        if self.colours && look != Look::Plain && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", look.code())
        } else {
            text.to_owned()
        }
    }

    fn print(&self, line: &str) {
        let mut output = std::io::stdout().lock();
        let _ = writeln!(output, "{}", line.trim_end()).and_then(|()| output.flush());
    }

    pub(crate) fn gap(&self) {
        self.print("");
    }

    /// Prints a text, indented. A long one takes several lines.
    pub(crate) fn say(&self, look: Look, text: &str) {
        for line in wrap(text, WIDTH - 4) {
            self.print(&format!("  {}", self.paint(look, &line)));
        }
    }

    /// Prints a line of cells, each of which has its width.
    pub(crate) fn row(&self, cells: &[(Look, &str, usize)]) {
        let cells = cells.iter().map(|(look, text, width)| self.cell(*look, &clean(text), *width));
        self.print(&format!("  {}", cells.collect::<String>()));
    }

    /// Prints the name of a part of the conversation.
    pub(crate) fn part(&self, title: &str) {
        let rule = "─".repeat(WIDTH - 6 - width(title));
        self.print("");
        self.print(&format!("  {} {}", self.paint(Look::Bold, title), self.paint(Look::Soft, &rule)));
        self.print("");
    }

    /// Prints who does what, and in which app.
    pub(crate) fn step(&self, number: usize, title: &str, app: &str, look: Look) {
        let number = format!("{number:>2}");
        let space = " ".repeat((WIDTH - 1).saturating_sub(6 + width(title) + width(app)).max(2));
        let (title, app) = (self.paint(Look::Bold, title), self.paint(look, app));
        self.print(&format!("  {}  {title}{space}{app}", self.paint(Look::Soft, &number)));
    }

    /// Prints three columns. The first line of each is its heading.
    pub(crate) fn columns(&self, columns: [Vec<Line>; 3]) {
        let columns = columns.map(|lines| {
            let wrapped = lines.iter().flat_map(|(look, text)| {
                let lines = wrap(text, TEXT).into_iter();
                lines.map(|line| (*look, line))
            });
            wrapped.collect::<Vec<_>>()
        });
        let height = columns.iter().map(Vec::len).max().unwrap_or_default();
        for at in 0..height {
            let mut line = "  ".to_owned();
            for (platform, column) in columns.iter().enumerate() {
                let (look, text) = column.get(at).map_or((Look::Plain, ""), |(look, text)| (*look, text));
                line.push_str(&self.paint(Look::Platform(platform), "│"));
                line.push(' ');
                line.push_str(&self.cell(look, text, COLUMN - 2));
            }
            self.print(&line);
        }
        self.print("");
    }

    fn cell(&self, look: Look, text: &str, cell: usize) -> String {
        let space = " ".repeat(cell.saturating_sub(width(text)));
        format!("{}{space}", self.paint(look, text))
    }
}

/// The text without what would move the cursor or change colours, because names and texts are other people's.
fn clean(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

/// How many columns of a terminal a text takes. It is near enough for names, texts and emoji.
fn width(text: &str) -> usize {
    let wide = |one: char| {
        matches!(u32::from(one), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3
        | 0xf900..=0xfaff | 0xff00..=0xff60 | 0x1f300..=0x1f64f | 0x1f680..=0x1faff)
    };
    let none = |one: char| matches!(u32::from(one), 0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f);
    text.chars().map(|one| if none(one) { 0 } else { 1 + usize::from(wide(one)) }).sum()
}

/// Breaks a text into lines of at most `limit` columns, between words where that is possible. Every line has
/// the indentation of the text.
fn wrap(text: &str, limit: usize) -> Vec<String> {
    let text = clean(text);
    let indentation =
        " ".repeat(text.len() - text.trim_start().len()).chars().take(limit / 2).collect::<String>();
    let mut lines = vec![indentation.clone()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the start");
        let space = usize::from(*line != indentation);
        if width(line) + space + width(word) <= limit {
            line.push_str(if space == 1 { " " } else { "" });
            line.push_str(word);
            continue;
        }
        if space == 1 {
            lines.push(indentation.clone());
        }
        for one in word.chars() {
            let line = lines.last_mut().expect("there is one from the start");
            if width(line) + width(one.encode_utf8(&mut [0; 4])) > limit {
                lines.push(indentation.clone());
            }
            lines.last_mut().expect("there is one from the start").push(one);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_keep_their_indentation() {
        assert_eq!(wrap("  at the old linkspan", 12), ["  at the old", "  linkspan"]);
        assert_eq!(wrap("abcdefgh i", 4), ["abcd", "efgh", "i"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn nothing_received_steers_the_terminal() {
        assert_eq!(wrap("a\x1b[31mb\x07c", 20), ["a [31mb c"]);
    }

    #[test]
    fn emoji_take_two_columns() {
        assert_eq!((width("👍"), width("❤\u{fe0f}"), width("Zoë")), (2, 1, 3));
    }
}
