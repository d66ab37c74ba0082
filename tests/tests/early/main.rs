//! Early data of TLS 1.3 over real TLS: one login by token, whatever becomes of it (XEP-0484 §3.4, XEP-0388 §3).
#![allow(clippy::unwrap_used, clippy::panic)]

mod hostile;
mod replayed;

use std::sync::Arc;

use onetrip_core::quickstart::{Level, Policy, Transport};
use onetrip_core::{End, ErrorKind};
use onetrip_tests::early::Room;
use onetrip_tls::rustls::Versions;
use onetrip_tls::rustls::rustls::server::ServerSessionMemoryCache;

/// What goes early is header, token and what rides along with it, in this order, and nothing else.
fn assert_one_login(early: &str) {
    assert_eq!(early.matches("<stream:stream ").count(), 1, "{early}");
    assert_eq!(early.matches("<authenticate ").count(), 1, "{early}");
    let login = early.split_once('>').unwrap().1;
    assert!(
        login.contains("mechanism='HT-SHA-256-NONE'") && login.contains("<fast "),
        "{login}"
    );
    assert!(login.contains(" count='") && early.ends_with("</authenticate>"));
}

/// Digest §4.3: what takes three exchanges at first (TLS, features, login) takes one.
#[test]
fn the_second_login_is_one_exchange() {
    let mut room = Room::default();
    let (pair, exchanges) = room.log_in();
    assert_eq!(exchanges, 3);
    assert_eq!(room.sides[pair[0]].early(), "", "no token yet");
    // A token that can go early was asked for, although another is preferred.
    assert!(room.sides[pair[0]].plain().contains("<request-token"));
    assert!(room.sides[pair[0]].plain().contains("HT-SHA-256-NONE"));
    room.close(pair);
    for count in 1..4 {
        let (pair, exchanges) = room.log_in();
        assert_eq!(exchanges, 1);
        let client = &room.sides[pair[0]];
        assert_one_login(&client.early());
        assert!(client.early().contains(&format!("count='{count}'")));
        assert_eq!(client.early(), room.sides[pair[1]].early(), "all arrived");
        assert!(!client.plain().contains("<authenticate"), "nothing twice");
        assert_eq!(room.sides[pair[1]].online(), Some(false));
        room.send(pair[0]);
        room.send(pair[1]);
        room.talk(pair);
        assert_eq!(pair.map(|side| room.sides[side].stanzas()), [1, 1]);
        room.close(pair);
        assert!(matches!(room.sides[pair[0]].end(), Some(End::Clean)));
    }
}

/// The session rides in it, and what it sends again comes with the answer.
#[test]
fn a_session_goes_on_within_early_data_and_nothing_is_lost() {
    let mut room = Room::default();
    let (mut pair, _) = room.log_in();
    for _ in 0..3 {
        room.send(pair[0]);
        room.send(pair[1]);
        room.cut(pair);
        let (again, exchanges) = room.log_in();
        assert_eq!(exchanges, 1);
        assert_one_login(&room.sides[again[0]].early());
        assert!(room.sides[again[0]].early().contains("<resume "));
        assert_eq!(room.sides[again[0]].online(), Some(true));
        assert_eq!(again.map(|side| room.sides[side].stanzas()), [1, 1]);
        pair = again;
    }
}

/// The server still has its old connection: the session is taken from it within the handshake.
#[test]
fn the_server_need_not_know_that_the_old_connection_is_gone() {
    let mut room = Room::default();
    let (pair, _) = room.log_in();
    room.send(pair[1]);
    room.cut([pair[0]; 2]);
    let (again, exchanges) = room.log_in();
    assert_eq!((exchanges, room.sides[again[0]].online()), (1, Some(true)));
    assert_eq!(room.sides[again[0]].stanzas(), 1);
    assert!(matches!(room.sides[pair[1]].end(), Some(End::HandedOver)));
}

/// RFC 8446 §4.2.10: a server that has forgotten the TLS session takes none. The same goes out again behind the handshake.
#[test]
fn early_data_that_the_server_does_not_take_goes_out_again_once() {
    for resumes in [false, true] {
        let mut room = Room::default();
        let (pair, _) = room.log_in();
        room.send(pair[0]);
        match resumes {
            true => room.cut(pair),
            false => room.close(pair),
        }
        let mut tls = (*room.server_tls).clone();
        tls.session_storage = ServerSessionMemoryCache::new(8);
        room.server_tls = Arc::new(tls);
        let (pair, exchanges) = room.log_in();
        assert_eq!(exchanges, 2, "as if none had been sent");
        let [client, server] = pair.map(|side| &room.sides[side]);
        assert_one_login(&client.early());
        assert_eq!(server.early(), "");
        assert!(client.plain().starts_with(&client.early()));
        assert_eq!(client.plain().matches("<authenticate").count(), 1);
        assert_eq!(client.online(), Some(resumes));
        assert_eq!(server.stanzas(), usize::from(resumes));
        room.close(pair);
        assert_eq!(room.log_in().1, 1, "and then it is taken again");
    }
}

