//! The same between two clients: sessions of Jingle, in-band bytestreams, SOCKS5.

use onetrip_core::jingle::ibb::{self, Bytestream};
use onetrip_core::jingle::session::{self, Session};
use onetrip_core::jingle::socks5::{self, Client, Connection, Destination, Expected, Timeouts};
use onetrip_core::stream::{Build as _, Content, Env, Instant, Stanza, ns};
use onetrip_simulator::Seeded;
use onetrip_tests::e2e::{Duo, JULIET, ROMEO, Setting, address, direct, pretended};

const NOW: Instant = Instant::EPOCH;

fn env<R>(call: impl FnOnce(&mut Env<'_>) -> R) -> R {
    call(&mut Env::new(NOW, &mut Seeded::new(1)))
}

/// A machine, and what comes of what it is given.
type Machine<T> = (&'static str, fn(&T) -> String);

/// A table: what is wrong, and what comes of it at each machine.
fn table<T>(title: &str, machines: &[Machine<T>], classes: &[(&str, T)]) -> String {
    let names = machines.iter().map(|(name, _)| format!(" {name} |"));
    let mut text = format!("\n## {title}\n\n| |{}\n|---|", names.collect::<String>());
    text += &"---|".repeat(machines.len());
    for (class, given) in classes {
        let outcomes = machines
            .iter()
            .map(|(_, give)| format!(" {} |", give(given)));
        text += &format!("\n| {class} |{}", outcomes.collect::<String>());
    }
    text + "\n"
}

/// What was said in answer, and whether that was the end.
fn answered(taken: bool, said: &[Stanza], over: bool) -> String {
    let refusal = said.iter().find_map(|stanza| {
        let stanza = stanza.element();
        let error = stanza.children().find(|child| child.name() == "error")?;
        Some(format!("error `{}`", error.children().last()?.name()))
    });
    let what = refusal.unwrap_or_else(|| {
        let is_result = |stanza: &Stanza| stanza.head().type_.as_deref() == Some("result");
        match said.iter().any(is_result) {
            true => "acknowledged".to_owned(),
            false if taken => "ignored".to_owned(),
            false => "not taken".to_owned(),
        }
    });
    what + if over { ", the end" } else { "" }
}

/// A request about a session, or something else that a peer says.
struct Said {
    from: &'static str,
    namespace: &'static str,
    attributes: &'static str,
    contents: &'static str,
}

const ROMEO_IS: &str = "romeo@montague.lit/orchard";
const CONTENT: &str = "<content creator='initiator' name='xmlstream'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/>\
    <transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='other' block-size='4096'/></content>";

fn jingle(attributes: &'static str, contents: &'static str) -> Said {
    Said {
        from: "",
        namespace: ns::JINGLE_1,
        attributes,
        contents,
    }
}

fn requests() -> Vec<(&'static str, Said)> {
    let stranger = Said {
        from: "mallory@evil.lit/x",
        ..jingle(
            "action='session-terminate' sid='SID'",
            "<reason><success/></reason>",
        )
    };
    let older = Said {
        namespace: ns::JINGLE_0,
        ..jingle(
            "action='session-terminate' sid='SID'",
            "<reason><success/></reason>",
        )
    };
    vec![
        ("no action", jingle("sid='SID'", "")),
        (
            "an unknown action",
            jingle("action='made-up' sid='SID'", ""),
        ),
        (
            "another session",
            jingle("action='session-accept' sid='other'", CONTENT),
        ),
        ("somebody else", stranger),
        ("another text of Jingle", older),
        (
            "the same offer again",
            jingle("action='session-initiate' sid='SID'", CONTENT),
        ),
        (
            "an acceptance without content",
            jingle("action='session-accept' sid='SID'", ""),
        ),
        (
            "an acceptance with another transport",
            jingle("action='session-accept' sid='SID'", CONTENT),
        ),
        (
            "what is told of a transport that there is not",
            jingle("action='transport-info' sid='SID'", CONTENT),
        ),
        (
            "another transport out of place",
            jingle("action='transport-replace' sid='SID'", CONTENT),
        ),
        (
            "the acceptance of another transport",
            jingle("action='transport-accept' sid='SID'", CONTENT),
        ),
        (
            "security out of place",
            jingle("action='security-info' sid='SID'", CONTENT),
        ),
        (
            "another content",
            jingle("action='content-add' sid='SID'", CONTENT),
        ),
        (
            "an unknown message",
            jingle("action='session-info' sid='SID'", "<x xmlns='urn:x'/>"),
        ),
    ]
}

fn parsed(text: &str) -> Stanza {
    Stanza::parse(text.as_bytes(), Content::Client).unwrap()
}

impl Said {
    fn stanza(&self, sid: &str, peer: usize) -> Stanza {
        let from = if self.from.is_empty() {
            address(peer).to_string()
        } else {
            self.from.to_owned()
        };
        let text = format!(
            "<iq xmlns='jabber:client' type='set' id='x' from='{from}'><jingle xmlns='{}' {}>{}</jingle></iq>",
            self.namespace, self.attributes, self.contents
        );
        parsed(&text.replace("SID", sid))
    }
}

fn sent(session: &mut Session) -> Vec<Stanza> {
    let actions = core::iter::from_fn(|| session.poll_action());
    let stanzas = actions.filter_map(|action| match action {
        session::Action::Send(stanza) => Some(stanza),
        _ => None,
    });
    stanzas.collect()
}

fn config(end: usize) -> session::Config {
    let mut config = session::Config::new(Some(pretended(end)));
    config.security.allow_sha1_fingerprint = true;
    config
}

/// A session that was offered, and the offer.
fn offer() -> (Session, Stanza) {
    let offered = env(|env| {
        Session::initiate(
            config(ROMEO),
            env,
            address(ROMEO),
            address(JULIET),
            None,
            direct(ROMEO),
        )
    });
    let mut session = offered.unwrap();
    let initiate = sent(&mut session).remove(0);
    let stamped = initiate.element().with_attr("from", ROMEO_IS);
    (session, Stanza::from_element(&stamped).unwrap())
}

fn at_session(session: &mut Session, peer: usize, said: &Said) -> String {
    let stanza = said.stanza(session.sid(), peer);
    let taken = session.handle(NOW, &stanza);
    let answers = sent(session);
    answered(taken, &answers, session.is_ended())
}

fn offering(said: &Said) -> String {
    at_session(&mut offer().0, JULIET, said)
}

fn offered(said: &Said) -> String {
    let (_, initiate) = offer();
    let incoming =
        env(|env| Session::incoming(config(JULIET), env, address(JULIET), &initiate, true));
    let Ok(mut session) = incoming else {
        panic!("refused")
    };
    sent(&mut session);
    at_session(&mut session, ROMEO, said)
}

/// Once the stream between them is up.
fn up(said: &Said) -> String {
    let mut duo = Duo::new(Setting::new());
    let offer = duo.wire[JULIET].front().cloned();
    let sid = offer
        .as_ref()
        .and_then(|offer| offer.children().next()?.attr("sid").map(str::to_owned));
    duo.run();
    assert!(duo.wire[ROMEO].is_empty());
    duo.deliver(JULIET, &said.stanza(&sid.unwrap(), ROMEO).element());
    let answers = duo.wire[ROMEO].drain(..);
    let answers = answers.map(|answer| Stanza::from_element(&answer).unwrap());
    let answers: Vec<Stanza> = answers.collect();
    let over = duo.sides[JULIET]
        .machine
        .as_ref()
        .is_none_or(|machine| !machine.end().is_online());
    answered(true, &answers, over)
}

fn chunks() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        (
            "a chunk of another bytestream",
            &["<data xmlns='IBB' sid='other' seq='0'>AAAA</data>"],
        ),
        (
            "a chunk without a number",
            &["<data xmlns='IBB' sid='s'>AAAA</data>"],
        ),
        (
            "a number that is none",
            &["<data xmlns='IBB' sid='s' seq='65536'>AAAA</data>"],
        ),
        ("a gap", &["<data xmlns='IBB' sid='s' seq='7'>AAAA</data>"]),
        (
            "a number that was used",
            &[
                "<data xmlns='IBB' sid='s' seq='0'>AAAA</data>",
                "<data xmlns='IBB' sid='s' seq='0'>AAAA</data>",
            ],
        ),
        (
            "what is not base64",
            &["<data xmlns='IBB' sid='s' seq='0'>=AAA</data>"],
        ),
        (
            "more than a block",
            &["<data xmlns='IBB' sid='s' seq='0'>AAAAAAAA</data>"],
        ),
        (
            "a larger block size",
            &["<open xmlns='IBB' sid='s' block-size='4096'/>"],
        ),
        (
            "a block size of nothing",
            &["<open xmlns='IBB' sid='s' block-size='0'/>"],
        ),
        (
            "messages, where iq is the way",
            &["<open xmlns='IBB' sid='s' block-size='3' stanza='message'/>"],
        ),
        (
            "the close of another bytestream",
            &["<close xmlns='IBB' sid='other'/>"],
        ),
        (
            "a chunk behind the close",
            &[
                "<close xmlns='IBB' sid='s'/>",
                "<data xmlns='IBB' sid='s' seq='0'>AAAA</data>",
            ],
        ),
        ("something else", &["<query xmlns='IBB'/>"]),
    ]
}

