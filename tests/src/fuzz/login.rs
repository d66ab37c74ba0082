//! SASL and SASL2: both ends, and somebody between them who changes what he likes.

use std::collections::VecDeque;
use std::sync::LazyLock;

use onetrip_core::minidom::Element;
use onetrip_core::negotiation::sasl::{
    self, Answer, ChannelBinding, Derivation, Hash, InitiatorConfig, Mechanism, ReceiverConfig,
    Refusal, SaltedPassword, StoredKeys,
};
use onetrip_core::negotiation::sasl2;
use onetrip_core::stream::{Env, Instant, Secret, ns};
use onetrip_simulator::Seeded;

use super::Input;
use super::elements::{element, spoil};

const PASSWORD: &str = "r0m30myr0m30";
const SALT: &[u8] = b"salt";
const ITERATIONS: u32 = 4096;
/// The most elements that pass.
const STEPS: usize = 60;

/// What the server has stored, and what a client derives.
static KEYS: LazyLock<[(Hash, StoredKeys, SaltedPassword); 2]> = LazyLock::new(|| {
    [Hash::Sha1, Hash::Sha256].map(|hash| {
        let stored = StoredKeys::from_password(hash, PASSWORD, SALT.to_vec(), ITERATIONS);
        let mut config = InitiatorConfig::password("juliet", Secret::from(PASSWORD));
        config.allowed = vec![mechanism_of(hash)];
        (hash, stored.expect("a password"), derived(&config))
    })
});

fn mechanism_of(hash: Hash) -> Mechanism {
    match hash {
        Hash::Sha1 => Mechanism::ScramSha1,
        _ => Mechanism::ScramSha256,
    }
}

/// What the right password yields, by asking a client that is told the server's salt.
fn derived(config: &InitiatorConfig) -> SaltedPassword {
    let names: Vec<String> = config
        .allowed
        .iter()
        .map(|one| one.name().to_owned())
        .collect();
    let choice = sasl::choose(config, &names, &[], None, 0).expect("it is offered");
    let mut client = sasl::Initiator::new(config, choice, None);
    let mut entropy = |out: &mut [u8]| out.fill(b'a');
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    client.handle(env, sasl::Input::Start).expect("it begins");
    let Some(sasl::Action::Send { element, .. }) = client.poll_action() else {
        panic!("it says nothing");
    };
    let first = String::from_utf8(decoded(&element.text())).expect("text");
    let nonce = first.rsplit("r=").next().expect("a nonce");
    let challenge = format!("r={nonce}x,s={},i={ITERATIONS}", crate::base64(SALT));
    let mut answer = Element::bare("challenge", ns::SASL);
    answer.append_text_node(crate::base64(challenge.as_bytes()));
    client
        .handle(env, sasl::Input::Element(&answer))
        .expect("a challenge");
    match client.poll_action() {
        Some(sasl::Action::Derive(derivation)) => derivation.perform(),
        other => panic!("{other:?}"),
    }
}

/// The bytes of base64 that is right.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values: Vec<u32> = text
        .bytes()
        .filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte))
        .map(|value| u32::try_from(value).expect("below 64"))
        .collect();
    let mut bytes = Vec::new();
    for four in values.chunks(4) {
        let number =
            four.iter().fold(0, |number, value| number << 6 | value) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&number.to_be_bytes()[1..four.len()]);
    }
    bytes
}

/// The key for what was really asked; anything for the rest, which is wrong anyway and would take long.
fn derive(derivation: &Derivation) -> SaltedPassword {
    let asked = derivation.salt == SALT && derivation.iterations == ITERATIONS;
    let right = asked && derivation.password.expose() == PASSWORD.as_bytes();
    let found = KEYS
        .iter()
        .find(|(hash, ..)| right && *hash == derivation.hash);
    found.map_or_else(
        || SaltedPassword::new(Secret::from("wrong")),
        |(.., key)| key.clone(),
    )
}

