//! What waits to be acknowledged, resumed or signalled, and what is remembered.

use std::time::Duration;

use onetrip_core::e2e;
use onetrip_core::jingle::{self, s5b};
use onetrip_core::stream::{Instant, Jid};
use onetrip_core::stream_management::{AckPolicy, Count, Ledger, QueueLimits, Session, Sessions};
use onetrip_tests::words::ACCOUNT;

use crate::{Bound, check, env, unless};

/// A queue in which so much may wait, and what of so many stanzas of so many bytes it lets go.
fn queued(stanzas: usize, bytes: usize) -> Option<String> {
    let mut limits = QueueLimits::default();
    limits.bytes = limits.bytes.max(bytes);
    let mut ledger = Ledger::new(limits, AckPolicy::default());
    let dropped = (0..stanzas).map(|_| {
        ledger
            .send(Instant::EPOCH, vec![b'x'; bytes].into())
            .1
            .len()
    });
    let dropped: usize = dropped.sum();
    assert_eq!(ledger.is_resumable(), dropped == 0);
    (dropped > 0).then(|| "handed back".to_owned())
}

fn suspended(limits: QueueLimits) -> (Sessions, Jid) {
    let owner: Jid = ACCOUNT.parse().unwrap();
    let mut sessions = Sessions::new(Duration::from_secs(300), limits);
    let session = Session::new("s1", &owner, Count::new(0), Count::new(0), Vec::new());
    sessions.suspend(session, Instant::EPOCH);
    (sessions, owner)
}

/// Bytes that come over a socket to this end before it is chosen, in pieces.
fn ahead(bytes: usize) -> Option<String> {
    env(|env| {
        let config = e2e::Config::new(jingle::session::Config::new(Some(b"juliet".to_vec())));
        let (us, peer) = (
            ACCOUNT.parse().unwrap(),
            "romeo@montague.lit/orchard".parse().unwrap(),
        );
        let mut end = e2e::EndToEnd::initiate(config, env, us, peer, None, Vec::new()).unwrap();
        end.taken(env);
        for piece in vec![b'x'; bytes].chunks(1000) {
            end.receive(env, s5b::Link::Taken, piece);
        }
        let mut actions = core::iter::from_fn(|| end.poll_action());
        actions.find_map(|action| match action {
            e2e::Action::Close(link) => Some(format!("{link:?} closed")),
            _ => None,
        })
    })
}

#[test]
fn what_waits_or_is_remembered() {
    check(&[
        Bound {
            what: "bytes ahead of the signalling between two clients",
            allowed: 64 * 1024,
            attempt: ahead,
            refusal: "Taken closed",
        },
        Bound {
            what: "stanzas that are not acknowledged",
            allowed: 512,
            attempt: |stanzas| queued(stanzas, 10),
            refusal: "handed back",
        },
        Bound {
            what: "bytes that are not acknowledged",
            allowed: 4096,
            // 256 stanzas of 4 KiB are the 1 MiB.
            attempt: |bytes| queued(256, bytes),
            refusal: "handed back",
        },
        Bound {
            what: "bytes of a stanza that is kept, whatever the queue takes",
            allowed: 1 << 20,
            attempt: |bytes| queued(1, bytes),
            refusal: "handed back",
        },
        Bound {
            what: "stanzas for a session that is suspended",
            allowed: 512,
            attempt: |stanzas| {
                let (mut sessions, owner) = suspended(QueueLimits::default());
                let full = (0..stanzas).any(|_| !sessions.push(&owner, "<message/>".into()));
                full.then(|| "no room".to_owned())
            },
            refusal: "no room",
        },
        Bound {
            what: "bytes for a session that is suspended",
            allowed: 1 << 20,
            attempt: |bytes| {
                let (mut sessions, owner) = suspended(QueueLimits::default());
                (!sessions.push(&owner, vec![b'x'; bytes].into())).then(|| "no room".to_owned())
            },
            refusal: "no room",
        },
        Bound {
            what: "sessions of one account that wait",
            allowed: 32,
            attempt: |count| {
                let (mut sessions, owner) = suspended(QueueLimits::default());
                for number in 1..count {
                    let id = format!("w{number}");
                    let session =
                        Session::new(&id, &owner, Count::new(0), Count::new(0), Vec::new());
                    sessions.suspend(session, Instant::from_millis(1));
                }
                let over = sessions.expire(Instant::from_millis(1));
                (!over.is_empty()).then(|| "handed back".to_owned())
            },
            refusal: "handed back",
        },
        Bound {
            what: "sessions that are over and remembered",
            allowed: 4096,
            attempt: |count| {
                let (mut sessions, owner) = suspended(QueueLimits::default());
                for number in 0..count {
                    sessions.end(&format!("e{number}"), &owner, Count::new(7));
                }
                assert!(sessions.h(&format!("e{}", count - 1), &owner).is_some());
                unless(sessions.h("e0", &owner), "forgotten")
            },
            refusal: "forgotten",
        },
    ]);
}