fn in_band(open: bool, units: &[&str]) -> String {
    let mut config = ibb::Config::default();
    config.block_size = 3;
    let begin = if open {
        Bytestream::established
    } else {
        Bytestream::await_open
    };
    let mut stream = env(|env| begin(config, env, address(ROMEO), "s"));
    let (mut taken, mut answers, mut over) = (false, Vec::new(), false);
    for unit in units {
        let unit = unit.replace("IBB", ns::IBB);
        let stanza =
            format!("<iq xmlns='jabber:client' type='set' id='1' from='{ROMEO_IS}'>{unit}</iq>");
        let outcome = stream.handle(NOW, &parsed(&stanza));
        taken = matches!(outcome, Ok(true) | Err(_));
        answers.clear();
        while let Some(action) = stream.poll_action() {
            match action {
                ibb::Action::Send(stanza) => answers.push(stanza),
                ibb::Action::Event(ibb::Event::Closed(_)) => over = true,
                _ => {}
            }
        }
    }
    answered(taken, &answers, over)
}

fn destination() -> Destination {
    Destination::new("s1", &address(ROMEO), &address(JULIET))
}

/// A request or a reply for a bytestream, changed.
fn frame(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![5, 1, 0, 3, 40];
    frame.extend_from_slice(destination().as_str().as_bytes());
    frame.extend_from_slice(&[0, 0]);
    change(&mut frame);
    frame
}

