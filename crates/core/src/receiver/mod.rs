//! The receiving entity's negotiation, strictly in the order the bytes come (QS-25).

mod client;
mod server;

use minidom::Element;
use onetrip_negotiation::starttls;
use onetrip_quickstart::{Leftover, ReceiverConfig, Stage, Transport};
use onetrip_stream::{
    Build, Condition, Content, Domain, Env, Jid, ReadError, ReadErrorKind, StreamHeader, Version,
    ns,
};

use crate::ErrorKind;
use crate::order::Facts;
use crate::shell::Shell;

pub(crate) use client::Receiver;
pub(crate) use server::Receiver as PeerReceiver;

/// What is wrong with a header.
type Refused = (&'static str, Condition);

const OTHER_ADDRESS: Refused = (
    "expected a stream from the address that authenticated, got one from another",
    Condition::InvalidFrom,
);

/// The domain that a header is for, among those that are served. `known` is the one of the header before.
fn served(
    shell: &Shell,
    header: &StreamHeader,
    domains: &[Domain],
    known: Option<&Domain>,
) -> Result<Domain, Refused> {
    if header
        .content
        .is_some_and(|content| content != shell.content)
    {
        return Err((
            "expected the content namespace of this kind of stream, got the other",
            Condition::InvalidNamespace,
        ));
    }
    if header.version < Version::V1_0 {
        return Err((
            "expected a stream of version 1.0, got an older one",
            Condition::UnsupportedVersion,
        ));
    }
    let domain = match (&header.to, known, domains) {
        (Some(to), ..) if domains.contains(to.domain()) => to.domain().clone(),
        (Some(_), ..) => {
            return Err((
                "expected a stream to a domain that is served here, got one to another",
                Condition::HostUnknown,
            ));
        }
        (None, Some(known), _) => known.clone(),
        (None, None, [only]) => only.clone(),
        (None, None, _) => {
            return Err((
                "expected `to` in the stream header, got none",
                Condition::ImproperAddressing,
            ));
        }
    };
    // What was said in clear does not bind (RFC 6120 §5.4.3.3); what was said under TLS does.
    if shell.facts.have(Facts::SECURED) && known.is_some_and(|known| *known != domain) {
        return Err((
            "expected a stream to the domain of before, got one to another",
            Condition::HostUnknown,
        ));
    }
    Ok(domain)
}

/// The response header of a new document, with an id of its own (QS-20).
fn response(env: &mut Env<'_>, content: Content, domain: Option<&Domain>) -> StreamHeader {
    let mut header = StreamHeader::new(content);
    header.from = domain.cloned().map(Jid::from_domain);
    header.id = Some(env.random_id());
    header.lang = Some("en".to_owned());
    header
}

/// The element that shows these features.
fn features(children: Vec<Element>) -> Element {
    children
        .into_iter()
        .fold(Element::bare("features", ns::STREAMS), Build::with_child)
}

/// Whether bytes behind `<starttls/>` may be the beginning of TLS (QS-R6).
fn takes_leftover(transport: Transport, quickstart: &ReceiverConfig) -> bool {
    transport == Transport::DirectTls || quickstart.leftover() == Leftover::Tls
}

/// Answers `<starttls/>` and switches both halves; says whether a new document begins.
fn proceed(starttls: &mut starttls::Receiver, shell: &mut Shell, element: &Element) -> bool {
    match starttls.handle(element) {
        Ok(proceed) => {
            shell.element(&proceed);
            shell.upgrade_sending();
            shell.upgrade_receiving();
            true
        }
        Err(error) => {
            shell.fail(ErrorKind::StartTls(error));
            false
        }
    }
}

/// How far the stream has come, as the features have to show it.
fn stage_of(shell: &Shell) -> Stage {
    if shell.facts.have(Facts::AUTHENTICATED) {
        Stage::Authenticated
    } else if shell.facts.have(Facts::SECURED) {
        Stage::Secured
    } else {
        Stage::Clear
    }
}

/// QS-R5: a header behind a SASL failure is the tail of a pipelined login, and is not acted on.
fn tail(refused: bool, error: ReadError) -> ErrorKind {
    match error.kind {
        ReadErrorKind::NestedHeader if refused => ErrorKind::Unexpected {
            got: "stream".to_owned(),
            expected: "another attempt to authenticate",
            condition: Condition::NotAuthorized,
        },
        _ => error.into(),
    }
}

pub(crate) fn unexpected(shell: &mut Shell, got: &str, condition: Condition) {
    let expected = if shell.facts.have(Facts::BOUND) {
        "a stanza"
    } else if shell.facts.have(Facts::AUTHENTICATED) {
        "a request for a resource"
    } else if shell.facts.have(Facts::SECURED) {
        "a step of the authentication"
    } else {
        "<starttls/>"
    };
    shell.fail(ErrorKind::Unexpected {
        got: got.chars().take(64).collect(),
        expected,
        condition,
    });
}
