//! The two ends of a connection between servers under `drive`.

use std::collections::VecDeque;

use onetrip_core::bidi::{Change, Why};
use onetrip_core::dialback::{
    Awaited, Checked, ConnectionId, Dropped, Event as Dialback, Ground, Outcome, Reason, Ticket,
    Verdict,
};
use onetrip_core::quickstart::{Cache, Key, Policy};
use onetrip_core::stream::{Domain, Env, Jid, Pair, Secret};
use onetrip_core::{
    Answer, Connection, DialbackConfig, Event, InboundConfig, OutboundConfig, Request, ReverseFacts,
};
use serde_json::{Value, json};

use super::config::Config;
use crate::Failure;
use crate::options::Drive;

/// The connection under `drive` is the only one there is.
const CONNECTION: ConnectionId = ConnectionId(1);

/// The end that opens the connection.
pub(super) fn initiator(
    options: &Drive,
    config: &Config<'_>,
    secret: Option<String>,
    env: &mut Env<'_>,
) -> Result<Connection, Failure> {
    let [local, remote] = [
        (&options.local, "--local DOMAIN"),
        (&options.remote, "--remote DOMAIN"),
    ]
    .map(|(address, name)| {
        address
            .as_ref()
            .map(|address| address.domain().clone())
            .ok_or_else(|| Failure::Usage(format!("a connection between servers needs {name}")))
    });
    let mut outbound = OutboundConfig::new(CONNECTION, local?, remote?, config.transport()?);
    outbound.certificate = config.flag("external", true);
    outbound.authzid = config.flag("authzid", true);
    outbound.bidi.request = config.flag("bidi", true);
    outbound.dialback = secret.map(|secret| DialbackConfig::new(Secret::from(secret)));
    outbound.hosted.extend(hosted(config)?);
    outbound.lang = config.get("lang").map(str::to_owned);
    let mut policy = Policy::default();
    policy.force = Some(config.level()?);
    let key = Key::new(outbound.remote.clone(), None, outbound.transport);
    let plan = Cache::default().plan(&key, &policy);
    Ok(Connection::outbound(outbound, plan, env))
}

/// The end that it is opened to.
pub(super) fn receiver(
    local: &Jid,
    config: &Config<'_>,
    secret: Option<String>,
    env: &mut Env<'_>,
) -> Result<Connection, Failure> {
    let mut domains = vec![local.domain().clone()];
    domains.extend(hosted(config)?);
    let mut inbound = InboundConfig::new(CONNECTION, domains, config.transport()?);
    inbound.external = config.flag("external", true);
    inbound.bidi.offer = config.flag("bidi", true);
    inbound.dialback = secret.map(|secret| DialbackConfig::new(Secret::from(secret)));
    inbound.quickstart.advertise = config.flag("advertise", true);
    Ok(Connection::inbound(inbound, env))
}

/// The further domains that are ours.
pub(super) fn hosted(config: &Config<'_>) -> Result<Vec<Domain>, Failure> {
    let names = config.get("hosted").into_iter();
    names
        .flat_map(|names| names.split(','))
        .map(|name| domain("hosted", name))
        .collect()
}

fn domain(key: &str, name: &str) -> Result<Domain, Failure> {
    Domain::new(name).ok_or_else(|| Failure::Usage(format!("{key}: '{name}' is no domain")))
}

/// What the machine has asked and the script has not answered yet.
#[derive(Default)]
pub(super) struct Asked {
    keys: VecDeque<Ticket>,
    reverse: VecDeque<Pair>,
}

impl Asked {
    /// Takes note of a question that is answered out of turn.
    pub(super) fn note(&mut self, request: &Request) {
        match request {
            Request::Verify(verification) => self.keys.push_back(verification.ticket),
            Request::Reverse { pair, .. } => self.reverse.push_back(pair.clone()),
            _ => {}
        }
    }

    /// Gives the script's answer to the oldest question it fits: `checked`, `reverse` or `awaited`; `None` if it is none of
    /// these. What the machine says to it is its own text.
    pub(super) fn answer(
        &mut self,
        connection: &mut Connection,
        env: &mut Env<'_>,
        value: &Value,
    ) -> Result<Option<Result<(), String>>, Failure> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let result = if let Some(name) = text("checked") {
            let ticket = self.keys.pop_front();
            let ticket = ticket.ok_or_else(|| Failure::Usage("no key to check".to_owned()))?;
            connection.verified(env, ticket, checked(name)?)
        } else if let Some(facts) = value.get("reverse") {
            let flag = |key: &str| facts.get(key) == Some(&Value::Bool(true));
            let pair = self.reverse.pop_front();
            let pair = pair.ok_or_else(|| Failure::Usage("no reverse request".to_owned()))?;
            let facts = ReverseFacts {
                resolves_here: flag("resolves_here"),
                fresh_id: flag("fresh_id"),
            };
            connection.judged(env, &pair, facts)
        } else if let Some(place) = text("awaited") {
            let awaited = match place {
                "elsewhere" => Awaited::Elsewhere,
                "here" => Awaited::Here,
                "nowhere" => Awaited::Nowhere,
                _ => {
                    return Err(Failure::Usage(
                        "awaited is elsewhere, here or nowhere".to_owned(),
                    ));
                }
            };
            connection.answer(env, Answer::Awaited(awaited))
        } else {
            return Ok(None);
        };
        Ok(Some(result.map_err(|error| error.to_string())))
    }
}

