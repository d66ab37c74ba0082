//! What tests ask of a pair, as it should be.

use onetrip_core::e2e::Received;

use super::{Duo, JULIET, ROMEO, Side, address, message};

impl Duo {
    /// Both are online, with this much known of the other.
    ///
    /// # Panics
    /// If they are not.
    pub fn assert_online(&self, verification: &str) {
        for side in &self.sides {
            let online = format!("online {verification}");
            assert!(
                side.events.contains(&online),
                "{:?} {:?}",
                side.events,
                side.verbs()
            );
        }
    }

    /// So many stanzas each way, which arrive, in order, from the other end and to this one.
    ///
    /// # Panics
    /// If they do not.
    pub fn talk(&mut self, stanzas: usize) {
        let before = [ROMEO, JULIET].map(|end| self.sides[end].received.len());
        for number in 0..stanzas {
            for end in [ROMEO, JULIET] {
                let stanza = message(&format!("{end}-{number}"));
                let result = self.act(end, |machine, env| machine.send(env, &stanza));
                assert_eq!(
                    result,
                    Ok(()),
                    "{end} {number} {:?}",
                    self.sides[end].events
                );
            }
        }
        self.run();
        for end in [ROMEO, JULIET] {
            let side = &self.sides[end];
            let expected: Vec<String> = (0..stanzas).map(|n| format!("{}-{n}", end ^ 1)).collect();
            assert_eq!(side.bodies()[before[end]..], expected);
            let of_the_peer =
                |one: &Received| one.from == address(end ^ 1) && one.to == address(end);
            assert!(side.received.iter().all(of_the_peer));
        }
    }

    /// An end closes, and all is over in order.
    ///
    /// # Panics
    /// If it is not.
    pub fn close_in_order(&mut self, first: usize) {
        self.act(first, |machine, env| machine.close(env));
        self.run();
        self.assert_closed();
        let ends = |side: &Side| {
            side.verbs()
                .iter()
                .filter(|verb| verb.starts_with("session-terminate"))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(ends(&self.sides[first]), ["session-terminate success"]);
        assert_eq!(ends(&self.sides[first ^ 1]), [""; 0]);
    }

    /// Both streams were closed, and nothing is left open.
    ///
    /// # Panics
    /// If not so.
    pub fn assert_closed(&self) {
        for side in &self.sides {
            assert!(side.end().is_over(), "{:?}", side.events);
            let count = |text: &str| {
                side.events
                    .iter()
                    .filter(|event| event.starts_with(text))
                    .count()
            };
            assert_eq!(
                (count("stream Clean"), count("ended")),
                (1, 1),
                "{:?}",
                side.events
            );
            assert_eq!(side.end().poll_timeout(), None);
        }
        for cable in &self.cables {
            assert!(!cable.client_open || cable.client.is_none(), "{cable:?}");
        }
    }
}
