//! What the values of options look like, and what is said to one that does not.

use std::time::Duration;

use onetrip_core::stream::Domain;
use onetrip_simulator::Strategy;
use onetrip_tls::rustls::Versions;

use super::Budget;

/// `100ms`, `1.5s`, `2400us`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("'{text}' is no duration: try 100ms or 1s"))?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        _ => return Err(format!("'{text}' is no duration: try 100ms or 1s")),
    };
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("'{text}' is no duration that can be waited for"))
}

pub(super) fn peer(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((domain, place)) if place.contains(':') => Ok((domain.to_owned(), place.to_owned())),
        _ => Err("DOMAIN=HOST:PORT".to_owned()),
    }
}

pub(super) fn domain(text: &str) -> Result<Domain, String> {
    Domain::new(text).ok_or_else(|| format!("'{text}' is no domain"))
}

pub(super) fn tls(text: &str) -> Result<Versions, String> {
    match text {
        "1.2" => Ok(Versions::Tls12),
        "1.3" => Ok(Versions::Tls13),
        _ => Err("1.2 or 1.3".to_owned()),
    }
}

pub(super) fn strategy(text: &str) -> Result<Strategy, String> {
    Strategy::named(text)
        .ok_or_else(|| format!("no strategy of this name; did you mean {}?", nearest(text)))
}

/// The strategy whose name is the most like `text`.
pub(crate) fn nearest(text: &str) -> String {
    let likeness = |name: &String| strsim::jaro_winkler(name, text);
    Strategy::all()
        .iter()
        .map(Strategy::name)
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
        .unwrap_or_default()
}

pub(super) fn budget(text: &str) -> Result<Budget, String> {
    let mut budget = Budget::default();
    for part in text.split(',') {
        let number = |value: &str| {
            value
                .parse::<f64>()
                .map_err(|_| format!("'{value}' is no number"))
        };
        match part.split_once('=') {
            Some(("rtt", value)) => budget.rtt = Some(number(value)?),
            Some(("ms", value)) => budget.ms = Some(number(value)?),
            _ => return Err("a budget looks like rtt=4,ms=800".to_owned()),
        }
    }
    Ok(budget)
}
