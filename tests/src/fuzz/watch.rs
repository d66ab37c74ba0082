//! What must hold of every connection at every moment, and that it comes to an end.

use std::time::Duration;

use onetrip_core::stream::{Env, Instant};
use onetrip_core::{Connection, Event};
use onetrip_simulator::Seeded;

/// The most that a connection holds of what came: an element of the authenticated, the safe form of a stanza in the making
/// not counted, and what waits behind a decision.
const HELD: usize = 256 * 1024 + 16 * 1024;
/// How long a negotiation may take in all, the close included: 30 s and 5 s, and what an attempt to resume adds, or 60 s
/// for dialback.
const PATIENCE: Duration = Duration::from_secs(100);

/// A connection and what it has done.
pub(super) struct Seen<'a> {
    pub(super) connection: &'a Connection,
    pub(super) events: &'a [Event],
    pub(super) closed: bool,
    pub(super) written: &'a str,
    /// Whether TLS is there from the first byte.
    pub(super) direct: bool,
}

impl Seen<'_> {
    pub(super) fn check(&self) {
        let is_end = |event: &&Event| matches!(event, Event::Closed(_));
        let ends = self.events.iter().filter(is_end).count();
        assert_eq!(ends, usize::from(self.closed), "closed, and told so once");
        assert!(!self.closed || self.events.last().is_some_and(|last| is_end(&last)));
        let waits = self.connection.poll_timeout().is_some();
        assert!(
            self.closed || self.connection.is_online() || waits,
            "no deadline: {:?}",
            self.events
        );
        assert!(
            self.connection.buffered() <= HELD,
            "{} bytes held",
            self.connection.buffered()
        );
        self.check_order();
        self.check_writing();
    }

    /// No stanza before authentication, and none between servers that does not say from whom and to whom it is.
    fn check_order(&self) {
        let place = |wanted: fn(&Event) -> bool| self.events.iter().position(wanted);
        let let_in = place(|event| {
            matches!(
                event,
                Event::Authenticated { .. }
                    | Event::Online { .. }
                    | Event::Established { .. }
                    | Event::Pair(_)
            )
        });
        let between = self.connection.pairs().is_some();
        for event in self.events {
            if let Event::Stanza(stanza) = event {
                let head = stanza.head();
                assert!(!between || (head.from.is_some() && head.to.is_some()));
            }
        }
        if let Some(stanza) = place(|event| matches!(event, Event::Stanza(_))) {
            assert!(
                let_in.is_some_and(|let_in| let_in < stanza),
                "{:?}",
                self.events
            );
        }
    }

    /// One stream error at most, and nothing secret before TLS.
    fn check_writing(&self) {
        assert!(
            self.written.matches("<stream:error>").count() <= 1,
            "{}",
            self.written
        );
        let secured = self
            .events
            .iter()
            .any(|event| matches!(event, Event::Secured));
        if !secured && !self.direct {
            for secret in ["<auth ", "<authenticate ", "<inst-resume ", "<message "] {
                assert!(!self.written.contains(secret), "{}", self.written);
            }
            // An answer is no key.
            let mut results = self.written.split("<db:result ").skip(1);
            assert!(results.all(|result| {
                result
                    .split('>')
                    .next()
                    .is_some_and(|tag| tag.contains(" type="))
            }));
        }
    }
}

/// Gives in bytes at the next deadline, whatever it is for; `false` without one.
pub(super) fn wake(connection: &mut Connection, now: &mut Instant, entropy: &mut Seeded) -> bool {
    let Some(deadline) = connection.poll_timeout() else {
        return false;
    };
    *now = (*now).max(deadline.at);
    connection.handle_timeout(&mut Env::new(*now, entropy));
    let left = connection.poll_timeout();
    assert!(
        left.is_none_or(|left| left.at > *now),
        "{left:?} is not behind {now:?}, was {deadline:?}"
    );
    true
}

/// Whether so much has passed that whatever is not online must be over.
pub(super) fn is_overdue(since: Instant, now: Instant) -> bool {
    now.since(since) > PATIENCE
}
