//! The end that opened the connection, each rule by its name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{C, S, asking, at_c, changes, drain, features, initiator, optional_tls, pair, sent};
use onetrip_bidi::{
    Action, Bidi, Change, Error, Event, FeaturesUnknown, Initiator, InitiatorConfig, Layer,
    PairError, Restart, ReverseRefusal, StreamLimits, Trust, Why, feature, legacy_feature,
};
use onetrip_stream::{Condition, Content, ns};

/// Authenticates, and says what was sent and why nothing was.
fn authenticated(machine: &mut Initiator) -> (usize, Option<Why>) {
    machine.authenticating(Trust::Dns).unwrap();
    let actions = drain(|| machine.poll_action());
    let why = actions.iter().find_map(|action| match action {
        Action::Event(Event::Unidirectional(why)) => Some(*why),
        _ => None,
    });
    (sent(&actions).len(), why)
}

#[test]
fn bidi_03_it_is_asked_for_behind_tls_only() {
    let mut machine = initiator(Layer::Clear);
    machine.features(&features(&[feature()]));
    machine.restart(Restart::Tls);
    assert_eq!(machine.authenticating(Trust::Dns), Err(FeaturesUnknown));
    machine.features(&features(&[feature()]));
    assert_eq!(authenticated(&mut machine), (1, None));
}

#[test]
fn bidi_03_what_was_asked_for_in_clear_ends_with_starttls() {
    let mut machine = Initiator::new(optional_tls().0, Content::Server, Layer::Clear);
    machine.features(&features(&[feature()]));
    assert_eq!(authenticated(&mut machine), (1, None));
    assert!(machine.pairs().is_bidirectional());
    machine.restart(Restart::Tls);
    assert!(!machine.pairs().is_bidirectional());
}

#[test]
fn bidi_05_it_comes_before_authentication_and_once() {
    let mut machine = initiator(Layer::Tls);
    machine.features(&features(&[feature()]));
    machine.authenticating(Trust::Dns).unwrap();
    let actions = drain(|| machine.poll_action());
    assert_eq!(actions[0], Action::Send(Bidi::default().to_element()));
    assert_eq!(actions[1], Action::Event(Event::Enabled { limits: None }));
}

#[test]
fn bidi_06_it_is_asked_for_only_if_features_say_so_live_or_remembered() {
    let mut machine = initiator(Layer::Tls);
    machine.features(&features(&[]));
    assert_eq!(authenticated(&mut machine), (0, Some(Why::NotAnnounced)));
    let mut machine = initiator(Layer::Tls);
    machine.remembered();
    assert_eq!(authenticated(&mut machine), (1, None));
    // What arrives goes before what is remembered.
    let mut machine = initiator(Layer::Tls);
    machine.remembered();
    machine.features(&features(&[]));
    assert_eq!(authenticated(&mut machine), (0, Some(Why::NotAnnounced)));
}

#[test]
fn bidi_08_it_survives_the_restart_of_sasl_and_not_that_of_tls() {
    let mut machine = asking();
    machine.restart(Restart::Sasl);
    machine.features(&features(&[]));
    machine
        .validated(&pair(C, S), Trust::Certificate, at_c)
        .unwrap();
    assert_eq!(
        changes(&drain(|| machine.poll_action())),
        [
            Change::SendOpened(pair(C, S)),
            Change::ReceiveOpened(pair(S, C))
        ]
    );
    machine.restart(Restart::Tls);
    assert_eq!(
        changes(&drain(|| machine.poll_action())),
        [
            Change::SendClosed(pair(C, S)),
            Change::ReceiveClosed(pair(S, C))
        ]
    );
    assert!(!machine.pairs().is_bidirectional() && machine.pairs().is_empty());
}

#[test]
fn bidi_09_nothing_but_bidi_is_sent() {
    let mut machine = initiator(Layer::Tls);
    machine.features(&features(&[feature()]));
    machine.authenticating(Trust::Dns).unwrap();
    machine.restart(Restart::Sasl);
    machine.features(&features(&[feature()]));
    machine.authenticating(Trust::Dns).unwrap();
    machine.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    machine.end();
    let elements = sent(&drain(|| machine.poll_action()));
    assert_eq!(elements, [Bidi::default().to_element()]);
}

