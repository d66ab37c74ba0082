//! `onetrip simulate`: every strategy in virtual time.

use std::time::Duration;

use onetrip_simulator::{Faults, Lab, Link, Run, Settings, Strategy};
use onetrip_tls::rustls::Versions;
use onetrip_trace::{Line, Record, slope_svg};
use serde_json::{Value, json};

use crate::options::{Format, OutputOptions, Picture, Simulate, nearest};
use crate::terminal::{BOLD, notes};
use crate::{Failure, picture};

/// What stands above the columns: writes, flights and units; until a stanza may be sent, and until it is answered.
const HEADLINE: [&str; 2] = [
    "                                                 trips       bytes  milliseconds",
    "strategy                              wr fl un snd ans  sent  rcvd   send answer",
];

/// The columns, by their keys and widths.
const COLUMNS: [(&str, usize); 9] = [
    ("writes", 3),
    ("flights", 3),
    ("units", 3),
    ("rtt_to_send", 4),
    ("rtt_to_answer", 4),
    ("bytes_sent", 6),
    ("bytes_received", 6),
    ("ms_to_send", 7),
    ("ms_to_answer", 7),
];

/// Runs the strategies and prints a line for each.
pub(crate) fn run(options: &Simulate, output: &OutputOptions) -> Result<(), Failure> {
    let strategies = strategies(&options.strategy)?;
    let lab = Lab::new().map_err(|error| Failure::Check(error.to_string()))?;
    let mut failed = Vec::new();
    let mut records = Vec::new();
    if output.format == Format::Text {
        let [above, columns] = HEADLINE;
        anstream::println!("{above}\n{BOLD}{columns}{BOLD:#}");
    }
    for strategy in &strategies {
        let settings = settings(options, strategy, options.rtt);
        let run = lab
            .run(strategy, &settings)
            .map_err(|error| Failure::Check(error.to_string()))?;
        if !run.ok() {
            failed.push(strategy.name());
        }
        let value = line(strategy, settings.tls, &run);
        match output.format {
            Format::Json => anstream::println!("{value}"),
            Format::Text => {
                anstream::println!("{}", row(&value));
                notes(&delivered(options, &run));
            }
        }
        records.push(run.record);
    }
    if options.ladder {
        for record in &records {
            anstream::print!("\n{}", picture::text(record, output));
        }
    }
    draw(options, output, &lab, &strategies, &records)?;
    // With faults asked for, a login that fails is an answer.
    if failed.is_empty() || options.cut_at.is_some() {
        Ok(())
    } else {
        Err(Failure::Check(format!("failed: {}", failed.join(", "))))
    }
}

/// What a strategy is simulated on, with a link of this length.
fn settings(options: &Simulate, strategy: &Strategy, round_trip: Duration) -> Settings {
    // The two historical counts are defined for TLS 1.2 (digest §4.1).
    let tls = if matches!(strategy, Strategy::Historical(_)) {
        Versions::Tls12
    } else {
        options.tls
    };
    Settings {
        link: Link {
            round_trip,
            rate: options.rate,
        },
        faults: Faults {
            split: options.split.filter(|split| *split > 0),
            cut_at: options.cut_at,
        },
        tls,
        seed: options.seed,
    }
}

/// Draws the file that was asked for: of more than two strategies, what a longer link costs each.
fn draw(
    options: &Simulate,
    output: &OutputOptions,
    lab: &Lab,
    strategies: &[Strategy],
    records: &[Record],
) -> Result<(), Failure> {
    let Some(file) = &output.output else {
        return Ok(());
    };
    let svg = picture::kind(file)? == picture::Kind::Svg;
    let slopes =
        options.picture == Some(Picture::Slope) || (options.picture.is_none() && records.len() > 2);
    if svg && slopes {
        let lines = strategies
            .iter()
            .map(|strategy| slope(options, lab, strategy));
        let lines = lines.collect::<Result<Vec<_>, Failure>>()?;
        let drawn = slope_svg(
            "The slope is the number of round trips",
            "ms until the first stanza is answered",
            &lines,
        );
        return picture::store(file, &drawn);
    }
    picture::write(&records.iter().collect::<Vec<_>>(), options.picture, output)
}

