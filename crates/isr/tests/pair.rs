//! Both ends back to back, over real bytes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use minidom::Element;
use onetrip_isr::{
    Action, Event, Initiator, Location, Place, Receiver, Rotation, Ticket, Token, Tokens, Verdict,
    feature, grant, granted,
};
use onetrip_stream::{Build as _, Content, Env, Frame, Instant, Jid, Limits, Reader, Writer, ns};

const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// What a reader makes of an element that stands in a stream.
fn read(xml: &str) -> Element {
    let text = format!("{HEADER}{xml}");
    let mut wire = text.as_bytes();
    let mut reader = Reader::new(Limits::default());
    while let Some(frame) = reader.next(&mut wire).unwrap() {
        if let Frame::Element(element) = frame {
            return element;
        }
    }
    panic!("no element in {xml}")
}

/// An element as the other end sees it.
fn over_the_wire(element: &Element) -> Element {
    let bytes = Writer::new(Content::Client).element(element).unwrap();
    read(core::str::from_utf8(&bytes).unwrap())
}

/// A server with one session, of which 21 stanzas were handled, and the client's ticket to it.
struct World {
    tokens: Tokens,
    ticket: Ticket,
    seed: u8,
}

fn juliet() -> Jid {
    "juliet@capulet.lit".parse().unwrap()
}

impl World {
    fn new(rotation: Rotation) -> Self {
        let mut entropy = |out: &mut [u8]| out.fill(1);
        let token = Token::generate(&mut Env::new(Instant::EPOCH, &mut entropy));
        let mut tokens = Tokens::new(rotation);
        tokens.issue(token.hash(), &juliet(), "s1", Instant::from_millis(1_000));
        let enabled = Element::bare("enabled", ns::STREAM_MANAGEMENT)
            .with_attr("id", "s1")
            .with_attr("resume", "true");
        let location = Location::parse("isr.capulet.lit:443", 1);
        let enabled = over_the_wire(&grant(enabled, &token, location.as_ref()));
        let ticket = granted(&enabled).unwrap();
        assert_eq!(ticket.location, location);
        Self {
            tokens,
            ticket,
            seed: 1,
        }
    }

