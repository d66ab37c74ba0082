//! The two long examples of the founding text, with its errata corrected (digest §1.2.2), as far as they are bidi's.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{C, MUC, S, at_c, at_s, drain, features, message, pair, sent};
use onetrip_bidi::{
    Initiator, InitiatorConfig, Layer, Receiver, ReceiverConfig, Restart, ReverseClaim,
    ReverseVerdict, Trust, legacy_feature,
};
use onetrip_stream::Content;

/// Both ends behind STARTTLS and `<bidi/>`. The features come in the namespace of the text's own samples.
fn switched_on() -> (Initiator, Receiver) {
    let mut c = Initiator::new(InitiatorConfig::default(), Content::Server, Layer::Clear);
    let mut s = Receiver::new(ReceiverConfig::default(), Content::Server, Layer::Clear);
    c.features(&features(&s.announce()));
    c.restart(Restart::Tls);
    s.restart(Restart::Tls);
    assert_eq!(s.announce().len(), 1);
    c.features(&features(&[legacy_feature()]));
    c.authenticating(Trust::Dns).unwrap();
    let [bidi] = &sent(&drain(|| c.poll_action()))[..] else {
        panic!()
    };
    s.handle(bidi).unwrap();
    (c, s)
}

fn ping_and_pong(c: &Initiator, s: &Receiver) {
    let ping = message("juliet@capulet.lit/balcony", S);
    let pong = message(S, "juliet@capulet.lit/balcony");
    c.pairs().check_outgoing(&ping).unwrap();
    s.pairs().check_incoming(&ping).unwrap();
    s.pairs().check_outgoing(&pong).unwrap();
    c.pairs().check_incoming(&pong).unwrap();
}

#[test]
fn bidirectional_streams_with_sasl_authentication() {
    let (mut c, mut s) = switched_on();
    // <auth/>, <success/>: S has authenticated C towards the `to` of the stream.
    s.authenticated(pair(C, S), at_s).unwrap();
    s.restart(Restart::Sasl);
    c.restart(Restart::Sasl);
    // S may send when these features have gone out: from montague.lit, which the text has the wrong way round.
    assert!(s.announce().is_empty());
    c.features(&features(&[]));
    c.validated(&pair(C, S), Trust::Certificate, at_c).unwrap();
    let sendable: Vec<_> = s.pairs().sendable().collect();
    assert_eq!(sendable, [pair(S, C)]);
    ping_and_pong(&c, &s);
}

#[test]
fn bidirectional_streams_with_server_dialback() {
    let (mut c, mut s) = switched_on();
    // <db:result/>: the comment "S may send" stands here in the text, which BIDI-10 forbids.
    assert!(s.pairs().check_outgoing(&message(S, C)).is_err());
    // <db:result type='valid'/>
    s.validated(&pair(C, S), at_s).unwrap();
    c.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    ping_and_pong(&c, &s);
    // S: <db:result from='conference.montague.lit' to='capulet.lit'/>
    s.may_ask(&pair(MUC, C), at_s).unwrap();
    let claim = ReverseClaim::of(pair(MUC, C), at_c)
        .resolves_here()
        .with_fresh_id();
    assert_eq!(c.judge(&claim), ReverseVerdict::DialBack);
    // C: <db:result type='valid'/>, and now both directions of that pair.
    c.validated(&pair(MUC, C), Trust::Dns, at_c).unwrap();
    s.validated(&pair(MUC, C), at_s).unwrap();
    for (from, to) in [(MUC, C), (S, C)] {
        s.pairs().check_outgoing(&message(from, to)).unwrap();
        c.pairs().check_incoming(&message(from, to)).unwrap();
        c.pairs().check_outgoing(&message(to, from)).unwrap();
        s.pairs().check_incoming(&message(to, from)).unwrap();
    }
}
