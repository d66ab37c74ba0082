//! What holds whatever happens.

use super::*;

fn some_transport() -> impl Strategy<Value = Option<TransportElement>> {
    let info = prop_oneof![
        Just(None),
        Just(Some(s5b::Info::Error)),
        Just(Some(s5b::Info::ProxyError)),
        Just(Some(s5b::Info::Activated("c1".into()))),
        Just(Some(s5b::Info::Used(s5b::Reference::Cid("c1".into())))),
    ];
    let s5b = (info, any::<bool>()).prop_map(|(info, offers)| {
        let mut transport = s5b::Transport::new(s5b::Form::Candidates, "");
        transport.info = info;
        if offers {
            transport.candidates = candidates(0);
        }
        Some(TransportElement::S5b(transport))
    });
    let ibb = prop_oneof![Just(1_u16), Just(4096), Just(65535)].prop_map(|block_size| {
        Some(TransportElement::Ibb {
            sid: "i".into(),
            block_size,
        })
    });
    prop_oneof![Just(None), s5b, ibb]
}

proptest! {
    #[test]
    fn every_request_is_answered_once_whatever_it_is_and_whenever(
        initiates in any::<bool>(),
        accepts in any::<bool>(),
        requests in prop::collection::vec(
            (0..Verb::ALL.len(), some_transport(), any::<[bool; 3]>()),
            1..20,
        ),
    ) {
        let mut pair = Pair::new([insecure(), config(1)].map(|mut config| {
            config.security.allow_insecure = true;
            config
        }));
        if accepts {
            pair.accept();
        }
        let session = &mut pair.ends[usize::from(!initiates)];
        for (count, (verb, transport, [named, described, secure])) in requests.into_iter().enumerate() {
            let sid = match &session.state {
                crate::session::session::State::Choosing(ours)
                | crate::session::session::State::Initiating(crate::session::session::Offered::S5b(ours)) => ours.sid(),
                _ => "s",
            };
            let mut transport = transport;
            if let Some(TransportElement::S5b(transport)) = &mut transport {
                transport.sid = sid.to_owned();
            }
            let id = count.to_string();
            let stanza = request(session, Verb::ALL[verb], |jingle| {
                let content = &mut jingle.contents[0];
                content.transport = transport;
                content.described = described.then_some(true);
                content.security = secure.then(crate::xtls::Security::settled);
                if !named {
                    content.name = "stub".into();
                }
            });
            let stanza = stanza.element().with_attr("id", id.as_str());
            let stanza = Stanza::from_element(&stanza).unwrap();
            actions(session);
            prop_assert!(session.handle(NOW, &stanza));
            let log = actions(session);
            let answers = log.iter().filter(|one| matches!(one, Action::Send(stanza) if super::id(stanza) == id));
            prop_assert_eq!(answers.count(), 1, "{:?}", log);
            prop_assert_eq!(session.is_ended() && session.poll_timeout().is_some(), false);
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_lost_doubled_or_out_of_order_both_ends_come_to_an_end(
        dialect in 0_usize..3,
        reachable in any::<bool>(),
        secure in any::<bool>(),
        in_band in any::<bool>(),
        luck in prop::collection::vec((any::<usize>(), 0_u8..12), 1..60),
    ) {
        let configs = [0, 1].map(|end| {
            let mut config = if secure { config(end) } else { insecure() };
            config.dialect = Dialect::ALL[dialect];
            config.s5b = !in_band;
            config
        });
        let mut pair = Pair::new(configs);
        pair.reachable = reachable;
        pair.accept();
        let mut luck = luck.into_iter();
        for _ in 0..500 {
            pair.act();
            let waiting: Vec<usize> = (0..2).filter(|end| !pair.wire[*end].is_empty()).collect();
            if waiting.is_empty() {
                // Time passes only when nothing moves.
                let Some(at) = pair.ends.iter().filter_map(Session::poll_timeout).min() else { break };
                pair.now = at;
                pair.ends.iter_mut().for_each(|end| end.handle_timeout(at));
                continue;
            }
            let (which, fate) = luck.next().unwrap_or((0, 11));
            let end = waiting[which.checked_rem(waiting.len()).unwrap()];
            let stanza = pair.wire[end].pop_front().unwrap();
            match fate {
                0 => {}
                1 => {
                    pair.deliver(end, &stanza);
                    pair.deliver(end, &stanza);
                }
                2 => pair.wire[end].push_back(stanza),
                _ => pair.deliver(end, &stanza),
            }
        }
        for end in 0..2 {
            let session = &pair.ends[end];
            prop_assert!(session.is_open() || session.is_ended(), "{:?}", pair.log[end]);
            prop_assert_eq!(session.poll_timeout(), None);
            let ends = pair.events(end).iter().filter(|one| matches!(one, Event::Ended(_))).count();
            prop_assert_eq!(ends, usize::from(session.is_ended()));
        }
    }
}
