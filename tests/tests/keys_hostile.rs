//! Keys in the wrong hands, at the wrong time or proved in the wrong way: each is refused as the digest says (ISR-R5, ISR-R6,
//! ISR-27, XEP-0397 §4.2), and nothing is lost. What is right with one is in `keys.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]

use minidom::Element;
use onetrip_core::isr::{Dialect, Initiator, Rotation, Ticket};
use onetrip_core::negotiation::sasl::{ChannelBinding, InitiatorConfig, Mechanism, choose};
use onetrip_core::negotiation::sasl2;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Content, Env, Instant, Prover, Secret, Token, TokenProof, Writer};
use onetrip_core::{ErrorKind, Event};
use onetrip_tests::house::{House, Text};
use onetrip_tests::words::{HEADER, RESPONSE, failed, message, messages};

/// A session that both ends had, with a message on its way to the server and two to the client, and its ticket.
fn cut_session(text: Text, rotation: Rotation) -> (House, Ticket) {
    let mut house = House::keyed(text, rotation);
    let pair = house.pair();
    let ticket = house.ticket(pair[0]).unwrap();
    house.send(pair[0], &message(1));
    house.send(pair[1], &message(2));
    house.cut_both(pair);
    (house, ticket)
}

/// What a client with this ticket says behind the header, as `user`, under the certificate that it sees.
fn request(ticket: &Ticket, user: &str, mechanism: Option<&str>, certificate: &str) -> String {
    let bound = Secret::from(certificate);
    let mut attempt = Initiator::new(ticket.clone()).with_end_point(bound.clone());
    let element = attempt.request(0).unwrap();
    let Dialect::Sasl2 {
        mechanism: pinned, ..
    } = &ticket.dialect
    else {
        return text(&element);
    };
    let name = mechanism.unwrap_or(pinned).to_owned();
    let known = Mechanism::from_name(&name).unwrap();
    let config = InitiatorConfig::token(user, known, ticket.token.secret().clone());
    let binding = ChannelBinding::tls_server_end_point(bound);
    let choice = choose(&config, &[name], &[], Some(&binding), 0).unwrap();
    let with = sasl2::Request::new().with(element);
    let mut login = sasl2::Initiator::new(&config, choice, Some(binding), with);
    let mut entropy = |out: &mut [u8]| out.fill(7);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    login.handle(env, sasl2::Input::Start).unwrap();
    let Some(sasl2::Action::Send { element, .. }) = login.poll_action() else {
        panic!()
    };
    text(&element)
}

