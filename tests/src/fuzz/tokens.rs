//! Instant stream resumption and FAST: stores, wallets, lost answers, replays, and elements that were changed.

use std::collections::BTreeSet;

use onetrip_core::fast::{self, DateTime, Feature, Policy, Terms, Wallet};
use onetrip_core::isr::{
    self, Action, Dialect, Initiator, KeyGrant, Keys, LoginAction, LoginReceiver, Place, Receiver,
    Rotation, Ticket, Token, Tokens, Verdict,
};
use onetrip_core::minidom::Element;
use onetrip_core::stream::{Build as _, Env, Instant, Jid, Prover, Secret, TokenProof, ns};
use onetrip_simulator::Seeded;

use super::Input;
use super::elements::{element, spoil};

/// The most steps of a run.
const STEPS: usize = 80;
const END: Instant = Instant::from_millis(1_000_000);
const MECHANISM: &str = "HT-SHA-256-ENDP";
const CERTIFICATE: &[u8] = b"certificate";

const ANSWERS: &[&str] = &[
    "<inst-resume xmlns='urn:xmpp:isr:0' tok='t0ken' h='0'/>",
    "<instant-resume xmlns='urn:xmpp:isr:0' tok='t0ken' h='0'/>",
    "<inst-resume xmlns='urn:xmpp:isr:0' previd='s1' h='0'><hmac>AAAA</hmac></inst-resume>",
    "<inst-resume xmlns='https://xmpp.org/extensions/isr/0'><resume xmlns='urn:xmpp:sm:3' previd='s1' h='0'/></inst-resume>",
    "<inst-resumed xmlns='urn:xmpp:isr:0' tok='fresh' h='0'/>",
    "<inst-resumed xmlns='urn:xmpp:isr:0' key='fresh' h='0'><hmac>AAAA</hmac></inst-resumed>",
    "<inst-resumed xmlns='https://xmpp.org/extensions/isr/0' key='fresh'><resumed xmlns='urn:xmpp:sm:3' previd='s1' h='0'/></inst-resumed>",
    "<inst-resume-failed xmlns='https://xmpp.org/extensions/isr/0'><failed xmlns='urn:xmpp:sm:3'/></inst-resume-failed>",
    "<failed xmlns='urn:xmpp:isr:0'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    "<failed xmlns='urn:xmpp:sm:3' h='1'/>",
];

fn juliet() -> Jid {
    "juliet@capulet.lit".parse().expect("an address")
}

/// A server of whichever text, and what it has accepted.
struct Store {
    tokens: Tokens,
    keys: Keys,
    rotation: Rotation,
    /// What was accepted: never twice where tokens are good once.
    used: BTreeSet<Vec<u8>>,
}

impl Store {
    fn use_up(&mut self, shown: &[u8]) {
        let first = self.used.insert(shown.to_vec());
        assert!(
            first || self.rotation == Rotation::GraceUntilConfirmed,
            "a token was good twice"
        );
    }
}

/// A session that is asked for again and again, by its owner and by others.
pub(super) fn isr(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let rotation = if bits & 1 == 0 {
        Rotation::SingleUse
    } else {
        Rotation::GraceUntilConfirmed
    };
    let mut entropy = Seeded::new(5);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let first = Token::generate(env);
    let (mut tokens, mut keys) = (Tokens::new(rotation), Keys::new(rotation));
    let session = "s1".to_owned();
    let dialect = match bits >> 1 & 3 {
        0 => Dialect::Hmac { session },
        1 => Dialect::Sasl2 {
            session,
            mechanism: MECHANISM.to_owned(),
        },
        _ => Dialect::Seed,
    };
    match &dialect {
        Dialect::Seed => tokens.issue(first.hash(), &juliet(), "s1", END),
        Dialect::Hmac { .. } => {
            keys.issue(&KeyGrant::new(first.clone(), None), &juliet(), "s1", END);
        }
        _ => {
            let grant = KeyGrant::new(first.clone(), Some(MECHANISM));
            keys.issue(&grant, &juliet(), "s1", END);
        }
    }
    let mut ticket = Ticket::of(dialect, first, None);
    let mut store = Store {
        tokens,
        keys,
        rotation,
        used: BTreeSet::new(),
    };
    let mut heard: Vec<(Element, TokenProof)> = Vec::new();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let mut client =
            Initiator::new(ticket.clone()).with_end_point(Secret::new(CERTIFICATE.to_vec()));
        let asked = client.request(1).expect("it was not asked before");
        assert_eq!(client.request(1), None, "once");
        let mac = TokenProof::prove(ticket.token.secret(), Prover::Initiator, CERTIFICATE);
        let proof = TokenProof::new(Secret::new(mac.to_vec()), Secret::new(CERTIFICATE.to_vec()));
        let step = input.byte();
        let (mut said, proof) = match step & 3 {
            0 if !heard.is_empty() => input.choose(&heard).clone(),
            1 => (element(&mut input, ANSWERS), proof),
            _ => (asked, proof),
        };
        heard.push((said.clone(), proof.clone()));
        if step & 4 != 0 {
            spoil(&mut input, &mut said, ANSWERS);
        }
        let mallory: Jid = "mallory@capulet.lit".parse().expect("an address");
        let from = if step & 8 != 0 { mallory } else { juliet() };
        let place = [
            Place::Secured,
            Place::Secured,
            Place::Clear,
            Place::Authenticated,
        ][usize::from(step >> 4 & 3)];
        let answer = serve(&mut store, env, &said, place, proof, &from);
        store.tokens = Tokens::from_bytes(&store.tokens.to_bytes()).expect("it was stored");
        store.keys = Keys::from_bytes(&store.keys.to_bytes()).expect("it was stored");
        let Some(mut answer) = answer.filter(|_| step & 64 == 0) else {
            continue;
        };
        if step & 128 != 0 {
            spoil(&mut input, &mut answer, ANSWERS);
        }
        match client.handle(&answer) {
            Ok(Verdict::Resumed { ticket: next, .. }) => {
                assert_eq!(next.dialect, ticket.dialect);
                ticket = Ticket::from_bytes(&next.to_bytes()).expect("it was stored");
                store.tokens.confirm("s1");
                store.keys.confirm("s1");
            }
            Ok(_) => {}
            Err(error) => assert_eq!(client.handle(&answer), Err(error), "it is repeated"),
        }
    }
}

