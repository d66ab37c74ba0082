//! Streams between two clients as text: each is what two ends of ours say, whatever the pieces, and the founding text's own
//! flow is understood.
//!
//! A file says which text and transport it is of, then what each end said by way of the servers (`R:`, `J:`) and over
//! sockets (`R>`, `J>`), TLS pretended. With `ONETRIP_RECORD` in the environment the files are written anew.

use std::path::PathBuf;
use std::time::Duration;

use minidom::Element;
use onetrip_core::e2e::{Action, Config, EndToEnd, Event};
use onetrip_core::jingle::Dialect;
use onetrip_core::jingle::s5b::{Candidate, CandidateKind, Link};
use onetrip_core::jingle::session;
use onetrip_core::stream::{Content, Env, Instant, Stanza};
use onetrip_simulator::Seeded;
use onetrip_tests::e2e::*;

const FLOWS: [(&str, Dialect, &str); 10] = [
    ("modern-direct", Dialect::Modern, "direct"),
    ("modern-proxy", Dialect::Modern, "proxy"),
    ("modern-in-band", Dialect::Modern, "in band"),
    ("modern-in-band-at-last", Dialect::Modern, "at last"),
    ("published-direct", Dialect::Published2009, "direct"),
    ("published-in-band", Dialect::Published2009, "in band"),
    (
        "published-in-band-at-last",
        Dialect::Published2009,
        "at last",
    ),
    ("interim-direct", Dialect::Interim2009, "direct"),
    ("interim-proxy", Dialect::Interim2009, "proxy"),
    ("interim-in-band", Dialect::Interim2009, "in band"),
];

/// A session from its beginning to its end, with one stanza each way.
fn played(dialect: Dialect, transport: &str, split: usize) -> Duo {
    let mut setting = Setting::new().with(|config| {
        config.session.dialect = dialect;
        config.session.s5b = transport != "in band";
    });
    setting.candidates = match transport {
        "direct" => [vec![], direct(JULIET)],
        "proxy" => [by_proxy(ROMEO), vec![]],
        _ => [vec![], vec![]],
    };
    setting.split = split;
    let mut duo = Duo::new(setting);
    duo.run_for(Duration::from_secs(20));
    duo.talk(1);
    duo.close_in_order(ROMEO);
    duo
}

fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("transcripts/e2e");
    folder.join(format!("{name}.txt"))
}

/// What one end said, over sockets in one piece.
fn of(name: char, log: &[String]) -> (Vec<String>, String) {
    let said = |mark: &str| -> Vec<String> {
        let prefix = format!("{name}{mark} ");
        log.iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect()
    };
    (said(":"), said(">").concat())
}

#[test]
fn every_transcript_is_what_two_ends_say_in_any_pieces() {
    for (name, dialect, transport) in FLOWS {
        let log = played(dialect, transport, usize::MAX).log;
        let text = format!(
            "#! dialect {dialect:?}\n#! transport {transport}\n{}\n",
            log.join("\n")
        );
        if std::env::var_os("ONETRIP_RECORD").is_some() {
            std::fs::create_dir_all(file(name).parent().unwrap()).unwrap();
            std::fs::write(file(name), &text).unwrap();
        }
        let stored = std::fs::read_to_string(file(name)).unwrap();
        assert_eq!(text, stored, "{name}");
        for split in [1, 2, 5, 33] {
            let pieces = played(dialect, transport, split).log;
            for end in ['R', 'J'] {
                assert_eq!(
                    of(end, &pieces).1,
                    of(end, &log).1,
                    "{name} in pieces of {split}"
                );
                let sorted = |log: &[String]| {
                    let mut said = of(end, log).0;
                    said.sort();
                    said
                };
                assert_eq!(sorted(&pieces), sorted(&log), "{name} in pieces of {split}");
            }
        }
    }
}

