//! The ladder: time runs down, each write is one arrow.

use core::fmt::Write as _;

use crate::{Party, Record, Write};

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns, 60 at the least.
    pub width: usize,
    /// Letters, digits and punctuation only.
    pub ascii: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: 80,
            ascii: false,
        }
    }
}

/// What lines are made of.
struct Pens {
    line: &'static str,
    first: &'static str,
    more: &'static str,
    last: &'static str,
    only: &'static str,
    right: &'static str,
    left: &'static str,
    bar: &'static str,
    secured: &'static str,
    ellipsis: &'static str,
}

const UNICODE: Pens = Pens {
    line: "─",
    first: "┌",
    more: "├",
    last: "└",
    only: "─",
    right: "▶",
    left: "◀",
    bar: "│",
    secured: "█",
    ellipsis: "…",
};
const ASCII: Pens = Pens {
    line: "-",
    first: "+",
    more: "|",
    last: "+",
    only: "-",
    right: ">",
    left: "<",
    bar: "|",
    secured: "#",
    ellipsis: ".",
};

/// The columns left of the initiator's bar: the time.
const MARGIN: usize = 10;

/// Draws a record as text, in `style.width` columns.
#[must_use]
pub fn ladder(record: &Record, style: &Style) -> String {
    let pens = if style.ascii { &ASCII } else { &UNICODE };
    let inner = style.width.max(60).saturating_sub(MARGIN).saturating_sub(2);
    let mut out = String::new();
    let _ = writeln!(out, "{}", clip(&record.title, style.width, pens));
    let gap = inner
        .saturating_sub("initiator".len())
        .saturating_sub("receiver".len())
        .saturating_add(2);
    let _ = writeln!(out, "{:>MARGIN$}initiator{:gap$}receiver", "ms ", "");
    let mut trip = None;
    if record.connects() {
        band(&mut out, 0, inner, pens);
        note(&mut out, 0, "TCP connects", inner, pens);
    }
    let mut marks = record.marks.iter().peekable();
    for write in &record.writes {
        while let Some(mark) =
            marks.next_if(|mark| mark.at <= write.at && mark.half_trips <= write.half_trips)
        {
            note(&mut out, mark.at.as_millis(), &mark.label, inner, pens);
        }
        // A round trip ends where the initiator writes again.
        let now = write.half_trips / 2;
        if write.from == Party::Initiator && trip != Some(now) {
            trip = Some(now);
            band(&mut out, now, inner, pens);
        }
        arrow(&mut out, write, inner, pens);
    }
    for mark in marks {
        note(&mut out, mark.at.as_millis(), &mark.label, inner, pens);
    }
    out
}

/// The line between two round trips.
fn band(out: &mut String, trip: u32, inner: usize, pens: &Pens) {
    let label = format!(" round trip {} ", trip.saturating_add(1));
    let rest = inner.saturating_sub(width(&label)).saturating_sub(2);
    let dots = if pens.bar == "|" { "." } else { "┄" };
    let _ = writeln!(
        out,
        "{:MARGIN$}{bar}{dots}{dots}{label}{}{bar}",
        "",
        dots.repeat(rest),
        bar = pens.bar
    );
}

/// A moment between two writes.
fn note(out: &mut String, at: u128, label: &str, inner: usize, pens: &Pens) {
    let text = clip(&format!(" * {label}"), inner, pens);
    let _ = writeln!(
        out,
        "{at:>8}  {bar}{text}{:rest$}{bar}",
        "",
        rest = inner.saturating_sub(width(&text)),
        bar = pens.bar
    );
}

/// One write: a line for each unit, all behind one bracket, the arrow on the last.
fn arrow(out: &mut String, write: &Write, inner: usize, pens: &Pens) {
    let bar = if write.secured {
        pens.secured
    } else {
        pens.bar
    };
    let fallback = [String::from("(no unit)")];
    let units = if write.units.is_empty() {
        &fallback[..]
    } else {
        &write.units
    };
    for (index, unit) in units.iter().enumerate() {
        let last = index.saturating_add(1) == units.len();
        let bracket = match (index, last) {
            (0, true) => pens.only,
            (0, false) => pens.first,
            (_, false) => pens.more,
            (_, true) => pens.last,
        };
        let time = if index == 0 {
            format!("{:>8}  ", write.at.as_millis())
        } else {
            " ".repeat(MARGIN)
        };
        let text = clip(unit, inner.saturating_sub(8), pens);
        let shaft = inner.saturating_sub(width(&text)).saturating_sub(4);
        let fill = if last { pens.line } else { " " };
        let line = match (write.from, last) {
            (Party::Initiator, true) => {
                format!("{bracket} {text} {}{}", fill.repeat(shaft), pens.right)
            }
            (Party::Initiator, false) => format!("{bracket} {text} {} ", fill.repeat(shaft)),
            (Party::Receiver, true) => format!(
                "{}{} {text} {}",
                pens.left,
                fill.repeat(shaft),
                mirrored(bracket, pens)
            ),
            (Party::Receiver, false) => {
                format!(" {} {text} {}", fill.repeat(shaft), mirrored(bracket, pens))
            }
        };
        let _ = writeln!(out, "{time}{bar}{line}{bar}");
    }
}

/// The bracket as seen from the other side.
fn mirrored<'a>(bracket: &'a str, pens: &Pens) -> &'a str {
    match bracket {
        "┌" => "┐",
        "├" => "┤",
        "└" => "┘",
        other => {
            let _ = pens;
            other
        }
    }
}

/// Cuts a text to so many columns. All that is drawn is one column wide.
fn clip(text: &str, columns: usize, pens: &Pens) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
    cut.push_str(pens.ellipsis);
    cut
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mark;
    use core::time::Duration;

    #[allow(clippy::arithmetic_side_effects)]
    fn record() -> Record {
        let write = |from, at: u64, half_trips, units: &[&str], secured| Write {
            from,
            at: Duration::from_millis(at),
            arrives: Duration::from_millis(at + 50),
            half_trips,
            units: units.iter().map(|unit| (*unit).to_owned()).collect(),
            secured,
            bytes: 10,
        };
        Record {
            title: "a title".into(),
            writes: vec![
                write(
                    Party::Initiator,
                    100,
                    2,
                    &["stream header", "starttls"],
                    false,
                ),
                write(
                    Party::Receiver,
                    150,
                    3,
                    &[
                        "a unit with a name that is far too long for a line of eighty columns, so it is cut",
                    ],
                    true,
                ),
            ],
            marks: vec![Mark {
                at: Duration::from_millis(200),
                half_trips: 4,
                label: "online".into(),
            }],
        }
    }

    #[test]
    fn every_line_fits_its_width_and_both_bars_stand_in_their_columns() {
        for ascii in [false, true] {
            for columns in [60, 80, 100] {
                let drawn = ladder(
                    &record(),
                    &Style {
                        width: columns,
                        ascii,
                    },
                );
                let lines: Vec<&str> = drawn.lines().skip(2).collect();
                assert!(lines.len() >= 5);
                for line in lines {
                    assert_eq!(line.chars().count(), columns, "{line}");
                }
                assert!(!ascii || drawn.is_ascii());
            }
        }
    }

    #[test]
    fn flights_and_units_count_as_the_digest_says() {
        let record = record();
        assert_eq!(
            (record.writes.len(), record.flights(), record.units()),
            (2, 2, 3)
        );
        assert_eq!(record.until("online"), record);
    }
}
