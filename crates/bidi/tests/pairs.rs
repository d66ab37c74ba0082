//! Who may send what, and to whom a connection's end matters.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{
    C, MUC, S, asked, asking, at_c, at_s, changes, domain, drain, head, linked, message, pair,
    receiver,
};
use onetrip_bidi::{Blocked, Change, Initiator, Intrusion, Layer, Pairs, Receiver, Trust};
use onetrip_stream::{Condition, Content};

fn sends(pairs: &Pairs, from: &str, to: &str) -> bool {
    pairs.may_send(&domain(from), &domain(to))
}

fn receives(pairs: &Pairs, from: &str, to: &str) -> bool {
    pairs.may_receive(&domain(from), &domain(to))
}

fn proved_muc(c: &mut Initiator, s: &mut Receiver) {
    c.validated(&pair(MUC, C), Trust::Certificate, at_c)
        .unwrap();
    s.validated(&pair(MUC, C), at_s).unwrap();
}

#[test]
fn bidi_16_a_reverse_pair_opens_both_directions_at_both_ends() {
    let (mut c, mut s) = linked();
    proved_muc(&mut c, &mut s);
    let opened = [
        Change::SendOpened(pair(C, MUC)),
        Change::ReceiveOpened(pair(MUC, C)),
    ];
    assert_eq!(changes(&drain(|| c.poll_action())), opened);
    let opened = [
        Change::SendOpened(pair(MUC, C)),
        Change::ReceiveOpened(pair(C, MUC)),
    ];
    assert_eq!(changes(&drain(|| s.poll_action())), opened);
}

#[test]
fn bidi_17_what_comes_in_is_checked_by_sender_and_recipient() {
    let (c, _) = linked();
    let check = |from, to| c.pairs().check_incoming(&head(Content::Server, from, to));
    assert_eq!(
        check(Some("romeo@montague.lit/a"), Some("juliet@capulet.lit")),
        Ok(())
    );
    let rows = [
        (Some(MUC), Some(C), Intrusion::From, Condition::InvalidFrom),
        (
            Some("x@verona.lit"),
            Some(C),
            Intrusion::From,
            Condition::InvalidFrom,
        ),
        (
            Some(S),
            Some("rooms.capulet.lit"),
            Intrusion::To,
            Condition::HostUnknown,
        ),
        (Some(C), Some(S), Intrusion::From, Condition::InvalidFrom),
        (
            None,
            Some(C),
            Intrusion::Address("from"),
            Condition::ImproperAddressing,
        ),
        (
            Some(S),
            None,
            Intrusion::Address("to"),
            Condition::ImproperAddressing,
        ),
        (
            Some("@"),
            Some(C),
            Intrusion::Address("from"),
            Condition::ImproperAddressing,
        ),
    ];
    for (from, to, intrusion, condition) in rows {
        assert_eq!(check(from, to), Err(intrusion), "{from:?} {to:?}");
        assert_eq!(intrusion.stream_error().condition, condition);
        assert!(!intrusion.source_section().is_empty());
    }
}

#[test]
fn bidi_17_two_valid_pairs_do_not_make_a_third() {
    let (_, mut s) = linked();
    s.validated(&pair("mab.lit", MUC), at_s).unwrap();
    assert!(receives(s.pairs(), C, S) && receives(s.pairs(), "mab.lit", MUC));
    assert_eq!(
        s.pairs().check_incoming(&message(C, MUC)),
        Err(Intrusion::From)
    );
    assert!(!sends(s.pairs(), MUC, C) && !sends(s.pairs(), S, "mab.lit"));
}

#[test]
fn bidi_18_without_bidi_stanzas_flow_one_way() {
    let mut c = common::initiator(Layer::Tls);
    c.validated(&pair(C, S), Trust::Certificate, at_c).unwrap();
    let mut s = receiver(Layer::Tls);
    s.validated(&pair(C, S), at_s).unwrap();
    assert!(sends(c.pairs(), C, S) && !receives(c.pairs(), S, C));
    assert!(receives(s.pairs(), C, S) && !sends(s.pairs(), S, C));
    assert_eq!(
        s.pairs().check_outgoing(&message(S, C)),
        Err(Blocked::Pair(pair(S, C)))
    );
    assert_eq!(
        s.pairs()
            .check_outgoing(&head(Content::Server, Some(S), None)),
        Err(Blocked::Address("to"))
    );
}