fn checked(name: &str) -> Result<Checked, Failure> {
    Ok(match name {
        "valid" => Checked::Answered(Verdict::Valid),
        "invalid" => Checked::Answered(Verdict::Invalid),
        "same-certificate" => Checked::SameCertificate,
        "host-unknown" => Checked::HostUnknown,
        "connect-failed" => Checked::ConnectFailed,
        "unanswered" => Checked::Unanswered,
        _ => Reason::ALL
            .iter()
            .find(|reason| reason.name() == name)
            .map(|reason| Checked::Answered(Verdict::Error(*reason)))
            .ok_or_else(|| {
                Failure::Usage(format!(
                    "checked={name}: valid, invalid, same-certificate, host-unknown, connect-failed, unanswered or a stanza error"
                ))
            })?,
    })
}

/// Asks for a further pair: `{"from":"…","to":"…","resolves_here":true}`.
pub(super) fn ask(
    connection: &mut Connection,
    env: &mut Env<'_>,
    value: &Value,
) -> Result<Result<(), String>, Failure> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let pair = Pair::new(domain("from", text("from"))?, domain("to", text("to"))?);
    let resolves_here = value.get("resolves_here") == Some(&Value::Bool(true));
    let result = connection.ask(env, pair, resolves_here);
    Ok(result.map_err(|error| error.to_string()))
}

/// A question about another connection; `None` for one that has nothing to do with dialback.
pub(super) fn request_json(request: &Request) -> Option<Value> {
    let (name, pair, id) = match request {
        Request::Verify(verification) => ("verify", &verification.pair, &verification.id),
        Request::Vouch { pair, id } => ("vouch", pair, id),
        Request::Reverse { pair, id } => ("reverse", pair, id),
        _ => return None,
    };
    let mut value = with_pair(json!({"request": name}), pair);
    if let Some(object) = value.as_object_mut() {
        object.insert("id".to_owned(), id.as_str().into());
    }
    Some(value)
}

/// An event that only connections between servers have.
pub(super) fn event_json(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Established { peer, provisional } => {
            json!({"event": "established", "peer": peer.as_str(), "provisional": provisional})
        }
        Event::Pair(change) => {
            let (name, pair) = match change {
                Change::SendOpened(pair) => ("send-opened", pair),
                Change::SendClosed(pair) => ("send-closed", pair),
                Change::ReceiveOpened(pair) => ("receive-opened", pair),
                Change::ReceiveClosed(pair) => ("receive-closed", pair),
                _ => return None,
            };
            with_pair(json!({"event": name}), pair)
        }
        Event::PairUnusable { pair, error } => with_pair(
            json!({"event": "pair-unusable", "text": error.to_string()}),
            pair,
        ),
        Event::Bidirectional { limits } => json!({
            "event": "bidirectional",
            "max_bytes": limits.and_then(|limits| limits.max_bytes),
            "idle_seconds": limits.and_then(|limits| limits.idle_seconds),
        }),
        Event::Unidirectional(why) => json!({"event": "unidirectional", "why": match why {
            Why::NotWanted => "not-wanted",
            Why::NotAnnounced => "not-announced",
            Why::Clear => "clear",
            Why::Unproven => "unproven",
            Why::ClientStream => "client-stream",
            _ => "unknown",
        }}),
        Event::Dialback(event) => dialback_json(event),
        _ => return None,
    })
}

fn dialback_json(event: &Dialback) -> Value {
    match event {
        Dialback::Concluded { pair, outcome } => {
            let outcome = match outcome {
                Outcome::Valid => "valid",
                Outcome::Invalid => "invalid",
                Outcome::Error(reason) => reason.name(),
                Outcome::TimedOut => "timed-out",
                Outcome::Ended => "ended",
                _ => "unknown",
            };
            with_pair(
                json!({"event": "dialback-concluded", "outcome": outcome}),
                pair,
            )
        }
        Dialback::Validated { pair, ground } => {
            let ground = match ground {
                Ground::Certificate => "certificate",
                Ground::DialedBack => "dialed-back",
                _ => "unknown",
            };
            with_pair(
                json!({"event": "dialback-validated", "ground": ground}),
                pair,
            )
        }
        Dialback::Refused { pair, verdict } => {
            let refused = json!({"event": "dialback-refused", "verdict": verdict_name(*verdict)});
            with_pair(refused, pair)
        }
        Dialback::Vouched { pair, verdict } => {
            let vouched = json!({"event": "dialback-vouched", "verdict": verdict_name(*verdict)});
            with_pair(vouched, pair)
        }
        Dialback::Checked { checked, .. } => {
            json!({"event": "dialback-checked", "verdict": verdict_name(checked.verdict())})
        }
        Dialback::Dropped { pair, what } => {
            let what = match what {
                Dropped::Unsolicited => "unsolicited",
                Dropped::Repeated => "repeated",
                Dropped::Closed => "closed",
                _ => "unknown",
            };
            with_pair(json!({"event": "dialback-dropped", "what": what}), pair)
        }
        _ => json!({"event": "unknown"}),
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Error(reason) => reason.name(),
    }
}

fn with_pair(mut value: Value, pair: &Pair) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert("from".to_owned(), pair.from.as_str().into());
        object.insert("to".to_owned(), pair.to.as_str().into());
    }
    value
}
