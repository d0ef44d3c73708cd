//! What is known of the terminal: how wide it is, and whether it wants colours.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

/// Without a terminal, and for one that does not say.
const COLUMNS_DEFAULT: usize = 100;
/// Narrower, nothing could be drawn.
const COLUMNS_MIN: usize = 60;
/// Wider, lines are hard to follow.
const COLUMNS_MAX: usize = 160;

/// Where text is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Characters of a line.
    pub columns: usize,
    /// Escape codes are understood and wanted.
    pub colour: bool,
}

/// A colour with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Failed.
    Red,
    /// Refused or slow.
    Yellow,
    /// Well.
    Green,
    /// Headings.
    Bold,
    /// What may be overread.
    Dim,
}

impl Terminal {
    /// Asks the environment (`NO_COLOR` set to anything, see no-color.org; `TERM`; `COLUMNS`) and the terminal.
    pub fn detect() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let colour = terminal && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb");
        let columns = set("COLUMNS").and_then(|columns| columns.parse().ok());
        let columns = columns
            .or_else(|| terminal.then(stty_columns).flatten())
            .unwrap_or(COLUMNS_DEFAULT);
        Self {
            columns: columns.clamp(COLUMNS_MIN, COLUMNS_MAX),
            colour,
        }
    }

    /// A terminal of this width without colours.
    pub fn plain(columns: usize) -> Self {
        Self {
            columns,
            colour: false,
        }
    }

    /// The text in a colour, or as it is.
    pub fn paint(self, ink: Ink, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Red => 31,
            Ink::Yellow => 33,
            Ink::Green => 32,
            Ink::Bold => 1,
            Ink::Dim => 2,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Cut to `columns` characters, with two dots where something is missing, or filled up with blanks.
pub fn fit(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if length <= columns {
        return format!("{text}{}", " ".repeat(columns - length));
    }
    let kept: String = text.chars().take(columns.saturating_sub(2)).collect();
    format!("{kept}..")
}

/// With commas between thousands.
pub fn grouped(number: u64) -> String {
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

/// Seconds as a person says them: `0.4 ms`, `35 ms`, `1.2 s`.
pub fn duration(seconds: f64) -> String {
    let millis = seconds * 1000.0;
    if millis < 9.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else {
        format!("{seconds:.1} s")
    }
}

/// `stty` asks the terminal on its standard input: "rows columns".
fn stty_columns() -> Option<usize> {
    let output = Command::new("stty")
        .arg("size")
        .stdin(Stdio::inherit())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Ink, Terminal, duration, fit, grouped};

    #[test]
    fn text_fits_its_column() {
        assert_eq!(fit("orders", 8), "orders  ");
        assert_eq!(fit("notification", 8), "notifi..");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [grouped(7), grouped(1234), grouped(1_234_567)],
            ["7", "1,234", "1,234,567"]
        );
        assert_eq!(
            [duration(0.0004), duration(0.035), duration(1.25)],
            ["0.4 ms", "35 ms", "1.2 s"]
        );
    }

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Terminal::plain(80).paint(Ink::Red, "x"), "x");
        assert_eq!(
            Terminal {
                columns: 80,
                colour: true
            }
            .paint(Ink::Red, "x"),
            "\x1b[31mx\x1b[0m"
        );
    }
}