fn decide(request: sasl::Request) -> Answer {
    match request {
        sasl::Request::Password {
            username, password, ..
        } if password.expose() == PASSWORD.as_bytes() => Answer::Accept { identity: username },
        sasl::Request::Keys { username, hash, .. } if username == "juliet" => {
            let found = KEYS.iter().find(|(known, ..)| *known == hash);
            found.map_or(Answer::Unknown, |(_, keys, _)| Answer::Keys(keys.clone()))
        }
        sasl::Request::Keys { .. } => Answer::Unknown,
        sasl::Request::Certificate { .. } => Answer::Accept {
            identity: "juliet".to_owned(),
        },
        _ => Answer::Refuse(Refusal::NotAuthorized),
    }
}

/// Who takes part.
struct Party {
    config: InitiatorConfig,
    binding: Option<ChannelBinding>,
    server: ReceiverConfig,
    right: bool,
}

fn party(input: &mut Input<'_>) -> Party {
    let bits = input.byte();
    let right = bits & 1 == 0;
    let password = if right { PASSWORD } else { "wrong" };
    let mut config = InitiatorConfig::password("juliet", Secret::from(password));
    config.allowed = match bits >> 1 & 7 {
        7 => Mechanism::ALL.to_vec(),
        nth => vec![Mechanism::ALL[usize::from(nth)]],
    };
    let exporter = || ChannelBinding::tls_exporter(Secret::from("exporter"));
    let mut server = ReceiverConfig::new(Mechanism::ALL.to_vec());
    server.attempts = bits >> 5;
    server.protects_lists = bits & 16 != 0;
    Party {
        config,
        binding: input.flag().then(exporter),
        server,
        right,
    }
}

impl Party {
    /// Nobody is in by a wrong password, and no client believes in a server that does not know its key. A password that is
    /// sent as it is can be sent by anybody who knows it: the right one stands among the lines.
    fn check(&self, at_client: Option<Mechanism>, at_server: Option<Mechanism>) {
        if let Some(mechanism) = at_server.filter(|one| one.is_scram()) {
            assert!(self.right, "{mechanism:?} by the wrong password");
        }
        if let Some(mechanism) = at_client.filter(|one| one.is_scram()) {
            assert!(
                self.right && at_server == Some(mechanism),
                "{mechanism:?} without proof"
            );
        }
    }
}

const SASL: &[&str] = &[
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMG15cjBtMzA=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj1hYmM=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256-PLUS'>cD10bHMtZXhwb3J0ZXIsLG49anVsaWV0LHI9YWJj</auth>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGp1bGlldAByMG0zMG15cjBtMzA=</response>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1hLHM9YzJGc2RBPT0saT00MDk2</challenge>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1hYmNk</success>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
];

