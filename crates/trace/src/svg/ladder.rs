//! The ladder of one exchange: time runs down, each write is one arrow, each round trip a numbered band.

use super::canvas::{Anchor, Canvas, WIDTH, fitted};
use crate::{Mark, Party, Record, Write};

/// Where the two lifelines stand.
const LEFT: u32 = 96;
const RIGHT: u32 = 744;
/// From one line of text to the next.
const ROW: u32 = 17;

/// What stands in the picture, from above to below.
enum Item<'a> {
    /// A round trip begins.
    Band(u32),
    /// TCP's own.
    Connect,
    Write(&'a Write),
    Mark(&'a Mark),
}

/// Draws a record as the ladder of its writes.
#[must_use]
pub fn ladder_svg(record: &Record) -> String {
    let items = items(record);
    let mut canvas = Canvas::new();
    let (title_y, heads_y, top) = (26_u32, 52_u32, 62_u32);
    let height = items
        .iter()
        .fold(top, |y, item| y.saturating_add(height_of(item)));
    bands(&mut canvas, &items, top);
    canvas.line("rule", (LEFT, top), (LEFT, height));
    canvas.line("rule", (RIGHT, top), (RIGHT, height));
    canvas.text("text title", (16, title_y), Anchor::Start, &record.title);
    canvas.text("faint", (LEFT, heads_y), Anchor::Middle, "initiator");
    canvas.text("faint", (RIGHT, heads_y), Anchor::Middle, "receiver");
    canvas.text("faint", (16, heads_y), Anchor::Start, "ms");
    let mut y = top;
    for item in &items {
        match item {
            Item::Band(_) => {}
            Item::Connect => {
                let middle = (LEFT.midpoint(RIGHT), y.saturating_add(13));
                canvas.text("faint", middle, Anchor::Middle, "TCP connects");
            }
            Item::Write(write) => arrow(&mut canvas, write, y),
            Item::Mark(mark) => {
                let middle = (LEFT.midpoint(RIGHT), y.saturating_add(ROW));
                canvas.text("strong title", middle, Anchor::Middle, &mark.label);
                time(&mut canvas, mark.at.as_millis(), middle.1);
            }
        }
        y = y.saturating_add(height_of(item));
    }
    let description = format!(
        "{} writes in {} flights. {}",
        record.writes.len(),
        record.flights(),
        marks(record)
    );
    canvas.finish(height.saturating_add(16), &record.title, &description)
}

/// What a screen reader says of the moments that count.
fn marks(record: &Record) -> String {
    let told = record.marks.iter().map(|mark| {
        let trips = f64::from(mark.half_trips) / 2.0;
        format!(
            "{} after {} ms and {trips} round trips.",
            mark.label,
            mark.at.as_millis()
        )
    });
    told.collect::<Vec<_>>().join(" ")
}

fn items(record: &Record) -> Vec<Item<'_>> {
    let mut items = vec![Item::Band(0)];
    items.extend(record.connects().then_some(Item::Connect));
    let mut trip = 0;
    let mut marks = record.marks.iter().peekable();
    for write in &record.writes {
        while let Some(mark) =
            marks.next_if(|mark| mark.at <= write.at && mark.half_trips <= write.half_trips)
        {
            items.push(Item::Mark(mark));
        }
        let now = write.half_trips / 2;
        if write.from == Party::Initiator && trip != now {
            trip = now;
            items.push(Item::Band(now));
        }
        items.push(Item::Write(write));
    }
    items.extend(marks.map(Item::Mark));
    items
}

fn height_of(item: &Item<'_>) -> u32 {
    match item {
        Item::Band(_) => 6,
        Item::Connect => 24,
        Item::Mark(_) => 26,
        Item::Write(write) => {
            let rows = u32::try_from(write.units.len().max(1)).unwrap_or(u32::MAX);
            rows.saturating_mul(ROW).saturating_add(12)
        }
    }
}

/// Every second round trip has a ground of its own; its number stands at the right.
fn bands(canvas: &mut Canvas, items: &[Item<'_>], top: u32) {
    let mut y = top;
    let mut begun: Option<(u32, u32)> = None;
    let close = |begun: Option<(u32, u32)>, end: u32, canvas: &mut Canvas| {
        if let Some((trip, from)) = begun {
            let class = if trip % 2 == 0 { "band" } else { "paper" };
            canvas.rect(class, 0, from, WIDTH, end.saturating_sub(from));
            let number = format!("RTT {}", trip.saturating_add(1));
            let at = (WIDTH.saturating_sub(16), from.saturating_add(ROW));
            canvas.text("faint", at, Anchor::End, &number);
        }
    };
    for item in items {
        if let Item::Band(trip) = item {
            close(begun, y, canvas);
            begun = Some((*trip, y));
        }
        y = y.saturating_add(height_of(item));
    }
    close(begun, y, canvas);
}

fn time(canvas: &mut Canvas, at: u128, y: u32) {
    canvas.text("faint", (16, y), Anchor::Start, &at.to_string());
}

/// One write: a line of text for each unit, then the arrow, on a tinted ground if it went through TLS.
fn arrow(canvas: &mut Canvas, write: &Write, y: u32) {
    let there = write.from == Party::Initiator;
    let rows = u32::try_from(write.units.len().max(1)).unwrap_or(u32::MAX);
    let foot = y.saturating_add(rows.saturating_mul(ROW)).saturating_add(5);
    if write.secured {
        let (x, width) = (
            LEFT.saturating_add(1),
            RIGHT.saturating_sub(LEFT).saturating_sub(2),
        );
        canvas.rect(
            "tint",
            x,
            y.saturating_add(2),
            width,
            foot.saturating_sub(y).saturating_add(3),
        );
    }
    let (x, anchor) = if there {
        (LEFT.saturating_add(14), Anchor::Start)
    } else {
        (RIGHT.saturating_sub(14), Anchor::End)
    };
    let mut row = y;
    for unit in &write.units {
        row = row.saturating_add(ROW);
        let room = RIGHT.saturating_sub(LEFT).saturating_sub(40);
        canvas.text(
            "text",
            (x, row.saturating_sub(2)),
            anchor,
            &fitted(unit, room),
        );
    }
    // Units that went together stand behind one bracket.
    if write.units.len() > 1 {
        let x = if there {
            LEFT.saturating_add(6)
        } else {
            RIGHT.saturating_sub(6)
        };
        let class = if there { "there" } else { "back" };
        canvas.line(class, (x, y.saturating_add(5)), (x, foot));
    }
    time(
        canvas,
        write.at.as_millis(),
        y.saturating_add(ROW).saturating_sub(2),
    );
    let (from, to) = if there { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
    canvas.arrow(there, (from, foot), (to, foot));
}