/// How long a strategy takes on links of five lengths.
fn slope(options: &Simulate, lab: &Lab, strategy: &Strategy) -> Result<Line, Failure> {
    let mut points = Vec::new();
    let mut trips = 0.0;
    for quarter in 0..=4 {
        let round_trip = options.rtt * quarter / 4;
        let run = lab
            .run(strategy, &settings(options, strategy, round_trip))
            .map_err(|error| Failure::Check(error.to_string()))?;
        if let Some((took, half_trips)) = run.to_answer {
            let whole = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            points.push((whole(round_trip), whole(took)));
            trips = f64::from(half_trips) / 2.0;
        }
    }
    let label = format!("{trips} {}", strategy.name());
    Ok(Line { label, points })
}

fn strategies(names: &[String]) -> Result<Vec<Strategy>, Failure> {
    if names.iter().any(|name| name == "all") {
        return Ok(Strategy::all());
    }
    let named = |name: &String| {
        Strategy::named(name).ok_or_else(|| {
            Failure::Usage(format!(
                "no strategy '{name}'; did you mean {}?",
                nearest(name)
            ))
        })
    };
    names.iter().map(named).collect()
}

/// The keys of `cli.md`, in its order.
fn line(strategy: &Strategy, tls: Versions, run: &Run) -> Value {
    let negotiation = run.negotiation();
    let trips =
        |moment: Option<(core::time::Duration, u32)>| moment.map(|(_, half)| f64::from(half) / 2.0);
    let ms = |moment: Option<(core::time::Duration, u32)>| {
        moment.map(|(at, _)| (at.as_secs_f64() * 1e6).round() / 1e3)
    };
    json!({
        "strategy": strategy.name(),
        "tls": match (strategy, tls) {
            (Strategy::Zero { tls: false }, _) => None,
            (_, Versions::Tls12) => Some("1.2"),
            _ => Some("1.3"),
        },
        "writes": negotiation.writes.len(),
        "flights": negotiation.flights(),
        "units": negotiation.units(),
        "rtt_to_send": trips(run.to_send),
        "rtt_to_answer": trips(run.to_answer),
        "bytes_sent": run.bytes_sent,
        "bytes_received": run.bytes_received,
        "ms_to_send": ms(run.to_send),
        "ms_to_answer": ms(run.to_answer),
        "ok": run.ok(),
        // When the first stanza has arrived, and what both sides had sent by then.
        "ms_to_deliver": ms(run.arrived),
        "bytes_to_deliver": run.arrived.map(|_| run.bytes_to_arrive),
    })
}

fn row(value: &Value) -> String {
    let field = |key: &str| match value.get(key) {
        Some(Value::Null) | None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        // Whole milliseconds, and half round trips where there are any.
        Some(other) if key.starts_with("ms") => {
            format!("{:.0}", other.as_f64().unwrap_or_default())
        }
        Some(other) => other.as_f64().unwrap_or_default().to_string(),
    };
    let cells = COLUMNS.map(|(key, width)| format!("{:>width$}", field(key)));
    let name = if field("tls") == "1.2" {
        format!("{} (TLS 1.2)", field("strategy"))
    } else {
        field("strategy")
    };
    format!("{name:<37}{}", cells.concat())
}

/// On a slow link it matters when the first stanza arrives, and behind how many bytes.
fn delivered(options: &Simulate, run: &Run) -> Vec<String> {
    let arrived = run.arrived.filter(|_| options.rate.is_some());
    let said = arrived.map(|(at, _)| {
        let (ms, bytes) = (at.as_millis(), run.bytes_to_arrive);
        format!("the first stanza is delivered after {ms} ms, behind {bytes} bytes")
    });
    said.into_iter().collect()
}
