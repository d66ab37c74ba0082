//! Reverse dialback: every mitigation of digest §6.2 by itself, and all together.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{C, MUC, S, asking, at_c, features, initiator, linked, optional_tls, pair};
use onetrip_bidi::{
    Initiator, InitiatorConfig, Layer, ReverseClaim, ReverseRefusal, ReverseVerdict, Trust, feature,
};
use onetrip_stream::Content;
use proptest::prelude::*;

fn claim(from: &str, to: &str) -> ReverseClaim {
    ReverseClaim::of(pair(from, to), at_c)
}

/// Everything in order.
fn good() -> ReverseClaim {
    claim(MUC, C).resolves_here().with_fresh_id()
}

fn configured(config: InitiatorConfig, layer: Layer) -> Initiator {
    let mut machine = Initiator::new(config, Content::Server, layer);
    machine.features(&features(&[feature()]));
    machine.authenticating(Trust::Certificate).unwrap();
    machine
        .validated(&pair(C, S), Trust::Certificate, at_c)
        .unwrap();
    machine
}

#[test]
fn bidi_15_a_reverse_request_in_order_is_dialled_back() {
    let (c, _) = linked();
    assert_eq!(c.judge(&good()), ReverseVerdict::DialBack);
}

#[test]
fn bidi_15_without_bidi_it_is_refused() {
    let mut machine = initiator(Layer::Tls);
    machine
        .validated(&pair(C, S), Trust::Certificate, at_c)
        .unwrap();
    assert_eq!(
        machine.judge(&good().certified()),
        ReverseVerdict::Refuse(ReverseRefusal::Unidirectional)
    );
}

#[test]
fn reverse_dialback_needs_tls() {
    let machine = configured(optional_tls().0, Layer::Clear);
    assert_eq!(
        machine.judge(&good().certified()),
        ReverseVerdict::Refuse(ReverseRefusal::Clear)
    );
}

#[test]
fn reverse_dialback_prefers_a_certificate() {
    let (c, _) = linked();
    assert_eq!(
        c.judge(&claim(MUC, C).certified()),
        ReverseVerdict::Certified
    );
}

#[test]
fn reverse_dialback_may_be_left_to_certificates_or_switched_off() {
    let mut config = InitiatorConfig::default();
    config.require_certificate = true;
    let machine = configured(config, Layer::Tls);
    assert_eq!(
        machine.judge(&good()),
        ReverseVerdict::Refuse(ReverseRefusal::NotCertified)
    );
    assert_eq!(
        machine.judge(&good().certified()),
        ReverseVerdict::Certified
    );
    config.accept_reverse = false;
    assert_eq!(
        configured(config, Layer::Tls).judge(&good().certified()),
        ReverseVerdict::Refuse(ReverseRefusal::NotWanted)
    );
}

#[test]
fn reverse_dialback_from_another_address_is_refused() {
    let (c, _) = linked();
    assert_eq!(
        c.judge(&claim(MUC, C).with_fresh_id()),
        ReverseVerdict::Refuse(ReverseRefusal::Address)
    );
}

#[test]
fn reverse_dialback_with_an_id_seen_elsewhere_is_refused() {
    let (c, _) = linked();
    assert_eq!(
        c.judge(&claim(MUC, C).resolves_here()),
        ReverseVerdict::Refuse(ReverseRefusal::IdReused)
    );
}

#[test]
fn reverse_dialback_for_a_domain_of_ours_is_refused_even_with_a_certificate() {
    let (c, _) = linked();
    for mine in [C, "rooms.capulet.lit"] {
        let spoofed = claim(mine, C).resolves_here().with_fresh_id().certified();
        assert_eq!(
            c.judge(&spoofed),
            ReverseVerdict::Refuse(ReverseRefusal::Sender)
        );
    }
}

#[test]
fn bidi_14_the_target_must_have_been_validated_here() {
    let unproved = asking();
    assert_eq!(
        unproved.judge(&good().certified()),
        ReverseVerdict::Refuse(ReverseRefusal::Target)
    );
    let (c, _) = linked();
    for target in ["rooms.capulet.lit", "verona.lit"] {
        let claim = claim(MUC, target).certified();
        assert_eq!(
            c.judge(&claim),
            ReverseVerdict::Refuse(ReverseRefusal::Target)
        );
    }
}

#[test]
fn every_refusal_has_the_condition_of_xep0220() {
    let rows = [
        (ReverseRefusal::Unidirectional, "policy-violation"),
        (ReverseRefusal::NotWanted, "policy-violation"),
        (ReverseRefusal::Clear, "policy-violation"),
        (ReverseRefusal::Sender, "not-acceptable"),
        (ReverseRefusal::Target, "item-not-found"),
        (ReverseRefusal::NotCertified, "not-authorized"),
        (ReverseRefusal::Full, "resource-constraint"),
        (ReverseRefusal::IdReused, "not-acceptable"),
        (ReverseRefusal::Address, "not-acceptable"),
    ];
    for (refusal, condition) in rows {
        assert_eq!(refusal.condition(), condition);
    }
}

proptest! {
    /// The verdict against one formula for each way of being heard.
    #[test]
    fn nobody_is_heard_unless_everything_is_in_order(
        from in prop_oneof![Just(MUC), Just(C), Just("mab.lit")],
        to in prop_oneof![Just(C), Just("rooms.capulet.lit"), Just("verona.lit")],
        certified in any::<bool>(), here in any::<bool>(), fresh in any::<bool>(),
        bidi in any::<bool>(), tls in any::<bool>(), wanted in any::<bool>(), strict in any::<bool>(),
    ) {
        let mut config = optional_tls().0;
        (config.request, config.accept_reverse, config.require_certificate) = (bidi, wanted, strict);
        let machine = configured(config, if tls { Layer::Tls } else { Layer::Clear });
        let mut asked = claim(from, to);
        if certified { asked = asked.certified(); }
        if here { asked = asked.resolves_here(); }
        if fresh { asked = asked.with_fresh_id(); }
        let heard = bidi && tls && wanted && from != C && to == C;
        let verdict = machine.judge(&asked);
        prop_assert_eq!(verdict == ReverseVerdict::Certified, heard && certified);
        let dialled = heard && !certified && !strict && here && fresh;
        prop_assert_eq!(verdict == ReverseVerdict::DialBack, dialled);
    }
}
