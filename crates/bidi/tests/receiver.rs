//! The end that accepted the connection, each rule by its name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{
    C, MUC, S, asked, at_s, changes, domain, drain, linked, message, optional_tls, pair, receiver,
};
use onetrip_bidi::{
    Action, Bidi, Blocked, Change, Error, Event, Layer, Namespaces, PairError, Receiver,
    ReceiverConfig, Restart, ReverseRefusal, StreamLimits, feature, legacy_feature,
};
use onetrip_stream::{Condition, Content};

fn request() -> minidom::Element {
    Bidi::default().to_element()
}

fn with(change: impl FnOnce(&mut ReceiverConfig)) -> ReceiverConfig {
    let mut config = ReceiverConfig::default();
    change(&mut config);
    config
}

#[test]
fn bidi_01_r5_it_is_announced_wherever_it_would_be_taken() {
    // TLS optional: before and after.
    let mut machine = Receiver::new(optional_tls().1, Content::Server, Layer::Clear);
    assert_eq!(machine.announce(), [feature()]);
    machine.restart(Restart::Tls);
    assert_eq!(machine.announce(), [feature()]);
    // TLS required: after only.
    let mut machine = receiver(Layer::Clear);
    assert!(machine.announce().is_empty());
    machine.restart(Restart::Tls);
    assert_eq!(machine.announce(), [feature()]);
    // Direct TLS.
    assert_eq!(receiver(Layer::Tls).announce(), [feature()]);
    // Never on a client's stream, nor when switched off.
    let config = ReceiverConfig::default();
    let mut client = Receiver::new(config, Content::Client, Layer::Tls);
    assert!(client.announce().is_empty());
    let off = with(|config| config.offer = false);
    assert!(
        Receiver::new(off, Content::Server, Layer::Tls)
            .announce()
            .is_empty()
    );
}

#[test]
fn bidi_r1_the_wrong_namespace_is_offered_beside_the_right_one_on_demand() {
    let legacy = with(|config| config.advertise_legacy_feature = true);
    let mut machine = Receiver::new(legacy, Content::Server, Layer::Tls);
    assert_eq!(machine.announce(), [feature(), legacy_feature()]);
}

#[test]
fn bidi_07_nothing_is_restarted_or_answered() {
    let mut machine = receiver(Layer::Tls);
    machine.announce();
    machine.handle(&request()).unwrap();
    let enabled = Event::Enabled { limits: None };
    assert_eq!(drain(|| machine.poll_action()), [Action::Event(enabled)]);
    assert!(machine.announce().is_empty());
}

#[test]
fn bidi_08_it_survives_the_restart_of_sasl_and_not_that_of_tls() {
    let mut machine = asked();
    machine.authenticated(pair(C, S), at_s).unwrap();
    machine.restart(Restart::Sasl);
    assert!(machine.announce().is_empty());
    assert!(machine.pairs().is_bidirectional());
    assert!(machine.pairs().may_send(&domain(S), &domain(C)));

    let mut machine = Receiver::new(optional_tls().1, Content::Server, Layer::Clear);
    machine.announce();
    machine.handle(&request()).unwrap();
    machine.restart(Restart::Tls);
    assert!(!machine.pairs().is_bidirectional());
    // What was announced in clear is not announced now.
    assert_eq!(machine.handle(&request()), Err(Error::NotAnnounced));
}

#[test]
fn bidi_10_nothing_goes_out_before_the_features_behind_sasl() {
    let mut machine = asked();
    let blocked = |machine: &Receiver| {
        machine.pairs().check_outgoing(&message(S, C)) == Err(Blocked::Pair(pair(S, C)))
    };
    assert!(blocked(&machine));
    machine.authenticated(pair(C, S), at_s).unwrap();
    assert!(blocked(&machine));
    machine.restart(Restart::Sasl);
    assert!(blocked(&machine));
    assert_eq!(machine.poll_action(), None);
    machine.announce();
    assert!(!blocked(&machine));
    assert_eq!(
        changes(&drain(|| machine.poll_action())),
        [
            Change::SendOpened(pair(S, C)),
            Change::ReceiveOpened(pair(C, S))
        ]
    );
}

