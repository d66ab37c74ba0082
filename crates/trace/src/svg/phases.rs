//! The waterfall: when each phase of an exchange began and ended, and which overlapped.

use super::canvas::{Anchor, Canvas};
use crate::Record;

/// Which units belong to which phase, by how they begin; the first that fits. What none names belongs to the stream.
const PHASES: &[(&str, &[&str])] = &[
    (
        "TLS",
        &[
            "starttls",
            "proceed",
            "ClientHello",
            "ServerHello",
            "Finished",
            "ClientKeyExchange",
            "ChangeCipherSpec",
        ],
    ),
    (
        "login",
        &[
            "auth",
            "challenge",
            "response",
            "success",
            "failure",
            "abort",
        ],
    ),
    ("dialback", &["result", "verify"]),
    (
        "resource",
        &["iq set bind", "iq result bind", "enable", "enabled"],
    ),
    (
        "session",
        &["resume", "inst-resume", "inst-resumed", "failed"],
    ),
    (
        "streams",
        &["stream header", "features", "bidi", "error", "footer"],
    ),
];

const LEFT: u32 = 104;
const RIGHT: u32 = 808;
const TOP: u32 = 52;
const ROW: u32 = 28;

/// Draws when the phases of a record began and ended, up to the mark of this label.
#[must_use]
pub fn phases_svg(record: &Record, moment: &str) -> String {
    let record = record.until(moment);
    let end = record.marks.last().map_or_else(
        || {
            record
                .writes
                .iter()
                .map(|write| write.arrives.as_millis())
                .max()
                .unwrap_or(1)
        },
        |mark| mark.at.as_millis(),
    );
    let connected = record
        .writes
        .first()
        .map_or(0, |write| write.at.as_millis());
    let mut rows = vec![("TCP", vec![(0, connected)])];
    rows.extend(PHASES.iter().map(|(name, _)| (*name, spans(&record, name))));
    rows.retain(|(_, spans)| !spans.is_empty());
    rows.sort_by(|(_, one), (_, other)| one.first().cmp(&other.first()));
    let mut canvas = Canvas::new();
    canvas.text("text title", (16, 26), Anchor::Start, &record.title);
    let bottom = u32::try_from(rows.len())
        .unwrap_or(0)
        .saturating_mul(ROW)
        .saturating_add(TOP);
    let place = |at: u128| {
        let pixels = u128::from(RIGHT.saturating_sub(LEFT));
        let share = at
            .saturating_mul(pixels)
            .checked_div(end.max(1))
            .unwrap_or(0);
        LEFT.saturating_add(u32::try_from(share).unwrap_or(0))
    };
    for quarter in 0..=4_u128 {
        let at = end.saturating_mul(quarter) / 4;
        canvas.line(
            "rule",
            (place(at), TOP),
            (place(at), bottom.saturating_add(6)),
        );
        let label = (place(at), bottom.saturating_add(22));
        canvas.text("faint", label, Anchor::Middle, &at.to_string());
    }
    let mut y = TOP;
    let mut told = Vec::new();
    for (name, spans) in rows {
        canvas.text("text", (16, y.saturating_add(18)), Anchor::Start, name);
        for (from, to) in spans {
            let width = place(to).saturating_sub(place(from)).max(2);
            let top = y.saturating_add(6);
            canvas.rect(
                "head-there",
                place(from),
                top,
                width,
                ROW.saturating_sub(10),
            );
            told.push(format!("{name} from {from} to {to} ms."));
        }
        y = y.saturating_add(ROW);
    }
    canvas.text(
        "faint",
        (RIGHT, bottom.saturating_add(42)),
        Anchor::End,
        "milliseconds",
    );
    canvas.finish(bottom.saturating_add(56), &record.title, &told.join(" "))
}

fn phase_of(unit: &str) -> &'static str {
    let unit = unit.strip_prefix("verify: ").map_or(unit, |_| "verify");
    let begins = |(_, names): &&(&str, &[&str])| names.iter().any(|name| unit.starts_with(name));
    PHASES
        .iter()
        .find(begins)
        .map_or("streams", |(name, _)| name)
}

/// When a phase had something on its way: writes that follow one another are one span.
fn spans(record: &Record, phase: &str) -> Vec<(u128, u128)> {
    let has = |units: &[String]| units.iter().any(|unit| phase_of(unit) == phase);
    let mut spans: Vec<(u128, u128)> = Vec::new();
    for write in record.writes.iter().filter(|write| has(&write.units)) {
        let (from, to) = (write.at.as_millis(), write.arrives.as_millis());
        match spans.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => spans.push((from, to)),
        }
    }
    spans
}
