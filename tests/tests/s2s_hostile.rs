//! Whatever another server says in whatever order: no stanza comes in or goes out for a pair that is not open, and any split
//! of the same bytes leads to the same.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use onetrip_core::bidi::Change;
use onetrip_core::dialback::{Checked, Verdict};
use onetrip_core::stream::{Domain, Jid, Pair, Text};
use onetrip_core::{Answer, Event, Request, ReverseFacts};
use onetrip_tests::servers::{Servers, dialback, inbound, outbound};
use proptest::prelude::*;

const WORDS: &[&str] = &[
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
     xmlns:db='jabber:server:dialback' from='capulet.lit' to='montague.lit' version='1.0'>",
    "<bidi xmlns='urn:xmpp:bidi'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>dmVyb25hLmxpdA==</auth>",
    "<db:result from='capulet.lit' to='montague.lit'>k</db:result>",
    "<db:result from='verona.lit' to='chat.montague.lit'>k</db:result>",
    "<db:result from='chat.montague.lit' to='montague.lit'>k</db:result>",
    "<db:result from='chat.montague.lit' to='capulet.lit'>k</db:result>",
    "<db:result from='capulet.lit' to='montague.lit' type='valid'/>",
    "<db:result from='montague.lit' to='capulet.lit' type='invalid'/>",
    "<db:verify from='capulet.lit' to='montague.lit' id='x'>k</db:verify>",
    "<db:verify from='capulet.lit' to='montague.lit' id='x' type='valid'/>",
    "<message from='a@capulet.lit' to='b@montague.lit'/>",
    "<message from='a@montague.lit' to='b@capulet.lit'/>",
    "<message from='a@verona.lit' to='b@chat.montague.lit'/>",
    "<message from='a@chat.montague.lit' to='b@capulet.lit'/>",
    "<message from='a@verona.lit' to='b@montague.lit'/>",
    "<stream:features/>",
    "</stream:stream>",
];

/// Answers everything that is asked, as kindly as can be.
fn answer(servers: &mut Servers, place: usize) {
    while let Some(request) = servers.sides[place].asked.pop_front() {
        let checked = Checked::Answered(Verdict::Valid);
        let facts = ReverseFacts {
            resolves_here: true,
            fresh_id: true,
        };
        servers.with(place, |connection, env| {
            let _ = match request {
                Request::Verify(asked) => connection.verified(env, asked.ticket, checked),
                Request::Reverse { pair, .. } => connection.judged(env, &pair, facts),
                Request::Vouch { .. } => {
                    let awaited = onetrip_core::dialback::Awaited::Nowhere;
                    connection.answer(env, Answer::Awaited(awaited))
                }
                other => panic!("{other:?}"),
            };
        });
    }
}

fn pair_of(stanza: &onetrip_core::stream::Stanza) -> Pair {
    let domain = |text: &Option<Text>| -> Domain {
        let jid: Jid = text.as_deref().unwrap().parse().unwrap();
        jid.domain().clone()
    };
    Pair::new(domain(&stanza.head().from), domain(&stanza.head().to))
}

/// Every stanza that came in is of a pair that was open then, and what is open is closed once at the end.
fn assert_only_open_pairs(events: &[Event]) {
    let mut open = BTreeSet::new();
    let mut out = BTreeSet::new();
    for event in events {
        match event {
            Event::Pair(Change::ReceiveOpened(pair)) => assert!(open.insert(pair.clone())),
            Event::Pair(Change::ReceiveClosed(pair)) => assert!(open.remove(pair)),
            Event::Pair(Change::SendOpened(pair)) => assert!(out.insert(pair.clone())),
            Event::Pair(Change::SendClosed(pair)) => assert!(out.remove(pair)),
            Event::Stanza(stanza) => assert!(open.contains(&pair_of(stanza)), "{stanza:?}"),
            Event::Closed(_) => assert!(open.is_empty() && out.is_empty()),
            _ => {}
        }
    }
}

/// How the end begins that is spoken to.
#[derive(Debug, Clone, Copy)]
enum Start {
    Fresh,
    Established,
    Opened,
}

fn run(start: Start, proved: bool, words: &[usize], piece: usize) -> (String, Vec<String>) {
    let mut servers = Servers::default();
    let (mut out, mut into) = (outbound(), inbound());
    out.dialback = Some(dialback());
    into.dialback = Some(dialback());
    let names: &[&str] = if proved { &["capulet.lit"] } else { &[] };
    let place = match start {
        Start::Fresh => servers.accept(into, names),
        Start::Established => servers.connect(out, into, true)[1],
        Start::Opened => servers.connect(out, into, true)[0],
    };
    for word in words {
        for bytes in WORDS[*word].as_bytes().chunks(piece) {
            // An error shows in what is written and reported.
            let _ = servers.give(place, bytes);
        }
        answer(&mut servers, place);
        for (from, to) in [
            ("montague.lit", "verona.lit"),
            ("capulet.lit", "verona.lit"),
        ] {
            assert!(servers.send(place, from, to).is_err());
        }
    }
    let side = &servers.sides[place];
    assert_only_open_pairs(&side.events);
    let events = side.events.iter().map(|event| format!("{event:?}"));
    (side.written(), events.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn only_open_pairs_and_at_any_split(
        start in prop::sample::select(vec![Start::Fresh, Start::Established, Start::Opened]),
        proved in any::<bool>(),
        header in any::<bool>(),
        words in prop::collection::vec(0..WORDS.len(), 0..14),
        piece in 1_usize..40,
    ) {
        let words: Vec<usize> = header.then_some(0).into_iter().chain(words).collect();
        prop_assert_eq!(run(start, proved, &words, usize::MAX), run(start, proved, &words, piece));
    }
}