#[test]
fn bidi_10_nothing_goes_out_before_dialback_has_answered() {
    let mut machine = asked();
    assert!(!machine.pairs().may_send(&domain(S), &domain(C)));
    machine.validated(&pair(C, S), at_s).unwrap();
    assert!(machine.pairs().may_send(&domain(S), &domain(C)));
}

#[test]
fn bidi_12_r2_behind_sasl_only_the_inverse_of_its_pair_goes_out() {
    let mut machine = asked();
    machine.authenticated(pair(C, S), at_s).unwrap();
    machine.restart(Restart::Sasl);
    machine.announce();
    let sendable: Vec<_> = machine.pairs().sendable().collect();
    assert_eq!(sendable, [pair(S, C)]);
    assert!(machine.pairs().check_outgoing(&message(MUC, C)).is_err());
    assert!(
        machine
            .pairs()
            .check_outgoing(&message("romeo@montague.lit/orchard", "juliet@capulet.lit"))
            .is_ok()
    );
}

#[test]
fn bidi_13_r3_behind_dialback_only_the_inverse_of_validated_pairs_goes_out() {
    let (_, s) = linked();
    let may = |from: &str, to: &str| s.pairs().may_send(&domain(from), &domain(to));
    assert!(may(S, C));
    for (from, to) in [
        (MUC, C),
        (S, "rooms.capulet.lit"),
        ("x.montague.lit", C),
        (S, "x.capulet.lit"),
        (C, S),
    ] {
        assert!(!may(from, to), "{from} to {to}");
    }
}

#[test]
fn bidi_14_we_ask_for_our_domains_towards_proved_ones_only() {
    let (_, mut s) = linked();
    let ask = |machine: &Receiver, from, to| machine.may_ask(&pair(from, to), at_s);
    assert_eq!(ask(&s, MUC, C), Ok(()));
    assert_eq!(ask(&s, "x.montague.lit", C), Err(ReverseRefusal::Sender));
    assert_eq!(
        ask(&s, MUC, "rooms.capulet.lit"),
        Err(ReverseRefusal::Target)
    );
    s.withdrawn(&pair(C, S));
    assert_eq!(ask(&s, MUC, C), Err(ReverseRefusal::Target));
    // Without bidi, and in clear.
    let mut plain = receiver(Layer::Tls);
    plain.validated(&pair(C, S), at_s).unwrap();
    assert_eq!(ask(&plain, MUC, C), Err(ReverseRefusal::Unidirectional));
    let mut clear = Receiver::new(optional_tls().1, Content::Server, Layer::Clear);
    clear.announce();
    clear.handle(&request()).unwrap();
    clear.validated(&pair(C, S), at_s).unwrap();
    assert_eq!(ask(&clear, MUC, C), Err(ReverseRefusal::Clear));
}

#[test]
fn bidi_21_twice_is_harmless_and_a_clients_stream_is_refused() {
    let mut machine = asked();
    machine.handle(&request()).unwrap();
    machine.handle(&feature()).unwrap();
    assert_eq!(machine.poll_action(), None);
    let config = ReceiverConfig::default();
    let mut client = Receiver::new(config, Content::Client, Layer::Tls);
    let error = client.handle(&request()).unwrap_err();
    assert_eq!(error, Error::ClientStream);
    assert_eq!(
        error.stream_error().condition,
        Condition::UnsupportedStanzaType
    );
}

#[test]
fn bidi_23_prosody_53cde4a8a_bidi_in_clear_is_refused_where_tls_is_required() {
    let mut machine = receiver(Layer::Clear);
    machine.announce();
    assert_eq!(machine.handle(&request()), Err(Error::Clear));
    assert!(!machine.pairs().is_bidirectional());
}

