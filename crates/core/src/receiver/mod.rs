//! The receiving entity's negotiation, strictly in the order the bytes come (QS-25).

mod client;
mod server;

use onetrip_quickstart::Stage;
use onetrip_stream::{Condition, Domain, ReadError, ReadErrorKind, StreamHeader, Version};

use crate::ErrorKind;
use crate::order::Facts;
use crate::shell::Shell;

pub(crate) use client::Receiver;
pub(crate) use server::Receiver as PeerReceiver;

/// What is wrong with a header.
type Refused = (&'static str, Condition);

const OTHER_ADDRESS: Refused = (
    "a stream from another address than the one that authenticated",
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
            "a stream of another content namespace",
            Condition::InvalidNamespace,
        ));
    }
    if header.version < Version::V1_0 {
        return Err(("a stream version below 1.0", Condition::UnsupportedVersion));
    }
    let domain = match (&header.to, known, domains) {
        (Some(to), ..) if domains.contains(to.domain()) => to.domain().clone(),
        (Some(_), ..) => {
            return Err((
                "a stream to a domain that is not served here",
                Condition::HostUnknown,
            ));
        }
        (None, Some(known), _) => known.clone(),
        (None, None, [only]) => only.clone(),
        (None, None, _) => {
            return Err((
                "a stream header without `to`",
                Condition::ImproperAddressing,
            ));
        }
    };
    // What was said in clear does not bind (RFC 6120 §5.4.3.3); what was said under TLS does.
    if shell.facts.have(Facts::SECURED) && known.is_some_and(|known| *known != domain) {
        return Err((
            "a stream to another domain than before",
            Condition::HostUnknown,
        ));
    }
    Ok(domain)
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
            during: "authenticating",
            condition: Condition::NotAuthorized,
        },
        _ => error.into(),
    }
}

fn unexpected(shell: &mut Shell, got: &str, condition: Condition) {
    let during = if shell.facts.have(Facts::BOUND) {
        "exchanging stanzas"
    } else if shell.facts.have(Facts::AUTHENTICATED) {
        "binding a resource"
    } else if shell.facts.have(Facts::SECURED) {
        "authenticating"
    } else {
        "negotiating TLS"
    };
    shell.fail(ErrorKind::Unexpected {
        got: got.chars().take(64).collect(),
        during,
        condition,
    });
}
