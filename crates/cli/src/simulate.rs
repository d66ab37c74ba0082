//! `onetrip simulate`: every strategy in virtual time.

use onetrip_simulator::{Faults, Lab, Link, Run, Settings, Strategy};
use onetrip_tls::rustls::Versions;
use onetrip_trace::{Style, ladder};
use serde_json::{Value, json};

use crate::Failure;
use crate::options::{Format, OutputOptions, Simulate, nearest};

/// The columns of the table, with what they count above.
const HEADLINE: &str = concat!(
    "                                                         round trips         bytes      milliseconds\n",
    "strategy                           writes flights  units   send  answer    sent   rcvd   send   answer",
);

/// Runs the strategies and prints a line for each.
pub(crate) fn run(options: &Simulate, output: &OutputOptions) -> Result<(), Failure> {
    let strategies = strategies(&options.strategy)?;
    let lab = Lab::new().map_err(|error| Failure::Check(error.to_string()))?;
    let mut failed = Vec::new();
    let mut pictures = String::new();
    if output.format == Format::Text {
        anstream::println!("{HEADLINE}");
    }
    for strategy in strategies {
        // The two historical counts are defined for TLS 1.2 (digest §4.1).
        let tls = if matches!(strategy, Strategy::Historical(_)) {
            Versions::Tls12
        } else {
            options.tls
        };
        let settings = Settings {
            link: Link {
                round_trip: options.rtt,
                rate: options.rate,
            },
            faults: Faults {
                split: options.split.filter(|split| *split > 0),
                cut_at: options.cut_at,
            },
            tls,
            verify_in_clear: options.verify_in_clear,
            seed: options.seed,
        };
        let run = lab
            .run(&strategy, &settings)
            .map_err(|error| Failure::Check(error.to_string()))?;
        if !run.ok() {
            failed.push(strategy.name());
        }
        let value = line(&strategy, tls, &run);
        match output.format {
            Format::Json => anstream::println!("{value}"),
            Format::Text => anstream::println!("{}", row(&value)),
        }
        if options.ladder || output.output.is_some() {
            pictures.push_str(&ladder(
                &run.record,
                &Style {
                    ascii: output.ascii,
                    ..Style::default()
                },
            ));
            pictures.push('\n');
        }
    }
    if options.ladder {
        anstream::print!("\n{pictures}");
    }
    if let Some(file) = &output.output {
        std::fs::write(file, pictures)
            .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    }
    // With faults asked for, a login that fails is an answer.
    if failed.is_empty() || options.cut_at.is_some() {
        Ok(())
    } else {
        Err(Failure::Check(format!("failed: {}", failed.join(", "))))
    }
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
        "tls": if tls == Versions::Tls12 { "1.2" } else { "1.3" },
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
    })
}

fn row(value: &Value) -> String {
    let field = |key: &str| match value.get(key) {
        Some(Value::Null) | None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let keys = [
        "writes",
        "flights",
        "units",
        "rtt_to_send",
        "rtt_to_answer",
        "bytes_sent",
        "bytes_received",
        "ms_to_send",
        "ms_to_answer",
    ];
    let widths = [6, 7, 6, 6, 7, 7, 6, 6, 8];
    let cells = keys
        .iter()
        .zip(widths)
        .map(|(key, width)| format!(" {:>width$}", field(key)))
        .collect::<String>();
    let name = if field("tls") == "1.2" {
        format!("{} (TLS 1.2)", field("strategy"))
    } else {
        field("strategy")
    };
    format!("{name:<34}{cells}")
}