/// What a server makes of a request.
fn serve(
    store: &mut Store,
    env: &mut Env<'_>,
    said: &Element,
    place: Place,
    proof: TokenProof,
    from: &Jid,
) -> Option<Element> {
    if LoginReceiver::is_request(said) {
        let mut server = LoginReceiver::new();
        server.login(env, said, MECHANISM, proof);
        let mut proved = false;
        while let Some(action) = server.poll_action() {
            match action {
                LoginAction::Prove(swap) => match store.keys.swap(&swap, Some(from), env.now) {
                    Ok(proof) => {
                        assert!(from.same_bare(&juliet()), "somebody else's session");
                        server.accept(proof);
                    }
                    Err(_) => server.refuse(),
                },
                LoginAction::Proved(_) => proved = true,
                _ => {}
            }
        }
        let resume = isr::sasl2::inside(said).filter(|_| proved)?;
        let resumed = Element::bare("resumed", ns::STREAM_MANAGEMENT)
            .with_attr("previd", resume.attr("previd").unwrap_or_default())
            .with_attr("h", "21");
        return Some(server.answer(resumed));
    }
    let mut server = Receiver::new().with_end_point(Secret::new(CERTIFICATE.to_vec()));
    let _ = server.handle(env, said, place);
    let mut answer = None;
    while let Some(action) = server.poll_action() {
        match action {
            Action::Request(swap) => {
                assert_eq!(place, Place::Secured);
                let swapped = store
                    .tokens
                    .swap(&swap.claim, swap.fresh, Some(from), env.now);
                match swapped {
                    Ok(session) => {
                        assert!(
                            session == "s1" && from.same_bare(&juliet()),
                            "somebody else's session"
                        );
                        let isr::Claim::Token(hash) = &swap.claim else {
                            panic!("{:?}", swap.claim);
                        };
                        store.use_up(hash.as_bytes());
                        server.accept(21);
                    }
                    Err(refused) => server.refuse(None, refused.condition()),
                }
            }
            Action::Prove(swap) => match store.keys.swap(&swap, Some(from), env.now) {
                Ok(proof) => {
                    assert!(from.same_bare(&juliet()), "somebody else's session");
                    server.accept_proved(21, &proof);
                }
                Err(_) => server.refuse(None, "item-not-found"),
            },
            Action::Event(isr::Event::Exposed(claim)) => store.tokens.revoke(&claim),
            Action::Event(isr::Event::ProofExposed(session)) => store.keys.revoke_session(&session),
            Action::Send(element) => answer = Some(element),
            _ => {}
        }
    }
    answer
}

const CLIENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";
const NONE: &str = "HT-SHA-256-NONE";
const INLINE: &[&str] = &[
    "<fast xmlns='urn:xmpp:fast:0' count='1'/>",
    "<fast xmlns='urn:xmpp:fast:0' count='4294967295' invalidate='true'/>",
    "<fast xmlns='urn:xmpp:fast:0'/>",
    "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>",
    "<token xmlns='urn:xmpp:fast:0' expiry='2020-10-01T00:00:00Z' token='t0ken'/>",
    "<token xmlns='urn:xmpp:fast:0' expiry='never' token=''/>",
];

/// A client's wallet, a server's store, and logins between them.
struct World {
    tokens: fast::Tokens,
    wallet: Wallet,
    now: DateTime,
    entropy: Seeded,
    /// Early data that was accepted.
    early: BTreeSet<(String, Option<String>)>,
}

