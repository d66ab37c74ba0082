//! A connection between a client and its server once it is negotiated: stanzas, and what else may still come.
//!
//! A role becomes this when nothing of its negotiation can matter any more. What served to get here is given back (plan,
//! features, credentials, configuration), so that an idle connection is small.

use minidom::Element;
use onetrip_isr as isr;
use onetrip_stream::{Condition, Domain, Env, Stanza, ns};

use crate::ErrorKind;
use crate::order::{self, Step};
use crate::receiver::unexpected;
use crate::shell::Shell;

/// See the module.
#[derive(Debug)]
pub(crate) enum Online {
    /// The client, and the domain of its server.
    Client(Domain),
    /// The server, and which elements have a meaning to it.
    Server(Offered),
}

/// What a server has offered, so that it is refused and not unknown when it comes late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offered {
    pub(crate) sasl2: bool,
    pub(crate) management: bool,
    pub(crate) instant_resume: bool,
}

impl Online {
    pub(crate) fn on_element(&self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        match self {
            Self::Client(_) if element.has_ns(ns::STREAM_MANAGEMENT) => manage(shell, element),
            // Completed negotiation may be said again (RFC 6120 §4.3.5).
            Self::Client(_) if element.is("features", ns::STREAMS) => {}
            Self::Server(offered)
                if element.has_ns(ns::STREAM_MANAGEMENT) && offered.management =>
            {
                manage(shell, element);
            }
            Self::Server(offered) if element.has_ns(ns::ISR) && offered.instant_resume => {
                refuse_instant_resume(env, shell, element);
            }
            Self::Server(offered) if offered.knows_sasl(element) => {
                let refused = order::check(Step::Sasl, shell.facts);
                let condition = refused.err().unwrap_or(Condition::NotAuthorized);
                unexpected(shell, element.name(), condition);
            }
            _ => unexpected(shell, element.name(), Condition::UnsupportedStanzaType),
        }
    }

    pub(crate) fn on_stanza(&self, shell: &mut Shell, stanza: Stanza) {
        match self {
            Self::Client(_) => shell.arrived(stanza),
            Self::Server(_) => from_client(shell, stanza),
        }
    }
}

impl Offered {
    fn knows_sasl(self, element: &Element) -> bool {
        let later = || element.has_ns(ns::SASL2) || element.has_ns(ns::SASL2_OLD);
        element.has_ns(ns::SASL) || (self.sasl2 && later())
    }
}

fn manage(shell: &mut Shell, element: &Element) {
    // Where nothing is out of order, the machine knows what comes twice.
    let result = shell.management.handle(shell.now, element, true);
    shell.drain_management();
    if let Err(error) = result {
        shell.fail(error.into());
    }
}

/// ISR-14: a session is here already.
fn refuse_instant_resume(env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
    let mut machine = isr::Receiver::new();
    let result = machine.handle(env, element, isr::Place::Authenticated);
    while let Some(action) = machine.poll_action() {
        if let isr::Action::Send(element) = action {
            shell.element(&element);
        }
    }
    if let Err(error) = result {
        shell.fail(error.into());
    }
}

/// RFC 6120 §8.1.2.1: `from` is ours to check; absent it is the client's own address.
pub(crate) fn from_client(shell: &mut Shell, stanza: Stanza) {
    let honest = match (&stanza.head().from, shell.management.owner()) {
        (None, _) => true,
        (Some(from), Some(jid)) => jid.is(from) || jid.is_bare(from),
        (Some(_), None) => false,
    };
    if honest {
        shell.arrived(stanza);
    } else {
        shell.fail(ErrorKind::From);
    }
}
