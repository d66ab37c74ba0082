//! One end of a zero-handshake link under `drive`.

use std::net::SocketAddr;
use std::path::Path;

use onetrip_core::stream::{Domain, Env, Jid};
use onetrip_core::zero_handshake::{
    Acknowledgements, Agreement, CertificateRule, Event as Link, Host, OnInvalid, Refusal,
    Security, Terms, TlsTerms, Why,
};
use onetrip_core::{Connection, ErrorKind, Event, LinkConfig};
use serde_json::{Value, json};

use super::config::Config;
use super::output::{emit, stanza_json};
use super::servers::hosted;
use crate::Failure;
use crate::options::Drive;

/// Where the peer is, if nobody has said so.
const SOMEWHERE: &str = "192.0.2.1:5299";

/// The end that opens the connection or, if nothing is said, the one that it is opened to.
pub(super) fn end(
    options: &Drive,
    config: &Config<'_>,
    env: &mut Env<'_>,
) -> Result<Connection, Failure> {
    let agreement = match config.get("agreement") {
        Some(file) => read(Path::new(file))?,
        None => implied(options, config)?,
    };
    let source = source(&agreement, config)?;
    let admitted = match config.get("role") {
        None | Some("acceptor") => agreement.accept_source(source, None),
        Some("opener") => agreement.reached(source, None),
        Some(other) => {
            return Err(Failure::Usage(format!("role={other}: opener or acceptor")));
        }
    };
    let made =
        admitted.and_then(|admitted| Connection::link(LinkConfig::new(agreement, admitted), env));
    made.map_err(|refusal| refused(&refusal))
}

fn read(file: &Path) -> Result<Agreement, Failure> {
    let wrong = |text: String| Failure::Usage(format!("{}: {text}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    Agreement::from_toml(&text).map_err(|error| wrong(error.to_string()))
}

/// An agreement of the two domains that were named: with `--tls-up` by certificates that name them, and else by nothing.
fn implied(options: &Drive, config: &Config<'_>) -> Result<Agreement, Failure> {
    let domain = |address: &Option<Jid>, name: &str| {
        let address = address.as_ref().map(|address| address.domain().clone());
        address.ok_or_else(|| Failure::Usage(format!("a link needs {name}, or agreement=FILE")))
    };
    let mut ours = vec![domain(&options.local, "--local DOMAIN")?];
    ours.extend(hosted(config)?);
    let theirs: Vec<Domain> = vec![domain(&options.remote, "--remote DOMAIN")?];
    let security = if options.tls_up {
        Security::Tls(TlsTerms::new(CertificateRule::Names))
    } else {
        Security::Plain
    };
    let mut terms = Terms::new(ours, theirs, security);
    terms.insecure_implicit = !options.tls_up;
    terms.address = SOMEWHERE.parse().ok();
    terms.language = config.get("lang").map(str::to_owned);
    terms.tolerate_stream_open = config.flag("tolerate", false);
    terms.on_invalid = match config.get("on-invalid") {
        None | Some("stream-error") => OnInvalid::StreamError,
        Some("drop") => OnInvalid::Drop,
        Some("bounce") => OnInvalid::Bounce,
        Some(other) => {
            let text = format!("on-invalid={other}: stream-error, drop or bounce");
            return Err(Failure::Usage(text));
        }
    };
    terms.presets.acknowledgements = config.flag("acks", false).then(Acknowledgements::default);
    Agreement::new(terms).map_err(|error| Failure::Usage(error.to_string()))
}

/// From where the peer connects: where it listens, if it was not said.
fn source(agreement: &Agreement, config: &Config<'_>) -> Result<SocketAddr, Failure> {
    let wrong = || Failure::Usage("source: ADDRESS:PORT".to_owned());
    if let Some(text) = config.get("source") {
        return text.parse().map_err(|_| wrong());
    }
    match &agreement.terms().address {
        Some(address) => match &address.host {
            Host::Ip(ip) => Ok(SocketAddr::new(*ip, address.port)),
            Host::Name(_) => SOMEWHERE.parse().map_err(|_| wrong()),
        },
        None => SOMEWHERE.parse().map_err(|_| wrong()),
    }
}

/// There is no connection: what would have been its error is all there is to say.
fn refused(refusal: &Refusal) -> Failure {
    let source = ErrorKind::Refused(refusal.clone()).source_section();
    emit(
        &json!({"error": {"condition": null, "text": refusal.to_string(), "offset": 0, "source": source}}),
    );
    emit(&json!({"close": true}));
    emit(&json!({"state": "failed", "consumed": 0, "peak_buffered": 0}));
    Failure::Check(String::new())
}

pub(super) fn event_json(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Link(Link::Closing(why)) => {
            let why = match why {
                Why::Asked => "asked",
                Why::Idle => "idle",
                _ => "peer",
            };
            json!({"event": "closing", "why": why})
        }
        Event::Link(Link::Dropped(why)) => json!({"event": "dropped", "why": why.to_string()}),
        Event::Link(Link::Late) => json!({"event": "late"}),
        Event::Link(Link::StreamOpenSwallowed) => json!({"event": "stream-open-swallowed"}),
        Event::Bounce { why, answer } => {
            json!({"event": "bounce", "why": why.to_string(), "answer": stanza_json(answer)})
        }
        _ => return None,
    })
}