/// SASL as RFC 6120 has it.
pub(super) fn sasl(data: &[u8]) {
    let mut input = Input::new(data);
    let party = party(&mut input);
    let mut receiver = sasl::Receiver::new(&party.server, party.binding.clone(), true);
    let names: Vec<String> = Mechanism::ALL
        .iter()
        .map(|one| one.name().to_owned())
        .collect();
    let types = ["tls-exporter".to_owned()];
    let Some(choice) = sasl::choose(&party.config, &names, &types, party.binding.as_ref(), 0)
    else {
        return;
    };
    let mut initiator = sasl::Initiator::new(&party.config, choice, party.binding.clone());
    let mut entropy = Seeded::new(3);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    initiator
        .handle(env, sasl::Input::Start)
        .expect("it begins");
    let (mut out, mut back) = (VecDeque::new(), VecDeque::new());
    let (mut at_client, mut at_server, mut refused) = (None, None, 0);
    for _ in 0..STEPS {
        while let Some(action) = initiator.poll_action() {
            match action {
                sasl::Action::Send { element, .. } => out.push_back(element),
                sasl::Action::Derive(derivation) => {
                    // What the server has sent may be out of bounds.
                    let _ = initiator.handle(env, sasl::Input::Derived(derive(&derivation)));
                }
                sasl::Action::Event(sasl::Event::Authenticated { mechanism }) => {
                    at_client = Some(mechanism)
                }
                sasl::Action::Event(_) => {}
                _ => {}
            }
        }
        while let Some(action) = receiver.poll_action() {
            match action {
                sasl::ReceiverAction::Send(element) => back.push_back(element),
                sasl::ReceiverAction::Request(request) => {
                    let answer = sasl::ReceiverInput::Answer(decide(request));
                    receiver.handle(env, answer).expect("it was asked");
                }
                sasl::ReceiverAction::Event(sasl::ReceiverEvent::Authenticated {
                    mechanism,
                    ..
                }) => {
                    assert_eq!(at_server.replace(mechanism), None, "twice");
                }
                sasl::ReceiverAction::Event(_) => refused += 1,
                _ => {}
            }
        }
        party.check(at_client, at_server);
        assert!(
            refused <= 1 + usize::from(party.server.attempts.max(1)),
            "{refused} attempts"
        );
        let step = input.byte();
        let to_server = if out.is_empty() == back.is_empty() {
            step & 1 == 0
        } else {
            back.is_empty()
        };
        let queue = if to_server { &mut out } else { &mut back };
        let next = if step < 160 {
            queue.pop_front()
        } else {
            Some(element(&mut input, SASL))
        };
        let Some(mut next) = next else {
            break;
        };
        if step & 2 != 0 {
            spoil(&mut input, &mut next, SASL);
        }
        let ended = if to_server {
            receiver
                .handle(env, sasl::ReceiverInput::Element(&next))
                .is_err()
        } else {
            initiator.handle(env, sasl::Input::Element(&next)).is_err()
        };
        if ended && input.is_empty() {
            break;
        }
    }
}

const SASL2: &[&str] = &[
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldAByMG0zMG15cjBtMzA=</initial-response></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>biwsbj1qdWxpZXQscj1hYmM=</initial-response><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>x</software></user-agent><bind xmlns='urn:xmpp:bind:0'/></authenticate>",
    "<response xmlns='urn:xmpp:sasl:2'>AAAA</response>",
    "<challenge xmlns='urn:xmpp:sasl:2'>cj1hLHM9YzJGc2RBPT0saT00MDk2</challenge>",
    "<abort xmlns='urn:xmpp:sasl:2'/>",
    "<next xmlns='urn:xmpp:sasl:2' task='TOTP'><code xmlns='urn:x'/></next>",
    "<task-data xmlns='urn:xmpp:sasl:2'><code xmlns='urn:x'/></task-data>",
    "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP</task></tasks></continue>",
    "<continue xmlns='urn:xmpp:sasl:2'><additional-data>AAAA</additional-data><tasks><task>X</task></tasks><text>more</text></continue>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@capulet.lit/b</authorization-identifier></success>",
    "<success xmlns='urn:xmpp:sasl:2'><additional-data>dj1hYmNk</additional-data><authorization-identifier>juliet@capulet.lit</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>",
    "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
    "<failure xmlns='urn:xmpp:sasl:2'><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><text>no</text></failure>",
];