#[test]
fn bidi_19_what_came_in_can_be_answered() {
    let (mut c, mut s) = linked();
    proved_muc(&mut c, &mut s);
    for machine in [c.pairs(), s.pairs()] {
        let incoming: Vec<_> = machine.receivable().collect();
        assert_eq!(incoming.len(), 2);
        for pair in incoming {
            assert!(machine.may_send(&pair.to, &pair.from));
        }
    }
}

#[test]
fn bidi_20_prosody_421697060_the_end_of_the_peer_is_awaited_while_it_may_send() {
    let (c, s) = linked();
    assert!(c.pairs().receivable().next().is_some());
    assert!(s.pairs().receivable().next().is_some());
    let mut alone = common::initiator(Layer::Tls);
    alone.validated(&pair(C, S), Trust::Dns, at_c).unwrap();
    assert!(alone.pairs().receivable().next().is_none());
}

#[test]
fn prosody_72b4209cf_the_end_leaves_no_route_behind() {
    let (_, mut s) = linked();
    s.end();
    assert_eq!(
        changes(&drain(|| s.poll_action())),
        [
            Change::SendClosed(pair(S, C)),
            Change::ReceiveClosed(pair(C, S))
        ]
    );
    // Neither does a verification that ends behind it.
    s.validated(&pair("mab.lit", S), at_s).unwrap();
    assert_eq!(s.poll_action(), None);
    assert!(s.handle(&onetrip_bidi::feature()).is_ok());
}

#[test]
fn prosody_814817ebf_closing_one_of_two_links_leaves_the_other_its_routes() {
    let ((mut first, _), (second, _)) = (linked(), linked());
    first.end();
    assert_eq!(changes(&drain(|| first.poll_action())).len(), 2);
    assert!(sends(second.pairs(), C, S) && receives(second.pairs(), S, C));
}

#[test]
fn vanaheimr_s9b_a_stanza_for_a_third_server_is_not_written() {
    let (c, s) = linked();
    for machine in [c.pairs(), s.pairs()] {
        for other in ["verona.lit", "mantua.lit"] {
            assert!(machine.check_outgoing(&message(C, other)).is_err());
            assert!(machine.check_outgoing(&message(S, other)).is_err());
        }
    }
}

#[test]
fn vanaheimr_a_stanza_of_jabber_client_between_servers_is_refused() {
    let (c, _) = linked();
    let leaked = head(Content::Client, Some(S), Some(C));
    assert_eq!(c.pairs().check_incoming(&leaked), Err(Intrusion::Content));
}

#[test]
fn ejabberd_1569_federation_does_not_depend_on_a_second_connection() {
    let (c, s) = linked();
    assert!(sends(c.pairs(), C, S) && receives(s.pairs(), C, S));
    assert!(sends(s.pairs(), S, C) && receives(c.pairs(), S, C));
}

#[test]
fn withdrawing_a_pair_takes_its_inverse_along_unless_that_stands_by_itself() {
    let (mut c, mut s) = linked();
    s.withdrawn(&pair(C, S));
    assert_eq!(changes(&drain(|| s.poll_action())).len(), 2);
    assert!(s.pairs().is_empty());
    // At C the other direction has been proved as well.
    c.validated(&pair(S, C), Trust::Certificate, at_c).unwrap();
    c.withdrawn(&pair(C, S));
    assert_eq!(changes(&drain(|| c.poll_action())), []);
    assert!(sends(c.pairs(), C, S) && receives(c.pairs(), S, C));
    c.withdrawn(&pair(S, C));
    assert_eq!(changes(&drain(|| c.poll_action())).len(), 2);
    c.withdrawn(&pair("mab.lit", C));
    assert_eq!(c.poll_action(), None);
}

#[test]
fn validating_twice_changes_nothing() {
    let (mut c, mut s) = linked();
    c.validated(&pair(C, S), Trust::Certificate, at_c).unwrap();
    s.validated(&pair(C, S), at_s).unwrap();
    assert_eq!((c.poll_action(), s.poll_action()), (None, None));
    assert_eq!((c.pairs().len(), s.pairs().len()), (1, 1));
}

#[test]
fn domains_are_compared_as_domains_and_nothing_else() {
    let (mut c, mut s) = (asking(), asked());
    c.validated(&pair("CAPULET.lit", "Montague.LIT."), Trust::Dns, at_c)
        .unwrap();
    s.validated(&pair("Capulet.lit", S), at_s).unwrap();
    assert!(sends(c.pairs(), C, S) && receives(s.pairs(), C, S));
    assert!(!receives(s.pairs(), "capulet.li", S) && !receives(s.pairs(), "a.capulet.lit", S));
}
