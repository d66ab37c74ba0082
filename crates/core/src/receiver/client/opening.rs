//! Headers and features: in answer to a header, or before it (QS-17).

use minidom::Element;
use onetrip_negotiation::{bind, sasl, starttls};
use onetrip_quickstart::{Stage, pipelining};
use onetrip_stream::{Content, Env, Jid, StreamHeader};

use super::super::{OTHER_ADDRESS, Refused, features, response, served, stage_of};
use super::Receiver;
use crate::shell::Shell;
use crate::{ErrorKind, TlsInfo};

impl Receiver {
    /// Makes ready for a new document.
    pub(super) fn prepare(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let domain = self.domain.as_ref().or(self.config.domains.first());
        shell.restart_sending(response(env, Content::Client, domain));
        self.answered = false;
    }

    pub(crate) fn on_header(&mut self, shell: &mut Shell, header: &StreamHeader) {
        if let Err((what, condition)) = self.accept_header(shell, header) {
            return shell.fail(ErrorKind::Header { what, condition });
        }
        self.claimed = header.from.clone();
        if core::mem::replace(&mut self.answered, true) {
            return; // QS-19: the proactive header was the answer to this one.
        }
        if let Some(response) = &mut shell.sending.unsent {
            response.from = self.domain.clone().map(Jid::from_domain);
            // RFC 6120 §4.7.2: only if the initiating entity said who it is.
            response.to = header.from.as_ref().map(Jid::to_bare);
        }
        shell.open();
        let features = self.features(stage_of(shell));
        shell.element(&features);
    }

    /// Checks a header of the client against what is served and what it has proved.
    fn accept_header(&mut self, shell: &Shell, header: &StreamHeader) -> Result<(), Refused> {
        let domain = served(shell, header, &self.config.domains, self.domain.as_ref())?;
        let proved = self.authenticated.as_ref().zip(header.from.as_ref());
        if proved.is_some_and(|(proved, from)| !proved.same_bare(from)) {
            return Err(OTHER_ADDRESS);
        }
        self.domain = Some(domain);
        Ok(())
    }

    /// The features of a stage (QS-10, QS-R3, QS-R8).
    pub(super) fn features(&self, stage: Stage) -> Element {
        let mut children = match stage {
            Stage::Clear => vec![starttls::feature(starttls::Offer::Required)],
            Stage::Secured => self
                .sasl
                .as_ref()
                .map(sasl::Receiver::features)
                .unwrap_or_default(),
            Stage::Authenticated => vec![bind::feature()],
        };
        // What most servers add: one feature of the stage, pipelining, and one of their own.
        children.reserve(3);
        if stage == Stage::Secured {
            let later = self.sasl2.as_ref();
            let later = later.map(|login| login.features(&children));
            children.extend(later.unwrap_or_default());
        }
        match stage {
            // ISR-13, ISR-14: under TLS, as long as it can be asked for.
            Stage::Secured => children.extend(self.instant_features()),
            // QS-38: only where it may be used.
            Stage::Authenticated if self.config.management.is_some() => {
                children.push(onetrip_stream_management::feature());
            }
            _ => {}
        }
        if stage == Stage::Authenticated {
            children.extend(self.config.features_authenticated.iter().cloned());
        }
        if self.config.quickstart.advertise {
            children.push(pipelining());
        }
        children.extend(self.config.features.iter().cloned());
        features(children)
    }

    /// The sending half may write before the client's Finished is in: half-RTT data (QS-R2). The client's certificate
    /// is not known yet, so EXTERNAL cannot be offered; the channel can be bound once the handshake has ended.
    pub(crate) fn on_sendable(&mut self, shell: &mut Shell, info: &TlsInfo) {
        if self.may_be_proactive() {
            self.offer_before_binding(info);
            self.open_unasked(shell);
        }
    }

    /// Only where it is certain whose certificate was served.
    pub(super) fn may_be_proactive(&self) -> bool {
        self.config.quickstart.proactive_header && !self.answered && self.config.domains.len() == 1
    }

    /// QS-17: header and features without being asked; no `to`, since nobody has said who it is (QS-R2).
    pub(super) fn open_unasked(&mut self, shell: &mut Shell) {
        if let Some(response) = &mut shell.sending.unsent {
            response.from = self.config.domains.first().cloned().map(Jid::from_domain);
        }
        self.answered = true;
        shell.open();
        let features = self.features(Stage::Secured);
        shell.element(&features);
    }
}
