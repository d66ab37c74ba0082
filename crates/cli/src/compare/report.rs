//! What `onetrip compare` says behind its rows.

use onetrip_trace::Record;

use super::row::Row;
use crate::Failure;
use crate::options::{Budget, Compare, Format, OutputOptions};
use crate::picture;

/// The ladder of the fastest, and what is demanded of it.
pub(super) fn finish(
    rows: &[Row],
    options: &Compare,
    output: &OutputOptions,
) -> Result<(), Failure> {
    // A login, where there was one: a link by agreement beats everything, and says nothing about logins.
    let passed = |row: &&Row| row.rtt.is_some();
    let login = |row: &&Row| {
        row.strategy
            .is_some_and(|strategy| strategy.login().is_some())
    };
    let fastest = rows.iter().filter(passed).min_by(|a, b| {
        let of = |row: &Row| {
            (
                !login(&row),
                row.rtt.map(|rtt| rtt.1),
                row.ms.map_or(f64::MAX, |ms| ms.1),
            )
        };
        let ((a_kind, a_trips, a_ms), (b_kind, b_trips, b_ms)) = (of(a), of(b));
        let trips = a_kind.cmp(&b_kind).then(a_trips.cmp(&b_trips));
        trips.then(a_ms.total_cmp(&b_ms))
    });
    let Some(fastest) = fastest else {
        // Between clients round trips are not counted, and nothing is faster than another.
        if rows.iter().any(|row| row.ms.is_some()) {
            return Ok(());
        }
        let reason = rows
            .iter()
            .find_map(|row| row.reason.clone())
            .unwrap_or_else(|| "no strategy to try".to_owned());
        return Err(Failure::Check(format!("no login succeeded: {reason}")));
    };
    if let Some(record) = &fastest.record {
        if output.format == Format::Text {
            anstream::print!("\nThe fastest:\n\n{}", picture::text(record, output));
        }
        // Beside it, the step-by-step way to do the same.
        let same = |row: &&Row| row.strategy == fastest.strategy.map(|strategy| strategy.classic());
        let classic = rows.iter().find(same).and_then(|row| row.record.as_ref());
        let both: Vec<&Record> = match classic.filter(|classic| *classic != record) {
            Some(classic) => vec![classic, record],
            None => vec![record],
        };
        picture::write(&both, None, output)?;
    }
    check_budget(fastest, options.budget)
}

fn check_budget(fastest: &Row, budget: Option<Budget>) -> Result<(), Failure> {
    let (Some(budget), Some((trips, _)), Some((ms, _))) = (budget, fastest.rtt, fastest.ms) else {
        return Ok(());
    };
    let over = |allowed: Option<f64>, got: f64| allowed.is_some_and(|allowed| got > allowed);
    if over(budget.rtt, f64::from(trips)) || over(budget.ms, ms) {
        return Err(Failure::Budget(format!(
            "over budget: {} took {trips} round trips and {ms:.1} ms to send",
            fastest.name()
        )));
    }
    Ok(())
}