/// What comes first, and what comes second, of either end.
fn handshakes() -> Vec<(&'static str, [Vec<u8>; 2])> {
    let good = [vec![5, 1, 0], frame(|_| {})];
    let second = |change: fn(&mut Vec<u8>)| [good[0].clone(), frame(change)];
    vec![
        ("SOCKS4", [vec![4, 1, 0, 80, 127, 0, 0, 1, 0], Vec::new()]),
        ("HTTP", [b"GET / HTTP/1.1\r\n\r\n".to_vec(), Vec::new()]),
        ("no method in common", [vec![5, 1, 2], Vec::new()]),
        ("no method at all", [vec![5, 0], Vec::new()]),
        (
            "another version behind the greeting",
            second(|frame| frame[0] = 4),
        ),
        ("to listen for a connection", second(|frame| frame[1] = 2)),
        ("an association for UDP", second(|frame| frame[1] = 3)),
        (
            "an IPv4 address",
            second(|frame| frame.splice(3.., [1, 127, 0, 0, 1, 0, 80]).for_each(drop)),
        ),
        ("an unknown type of address", second(|frame| frame[3] = 9)),
        ("a name that nobody expects", second(|frame| frame[5] ^= 1)),
        (
            "an empty name",
            second(|frame| frame.splice(4.., [0, 0, 0]).for_each(drop)),
        ),
        ("a port", second(|frame| frame[46] = 80)),
    ]
}