#[test]
fn xeps_963_when_external_fails_dialback_finds_bidi_on() {
    let mut machine = asking();
    // <failure/>, and on with dialback: no restart, nothing sent again.
    assert_eq!(authenticated(&mut machine), (0, None));
    machine.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    let opened = [
        Change::SendOpened(pair(C, S)),
        Change::ReceiveOpened(pair(S, C)),
    ];
    assert_eq!(changes(&drain(|| machine.poll_action())), opened);
}

#[test]
fn bidi_r4_it_is_never_sent_late() {
    let mut machine = initiator(Layer::Tls);
    machine.features(&features(&[]));
    assert_eq!(authenticated(&mut machine), (0, Some(Why::NotAnnounced)));
    machine.restart(Restart::Sasl);
    machine.features(&features(&[feature()]));
    machine.remembered();
    assert_eq!(authenticated(&mut machine), (0, None));
    assert!(!machine.pairs().is_bidirectional());
}

#[test]
fn bidi_r4_whoever_forgets_to_ask_in_time_does_not_ask() {
    let mut restarted = initiator(Layer::Tls);
    restarted.features(&features(&[feature()]));
    restarted.restart(Restart::Sasl);
    assert_eq!(authenticated(&mut restarted), (0, None));
    let mut validated = initiator(Layer::Tls);
    validated.features(&features(&[feature()]));
    validated.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    assert_eq!(authenticated(&mut validated), (0, None));
    assert!(!validated.pairs().is_bidirectional());
}

#[test]
fn bidi_17_a_peer_that_dns_alone_vouches_for_may_be_kept_from_sending() {
    let mut config = InitiatorConfig::default();
    config.require_certificate = true;
    let mut machine = Initiator::new(config, Content::Server, Layer::Tls);
    machine.remembered();
    // The domain that the stream is to is proved; another one of that server need not be.
    machine.authenticating(Trust::Certificate).unwrap();
    machine.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    let allowed = |machine: &Initiator| {
        let (c, s) = (common::domain(C), common::domain(S));
        (
            machine.pairs().may_send(&c, &s),
            machine.pairs().may_receive(&s, &c),
        )
    };
    assert_eq!(allowed(&machine), (true, false));
    assert_eq!(
        machine.validated(&pair(S, C), Trust::Dns, at_c),
        Err(PairError::Untrusted)
    );
    machine
        .validated(&pair(C, S), Trust::Certificate, at_c)
        .unwrap();
    assert_eq!(allowed(&machine), (true, true));
}

/// It would send, believing that it may, and the stream would end by `invalid-from`.
#[test]
fn bidi_17_a_peer_that_would_not_be_heard_is_not_asked_to_send() {
    let mut config = InitiatorConfig::default();
    config.require_certificate = true;
    let mut machine = Initiator::new(config, Content::Server, Layer::Tls);
    machine.features(&features(&[feature()]));
    assert_eq!(authenticated(&mut machine), (0, Some(Why::Unproven)));
    machine.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    assert!(!machine.pairs().is_bidirectional());
    // What never comes back may be asked for.
    assert_eq!(machine.may_ask(&pair(C, S), Trust::Dns), Ok(()));
}

/// The peer takes its `valid` for leave to send stanzas of the inverse pair.
#[test]
fn bidi_17_a_further_pair_that_would_not_be_heard_is_not_asked_for() {
    let mut config = InitiatorConfig::default();
    for required in [false, true] {
        config.require_certificate = required;
        let mut machine = Initiator::new(config, Content::Server, Layer::Tls);
        machine.remembered();
        machine.authenticating(Trust::Certificate).unwrap();
        let refused = machine.may_ask(&pair(C, S), Trust::Dns).err();
        assert_eq!(refused, required.then_some(ReverseRefusal::NotCertified));
        assert_eq!(machine.may_ask(&pair(C, S), Trust::Certificate), Ok(()));
    }
}