/// Juliet alone, and what becomes of what she is given.
struct Juliet {
    end: EndToEnd,
    entropy: Seeded,
    said: Vec<Element>,
    written: String,
    encrypted: String,
    ciphertext: Vec<u8>,
    closed: usize,
    events: Vec<String>,
}

impl Juliet {
    fn act(&mut self, act: impl FnOnce(&mut EndToEnd, &mut Env<'_>)) {
        act(
            &mut self.end,
            &mut Env::new(Instant::EPOCH, &mut self.entropy),
        );
        while let Some(action) = self.end.poll_action() {
            match action {
                Action::Send(stanza) => self.said.push(stanza.element()),
                Action::Write(_, bytes) => self.written.push_str(&escaped(&bytes)),
                Action::Encrypt(bytes) => self.encrypted.push_str(&escaped(&bytes)),
                Action::Encrypted(bytes) => self.ciphertext.extend_from_slice(&bytes),
                Action::Close(_) => self.closed += 1,
                Action::Event(Event::Stanza(received)) => {
                    let text = String::from_utf8_lossy(received.stanza.bytes()).into_owned();
                    self.events.push(format!("{} {text}", received.from));
                }
                Action::Event(event) => self.events.push(format!("{event:?}")),
                _ => {}
            }
        }
    }

    fn hears(&mut self, text: &str) {
        let stanza = parsed(text);
        self.act(|end, env| assert!(end.handle(env, &stanza), "{text}"));
    }
}

fn parsed(text: &str) -> Stanza {
    Stanza::parse(text.as_bytes(), Content::Client).unwrap()
}

fn iq(id: &str, action: &str, inside: &str) -> String {
    format!(
        "<iq xmlns='jabber:client' from='romeo@montague.lit/orchard' id='{id}' to='juliet@capulet.lit/balcony' \
        type='set'><jingle xmlns='urn:xmpp:jingle:0' action='{action}' initiator='romeo@montague.lit/orchard' \
        sid='851ba2'><content creator='initiator' name='xmlstream'>{inside}</content></jingle></iq>"
    )
}

/// Juliet where the founding text has her when both have connected and Romeo's streamhost has been taken.
fn founding() -> Juliet {
    let mut entropy = Seeded::new(1);
    let mut config = session::Config::new(Some(b"juliet".to_vec()));
    config.security.allow_unannounced = true;
    let initiate = iq(
        "jingle1",
        "session-initiate",
        "<description xmlns='urn:xmpp:tmp:jingle:apps:xmlstream:0'/>\
        <transport xmlns='urn:xmpp:jingle:transports:s5b:0' sid='vj3hs98y' mode='tcp'>\
        <streamhost jid='romeo@montague.lit/orchard' host='192.168.4.1' port='5086'/>\
        <streamhost jid='streamer.shakespeare.lit' host='24.24.24.1' zeroconf='_jabber.bytestreams'/></transport>\
        <security xmlns='urn:xmpp:jingle:security:xtls:0' method='x509'/>",
    );
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let stanza = parsed(&initiate);
    let end = EndToEnd::incoming(Config::new(config), env, address(JULIET), &stanza, true).unwrap();
    let mut juliet = Juliet {
        end,
        entropy: Seeded::new(2),
        said: Vec::new(),
        written: String::new(),
        encrypted: String::new(),
        ciphertext: Vec::new(),
        closed: 0,
        events: Vec::new(),
    };
    let kind = CandidateKind::Direct;
    let host = |host: &str, port| Candidate::new("", kind, address(JULIET), host, port, 0);
    let hosts = vec![
        host("192.169.1.10", 6539),
        host("134.102.201.180", 16453),
        host("2001:638:708:30c9:219:d1ff:fea4:a17d", 6539),
    ];
    juliet.act(|end, env| end.accept(env, hosts));
    let accept = juliet.said.last().unwrap().clone();
    assert_eq!(verb(&accept), "session-accept");
    let id = accept.attr("id").unwrap().to_owned();
    let answer = |id: &str| {
        format!(
            "<iq xmlns='jabber:client' from='romeo@montague.lit/orchard' id='{id}' to='juliet@capulet.lit/balcony' type='result'/>"
        )
    };
    juliet.hears(&answer(&id));
    // Both connect at the same time; Romeo gets through.
    let attempt = juliet.end.session().expected();
    assert_eq!(
        attempt[1].as_str(),
        "972b7bf47291ca609517f67f86b5081086052dad",
        "JXS-12"
    );
    juliet.act(|end, env| end.taken(env));
    juliet.hears(&iq(
        "hjdi8",
        "transport-info",
        "<transport xmlns='urn:xmpp:jingle:transports:s5b:0' sid='vj3hs98y' mode='tcp'><streamhost-used \
        jid='juliet@capulet.lit/balcony' host='134.102.201.180' port='16453'/></transport>",
    ));
    juliet
}

/// The founding text's flow, word for word but for its errata (digest §1.5.2): attributes where they belong (1), one sid and
/// one name (2, 3), its own application (4), the offer inside the security element (5), which session-initiate has too (6).
/// The streamhost without a port is passed over (8), streamhost-used goes to the peer (9), security-info is taken in
/// `jingle:0` (13), and `initiator` stands everywhere (14). How to close (11) is what the later text says.
#[test]
fn the_founding_texts_flow_is_understood_from_session_initiate_to_the_reply() {
    let mut juliet = founding();
    let security = "<security xmlns='urn:xmpp:jingle:security:xtls:0' method='x509'/>";
    juliet.hears(&iq("hf749j", "security-info", security));
    for id in ["jingle1", "hjdi8", "hf749j"] {
        let answered = |stanza: &&Element| {
            stanza.attr("id") == Some(id) && stanza.attr("type") == Some("result")
        };
        assert_eq!(juliet.said.iter().filter(answered).count(), 1, "{id}");
    }
    juliet.act(|end, env| end.receive(env, Link::Taken, b"TLS"));
    assert!(juliet.encrypted.is_empty());
    juliet.act(|end, env| end.tls_established(env, Some(b"romeo")));
    // Both send an initial header (JXS-21).
    assert!(
        juliet
            .encrypted
            .starts_with("<stream:stream xmlns='jabber:client'"),
        "{}",
        juliet.encrypted
    );
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
        from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony' version='1.0'>";
    let hello = "<message from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'>\
        <body>M&apos;lady, I would be pleased to make your acquaintance.</body></message>";
    juliet.act(|end, env| end.receive_plain(env, format!("{header}{hello}").as_bytes()));
    assert!(
        juliet
            .events
            .last()
            .unwrap()
            .starts_with("romeo@montague.lit/orchard <message")
    );
    let reply = message("Art thou not Romeo, and a Montague?");
    juliet.act(|end, env| end.send(env, &reply).unwrap());
    assert!(
        juliet
            .encrypted
            .ends_with("<message><body>Art thou not Romeo, and a Montague?</body></message>")
    );
    juliet.act(|end, env| end.close(env));
    juliet.act(|end, env| end.receive_plain(env, b"</stream:stream>"));
    juliet.act(|end, env| end.tls_closed(env));
    assert_eq!(
        verb(juliet.said.last().unwrap()),
        "session-terminate success"
    );
    assert!(juliet.end.is_over());
}

/// What comes over the chosen socket before it is known whether it is TLS waits, but not without bound.
#[test]
fn what_comes_ahead_of_the_signalling_is_held_within_its_bound() {
    for (bytes, closed) in [(64 * 1024, 0), (64 * 1024 + 1, 1)] {
        let mut juliet = founding();
        juliet.closed = 0;
        for piece in vec![b'x'; bytes].chunks(7) {
            juliet.act(|end, env| end.receive(env, Link::Taken, piece));
        }
        assert_eq!(juliet.closed, closed, "{bytes}");
        assert!(juliet.ciphertext.is_empty(), "not to be looked at yet");
    }
}
