//! `onetrip probe`: what a server offers and takes, without a login.

mod places;
mod tried;
mod wire;

use std::sync::Arc;

use minidom::Element;
use onetrip_core::quickstart::{Features, Level, Transport};
use onetrip_core::stream::{Content, ns};
use onetrip_simulator::{Answers, Comeback, Lab, Login, Proof, Settings, Strategy};
use onetrip_tls::rustls::rustls::ClientConfig as TlsConfig;
use onetrip_tls::rustls::{Versions, client_config, outbound_config};
use serde_json::{Value, json};

use crate::Failure;
use crate::compare::roots;
use crate::options::{Format, OutputOptions, Probe};
use places::{Place, places};
use tried::{Shown, Together, Visit, version};

/// What is looked for in features: its name here, the element and its namespace.
const OFFERS: &[(&str, &str, &str)] = &[
    ("pipelining", "pipelining", ns::PIPELINING),
    ("SASL2", "authentication", "urn:xmpp:sasl:2"),
    ("stream management", "sm", ns::STREAM_MANAGEMENT),
    ("instant stream resumption", "isr", ns::ISR),
    ("roster versioning", "ver", ns::ROSTER_VERSIONING),
    ("dialback", "dialback", ns::DIALBACK_FEATURE),
    ("bidirectional streams", "bidi", ns::BIDI_FEATURE),
    ("stream limits", "limits", ns::STREAM_LIMITS),
];

/// What is offered inside SASL2.
const INLINE: &[(&str, &str, &str)] = &[
    ("Bind 2", "bind", "urn:xmpp:bind:0"),
    ("FAST", "fast", "urn:xmpp:fast:0"),
    ("inline resumption", "sm", ns::STREAM_MANAGEMENT),
];

/// Looks at all places of a domain.
pub(crate) async fn run(options: &Probe, output: &OutputOptions) -> Result<(), Failure> {
    let (places, missing) = places(options).await?;
    let roots = roots(options.ca_file.as_deref())?;
    let unusable = |error: onetrip_tls::TlsError| Failure::Usage(error.to_string());
    let client = client_config(roots.clone(), Versions::Both, None).map_err(unusable)?;
    let server = outbound_config(roots, Versions::Both, None).map_err(unusable)?;
    let lab = Lab::new().map_err(|error| Failure::Check(error.to_string()))?;
    if output.format == Format::Text {
        anstream::println!("{}", options.domain);
    }
    for (content, transport, reason) in missing {
        match output.format {
            Format::Text => anstream::println!("  {:<16} {reason}", way(content, transport)),
            Format::Json => anstream::println!(
                "{}",
                json!({"domain": options.domain.as_str(), "way": way(content, transport), "ok": false, "reason": reason})
            ),
        }
    }
    let mut reached = false;
    for place in &places {
        let tls = if place.content == Content::Server {
            &server
        } else {
            &client
        };
        let findings = visit(options, place, tls, &lab).await;
        reached |= findings.get("ok") == Some(&Value::Bool(true));
        match output.format {
            Format::Json => anstream::println!("{findings}"),
            Format::Text => anstream::print!("{}", text(&findings)),
        }
    }
    if reached {
        Ok(())
    } else {
        Err(Failure::Unreachable(format!(
            "no server of {} could be looked at",
            options.domain
        )))
    }
}

fn way(content: Content, transport: Transport) -> &'static str {
    match (content, transport) {
        (Content::Server, Transport::StartTls) => "S2S STARTTLS",
        (Content::Server, Transport::DirectTls) => "S2S direct TLS",
        (_, Transport::StartTls) => "C2S STARTTLS",
        (_, Transport::DirectTls) => "C2S direct TLS",
    }
}