/// A TLS that has no half-RTT data: the answer waits for the end of the handshake, and is not lost.
#[test]
fn the_answer_waits_where_it_cannot_be_half_rtt_data() {
    let mut room = Room::default();
    let mut tls = (*room.server_tls).clone();
    tls.send_half_rtt_data = false;
    room.server_tls = Arc::new(tls);
    let (pair, _) = room.log_in();
    room.close(pair);
    let (pair, exchanges) = room.log_in();
    assert_eq!(exchanges, 2);
    assert_eq!(room.sides[pair[0]].early(), room.sides[pair[1]].early());
    assert_one_login(&room.sides[pair[1]].early());
    assert_eq!(room.sides[pair[0]].online(), Some(false));
}

/// By STARTTLS it goes with the ClientHello: behind `<proceed/>`, or with quickstart in the very first write.
#[test]
fn behind_starttls_it_goes_with_the_client_hello() {
    for (ceiling, took) in [(Level::Safe, 2), (Level::Full, 1)] {
        let mut room = Room::default();
        room.transport = Transport::StartTls;
        let mut policy = Policy::default();
        policy.ceiling = ceiling;
        room.entity.set_policy(policy);
        let (pair, _) = room.log_in();
        room.close(pair);
        let (pair, exchanges) = room.log_in();
        assert_eq!(exchanges, took);
        assert_one_login(&room.sides[pair[1]].early());
    }
}

/// XEP-0388 §3: a password never goes early, nor anything before there is a token that may.
#[test]
fn nothing_but_a_token_that_may_goes_early() {
    let binds = |room: &mut Room| room.mechanisms = vec!["HT-SHA-256-EXPR", "HT-SHA-256-ENDP"];
    let unwilling = |room: &mut Room| room.sends = false;
    let unoffered = |room: &mut Room| room.takes = false;
    let careful = |room: &mut Room| {
        let mut policy = Policy::default();
        policy.force = Some(Level::Off);
        room.entity.set_policy(policy);
    };
    let cases: [&dyn Fn(&mut Room); 4] = [&binds, &unwilling, &unoffered, &careful];
    for (case, spoil) in cases.into_iter().enumerate() {
        let mut room = Room::default();
        spoil(&mut room);
        for _ in 0..3 {
            let (pair, _) = room.log_in();
            let client = &room.sides[pair[0]];
            assert!(client.online().is_some(), "{case}");
            assert_eq!(client.early(), "", "{case}");
            room.close(pair);
        }
    }
    // The wallet is lost, and the password is next.
    let mut room = Room::default();
    let (pair, _) = room.log_in();
    room.close(pair);
    room.entity.take_installation(&room.account);
    let (pair, _) = room.log_in();
    assert_eq!(room.sides[pair[0]].early(), "");
    assert!(room.sides[pair[0]].plain().contains("mechanism='PLAIN'"));
}

#[test]
fn tls_1_2_has_no_early_data() {
    let mut room = Room::with(Versions::Tls12);
    for exchanges in [4, 3, 3] {
        let (pair, took) = room.log_in();
        assert_eq!(room.sides[pair[0]].early(), "");
        assert!(room.sides[pair[0]].online().is_some());
        assert!(took <= exchanges);
        room.close(pair);
    }
}

/// A server whose features no longer say `tls-0rtt` gets none from then on.
#[test]
fn a_server_that_stops_offering_it_gets_none() {
    let mut room = Room::default();
    let (pair, _) = room.log_in();
    room.close(pair);
    room.takes = false;
    // Its TLS would still take it: that is not asked for, so the connection ends, and nothing is lost but time.
    let (pair, _) = room.log_in();
    let refused = room.sides[pair[1]].end();
    assert!(matches!(refused, Some(End::Failed(error)) if error.kind == ErrorKind::Early));
    room.cut(pair);
    let plan = room.sides[pair[0]].retry.take().unwrap();
    let pair = [room.client_as(plan), room.server()];
    room.talk(pair);
    assert_eq!(room.sides[pair[0]].early(), "");
    assert!(room.sides[pair[0]].online().is_some());
    room.close(pair);
    let (pair, _) = room.log_in();
    assert_eq!(room.sides[pair[0]].early(), "");
}

/// XEP-0484 §4.1: the token is dead, and the password is next, on the same stream, behind the handshake.
#[test]
fn a_dead_token_costs_an_exchange() {
    let mut room = Room::default();
    let (pair, _) = room.log_in();
    room.close(pair);
    *room.registry.logins_mut() = Default::default();
    let (pair, exchanges) = room.log_in();
    assert_eq!(exchanges, 2);
    let client = &room.sides[pair[0]];
    assert_one_login(&client.early());
    assert_eq!(client.plain().matches("mechanism='PLAIN'").count(), 1);
    assert_eq!(client.plain().matches("<stream:stream").count(), 0);
    room.close(pair);
    assert_eq!(room.log_in().1, 1, "with the new one");
}