/// What is verified for nothing costs the peer a connection, and what it may send then costs the stream.
#[test]
fn a_pair_that_has_no_place_is_not_asked_for() {
    let mut config = InitiatorConfig::default();
    config.pairs = 1;
    let mut machine = Initiator::new(config, Content::Server, Layer::Tls);
    machine.remembered();
    machine.authenticating(Trust::Certificate).unwrap();
    let further = pair("conference.montague.lit", S);
    assert_eq!(machine.may_ask(&further, Trust::Dns), Ok(()));
    machine
        .validated(&pair(C, S), Trust::Certificate, at_c)
        .unwrap();
    let refused = machine.may_ask(&further, Trust::Dns);
    assert_eq!(refused, Err(ReverseRefusal::Full));
    let again = machine.may_ask(&pair(C, S), Trust::Dns);
    assert_eq!(again, Ok(()), "it has its place");
}

#[test]
fn bidi_20_the_end_closes_both_directions_once_and_for_all() {
    let mut machine = asking();
    machine.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    drain(|| machine.poll_action());
    machine.end();
    assert_eq!(
        changes(&drain(|| machine.poll_action())),
        [
            Change::SendClosed(pair(C, S)),
            Change::ReceiveClosed(pair(S, C))
        ]
    );
    machine.end();
    // An answer that comes too late opens nothing.
    machine.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    assert_eq!(machine.poll_action(), None);
    assert!(machine.pairs().is_empty());
}

#[test]
fn bidi_21_the_receiving_entity_has_nothing_to_ask_for() {
    let mut machine = asking();
    machine.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    drain(|| machine.poll_action());
    let error = machine.handle(&feature()).unwrap_err();
    assert_eq!(error, Error::WrongEnd);
    assert_eq!(
        error.stream_error().condition,
        Condition::UnsupportedStanzaType
    );
    assert_eq!(changes(&drain(|| machine.poll_action())).len(), 2);
    // Final.
    let ping = minidom::Element::bare("ping", ns::PING);
    assert_eq!(machine.handle(&ping), Err(Error::WrongEnd));
    machine.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    assert!(machine.pairs().is_empty());
}

#[test]
fn bidi_21_never_on_a_clients_stream() {
    let mut machine = Initiator::new(InitiatorConfig::default(), Content::Client, Layer::Tls);
    machine.features(&features(&[feature()]));
    assert_eq!(authenticated(&mut machine), (0, Some(Why::ClientStream)));
    assert_eq!(machine.handle(&feature()), Err(Error::ClientStream));
}

#[test]
fn bidi_23_never_in_clear_where_tls_is_required() {
    let mut machine = initiator(Layer::Clear);
    machine.features(&features(&[feature()]));
    assert_eq!(authenticated(&mut machine), (0, Some(Why::Clear)));
    assert!(!machine.pairs().is_bidirectional());
}

#[test]
fn it_can_be_switched_off() {
    let mut config = InitiatorConfig::default();
    config.request = false;
    let mut machine = Initiator::new(config, Content::Server, Layer::Tls);
    assert_eq!(authenticated(&mut machine), (0, Some(Why::NotWanted)));
}

#[test]
fn our_limits_go_with_the_request() {
    let mut config = InitiatorConfig::default();
    let mut limits = StreamLimits::default();
    limits.max_bytes = Some(262_144);
    config.limits = Some(limits);
    let mut machine = Initiator::new(config, Content::Server, Layer::Tls);
    machine.remembered();
    machine.authenticating(Trust::Dns).unwrap();
    let bidi = sent(&drain(|| machine.poll_action())).pop().unwrap();
    assert_eq!(StreamLimits::within(&bidi), Some(limits));
}

#[test]
fn vanaheimr_s9_dialback_waits_for_the_features() {
    let mut machine = initiator(Layer::Tls);
    assert_eq!(machine.authenticating(Trust::Dns), Err(FeaturesUnknown));
    assert_eq!(machine.poll_action(), None);
    machine.features(&features(&[feature()]));
    assert_eq!(authenticated(&mut machine), (1, None));
}

#[test]
fn ejabberd_4300_the_feature_in_the_namespace_of_the_request_is_understood() {
    let mut machine = initiator(Layer::Tls);
    machine.features(&features(&[legacy_feature()]));
    machine.authenticating(Trust::Dns).unwrap();
    let actions = drain(|| machine.poll_action());
    assert!(sent(&actions)[0].is("bidi", ns::BIDI));
}