fn text(element: &Element) -> String {
    let bytes = Writer::new(Content::Client).element(element).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn ask(house: &mut House, text: impl AsRef<str>) -> usize {
    let server = house.server();
    let text = format!("{HEADER}{}", text.as_ref());
    house.give(server, text).unwrap();
    server
}

fn refused(house: &House, server: usize, text: Text) -> bool {
    let side = &house.sides[server];
    assert!(side.online().is_none(), "{}", side.written);
    match text {
        Text::Second => side
            .written
            .ends_with(&failed("urn:xmpp:isr:0", "item-not-found")),
        Text::Third => side.written.ends_with("<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"),
    }
}

fn resumed(house: &House, server: usize) -> bool {
    matches!(house.sides[server].online(), Some((_, true)))
}

/// What the server's application sends elsewhere, since nobody came back for it.
fn left_over(house: &mut House) -> usize {
    assert_eq!(
        house.registry.next_expiry(),
        Some(Instant::EPOCH),
        "at once"
    );
    let over = house.registry.expire(house.now);
    over.iter().map(|session| session.unacked.len()).sum()
}

/// ISR-24, ISR-R6: the second use of a key is a wrong proof. It opens nothing, and the session, if it waits, ends there: what
/// it holds is sent elsewhere.
#[test]
fn isr_24_a_key_is_good_once() {
    for text in Text::BOTH {
        let (mut house, ticket) = cut_session(text, Rotation::SingleUse);
        let again = request(&ticket, "juliet", None, "one");
        let first = ask(&mut house, &again);
        assert!(resumed(&house, first), "{text:?}");
        assert_eq!(house.sides[first].count(&message(2)), 1, "sent again");
        house.cut(first);
        for _ in 0..2 {
            let thief = ask(&mut house, &again);
            assert!(
                refused(&house, thief, text),
                "{}",
                house.sides[thief].written
            );
        }
        assert_eq!(left_over(&mut house), 1, "{text:?}");
        assert_eq!(house.waiting(), 0);
    }
}

/// While the session is with a connection, a stranger with a used key throws nobody out.
#[test]
fn isr_r6_a_session_that_is_in_use_goes_on_and_has_no_key() {
    for text in Text::BOTH {
        let (mut house, ticket) = cut_session(text, Rotation::SingleUse);
        let pair = house.pair();
        assert!(resumed(&house, pair[1]));
        let thief = ask(&mut house, request(&ticket, "juliet", None, "one"));
        assert!(refused(&house, thief, text));
        house.send(pair[0], &message(3));
        house.talk(pair);
        assert_eq!(house.sides[pair[1]].stanzas(), messages([1, 3]));
        house.cut_both(pair);
        // Its key is dead: the next way back is a login, and the session goes on.
        let pair = house.pair();
        assert!(resumed(&house, pair[1]), "{text:?}");
        assert!(house.sides[pair[0]].written.contains("PLAIN"));
    }
}

/// XEP-0397 §3: the mechanism is pinned; a relayed proof is bound to another certificate.
#[test]
fn a_key_of_another_mechanism_or_channel_is_a_wrong_proof() {
    for (text, mechanism, certificate) in [
        (Text::Third, Some("HT-SHA-256-NONE"), "one"),
        (Text::Third, None, "two"),
        (Text::Second, None, "two"),
    ] {
        let (mut house, ticket) = cut_session(text, Rotation::GraceUntilConfirmed);
        let wrong = request(&ticket, "juliet", mechanism, certificate);
        let server = ask(&mut house, wrong);
        assert!(
            refused(&house, server, text),
            "{}",
            house.sides[server].written
        );
        // Nobody guesses twice: the right proof comes too late.
        let server = ask(&mut house, request(&ticket, "juliet", None, "one"));
        assert!(refused(&house, server, text));
        assert_eq!(left_over(&mut house), 1);
    }
}

/// ISR-27: whoever names another is refused, and the owner's key still works.
#[test]
fn isr_27_a_key_is_good_for_its_owner_alone() {
    for text in Text::BOTH {
        let (mut house, ticket) = cut_session(text, Rotation::SingleUse);
        let romeo = HEADER.replace("juliet@", "romeo@");
        let nobody = HEADER.replace("from='juliet@capulet.test' ", "");
        let theirs = request(&ticket, "romeo", None, "one");
        let ours = request(&ticket, "juliet", None, "one");
        let mut bad = vec![(romeo.as_str(), &theirs), (romeo.as_str(), &ours)];
        match text {
            Text::Second => bad.push((&nobody, &ours)),
            Text::Third => bad.push((HEADER, &theirs)),
        }
        for (header, request) in bad {
            let server = house.server();
            house.give(server, format!("{header}{request}")).unwrap();
            assert!(
                refused(&house, server, text),
                "{}",
                house.sides[server].written
            );
        }
        let server = ask(&mut house, ours);
        assert!(resumed(&house, server), "{text:?}");
    }
}

/// ISR-R6: one attempt for each connection; the login goes on behind it.
#[test]
fn isr_r6_there_is_one_attempt_for_each_connection() {
    let (mut house, ticket) = cut_session(Text::Third, Rotation::SingleUse);
    let mut guess = ticket.clone();
    guess.token = Token::read("guess").unwrap();
    guess.dialect = Dialect::Sasl2 {
        session: "s0".to_owned(),
        mechanism: "HT-SHA-256-ENDP".to_owned(),
    };
    let right = request(&ticket, "juliet", None, "one");
    let server = ask(&mut house, request(&guess, "juliet", None, "one"));
    assert!(refused(&house, server, Text::Third));
    house.give(server, &right).unwrap();
    assert!(
        refused(&house, server, Text::Third),
        "not even the right one"
    );
    let plain = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABzZWNyZXQ=</initial-response></authenticate>";
    house.give(server, plain).unwrap();
    let success = house.sides[server].count("<success ");
    assert_eq!(success, 1, "{}", house.sides[server].written);
    let server = ask(&mut house, right);
    assert!(
        resumed(&house, server),
        "the session that was not named is as it was"
    );
}

/// ISR-14, ISR-R5: a proof that was shown in clear can be shown again by whoever listened.
#[test]
fn isr_r5_a_proof_in_clear_is_revoked_and_the_session_stays() {
    let (mut house, ticket) = cut_session(Text::Second, Rotation::SingleUse);
    let proof = request(&ticket, "juliet", None, "one");
    let mut config = house.server_config();
    config.transport = Transport::StartTls;
    let clear = house.server_as(config);
    house.give(clear, format!("{HEADER}{proof}")).unwrap();
    let side = &house.sides[clear];
    let no = failed("urn:xmpp:isr:0", "policy-violation");
    assert!(side.written.ends_with(&no), "{}", side.written);
    let exposed = |event: &&Event| matches!(event, Event::ProofExposed { .. });
    assert_eq!(side.events.iter().filter(exposed).count(), 1);
    let server = ask(&mut house, proof);
    assert!(refused(&house, server, Text::Second));
    // The client meets a refusal, logs in, and goes on.
    let pair = house.pair();
    assert!(resumed(&house, pair[1]));
    assert_eq!(house.sides[pair[0]].stanzas(), messages([2]));
    assert_eq!(house.sides[pair[1]].stanzas(), messages([1]));
}

/// A client that was cut, and has asked by its key.
fn asking(text: Text) -> (House, usize, Ticket) {
    let (mut house, ticket) = cut_session(text, Rotation::SingleUse);
    let client = house.client();
    assert_eq!(house.sides[client].count("<inst-resume "), 1);
    (house, client, ticket)
}

fn session(ticket: &Ticket) -> &str {
    match &ticket.dialect {
        Dialect::Hmac { session } | Dialect::Sasl2 { session, .. } => session,
        _ => panic!(),
    }
}

const FEATURES: &str = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><bind xmlns='urn:xmpp:bind:0'/></inline></authentication><isr xmlns='urn:xmpp:isr:0'/></stream:features>";
const WHO: &str = "<authorization-identifier>juliet@capulet.test/x</authorization-identifier>";

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

/// An answer of the text with this proof, and what is inside besides.
fn answer(text: Text, ticket: &Ticket, mac: &[u8], inside: &str) -> String {
    let (id, mac) = (session(ticket), base64(mac));
    match text {
        Text::Second => format!(
            "<inst-resumed xmlns='urn:xmpp:isr:0' key='new' h='1'><hmac><hash xmlns='urn:xmpp:hashes:1' algo='sha-256'>{mac}</hash></hmac></inst-resumed>"
        ),
        Text::Third => format!(
            "<success xmlns='urn:xmpp:sasl:2'><additional-data>{mac}</additional-data>{WHO}<inst-resumed xmlns='https://xmpp.org/extensions/isr/0' token='new'><resumed xmlns='urn:xmpp:sm:3' h='1' previd='{id}'/></inst-resumed>{inside}</success>"
        ),
    }
}

/// The stream ends, nothing of the tail is believed, and the session waits for another try, behind a login.
#[test]
fn a_server_that_does_not_prove_the_key_is_not_believed() {
    for text in Text::BOTH {
        for wrong in ["nothing", "ours", "another"] {
            let (mut house, client, ticket) = asking(text);
            let key = ticket.token.secret();
            let mac = match wrong {
                "nothing" => Vec::new(),
                "ours" => TokenProof::prove(key, Prover::Initiator, b"one").to_vec(),
                _ => TokenProof::prove(key, Prover::Responder, b"two").to_vec(),
            };
            let answer = answer(text, &ticket, &mac, "");
            let text = format!("{RESPONSE}{FEATURES}{answer}{}", message(7));
            let error = house.give(client, text).unwrap_err();
            assert!(matches!(
                error.kind,
                ErrorKind::Sasl2(_) | ErrorKind::InstantResume(_)
            ));
            let side = &house.sides[client];
            assert!(side.online().is_none() && side.stanzas().is_empty());
            assert!(side.handed_back().is_empty(), "nothing is lost");
            let kept = house.resumption().unwrap();
            assert_eq!(kept.session.unacked.len(), 1);
            assert_eq!(kept.ticket, None, "nobody is shown a key twice");
        }
    }
}

/// The proof is right, and the answer contradicts itself or the request.
#[test]
fn an_answer_that_contradicts_itself_ends_the_stream() {
    let resumed = "<inst-resumed xmlns='https://xmpp.org/extensions/isr/0' token='n'><resumed xmlns='urn:xmpp:sm:3' h='1' previd='PREVID'/></inst-resumed>";
    for (replace, with) in [
        ("", "<bound xmlns='urn:xmpp:bind:0'/>"),
        ("", resumed),
        (" token='new'", ""),
        ("h='1'", "h='9'"),
        ("previd='", "previd='x"),
        ("<resumed ", "<other "),
        (WHO, ""),
    ] {
        let (mut house, client, ticket) = asking(Text::Third);
        let mac = TokenProof::prove(ticket.token.secret(), Prover::Responder, b"one");
        let good = answer(Text::Third, &ticket, &mac, "");
        let bad = match replace {
            "" => {
                let with = with.replace("PREVID", session(&ticket));
                answer(Text::Third, &ticket, &mac, &with)
            }
            _ => good.replace(replace, with).replace(
                "<other xmlns='urn:xmpp:sm:3' h='1' previd",
                "<other xmlns='urn:x' h='1' previd",
            ),
        };
        assert_ne!(good, bad);
        let text = format!("{RESPONSE}{FEATURES}{bad}{}", message(7));
        house.give(client, text).unwrap_err();
        let side = &house.sides[client];
        assert!(
            side.online().is_none() && side.stanzas().is_empty(),
            "{bad}"
        );
        let back = side.handed_back().len();
        let kept = house
            .resumption()
            .map_or(0, |kept| kept.session.unacked.len());
        assert_eq!(back + kept, 1, "{bad}");
    }
}

/// ISR-31: a server that no longer knows such a request is met with a login, and the session goes on in that.
#[test]
fn isr_31_a_server_that_lost_it_costs_one_connection() {
    for text in Text::BOTH {
        let (mut house, _) = cut_session(text, Rotation::SingleUse);
        let client = house.client();
        house.instant = false;
        let server = house.server();
        house.talk([client, server]);
        house.wait(std::time::Duration::from_secs(60));
        assert!(
            house.sides[client]
                .online()
                .is_none_or(|(_, resumed)| resumed)
        );
        if house.sides[client].online().is_none() {
            house.cut_both([client, server]);
            let pair = house.pair();
            assert!(resumed(&house, pair[1]), "{text:?}");
        }
        let last = house.sides.len() - 1;
        assert_eq!(house.sides[last].stanzas(), messages([1]), "{text:?}");
    }
}