/// SASL2, with tasks and what rides along.
pub(super) fn sasl2(data: &[u8]) {
    let mut input = Input::new(data);
    let party = party(&mut input);
    let mut config = sasl2::ReceiverConfig::new(party.server.clone());
    config = config.with_inline(Element::bare("bind", ns::BIND2));
    let mut receiver = sasl2::Receiver::new(&config, party.binding.clone(), true);
    let mut features = Element::bare("features", ns::STREAMS);
    for feature in receiver.features() {
        features.append_child(feature);
    }
    let offer = sasl2::Offer::read(&features).expect("it offers");
    let Ok(choice) = sasl2::choose(&party.config, &offer, party.binding.as_ref(), 0) else {
        return;
    };
    let mut request = sasl2::Request::new().with(Element::bare("bind", ns::BIND2));
    request.tasks = vec!["TOTP".to_owned()];
    let mut initiator =
        sasl2::Initiator::new(&party.config, choice, party.binding.clone(), request);
    let mut entropy = Seeded::new(3);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    initiator
        .handle(env, sasl2::Input::Start)
        .expect("it begins");
    let (mut out, mut back) = (VecDeque::new(), VecDeque::new());
    let (mut at_client, mut at_server, mut tasks) = (None, None, input.below(3));
    for _ in 0..STEPS {
        while let Some(action) = initiator.poll_action() {
            // What the server has sent may lead to an error.
            let _ = match action {
                sasl2::Action::Send { element, .. } => {
                    out.push_back(element);
                    Ok(())
                }
                sasl2::Action::Derive(derivation) => {
                    initiator.handle(env, sasl2::Input::Derived(derive(&derivation)))
                }
                sasl2::Action::Event(sasl2::Event::Tasks { tasks, .. }) => {
                    let children = vec![Element::bare("code", "urn:x")];
                    let task = tasks.first().expect("one of ours");
                    initiator.handle(env, sasl2::Input::Next { task, children })
                }
                sasl2::Action::Event(sasl2::Event::TaskData(children)) => {
                    initiator.handle(env, sasl2::Input::TaskData(children))
                }
                sasl2::Action::Event(sasl2::Event::Authenticated(success)) => {
                    at_client = Some(success.mechanism);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        while let Some(action) = receiver.poll_action() {
            match action {
                sasl2::ReceiverAction::Send(element) => back.push_back(element),
                sasl2::ReceiverAction::Request(request) => {
                    let answer = match request {
                        sasl2::ReceiverRequest::Sasl(request) => {
                            sasl2::ReceiverInput::Answer(decide(request))
                        }
                        request => {
                            if let sasl2::ReceiverRequest::Authenticated(who) = request {
                                // Again, when the client has given up a task and begins anew.
                                at_server = Some(who.mechanism);
                            }
                            sasl2::ReceiverInput::Outcome(outcome(&mut tasks))
                        }
                    };
                    receiver.handle(env, answer).expect("it was asked");
                }
                _ => {}
            }
        }
        party.check(at_client, at_server);
        let step = input.byte();
        let to_server = if out.is_empty() == back.is_empty() {
            step & 1 == 0
        } else {
            back.is_empty()
        };
        let queue = if to_server { &mut out } else { &mut back };
        let next = if step < 160 {
            queue.pop_front()
        } else {
            Some(element(&mut input, SASL2))
        };
        let Some(mut next) = next else {
            break;
        };
        if step & 2 != 0 {
            spoil(&mut input, &mut next, SASL2);
        }
        let intruder = step & 4 != 0 && step >= 160;
        let ended = match (to_server, intruder) {
            (true, true) => receiver
                .handle(env, sasl2::ReceiverInput::Intruder)
                .is_err(),
            (true, false) if step & 8 != 0 => receiver
                .handle(env, sasl2::ReceiverInput::Early(&next))
                .is_err(),
            (true, false) => receiver
                .handle(env, sasl2::ReceiverInput::Element(&next))
                .is_err(),
            (false, true) => initiator.handle(env, sasl2::Input::Intruder).is_err(),
            (false, false) => initiator.handle(env, sasl2::Input::Element(&next)).is_err(),
        };
        if ended && input.is_empty() {
            break;
        }
    }
}

fn outcome(tasks: &mut usize) -> sasl2::Outcome {
    if let Some(left) = tasks.checked_sub(1) {
        *tasks = left;
        return if left == 0 {
            sasl2::Outcome::TaskData(vec![Element::bare("code", "urn:x")])
        } else {
            sasl2::Outcome::Continue {
                tasks: vec!["TOTP".to_owned()],
                text: None,
            }
        };
    }
    let identifier = "juliet@capulet.lit/balcony".parse().expect("an address");
    sasl2::Outcome::Success {
        identifier,
        inline: Vec::new(),
    }
}