    /// One connection: what the client makes of the server's answer.
    fn connect(&mut self, place: Place, from: Option<&Jid>) -> Verdict {
        self.seed += 1;
        let seed = self.seed;
        let mut entropy = |out: &mut [u8]| out.fill(seed);
        let mut env = Env::new(Instant::EPOCH, &mut entropy);
        let (mut client, mut server) = (Initiator::new(self.ticket.clone()), Receiver::new());
        let request = over_the_wire(&client.request(42).unwrap());
        server.handle(&mut env, &request, place).unwrap();
        while let Some(action) = server.poll_action() {
            match action {
                Action::Request(swap) => {
                    assert_eq!(swap.h, 42);
                    match self.tokens.swap(&swap.claim, swap.fresh, from, env.now) {
                        Ok(session) => {
                            assert_eq!(session, "s1");
                            server.accept(21);
                        }
                        Err(refused) => server.refuse(None, refused.condition()),
                    }
                }
                Action::Event(Event::Exposed(claim)) => self.tokens.revoke(&claim),
                Action::Send(element) => return client.handle(&over_the_wire(&element)).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        panic!("no answer")
    }

    /// The same, and the client keeps what it got.
    fn resume(&mut self) {
        match self.connect(Place::Secured, Some(&juliet())) {
            Verdict::Resumed { h: 21, ticket } => {
                assert_ne!(ticket.token, self.ticket.token);
                assert_eq!(ticket.location, self.ticket.location);
                self.ticket = ticket;
            }
            other => panic!("{other:?}"),
        }
    }

    fn is_refused(&mut self, place: Place, from: Option<&Jid>, expected: &str) {
        match self.connect(place, from) {
            Verdict::Failed { h: None, condition } => {
                assert_eq!(condition.as_deref(), Some(expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn isr_15_a_session_is_resumed_again_and_again_with_a_new_token_each_time() {
    let mut world = World::new(Rotation::default());
    for _ in 0..5 {
        world.resume();
        world.ticket = Ticket::from_bytes(&world.ticket.to_bytes()).unwrap();
    }
}

#[test]
fn isr_24_a_client_that_missed_the_answer_has_to_authenticate() {
    let mut world = World::new(Rotation::SingleUse);
    let _lost = world.connect(Place::Secured, Some(&juliet()));
    world.is_refused(Place::Secured, Some(&juliet()), "item-not-found");
}

#[test]
fn isr_r3_with_grace_a_client_that_missed_the_answer_asks_again() {
    let mut world = World::new(Rotation::GraceUntilConfirmed);
    let _lost = world.connect(Place::Secured, Some(&juliet()));
    world.resume();
}

#[test]
fn isr_27_a_header_without_the_account_kills_the_token() {
    let mut world = World::new(Rotation::default());
    world.is_refused(Place::Secured, None, "item-not-found");
    world.is_refused(Place::Secured, Some(&juliet()), "item-not-found");
}

#[test]
fn isr_r5_a_token_that_went_in_clear_is_dead_under_tls() {
    let mut world = World::new(Rotation::default());
    world.is_refused(Place::Clear, Some(&juliet()), "policy-violation");
    world.is_refused(Place::Secured, Some(&juliet()), "item-not-found");
}

#[test]
fn isr_04_attributes_are_known_by_their_namespace_whatever_the_prefix() {
    // The samples of the text, §3.
    let plain = "<enabled xmlns='urn:xmpp:sm:3' xmlns:isr='urn:xmpp:isr:0' \
        isr:tok='a0b9162d-0981-4c7d-9174-1f55aedd1f52'/>";
    let ticket = granted(&read(plain)).unwrap();
    assert_eq!(
        ticket.token.expose(),
        "a0b9162d-0981-4c7d-9174-1f55aedd1f52"
    );
    assert_eq!(ticket.location, None);
    let located = plain.replace("/>", " isr:location='isr.example.org:5222'/>");
    let ticket = granted(&read(&located)).unwrap();
    assert_eq!(ticket.location, Location::parse("isr.example.org:5222", 1));
    let renamed = located
        .replace("xmlns:isr", "xmlns:q")
        .replace(" isr:", " q:");
    assert_eq!(granted(&read(&renamed)), Some(ticket));
    // A prefix by itself says nothing.
    assert_eq!(
        granted(&read(&plain.replace("urn:xmpp:isr:0", "urn:x"))),
        None
    );
    assert_eq!(granted(&read(&plain.replace(" isr:tok", " tok"))), None);
}

#[test]
fn isr_13_the_feature_is_written_as_the_text_has_it() {
    let bytes = Writer::new(Content::Client).element(&feature()).unwrap();
    assert_eq!(&bytes[..], b"<isr xmlns='urn:xmpp:isr:0'/>");
}

/// The samples of the text, §4.2.
#[test]
fn isr_10_and_20_the_samples_of_the_text_are_understood() {
    let token = "a0b9162d-0981-4c7d-9174-1f55aedd1f52";
    let asked = || {
        let mut client = Initiator::new(Ticket::new(Token::read(token).unwrap(), None));
        let sample = format!("<inst-resume xmlns='urn:xmpp:isr:0' tok='{token}' h='42'/>");
        assert_eq!(client.request(42), Some(read(&sample)));
        client
    };
    let resumed = "<inst-resumed xmlns='urn:xmpp:isr:0' \
        tok='006b1a29-c549-41c7-a12c-2a931822f8c0' h='21'/>";
    let Ok(Verdict::Resumed { h: 21, ticket }) = asked().handle(&read(resumed)) else {
        panic!()
    };
    assert_eq!(
        ticket.token.expose(),
        "006b1a29-c549-41c7-a12c-2a931822f8c0"
    );
    for (attribute, h) in [("", None), (" h='22'", Some(22))] {
        let failed = format!("<failed xmlns='urn:xmpp:isr:0'{attribute}/>");
        let condition = None;
        let expected = Ok(Verdict::Failed { h, condition });
        assert_eq!(asked().handle(&read(&failed)), expected);
    }
}
