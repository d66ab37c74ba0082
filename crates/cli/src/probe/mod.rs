//! `onetrip probe`: what a server offers and takes, without a login, or by as many as there are ways.

mod features;
mod places;
mod text;
mod tried;
mod verdict;
mod wire;

use std::sync::Arc;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Content, Jid, ns};
use onetrip_simulator::Lab;
use onetrip_tls::rustls::rustls::ClientConfig as TlsConfig;
use onetrip_tls::rustls::{Versions, client_config, outbound_config};
use serde_json::{Value, json};

use crate::Failure;
use crate::compare::{roots, rows};
use crate::options::{Format, OutputOptions, Probe, Target};
use features::describe;
use places::{Place, places};
use text::text;
use tried::{Together, Visit};
use verdict::{Way, judge, verdict, ways};

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
        let findings = visit(options, place, tls, &lab).await?;
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
async fn visit(
    options: &Probe,
    place: &Place,
    tls: &Arc<TlsConfig>,
    lab: &Lab,
) -> Result<Value, Failure> {
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
            return Ok(findings);
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
    let sasl2 = shown.secured.has_child("authentication", ns::SASL2);
    for &units in Together::of(place.transport, sasl2) {
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
    let mut ways = ways(place, &shown, &taken);
    if let (Some(user), Content::Client) = (&options.user, place.content) {
        let rows = log_in(options, place, user, &ways).await?;
        judge(&mut ways, &rows);
        set(&mut findings, "logins", json!(rows));
    }
    set(&mut findings, "verdict", verdict(&ways, &shown, lab));
    Ok(findings)
}

/// Tries each way on a connection of its own, or on as many as it needs.
async fn log_in(
    options: &Probe,
    place: &Place,
    user: &str,
    ways: &[Way],
) -> Result<Vec<Value>, Failure> {
    let domain = &options.domain;
    let account: Result<Jid, _> = format!("{user}@{domain}").parse();
    let account =
        account.map_err(|_| Failure::Usage(format!("'{user}' is no user of {domain}")))?;
    let direct_tls = place.transport == Transport::DirectTls;
    let whom = Target {
        jid: Some(account.clone()),
        password_file: options.password_file.clone(),
        connect: Some(place.address.to_string()),
        ca_file: options.ca_file.clone(),
        starttls: !direct_tls,
        direct_tls,
        dns: None,
        timeout: None,
        rtt: None,
        rate: None,
        merge: None,
    };
    let strategies = ways.iter().map(|way| way.strategy).collect();
    rows(&whom, &account, strategies).await
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
