//! What an element or a value may hold.

use minidom::Element;
use onetrip_core::dialback::StreamId;
use onetrip_core::jingle::s5b;
use onetrip_core::negotiation::{bind, bind2, sasl};
use onetrip_core::quickstart::Features;
use onetrip_core::stream::stored::{Load, Store};
use onetrip_core::stream::{Condition, Jid, StreamError, Token, ns};
use onetrip_core::stream_management::Nonza;
use onetrip_tests::words::ACCOUNT;

use crate::{Bound, check, element, env, unless};

/// An address of which a part has so many bytes.
fn address(part: fn(String) -> String, bytes: usize) -> Option<String> {
    let address: Result<Jid, _> = part("a".repeat(bytes)).parse();
    address.err().map(|error| error.to_string())
}

#[test]
fn what_an_element_or_a_value_may_hold() {
    check(&[
        Bound {
            what: "a local part",
            allowed: 1023,
            attempt: |bytes| address(|part| format!("{part}@b"), bytes),
            refusal: "expected an XMPP address, such as juliet@capulet.lit or capulet.lit, got something else",
        },
        Bound {
            what: "a domain",
            allowed: 1023,
            attempt: |bytes| address(|part| format!("a@{part}"), bytes),
            refusal: "expected an XMPP address, such as juliet@capulet.lit or capulet.lit, got something else",
        },
        Bound {
            what: "a resource",
            allowed: 1023,
            attempt: |bytes| address(|part| format!("a@b/{part}"), bytes),
            refusal: "expected an XMPP address, such as juliet@capulet.lit or capulet.lit, got something else",
        },
        Bound {
            what: "a resource that is asked for",
            allowed: 1023,
            attempt: |bytes| {
                let resource = "r".repeat(bytes);
                let ask = format!(
                    "<iq xmlns='jabber:client' type='set' id='1'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
                    ns::BIND
                );
                match bind::Receiver::new().handle(&element(&ask)).unwrap() {
                    bind::Outcome::Reply(reply) => Some(condition(&reply)),
                    _ => None,
                }
            },
            refusal: "bad-request",
        },
        Bound {
            what: "a tag of Bind 2",
            allowed: 512,
            attempt: |bytes| {
                let tag = Element::builder("tag", ns::BIND2)
                    .append("t".repeat(bytes))
                    .build();
                let bind = Element::builder("bind", ns::BIND2).append(tag).build();
                let mut machine = bind2::Receiver::new(&[bind], None).unwrap();
                let bind2::Action::Bind(request) = machine.poll_action().unwrap() else {
                    panic!()
                };
                unless(request.tag, "left out")
            },
            refusal: "left out",
        },
        Bound {
            // A multiple of 4, as base64 is.
            what: "quarters of a message of SASL",
            allowed: 8192 / 4,
            attempt: |quarters| {
                let mut text = onetrip_tests::base64(b"\0juliets\0");
                let password = "eHh4".repeat(quarters - text.len() / 4);
                // Nothing of it is filled up with `=`.
                assert!(!text.contains('='));
                text.push_str(&password);
                let auth = format!("<auth xmlns='{}' mechanism='PLAIN'>{text}</auth>", ns::SASL);
                let config = sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]);
                let mut machine = sasl::Receiver::new(&config, None, false);
                let auth = element(&auth);
                env(|env| machine.handle(env, sasl::ReceiverInput::Element(&auth))).unwrap();
                match machine.poll_action().unwrap() {
                    sasl::ReceiverAction::Send(failure) => Some(condition(&failure)),
                    _ => None,
                }
            },
            refusal: "incorrect-encoding",
        },
        Bound {
            what: "the name of a session",
            allowed: 4000,
            attempt: |bytes| {
                let id = "s".repeat(bytes);
                let resume = format!(
                    "<resume xmlns='{}' previd='{id}' h='0'/>",
                    ns::STREAM_MANAGEMENT
                );
                let read = Nonza::read(&element(&resume)).unwrap();
                read.err().map(|error| error.to_string())
            },
            refusal: "expected a well-formed `previd`, got none or a malformed one",
        },
        Bound {
            what: "a token",
            allowed: 1024,
            attempt: |bytes| unless(Token::read(&"t".repeat(bytes)), "not taken"),
            refusal: "not taken",
        },
        Bound {
            what: "a stream id that dialback uses",
            allowed: 1024,
            attempt: |bytes| unless(StreamId::new(&"i".repeat(bytes)), "not taken"),
            refusal: "not taken",
        },
        Bound {
            what: "a text that is stored",
            allowed: 1 << 20,
            attempt: |bytes| {
                let mut store = Store::new(*b"TEST", 1);
                store.text(&"x".repeat(bytes));
                let stored = store.finish();
                let text = Load::new(*b"TEST", &stored).unwrap().text();
                unless(text.ok(), "damaged")
            },
            refusal: "damaged",
        },
        Bound {
            what: "the text of a stream error",
            allowed: 512,
            attempt: |bytes| {
                let text = "x".repeat(bytes);
                let error = StreamError::new(Condition::Reset).with_text(&text);
                let read = StreamError::from_element(&error.to_element()).unwrap();
                (read != error).then(|| "cut".to_owned())
            },
            refusal: "cut",
        },
        Bound {
            what: "mechanisms that are remembered",
            allowed: 64,
            attempt: |count| {
                let list =
                    (0..count).fold(Element::bare("mechanisms", ns::SASL), |list, number| {
                        let mut list = list;
                        let mechanism = Element::builder("mechanism", ns::SASL);
                        list.append_child(mechanism.append(format!("M{number}")).build());
                        list
                    });
                let features = Element::builder("features", ns::STREAMS)
                    .append(list)
                    .build();
                let kept = Features::read(&features).mechanisms().len();
                (kept < count).then(|| "left out".to_owned())
            },
            refusal: "left out",
        },
        Bound {
            what: "candidates of a peer",
            allowed: 32,
            attempt: |count| {
                let mut transport = s5b::Transport::new(s5b::Form::Candidates, "s");
                for number in 0..count {
                    let kind = s5b::CandidateKind::Direct;
                    let owner: Jid = ACCOUNT.parse().unwrap();
                    let candidate =
                        s5b::Candidate::new(format!("c{number}"), kind, owner, "192.0.2.1", 1, 0);
                    transport.candidates.push(candidate);
                }
                let sender: Jid = ACCOUNT.parse().unwrap();
                let read = s5b::Transport::read(&transport.to_element(true), &sender).unwrap();
                (read.candidates.len() < count).then(|| "left out".to_owned())
            },
            refusal: "left out",
        },
    ]);
}

/// The condition of a failure, or of an error in a stanza.
fn condition(element: &Element) -> String {
    let error = element.children().find(|child| child.name() == "error");
    let condition = error.unwrap_or(element).children().next().unwrap();
    condition.name().to_owned()
}
