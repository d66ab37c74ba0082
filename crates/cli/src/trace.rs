//! `onetrip trace`: one negotiation, recorded and drawn. `onetrip replay`: a record drawn again, or checked.

use std::path::Path;

use onetrip_simulator::{Lab, Link, ONLINE, Settings, Strategy};
use onetrip_tls::rustls::Versions;
use onetrip_trace::Record;

use crate::options::{Budget, Format, OutputOptions, Replay, Trace};
use crate::{Failure, compare, picture};

/// Records a negotiation, with a server or in virtual time.
pub(crate) async fn run(options: &Trace, output: &OutputOptions) -> Result<(), Failure> {
    let record = if options.simulate {
        simulated(options)?
    } else {
        compare::record(&options.target, options.strategy).await?
    };
    show(&record, output);
    picture::write(&[&record], Some(options.picture), output)
}

fn simulated(options: &Trace) -> Result<Record, Failure> {
    let check = |error: onetrip_simulator::LabError| Failure::Check(error.to_string());
    let lab = Lab::new().map_err(check)?;
    let historical = matches!(options.strategy, Strategy::Historical(_));
    let mut settings = Settings {
        tls: if historical {
            Versions::Tls12
        } else {
            options.tls
        },
        seed: options.seed,
        ..Settings::default()
    };
    settings.link = Link {
        round_trip: options.target.rtt.unwrap_or(settings.link.round_trip),
        rate: options.target.rate,
    };
    let run = lab.run(&options.strategy, &settings).map_err(check)?;
    Ok(run.record)
}

fn show(record: &Record, output: &OutputOptions) {
    match output.format {
        Format::Json => anstream::println!("{}", record.to_json()),
        Format::Text => anstream::print!("{}", picture::text(record, output)),
    }
}

/// Draws a stored record again.
pub(crate) fn replay(options: &Replay, output: &OutputOptions) -> Result<(), Failure> {
    let mut records = vec![read(&options.file)?];
    if let Some(file) = &options.beside {
        records.push(read(file)?);
    }
    for record in &records {
        show(record, output);
        if output.format == Format::Text {
            anstream::println!("{}", counts(record));
        }
    }
    picture::write(&records.iter().collect::<Vec<_>>(), options.picture, output)?;
    records
        .iter()
        .try_for_each(|record| within(record, options.budget))
}

fn read(file: &Path) -> Result<Record, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    Record::from_json(&text).map_err(|error| failed(&error))
}

/// What a record took, in one line.
fn counts(record: &Record) -> String {
    let negotiation = record.until(ONLINE);
    let counted = format!(
        "{} writes, {} flights, {} units",
        negotiation.writes.len(),
        negotiation.flights(),
        negotiation.units()
    );
    match online(record) {
        Some((trips, ms)) => {
            format!("{counted}; {trips} round trips and {ms:.1} ms to the first stanza")
        }
        None => format!("{counted}; no stanza could be sent"),
    }
}

/// Round trips and milliseconds until a stanza could be sent.
fn online(record: &Record) -> Option<(f64, f64)> {
    let mark = record.marks.iter().find(|mark| mark.label == ONLINE)?;
    Some((
        f64::from(mark.half_trips) / 2.0,
        mark.at.as_secs_f64() * 1e3,
    ))
}

fn within(record: &Record, budget: Option<Budget>) -> Result<(), Failure> {
    let Some(budget) = budget else { return Ok(()) };
    let Some((trips, ms)) = online(record) else {
        return Err(Failure::Check(format!(
            "{}: no stanza could be sent",
            record.title
        )));
    };
    let over = |allowed: Option<f64>, got: f64| allowed.is_some_and(|allowed| got > allowed);
    if over(budget.rtt, trips) || over(budget.ms, ms) {
        return Err(Failure::Budget(format!(
            "over budget: {} took {trips} round trips and {ms:.1} ms to send",
            record.title
        )));
    }
    Ok(())
}
