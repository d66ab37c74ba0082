//! The ladder for pages that draw Mermaid themselves.

use core::fmt::Write as _;

use crate::{Party, Record};

/// Draws a record as a sequence diagram: each write one arrow, each round trip a note over both parties.
#[must_use]
pub fn mermaid(record: &Record) -> String {
    let mut out = String::from("sequenceDiagram\n");
    let _ = writeln!(out, "    title {}", plain(&record.title));
    out.push_str("    participant I as initiator\n    participant R as receiver\n");
    let first = match record.connects() {
        true => "round trip 1: TCP connects",
        false => "round trip 1",
    };
    let _ = writeln!(out, "    Note over I,R: {first}");
    let mut trip = 0;
    let mut marks = record.marks.iter().peekable();
    for write in &record.writes {
        while let Some(mark) =
            marks.next_if(|mark| mark.at <= write.at && mark.half_trips <= write.half_trips)
        {
            let _ = writeln!(
                out,
                "    Note over I: {} ({} ms)",
                plain(&mark.label),
                mark.at.as_millis()
            );
        }
        let now = write.half_trips / 2;
        if write.from == Party::Initiator && trip != now {
            trip = now;
            let _ = writeln!(
                out,
                "    Note over I,R: round trip {}",
                now.saturating_add(1)
            );
        }
        let arrow = match write.from {
            Party::Initiator => "I->>R",
            Party::Receiver => "R-->>I",
        };
        let units = write
            .units
            .iter()
            .map(|unit| plain(unit))
            .collect::<Vec<_>>();
        let _ = writeln!(out, "    {arrow}: {}", units.join("<br/>"));
    }
    for mark in marks {
        let _ = writeln!(
            out,
            "    Note over I: {} ({} ms)",
            plain(&mark.label),
            mark.at.as_millis()
        );
    }
    out
}

/// Without what Mermaid reads as syntax.
fn plain(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            ';' | '#' | '<' | '>' => ' ',
            other => other,
        })
        .collect()
}
