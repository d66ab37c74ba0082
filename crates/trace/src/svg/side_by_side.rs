//! Two exchanges on one time axis: what the same login costs in two ways.

use super::canvas::{Anchor, Canvas, WIDTH, fitted, width_of};
use crate::{Party, Record};

/// How high the time between two writes of a link without limits is drawn, at least.
const STEP: u32 = 28;
const TOP: u32 = 84;
/// How high a label is.
const LABEL: u32 = 16;

/// Draws two records beside each other. `moment` is the label of the mark to which both are counted; what comes later is
/// left out.
#[must_use]
pub fn side_by_side_svg(title: &str, left: &Record, right: &Record, moment: &str) -> String {
    let scale = Scale::of([left, right], moment);
    let mut canvas = Canvas::new();
    let height = TOP
        .saturating_add(scale.place(scale.end))
        .saturating_add(64);
    canvas.text("text title", (16, 26), Anchor::Start, title);
    scale.grid(&mut canvas, height.saturating_sub(48));
    let mut told = Vec::new();
    for (record, from) in [(left, 64), (right, WIDTH.midpoint(64).saturating_add(8))] {
        let to = from.saturating_add(352);
        told.push(column(&mut canvas, record, &scale, (from, to), moment));
    }
    canvas.finish(height, title, &told.join(" "))
}

/// From time to pixels.
struct Scale {
    /// Milliseconds for [`STEP`] pixels.
    step: u128,
    end: u128,
}

impl Scale {
    /// The shortest way of a write decides how much a millisecond is.
    fn of(records: [&Record; 2], moment: &str) -> Self {
        let step = records
            .iter()
            .flat_map(|record| &record.writes)
            .map(|write| write.arrives.saturating_sub(write.at).as_millis())
            .min()
            .unwrap_or(1)
            .max(1);
        let end = records.iter().map(|record| finish(record, moment).0);
        Self {
            step,
            end: end.max().unwrap_or(step),
        }
    }

    fn place(&self, at: u128) -> u32 {
        let pixels = at.saturating_mul(STEP.into()).checked_div(self.step);
        pixels
            .and_then(|pixels| u32::try_from(pixels).ok())
            .unwrap_or(u32::MAX)
    }

    /// A line for about every hundred pixels.
    fn grid(&self, canvas: &mut Canvas, bottom: u32) {
        let every = round(self.step.saturating_mul(3));
        let mut at = 0_u128;
        while TOP.saturating_add(self.place(at)) <= bottom {
            let y = TOP.saturating_add(self.place(at));
            canvas.line("rule", (56, y), (WIDTH.saturating_sub(8), y));
            canvas.text(
                "faint",
                (48, y.saturating_add(4)),
                Anchor::End,
                &format!("{at}"),
            );
            at = at.saturating_add(every);
        }
        canvas.text("faint", (48, TOP.saturating_sub(22)), Anchor::End, "ms");
    }
}

/// The next of 1, 2, 5, 10, 20 and so on.
fn round(at_least: u128) -> u128 {
    let mut ten = 1_u128;
    loop {
        for times in [1, 2, 5] {
            let rounded = ten.saturating_mul(times);
            if rounded >= at_least {
                return rounded;
            }
        }
        ten = ten.saturating_mul(10);
    }
}

/// When what is counted to has come, and after how many one-way trips.
fn finish(record: &Record, moment: &str) -> (u128, u32) {
    let mark = record.marks.iter().find(|mark| mark.label == moment);
    let mark = mark.or(record.marks.last());
    mark.map_or((0, 0), |mark| (mark.at.as_millis(), mark.half_trips))
}

/// One exchange between two lifelines; returns what it says, for those who do not see it.
fn column(
    canvas: &mut Canvas,
    record: &Record,
    scale: &Scale,
    (from, to): (u32, u32),
    moment: &str,
) -> String {
    let (end, half_trips) = finish(record, moment);
    let bottom = TOP.saturating_add(scale.place(end));
    canvas.text(
        "text title",
        (from, TOP.saturating_sub(34)),
        Anchor::Start,
        &record.title,
    );
    for x in [from, to] {
        canvas.line("axis", (x, TOP), (x, bottom));
    }
    let middle = from.midpoint(to);
    let first = record
        .writes
        .first()
        .map_or(0, |write| write.at.as_millis());
    if record.connects() {
        let y = TOP.saturating_add(scale.place(first) / 2).saturating_add(4);
        canvas.text("faint", (middle, y), Anchor::Middle, "TCP connects");
    }
    let mut free = TOP;
    for flight in flights(record, end, scale) {
        let there = flight.from == Party::Initiator;
        let (x1, x2) = if there { (from, to) } else { (to, from) };
        let mut y = TOP;
        for (y1, y2) in flight.arrows {
            canvas.arrow(there, (x1, y1), (x2, y2));
            y = y1.midpoint(y2);
        }
        let label = label(&flight.units, to.saturating_sub(from).saturating_sub(88));
        // The text has paper under it, so that its arrow does not run through it.
        let y = y.max(free);
        free = y.saturating_add(LABEL);
        let width = width_of(&label).saturating_add(8);
        let left = middle.saturating_sub(width / 2);
        canvas.rect("paper", left, y.saturating_sub(8), width, LABEL);
        canvas.text(
            "text",
            (middle, y.saturating_add(4)),
            Anchor::Middle,
            &label,
        );
    }
    let trips = f64::from(half_trips) / 2.0;
    let result = format!("{trips} round trips, {end} ms");
    canvas.text(
        "strong title",
        (from, bottom.saturating_add(26)),
        Anchor::Start,
        &result,
    );
    format!(
        "{}: {moment} after {trips} round trips and {end} ms.",
        record.title
    )
}

/// Writes of one party that leave so close to one another that they share a label.
struct Flight {
    from: Party,
    arrows: Vec<(u32, u32)>,
    units: Vec<String>,
}

fn flights(record: &Record, end: u128, scale: &Scale) -> Vec<Flight> {
    let place = |time: core::time::Duration| TOP.saturating_add(scale.place(time.as_millis()));
    let mut flights: Vec<Flight> = Vec::new();
    for write in &record.writes {
        if write.arrives.as_millis() > end {
            continue;
        }
        let arrow = (place(write.at), place(write.arrives));
        let close = |flight: &&mut Flight| {
            let first = flight.arrows.first().map_or(0, |first| first.0);
            flight.from == write.from && arrow.0 < first.saturating_add(LABEL)
        };
        match flights.last_mut().filter(close) {
            Some(flight) => {
                flight.arrows.push(arrow);
                flight.units.extend(write.units.iter().cloned());
            }
            None => flights.push(Flight {
                from: write.from,
                arrows: vec![arrow],
                units: write.units.clone(),
            }),
        }
    }
    flights
}

/// What was in a write, in short: features without what they are, and of too much the first and the last.
fn label(units: &[String], room: u32) -> String {
    let names: Vec<&str> = units
        .iter()
        .map(|unit| {
            unit.split_once(" (")
                .map_or(unit.as_str(), |(name, _)| name)
        })
        .map(|name| name.strip_prefix("stream ").unwrap_or(name))
        .collect();
    let all = names.join(", ");
    match names.as_slice() {
        [first, .., last] if width_of(&all) > room => {
            fitted(&format!("{first} … {last} ({})", names.len()), room)
        }
        _ => fitted(&all, room),
    }
}
