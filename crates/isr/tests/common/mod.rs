//! A server with keys and one session, a client with its ticket, and real bytes between them.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use minidom::Element;
use onetrip_isr::{
    Action, Dialect, Error, Initiator, KeyClaim, KeyGrant, KeySwap, Keys, LoginAction,
    LoginReceiver, Place, Receiver, Refused, Rotation, Ticket, Token, Verdict, grant_key,
    granted_key, sasl2,
};
use onetrip_stream::stored::StoredError;
use onetrip_stream::{
    Build as _, Content, Env, Frame, Instant, Jid, Limits, Prover, Reader, Secret, TokenProof,
    Writer, ns,
};

pub(crate) const MECHANISM: &str = "HT-SHA-256-ENDP";
pub(crate) const END: Instant = Instant::from_millis(1_000);
pub(crate) const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

pub(crate) fn juliet() -> Jid {
    "juliet@capulet.lit".parse().unwrap()
}

/// What a reader makes of an element that arrives in two pieces.
pub(crate) fn read(xml: &[u8], split: usize) -> Element {
    let mut reader = Reader::new(Limits::default());
    let mut header = HEADER.as_bytes();
    while !header.is_empty() {
        let _ = reader.next(&mut header).unwrap();
    }
    let (first, second) = xml.split_at(split.min(xml.len()));
    for mut piece in [first, second] {
        while let Some(frame) = reader.next(&mut piece).unwrap() {
            if let Frame::Element(element) = frame {
                return element;
            }
        }
    }
    panic!("no element")
}

pub(crate) fn over_the_wire(element: &Element, split: usize) -> Element {
    let bytes = Writer::new(Content::Client).element(element).unwrap();
    read(&bytes, split)
}

pub(crate) fn enabled() -> Element {
    Element::bare("enabled", ns::STREAM_MANAGEMENT)
        .with_attr("id", "s1")
        .with_attr("resume", "true")
}

/// Which of the two texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Text {
    Second,
    Third,
}

/// A server with one session, of which 21 stanzas were handled, and the client's ticket to it.
pub(crate) struct World {
    pub(crate) text: Text,
    pub(crate) keys: Keys,
    pub(crate) ticket: Ticket,
    /// The certificate that each end sees.
    pub(crate) certificates: (&'static str, &'static str),
    pub(crate) seed: u8,
    pub(crate) split: usize,
}

impl World {
    pub(crate) fn new(text: Text, rotation: Rotation) -> Self {
        let mut entropy = |out: &mut [u8]| out.fill(1);
        let key = Token::generate(&mut Env::new(Instant::EPOCH, &mut entropy));
        let (ticket, mechanism) = match text {
            Text::Second => (granted_key(&grant_key(enabled(), &key, None)), None),
            Text::Third => {
                let enable = sasl2::ask(Element::bare("enable", ns::STREAM_MANAGEMENT), MECHANISM);
                assert_eq!(sasl2::asked(&enable), Some(MECHANISM));
                let enabled = sasl2::grant(enabled(), &key, None);
                (sasl2::granted(&enabled, MECHANISM), Some(MECHANISM))
            }
        };
        let mut keys = Keys::new(rotation);
        keys.issue(&KeyGrant::new(key, mechanism), &juliet(), "s1", END);
        Self {
            text,
            keys,
            ticket: ticket.unwrap(),
            certificates: ("one", "one"),
            seed: 1,
            split: 9,
        }
    }

    pub(crate) fn client(&self) -> Initiator {
        Initiator::new(self.ticket.clone()).with_end_point(Secret::from(self.certificates.0))
    }

    /// One connection: what the client makes of the answer, or why the server had none.
    pub(crate) fn connect(
        &mut self,
        from: Option<&Jid>,
    ) -> Result<Result<Verdict, Error>, Refused> {
        self.seed = self.seed.wrapping_add(1);
        let seed = self.seed;
        let mut entropy = |out: &mut [u8]| out.fill(seed);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let mut client = self.client();
        let request = over_the_wire(&client.request(42).unwrap(), self.split);
        let answer = match self.text {
            Text::Second => self.nonza(env, &request, from)?,
            Text::Third => self.login(env, &request, from)?,
        };
        Ok(client.handle(&over_the_wire(&answer, self.split)))
    }

    pub(crate) fn nonza(
        &mut self,
        env: &mut Env<'_>,
        request: &Element,
        from: Option<&Jid>,
    ) -> Result<Element, Refused> {
        let certificate = Secret::from(self.certificates.1);
        let mut server = Receiver::new().with_end_point(certificate);
        server.handle(env, request, Place::Secured).unwrap();
        let Some(Action::Prove(swap)) = server.poll_action() else {
            panic!()
        };
        assert!(server.is_deciding() && swap.h == 42);
        let proof = self.keys.swap(&swap, from, env.now)?;
        server.accept_proved(21, &proof);
        match server.poll_action() {
            Some(Action::Send(answer)) => Ok(answer),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn login(
        &mut self,
        env: &mut Env<'_>,
        request: &Element,
        from: Option<&Jid>,
    ) -> Result<Element, Refused> {
        let mut server = LoginReceiver::new();
        assert!(LoginReceiver::is_request(request));
        server.login(env, request, MECHANISM, self.proof());
        let Some(LoginAction::Prove(swap)) = server.poll_action() else {
            panic!()
        };
        assert!(server.is_deciding() && swap.h == 42);
        let proof = self.keys.swap(&swap, from, env.now)?;
        server.accept(proof);
        let Some(LoginAction::Proved(proof)) = server.poll_action() else {
            panic!()
        };
        let bound = self.certificates.0.as_bytes();
        assert!(proof.is_of(self.ticket.token.secret(), bound));
        let resume = sasl2::inside(request).unwrap();
        let resumed = Element::bare("resumed", ns::STREAM_MANAGEMENT)
            .with_attr("previd", resume.attr("previd").unwrap())
            .with_attr("h", "21");
        Ok(server.answer(resumed))
    }

    /// What the mechanism carries.
    pub(crate) fn proof(&self) -> TokenProof {
        let (ours, theirs) = self.certificates;
        let key = self.ticket.token.secret();
        let mac = TokenProof::prove(key, Prover::Initiator, ours.as_bytes());
        TokenProof::new(Secret::new(mac.to_vec()), Secret::from(theirs))
    }

    pub(crate) fn resume(&mut self) {
        match self.connect(Some(&juliet())) {
            Ok(Ok(Verdict::Resumed { h: 21, ticket })) => {
                assert_ne!(ticket.token, self.ticket.token);
                assert_eq!(ticket.dialect, self.ticket.dialect);
                self.ticket = Ticket::from_bytes(&ticket.to_bytes()).unwrap();
                self.keys = Keys::from_bytes(&self.keys.to_bytes()).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) const BOTH: [Text; 2] = [Text::Second, Text::Third];

pub(crate) fn asked(text: Text) -> (World, Initiator) {
    let world = World::new(text, Rotation::default());
    let mut client = world.client();
    assert!(client.request(42).is_some());
    assert_eq!(client.request(42), None);
    (world, client)
}
