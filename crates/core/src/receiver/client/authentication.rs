//! Authentication by SASL (RFC 6120 §6), and the account that it proves.

use onetrip_negotiation::sasl;
use onetrip_stream::{Condition, Env, Jid};

use super::Receiver;
use crate::order::Facts;
use crate::shell::Shell;
use crate::{ErrorKind, Event, Request};

impl Receiver {
    pub(super) fn on_sasl(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        input: sasl::ReceiverInput<'_>,
    ) {
        let Some(sasl) = self.sasl.as_mut() else {
            return;
        };
        let result = sasl.handle(env, input);
        while let Some(action) = self.sasl.as_mut().and_then(sasl::Receiver::poll_action) {
            self.on_sasl_action(env, shell, action);
        }
        if let Err(error) = result {
            shell.fail(ErrorKind::Sasl(error));
        }
    }

    fn on_sasl_action(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        action: sasl::ReceiverAction,
    ) {
        match action {
            sasl::ReceiverAction::Send(element) => shell.element(&element),
            sasl::ReceiverAction::Request(request) => self.ask_sasl(shell, request),
            sasl::ReceiverAction::Event(sasl::ReceiverEvent::Authenticated {
                mechanism,
                identity,
            }) => {
                self.on_authenticated(env, shell, mechanism, &identity);
            }
            sasl::ReceiverAction::Event(sasl::ReceiverEvent::Refused { exhausted, .. }) => {
                self.refused = true;
                if exhausted {
                    shell.fail(ErrorKind::TooManyAttempts);
                }
            }
            _ => {}
        }
    }

    pub(super) fn ask_sasl(&self, shell: &mut Shell, request: sasl::Request) {
        // The stream has a domain, or no element of it would have come here.
        let Some(domain) = self.domain.clone().or(self.config.domains.first().cloned()) else {
            return;
        };
        shell.request(Request::Sasl { domain, request });
    }

    /// The bare address of an identity that was accepted; a fault of this side if it is none.
    pub(super) fn account_of(&self, shell: &mut Shell, identity: &str) -> Option<Jid> {
        let account = if identity.contains('@') {
            let address = identity.parse::<Jid>();
            address.ok().map(|address| address.to_bare())
        } else {
            let server = self.domain.clone().map(Jid::from_domain);
            server.and_then(|server| server.with_local(identity).ok())
        };
        if account.is_none() {
            let what = "expected an identity that is an address, got another from the decision of this side";
            shell.fail(ErrorKind::Header {
                what,
                condition: Condition::InternalServerError,
            });
        }
        account
    }

    pub(super) fn on_authenticated(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        mechanism: sasl::Mechanism,
        identity: &str,
    ) {
        let Some(account) = self.account_of(shell, identity) else {
            return;
        };
        self.refused = false;
        self.authenticated = Some(account.clone());
        shell.facts.reach(Facts::AUTHENTICATED);
        shell.restart_receiving();
        shell.event(Event::Authenticated {
            mechanism,
            identity: Some(account),
        });
        self.prepare(env, shell);
    }
}