/// Looks at one place: first step by step, then at what may come together.
async fn visit(options: &Probe, place: &Place, tls: &Arc<TlsConfig>, lab: &Lab) -> Value {
    let visit = Visit {
        place,
        domain: &options.domain,
        tls,
        patience: options.timeout,
    };
    let mut findings = json!({
        "domain": options.domain.as_str(),
        "way": way(place.content, place.transport),
        "address": place.address.to_string(),
        "found": place.found,
    });
    let shown = match visit.look().await {
        Ok(shown) => shown,
        Err(reason) => {
            set(&mut findings, "ok", json!(false));
            set(&mut findings, "reason", json!(reason));
            return findings;
        }
    };
    set(&mut findings, "ok", json!(true));
    set(
        &mut findings,
        "rtt_ms",
        json!((shown.round_trip.as_secs_f64() * 1e5).round() / 1e2),
    );
    describe(&mut findings, &shown);
    let mut together = json!({});
    let mut taken = Vec::new();
    for &units in Together::of(place.transport) {
        let came = visit.try_together(units).await;
        if came.is_ok() {
            taken.push(units);
        }
        set(
            &mut together,
            units.key(),
            json!(came.err().unwrap_or_else(|| "answered".to_owned())),
        );
    }
    set(&mut findings, "together", together);
    let verdict = verdict(place, &shown, &taken, lab);
    set(&mut findings, "verdict", verdict);
    findings
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// What the features say.
fn describe(findings: &mut Value, shown: &Shown) {
    if let Some(clear) = &shown.clear {
        let required = clear
            .get_child("starttls", ns::TLS)
            .is_some_and(|starttls| starttls.has_child("required", ns::TLS));
        set(findings, "starttls_required", json!(required));
        set(findings, "offered_in_clear", json!(offers(clear, OFFERS)));
    }
    set(findings, "tls", json!(version(&shown.tls)));
    set(findings, "certificate", json!(shown.tls.names));
    let features = Features::read(&shown.secured);
    set(findings, "mechanisms", json!(features.mechanisms()));
    set(
        findings,
        "channel_bindings",
        json!(features.channel_bindings()),
    );
    let mut offered = offers(&shown.secured, OFFERS);
    let inline = shown
        .secured
        .get_child("authentication", "urn:xmpp:sasl:2")
        .and_then(|sasl2| sasl2.get_child("inline", "urn:xmpp:sasl:2"));
    offered.extend(inline.into_iter().flat_map(|inline| offers(inline, INLINE)));
    set(findings, "offered", json!(offered));
}

fn offers(features: &Element, known: &[(&'static str, &str, &str)]) -> Vec<&'static str> {
    let there = |(_, name, namespace): &&(&str, &str, &str)| features.has_child(*name, *namespace);
    known
        .iter()
        .filter(there)
        .map(|(name, _, _)| *name)
        .collect()
}

/// The boldest level that what was seen allows: what comes behind `<auth/>` cannot be tried without a login.
fn level(transport: Transport, announced: bool, taken: &[Together]) -> Level {
    let all = |units: &[Together]| units.iter().all(|units| taken.contains(units));
    let direct = transport == Transport::DirectTls;
    if !all(&[Together::Auth]) {
        Level::Off
    } else if announced && (direct || all(&[Together::Hello])) {
        Level::Full
    } else if direct || all(&[Together::HelloLater]) {
        Level::Paced
    } else if all(&[Together::StartTls]) {
        Level::Safe
    } else {
        Level::Off
    }
}

fn verdict(place: &Place, shown: &Shown, taken: &[Together], lab: &Lab) -> Value {
    let announced = Features::read(&shown.secured).pipelining();
    let best = level(place.transport, announced, taken);
    let tls = if version(&shown.tls) == "1.2" {
        Versions::Tls12
    } else {
        Versions::Tls13
    };
    let trips = |strategy: Strategy| {
        let settings = Settings {
            tls,
            ..Settings::default()
        };
        let run = lab.run(&strategy, &settings).ok()?;
        run.to_send.map(|(_, half)| f64::from(half) / 2.0)
    };
    let transport = place.transport;
    let connect = |level| match place.content {
        Content::Server => trips(Strategy::Servers {
            level,
            transport,
            proof: Proof::External,
            answers: Answers::Bidi,
        }),
        _ => {
            let scram = Features::read(&shown.secured)
                .mechanisms()
                .iter()
                .any(|name| name.starts_with("SCRAM-"));
            let login = if scram { Login::Scram } else { Login::Plain };
            trips(Strategy::Login {
                level,
                transport,
                login,
            })
        }
    };
    let mut verdict = json!({
        "level": match best {
            Level::Off => "classic",
            Level::Safe => "safe",
            Level::Paced => "paced",
            Level::Full => "quickstart",
        },
        "connect_classic": connect(Level::Off),
        "connect_safe": connect(best.min(Level::Safe)),
        "connect_best": connect(best),
    });
    if place.content == Content::Client {
        let comeback = if offers(&shown.secured, OFFERS).contains(&"instant stream resumption") {
            Comeback::Token
        } else {
            Comeback::Resume
        };
        let back = |level| {
            trips(Strategy::Comeback {
                level,
                transport,
                comeback,
            })
        };
        set(
            &mut verdict,
            "reconnect_classic",
            json!(trips(Strategy::Comeback {
                level: Level::Off,
                transport,
                comeback: Comeback::Resume
            })),
        );
        let level = if best == Level::Full {
            Level::Full
        } else {
            Level::Off
        };
        set(&mut verdict, "reconnect_best", json!(back(level)));
    }
    verdict
}

/// The same for people.
fn text(findings: &Value) -> String {
    let text = |key: &str| match findings.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            if list.is_empty() {
                "nothing".to_owned()
            } else {
                list.join(", ")
            }
        }
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut out = format!(
        "  {:<16} {} ({})",
        text("way"),
        text("address"),
        text("found")
    );
    if findings.get("ok") != Some(&Value::Bool(true)) {
        return format!("{out}\n    not looked at: {}\n", text("reason"));
    }
    out.push_str(&format!(", {} ms away\n", text("rtt_ms")));
    let mut line = |name: &str, text: &str| out.push_str(&format!("    {name:<14} {text}\n"));
    if let Some(required) = findings.get("starttls_required") {
        let required = if *required == Value::Bool(true) {
            "required"
        } else {
            "not required"
        };
        line(
            "before TLS",
            &format!("STARTTLS {required}; offered: {}", text("offered_in_clear")),
        );
    }
    line(
        "TLS",
        &format!("{}, certificate for {}", text("tls"), text("certificate")),
    );
    line("mechanisms", &text("mechanisms"));
    line("bindings", &text("channel_bindings"));
    line("offered", &text("offered"));
    for units in [
        Together::StartTls,
        Together::HelloLater,
        Together::Hello,
        Together::Auth,
    ] {
        let came = findings
            .get("together")
            .and_then(|together| together.get(units.key()));
        if let Some(came) = came.and_then(Value::as_str) {
            line("in one go", &format!("{}: {came}", units.text()));
        }
    }
    for (index, said) in verdict_text(findings.get("verdict")).iter().enumerate() {
        line(if index == 0 { "verdict" } else { "" }, said);
    }
    out
}

fn verdict_text(verdict: Option<&Value>) -> Vec<String> {
    let trips = |key: &str| verdict?.get(key)?.as_f64();
    let (classic, safe, best) = (
        trips("connect_classic"),
        trips("connect_safe"),
        trips("connect_best"),
    );
    let (Some(classic), Some(safe), Some(best)) = (classic, safe, best) else {
        return vec!["no strategy applies".to_owned()];
    };
    let mut said = vec![format!(
        "connect in {safe} round trips instead of {classic}"
    )];
    if best < safe {
        let name = verdict.and_then(|verdict| verdict.get("level")?.as_str());
        let name = name.unwrap_or_default();
        said.push(format!(
            "in {best} ({name}) if it takes what comes behind <auth/>: a login tells"
        ));
    }
    if let (Some(classic), Some(best)) = (trips("reconnect_classic"), trips("reconnect_best")) {
        said.push(format!("come back in {best} instead of {classic}"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QS-R10: a server that announces pipelining and does not take what it announces is not believed.
    #[test]
    fn the_level_is_what_was_seen() {
        use Together::{Auth, Hello, HelloLater, StartTls};
        let cases: [(&[Together], [Level; 2]); 6] = [
            (
                &[StartTls, HelloLater, Hello, Auth],
                [Level::Paced, Level::Full],
            ),
            (&[StartTls, HelloLater, Auth], [Level::Paced, Level::Paced]),
            (&[StartTls, Auth], [Level::Safe, Level::Safe]),
            (&[StartTls, Hello, Auth], [Level::Safe, Level::Full]),
            (&[StartTls, HelloLater, Hello], [Level::Off, Level::Off]),
            (&[Auth], [Level::Off, Level::Off]),
        ];
        for (taken, [silent, announced]) in cases {
            assert_eq!(
                level(Transport::StartTls, false, taken),
                silent,
                "{taken:?}"
            );
            assert_eq!(
                level(Transport::StartTls, true, taken),
                announced,
                "{taken:?}"
            );
        }
        assert_eq!(level(Transport::DirectTls, false, &[Auth]), Level::Paced);
        assert_eq!(level(Transport::DirectTls, true, &[Auth]), Level::Full);
        assert_eq!(level(Transport::DirectTls, true, &[]), Level::Off);
    }
}