/// At a streamhost: how it is refused, and by which reply, if any.
fn streamhost(said: &[Vec<u8>; 2]) -> String {
    let mut expected = Expected::new();
    let _ = expected.expect(vec![destination()]);
    let mut host = Connection::new(NOW, Timeouts::default());
    let (mut replies, mut closed) = (Vec::new(), false);
    for bytes in said {
        let _ = host.receive(NOW, &mut expected, bytes);
        while let Some(action) = host.poll_action() {
            match action {
                socks5::Action::Write(bytes) => replies.push(bytes[1]),
                socks5::Action::Close => closed = true,
                _ => {}
            }
        }
    }
    let reply = replies.last().filter(|reply| **reply != 0);
    let reply = reply.map_or(String::new(), |reply| format!("reply {reply:02x}, "));
    let end = if closed { "closed" } else { "taken" };
    host.failure()
        .map_or(end.to_owned(), |error| format!("{reply}{end}: {error}"))
}

fn replies() -> Vec<(&'static str, [Vec<u8>; 2])> {
    let chosen = vec![5, 0];
    let second = |change: fn(&mut Vec<u8>)| {
        let reply = frame(|frame| {
            frame[1] = 0;
            change(frame);
        });
        [chosen.clone(), reply]
    };
    vec![
        ("SOCKS4", [vec![0, 0x5a, 0, 0, 0, 0, 0, 0], Vec::new()]),
        (
            "HTTP",
            [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Vec::new()],
        ),
        ("a method that was not offered", [vec![5, 2], Vec::new()]),
        ("no acceptable method", [vec![5, 0xff], Vec::new()]),
        (
            "another version behind the choice",
            second(|frame| frame[0] = 4),
        ),
        ("a refusal", second(|frame| frame[1] = 5)),
        (
            "a reply that is not assigned",
            second(|frame| frame[1] = 99),
        ),
        ("an unknown type of address", second(|frame| frame[3] = 9)),
        ("another name", second(|frame| frame[5] ^= 1)),
    ]
}

fn connecting(said: &[Vec<u8>; 2]) -> String {
    let mut client = Client::new(NOW, destination(), Timeouts::default());
    let (mut closed, mut connected) = (false, false);
    for bytes in said {
        let _ = client.receive(bytes);
        while let Some(action) = client.poll_action() {
            closed |= action == socks5::Action::Close;
            connected |= action == socks5::Action::Connected;
        }
    }
    let end = if closed {
        "closed"
    } else if connected {
        "taken"
    } else {
        "waits"
    };
    client
        .failure()
        .map_or(end.to_owned(), |error| format!("{end}: {error}"))
}

/// All of them.
pub(crate) fn tables() -> String {
    let sessions: [Machine<Said>; 3] = [
        ("session, offered here", offering),
        ("session, offered by the peer", offered),
        ("session, up", up),
    ];
    type Units = &'static [&'static str];
    let in_band: [Machine<Units>; 2] = [
        ("in-band bytestream, to be opened", |units| {
            in_band(false, units)
        }),
        ("in-band bytestream, open", |units| in_band(true, units)),
    ];
    [
        table("Between two clients, by Jingle", &sessions, &requests()),
        table("In band", &in_band, &chunks()),
        table(
            "SOCKS5, what a streamhost is given",
            &[("streamhost", streamhost as fn(&[Vec<u8>; 2]) -> String)],
            &handshakes(),
        ),
        table(
            "SOCKS5, what the end that connects is given",
            &[("client", connecting as fn(&[Vec<u8>; 2]) -> String)],
            &replies(),
        ),
    ]
    .concat()
}