#[test]
fn bidi_r4_late_bidi_is_effective_at_once_or_refused() {
    let late = |accept| {
        let config = with(|config| config.accept_late_bidi = accept);
        let mut machine = Receiver::new(config, Content::Server, Layer::Tls);
        machine.announce();
        machine.validated(&pair(C, S), at_s).unwrap();
        drain(|| machine.poll_action());
        let result = machine.handle(&request());
        (result, changes(&drain(|| machine.poll_action())))
    };
    let opened = Change::SendOpened(pair(S, C));
    assert_eq!(late(true), (Ok(()), vec![opened]));
    let closed = Change::ReceiveClosed(pair(C, S));
    assert_eq!(late(false), (Err(Error::Late), vec![closed]));
}

#[test]
fn bidi_r9_vanaheimr_unannounced_bidi_is_refused_for_good() {
    let mut machine = receiver(Layer::Tls);
    let error = machine.handle(&request()).unwrap_err();
    assert_eq!(error, Error::NotAnnounced);
    assert_eq!(
        error.stream_error().condition,
        Condition::UnsupportedStanzaType
    );
    assert!(!error.source_section().is_empty());
    machine.announce();
    assert_eq!(machine.handle(&request()), Err(Error::NotAnnounced));
    machine.validated(&pair(C, S), at_s).unwrap();
    assert!(machine.pairs().is_empty());
}

#[test]
fn ejabberd_4312_the_request_in_either_namespace_and_other_elements_do_no_harm() {
    let mut machine = receiver(Layer::Tls);
    machine.announce();
    machine.handle(&feature()).unwrap();
    assert!(machine.pairs().is_bidirectional());
    let exact = with(|config| config.namespaces = Namespaces::Exact);
    let mut machine = Receiver::new(exact, Content::Server, Layer::Tls);
    machine.announce();
    assert_eq!(machine.handle(&feature()), Err(Error::Unknown));
}

#[test]
fn the_peers_limits_are_told() {
    let mut machine = receiver(Layer::Tls);
    machine.announce();
    let mut limits = StreamLimits::default();
    limits.max_bytes = Some(10_000);
    let limits = Some(limits);
    machine.handle(&Bidi { limits }.to_element()).unwrap();
    let enabled = Event::Enabled { limits };
    assert_eq!(drain(|| machine.poll_action()), [Action::Event(enabled)]);
}

#[test]
fn a_domain_of_ours_presented_by_the_peer_is_refused() {
    let mut machine = asked();
    for mine in [S, MUC] {
        let spoofed = pair(mine, S);
        assert_eq!(machine.validated(&spoofed, at_s), Err(PairError::OurDomain));
        assert_eq!(
            machine.authenticated(spoofed, at_s),
            Err(PairError::OurDomain)
        );
    }
    assert_eq!(
        machine.authenticated(pair(C, "verona.lit"), at_s),
        Err(PairError::NotOurs)
    );
    machine.restart(Restart::Sasl);
    machine.announce();
    assert!(machine.pairs().is_empty());
}

#[test]
fn the_table_has_an_end_and_those_in_it_go_on() {
    let config = with(|config| config.pairs = 2);
    let mut machine = Receiver::new(config, Content::Server, Layer::Tls);
    machine.announce();
    machine.handle(&Bidi::default().to_element()).unwrap();
    for n in 0..2 {
        let next = pair(&format!("d{n}.lit"), S);
        machine.validated(&next, at_s).unwrap();
    }
    assert_eq!(
        machine.validated(&pair("d2.lit", S), at_s),
        Err(PairError::TooMany(2))
    );
    let back = pair("another.montague.lit", "d0.lit");
    assert_eq!(machine.may_ask(&back, |_| true), Err(ReverseRefusal::Full));
    assert_eq!(
        machine.authenticated(pair("d2.lit", S), at_s),
        Err(PairError::TooMany(2))
    );
    machine.validated(&pair("d1.lit", S), at_s).unwrap();
    assert_eq!(machine.pairs().len(), 2);
}
