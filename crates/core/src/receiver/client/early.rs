//! What a client may say before the handshake of TLS 1.3 has ended: one login by token, and nothing else.
//!
//! Early data may be a replay (RFC 8446 §8). The count that comes with a token makes one harmless (XEP-0484 §3.4); nothing
//! else has such a protection, so anything else ends the stream (XEP-0388 §3, XEP-0198 §10, ISR-R7).

use onetrip_negotiation::sasl;
use onetrip_stream::{Frame, ns};

use super::{Receiver, sasl2};
use crate::TlsInfo;
use crate::half::Layer;
use crate::order::Facts;
use crate::shell::Shell;

/// What has come so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Early {
    Nothing,
    Begun,
    Login,
}

impl Receiver {
    /// Early data is there; `false` where none is taken.
    pub(crate) fn begin_early(&mut self, shell: &mut Shell, info: &TlsInfo) -> bool {
        let offer = self.config.sasl2.as_ref();
        if !offer.is_some_and(|offer| offer.fast && offer.early) {
            return false;
        }
        if self.early == Early::Nothing {
            self.early = Early::Begun;
            self.forget_what_was_clear();
            self.offer_before_binding(info);
            shell.sending.layer = Layer::Early;
            shell.receiving.layer = Layer::Early;
            shell.facts.reach(Facts::SECURED);
        }
        true
    }

    /// Whether a frame may come as early data, now.
    pub(crate) fn takes_early(&mut self, frame: &Frame) -> bool {
        match frame {
            Frame::Header(_) => true,
            Frame::Element(element) if element.is("authenticate", ns::SASL2) => {
                core::mem::replace(&mut self.early, Early::Login) == Early::Begun
            }
            _ => false,
        }
    }

    /// RFC 6120 §5.4.3.3.
    pub(super) fn forget_what_was_clear(&mut self) {
        self.domain = None;
        self.claimed = None;
    }

    /// What is offered before the handshake has ended: the channel can be bound by then, and the client's certificate is
    /// not known.
    pub(super) fn offer_before_binding(&mut self, info: &TlsInfo) {
        if self.sasl.is_some() {
            return;
        }
        self.end_point.clone_from(&info.end_point);
        let (sasl, known) = (&self.config.sasl, info.channel_binding());
        let rides = self.rides();
        let offer = self.config.sasl2.as_ref();
        let login = |offer| sasl2::Login::before_binding(offer, sasl, rides, known.clone());
        self.sasl2 = offer.map(login);
        self.sasl = Some(sasl::Receiver::before_binding(sasl, known));
    }
}
