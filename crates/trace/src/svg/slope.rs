//! The slope plot: how long a connection takes to start against how long the link is. The slope is the number of round trips.

use super::canvas::{Anchor, Canvas, WIDTH};

/// One way to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is called; its slope is added.
    pub label: String,
    /// Round trip of the link and time to the moment that counts, in milliseconds, by growing round trips.
    pub points: Vec<(u32, u32)>,
}

const LEFT: u32 = 72;
const RIGHT: u32 = 500;
const TOP: u32 = 56;
/// How high it is drawn, at least: with many lines so high that there is a place for each label.
const HEIGHT: u32 = 340;
/// From one label to the next, at least.
const ROW: u32 = 18;

/// Draws lines from measured or simulated points, each labelled at its end. `counted` says what the time is to.
#[must_use]
pub fn slope_svg(title: &str, counted: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let widest = all().map(|point| point.0).max().unwrap_or(1).max(1);
    let longest = all().map(|point| point.1).max().unwrap_or(1).max(1);
    let labels = u32::try_from(lines.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(ROW);
    let bottom = TOP.saturating_add(labels.max(HEIGHT));
    let place = |(x, y): (u32, u32)| {
        (
            LEFT.saturating_add(share(x, widest, RIGHT.saturating_sub(LEFT))),
            bottom.saturating_sub(share(y, longest, bottom.saturating_sub(TOP))),
        )
    };
    let mut canvas = Canvas::new();
    canvas.text("text title", (16, 26), Anchor::Start, title);
    axes(&mut canvas, bottom, (widest, longest), counted);
    for line in lines {
        for pair in line.points.windows(2) {
            if let [one, other] = pair {
                canvas.line("there", place(*one), place(*other));
            }
        }
    }
    label(&mut canvas, bottom, lines, place);
    let told = lines.iter().map(|line| {
        let (rtt, took) = line.points.last().copied().unwrap_or_default();
        format!("{}: {took} ms over a link of {rtt} ms.", line.label)
    });
    let told = told.collect::<Vec<_>>().join(" ");
    canvas.finish(bottom.saturating_add(56), title, &told)
}

/// `part` of `whole`, of so many pixels.
fn share(part: u32, whole: u32, pixels: u32) -> u32 {
    let share = u64::from(part)
        .saturating_mul(pixels.into())
        .checked_div(whole.into());
    share
        .and_then(|share| u32::try_from(share).ok())
        .unwrap_or(0)
}

fn axes(canvas: &mut Canvas, bottom: u32, (widest, longest): (u32, u32), counted: &str) {
    for quarter in 0..=4_u32 {
        let part = |whole: u32| share(quarter, 4, whole);
        let y = bottom.saturating_sub(part(bottom.saturating_sub(TOP)));
        canvas.line("rule", (LEFT, y), (RIGHT, y));
        let at = (LEFT.saturating_sub(8), y.saturating_add(4));
        canvas.text("faint", at, Anchor::End, &part(longest).to_string());
        let x = LEFT.saturating_add(part(RIGHT.saturating_sub(LEFT)));
        let at = (x, bottom.saturating_add(18));
        canvas.text("faint", at, Anchor::Middle, &part(widest).to_string());
    }
    canvas.line("axis", (LEFT, bottom), (RIGHT, bottom));
    let at = (RIGHT, bottom.saturating_add(38));
    canvas.text("faint", at, Anchor::End, "round trip of the link, ms");
    canvas.text("faint", (16, 46), Anchor::Start, counted);
}

/// Labels stand at the ends of their lines, pushed apart where those are close, with a line to where they belong.
fn label(
    canvas: &mut Canvas,
    bottom: u32,
    lines: &[Line],
    place: impl Fn((u32, u32)) -> (u32, u32),
) {
    let mut ends: Vec<((u32, u32), u32, &str)> = lines
        .iter()
        .filter_map(|line| Some((place(*line.points.last()?), 0, line.label.as_str())))
        .collect();
    ends.sort_by_key(|((_, end), ..)| *end);
    let mut free = TOP;
    for ((_, end), y, _) in &mut ends {
        *y = free.max(*end);
        free = y.saturating_add(ROW);
    }
    // Those that do not fit below push the others up again.
    let mut free = bottom;
    for (_, y, _) in ends.iter_mut().rev() {
        *y = free.min(*y);
        free = y.saturating_sub(ROW);
    }
    let x = RIGHT.saturating_add(28);
    for (end, y, label) in ends {
        canvas.line("rule", end, (x.saturating_sub(4), y));
        let room = WIDTH.saturating_sub(x).saturating_sub(8);
        let label = super::canvas::fitted(label, room);
        canvas.text("text", (x, y.saturating_add(4)), Anchor::Start, &label);
    }
}