/// Logins by token that are lost, replayed and changed on their way.
pub(super) fn fast(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World {
        tokens: fast::Tokens::new(Terms::new(100, 50)),
        wallet: Wallet::default(),
        now: DateTime::from_unix_seconds(1_600_000_000),
        entropy: Seeded::new(9),
        early: BTreeSet::new(),
    };
    let mut heard: Vec<(fast::Login, Vec<Element>)> = Vec::new();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let policy = Policy::new([NONE]).with_early_data();
        let mut client = fast::Initiator::new(world.wallet.clone(), policy);
        match step & 7 {
            0 => world.now = world.now.after(u64::from(input.byte())),
            1 => world.tokens.expire(world.now),
            2 => {
                let feature = Feature::new([NONE]).with_early_data();
                let asked: Vec<Element> = client.request(&feature).into_iter().collect();
                let answers = world.password(&asked);
                world.take(&mut input, client, answers, step);
            }
            3 if !heard.is_empty() => {
                let (login, inline) = input.choose(&heard).clone();
                let _ = world.serve(&login, &inline, step & 8 != 0, CLIENT);
            }
            _ => {
                if step & 16 != 0 {
                    client.invalidate();
                }
                let Some(login) = client.login(world.now) else {
                    continue;
                };
                world.wallet = client.wallet().clone();
                let mut inline = vec![login.element.clone()];
                if step & 32 != 0 {
                    spoil(&mut input, &mut inline[0], INLINE);
                    inline.push(element(&mut input, INLINE));
                }
                heard.push((login.clone(), inline.clone()));
                let who = if step & 64 != 0 { "another" } else { CLIENT };
                match world.serve(&login, &inline, step & 8 != 0, who) {
                    Some(answers) => world.take(&mut input, client, answers, step),
                    None if step & 128 == 0 => {
                        client.refused();
                        world.wallet = client.into_wallet();
                    }
                    None => {}
                }
            }
        }
        let stored = fast::Tokens::from_bytes(&world.tokens.to_bytes()).expect("it was stored");
        assert_eq!(stored.to_bytes(), world.tokens.to_bytes());
        let stored = Wallet::from_bytes(&world.wallet.to_bytes()).expect("it was stored");
        assert_eq!(stored.to_bytes(), world.wallet.to_bytes());
        assert!(world.tokens.len() <= 1, "one client");
    }
}

impl World {
    /// The client takes the answers in, or they are lost, or changed.
    fn take(
        &mut self,
        input: &mut Input<'_>,
        mut client: fast::Initiator,
        mut answers: Vec<Element>,
        step: u8,
    ) {
        if step & 128 != 0 {
            answers
                .iter_mut()
                .for_each(|answer| spoil(input, answer, INLINE));
        }
        // A malformed token leaves the one that was used as it is.
        let _ = client.handle(&answers);
        self.wallet = client.into_wallet();
    }

    fn password(&mut self, inline: &[Element]) -> Vec<Element> {
        let account = juliet();
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let mut server = fast::Receiver::new(Feature::new([NONE]));
        server.authenticated(env, &fast::Attempt::new(&account, Some(CLIENT), inline));
        self.finish(&mut server).expect("nothing is refused here")
    }

    fn finish(&mut self, server: &mut fast::Receiver) -> Option<Vec<Element>> {
        let mut answers = None;
        while let Some(action) = server.poll_action() {
            match action {
                fast::Action::Swap(swap) => server.swapped(self.tokens.swap(&swap, self.now)),
                fast::Action::Issue(issue) => server.issued(self.tokens.issue(&issue, self.now)),
                fast::Action::Answer(elements) => answers = Some(elements),
                _ => {}
            }
        }
        answers
    }

    /// What the server answers to a token; `None` when it refuses.
    fn serve(
        &mut self,
        login: &fast::Login,
        inline: &[Element],
        early: bool,
        client: &str,
    ) -> Option<Vec<Element>> {
        let account = juliet();
        let attempt = fast::Attempt::new(&account, Some(client), inline);
        let attempt = if early { attempt.early() } else { attempt };
        let mac = TokenProof::prove(login.token.secret(), Prover::Initiator, b"");
        let proof = TokenProof::new(Secret::new(mac.to_vec()), Secret::default());
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let mut server = fast::Receiver::new(Feature::new([NONE]).with_early_data());
        server.login(env, &attempt, &login.mechanism, proof);
        let mut proved = false;
        while let Some(action) = server.poll_action() {
            match action {
                fast::Action::Swap(swap) => server.swapped(self.tokens.swap(&swap, self.now)),
                fast::Action::Proved(proof) => {
                    assert!(client == CLIENT, "another client's token");
                    assert!(proof.is_of(login.token.secret(), b""));
                    proved = true;
                    break;
                }
                fast::Action::Refused(_) => return None,
                _ => {}
            }
        }
        if !proved {
            return None;
        }
        if early {
            let count = inline
                .iter()
                .find_map(|one| one.attr("count"))
                .map(str::to_owned);
            let count = count.map(|count| count.trim().to_owned());
            let fresh = self.early.insert((login.token.expose().to_owned(), count));
            assert!(fresh, "early data was accepted twice");
        }
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        server.authenticated(env, &attempt);
        self.finish(&mut server)
    }
}
