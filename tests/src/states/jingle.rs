//! Sessions between two clients, and the choice of a SOCKS5 bytestream within one.

use core::fmt;
use core::time::Duration;

use onetrip_core::jingle::s5b::{
    self, Attempt, Candidate, CandidateKind, Config, Form, Info, Input, Negotiation, Reference,
    Transport,
};
use onetrip_core::jingle::session::{self, Reason, Session};
use onetrip_core::jingle::xtls::{Fingerprint, Hash, Security};
use onetrip_core::jingle::{Dialect, Role};
use onetrip_core::stream::{Instant, Jid, Stanza};

use super::{Begin, Diagram, Subject, late, printed, stanza, with_env};

const NOW: Instant = Instant::EPOCH;
pub(super) const US: &str = "romeo@montague.lit/orchard";
pub(super) const PEER: &str = "juliet@capulet.lit/balcony";

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![session(), negotiation()]
}

pub(super) fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

/// An address of its own, or a proxy.
fn candidate(kind: CandidateKind, whose: &str, port: u16) -> Candidate {
    Candidate::new(port.to_string(), kind, jid(whose), "192.0.2.1", port, 0)
}

/// In which text a session is begun, and by which transport.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    dialect: Dialect,
    in_band: bool,
}

impl Way {
    const ALL: [Self; 4] = [
        Self::new(Dialect::Modern, false),
        Self::new(Dialect::Modern, true),
        Self::new(Dialect::Published2009, false),
        Self::new(Dialect::Published2009, true),
    ];

    pub(super) const fn new(dialect: Dialect, in_band: bool) -> Self {
        Self { dialect, in_band }
    }

    /// What every id is, while all that looks random is the same.
    pub(super) fn id() -> String {
        with_env(|env| env.random_id())
    }

    pub(super) fn config(self) -> session::Config {
        let mut config = session::Config::new(Some(b"ours".to_vec()));
        config.dialect = self.dialect;
        config.s5b = !self.in_band;
        config
    }

    fn initiate(self) -> Session {
        let (us, peer) = (jid(US), jid(PEER));
        with_env(|env| Session::initiate(self.config(), env, us, peer, None, Vec::new())).unwrap()
    }

    fn incoming(self) -> Session {
        let asked = self.asks();
        with_env(|env| Session::incoming(self.config(), env, jid(US), &asked, true)).unwrap()
    }

    /// The session-initiate of the peer's.
    pub(super) fn asks(self) -> Stanza {
        self.says("session-initiate", &self.offer())
    }

    /// A request of the peer's.
    pub(super) fn says(self, action: &str, content: &str) -> Stanza {
        let (jingle, sid) = (self.dialect.jingle(), Self::id());
        let content = format!("<content creator='initiator' name='xmlstream'>{content}</content>");
        stanza(&format!(
            "<iq xmlns='jabber:client' type='set' id='r' from='{PEER}'>\
             <jingle xmlns='{jingle}' action='{action}' sid='{sid}'>{content}</jingle></iq>"
        ))
    }

    /// What the peer offers or accepts. Over SOCKS5 it has an address and a proxy.
    pub(super) fn offer(self) -> String {
        let security = Security::offer(Fingerprint::of(b"theirs", Hash::Sha256));
        let transport = match self.in_band {
            true => self.ibb(),
            false => {
                let mut transport = Transport::new(self.dialect.s5b(), Self::id());
                transport.candidates = vec![
                    candidate(CandidateKind::Direct, PEER, 5086),
                    candidate(CandidateKind::Proxy, "proxy.verona.lit", 7777),
                ];
                String::from(&transport.to_element(false))
            }
        };
        let description = format!("<description xmlns='{}'/>", self.dialect.application());
        description + &transport + &String::from(&security.to_element(self.dialect))
    }

    fn ibb(self) -> String {
        let (namespace, sid) = (self.dialect.ibb(), Self::id());
        format!("<transport xmlns='{namespace}' sid='{sid}' block-size='4096'/>")
    }

    pub(super) fn report(self, info: Info) -> String {
        let mut transport = Transport::new(self.dialect.s5b(), Self::id());
        transport.info = Some(info);
        String::from(&transport.to_element(false))
    }

    pub(super) fn security(self) -> String {
        String::from(&Security::settled().to_element(self.dialect))
    }
}

/// A session, and what it has asked for.
struct Talk {
    way: Way,
    session: Session,
    /// The requests of this end: their actions and ids.
    asked: Vec<(String, String)>,
    attempts: Vec<Attempt>,
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

impl Talk {
    fn new(way: Way, session: Session) -> Self {
        Self {
            way,
            session,
            asked: Vec::new(),
            attempts: Vec::new(),
        }
    }

    fn take(&mut self, action: &str, content: &str) {
        let request = self.way.says(action, content);
        self.session.handle(NOW, &request);
    }

    /// The answer to the last request of this kind, or of any.
    fn answer(&mut self, kind: &str, to: Option<&str>) {
        let fits = |(action, _): &&(String, String)| to.is_none_or(|to| to == action);
        if let Some((_, id)) = self.asked.iter().rev().find(fits) {
            let text = format!("<iq xmlns='jabber:client' type='{kind}' id='{id}' from='{PEER}'/>");
            self.session.handle(NOW, &stanza(&text));
        }
    }

    fn drain(&mut self) -> bool {
        let action = self.session.poll_action();
        match &action {
            Some(session::Action::Send(stanza))
                if stanza.head().type_.as_deref() == Some("set") =>
            {
                let payload = stanza.payloads().next().unwrap();
                let action = payload.attr("action").unwrap_or("activate");
                let id = stanza.head().id.as_deref().unwrap();
                self.asked.push((action.to_owned(), id.to_owned()));
            }
            Some(session::Action::Connect { attempt, .. }) => self.attempts.push(*attempt),
            _ => {}
        }
        action.is_some()
    }
}

fn session() -> Diagram {
    type Make = Box<dyn Fn() -> Talk>;
    let initiate = |way: Way| -> Make { Box::new(move || Talk::new(way, way.initiate())) };
    let incoming = |way: Way| -> Make { Box::new(move || Talk::new(way, way.incoming())) };
    let begins: [[(&str, Make); 4]; 2] = [
        Way::ALL.map(|way| ("initiate()", initiate(way))),
        Way::ALL.map(|way| ("incoming()", incoming(way))),
    ];
    let begins: Vec<Begin<'_, Talk>> = begins
        .as_flattened()
        .iter()
        .map(|(label, begin)| (*label, &**begin))
        .collect();
    Subject {
        name: "onetrip-jingle-xmlstream: `Session`",
        table: "jingle-xmlstream/src/session/session.rs",
        state: &printed("state"),
        begins: &begins,
        inputs: &[
            ("session-accept", &|talk| {
                talk.take("session-accept", &talk.way.offer());
            }),
            ("accept()", &|talk| talk.session.accept(NOW, Vec::new())),
            ("candidate-error", &|talk| {
                talk.take("transport-info", &talk.way.report(Info::Error));
            }),
            ("a connection is made", &|talk| {
                for attempt in talk.attempts.clone() {
                    talk.session.s5b(NOW, Input::Connected(attempt));
                }
            }),
            ("a connection cannot be made", &|talk| {
                for attempt in talk.attempts.clone() {
                    talk.session.s5b(NOW, Input::Failed(attempt));
                }
            }),
            ("transport-replace", &|talk| {
                talk.take("transport-replace", &talk.way.ibb());
            }),
            ("transport-accept", &|talk| {
                talk.take("transport-accept", &talk.way.ibb());
            }),
            ("transport-reject", &|talk| {
                talk.take("transport-reject", &talk.way.ibb());
            }),
            ("ibb_opened()", &|talk| talk.session.ibb_opened()),
            ("transport_closed()", &|talk| {
                talk.session.transport_closed()
            }),
            ("security-info", &|talk| {
                talk.take("security-info", &talk.way.security());
            }),
            ("the result of security-info", &|talk| {
                talk.answer("result", Some("security-info"));
            }),
            ("tls_established()", &|talk| {
                talk.session.tls_established(Some(b"theirs"));
            }),
            ("tls_established() with another certificate", &|talk| {
                talk.session.tls_established(Some(b"another"));
            }),
            ("tls_failed()", &|talk| talk.session.tls_failed()),
            ("an error for what it asked", &|talk| {
                talk.answer("error", None)
            }),
            ("session-terminate", &|talk| {
                talk.take("session-terminate", "")
            }),
            ("terminate()", &|talk| {
                talk.session.terminate(Reason::Success)
            }),
            ("its deadline", &|talk| talk.session.handle_timeout(late())),
        ],
        drain: &Talk::drain,
    }
    .explore()
}

/// What each end offers: an address of its own, and a proxy.
fn offered(whose: &str, first_port: u16) -> Vec<Candidate> {
    vec![
        candidate(CandidateKind::Direct, whose, first_port),
        candidate(CandidateKind::Proxy, "proxy.verona.lit", first_port + 1),
    ]
}

/// The ports of the peer's address and proxy, then of ours.
const THEIRS: u16 = 1;
const THEIR_PROXY: u16 = 2;
const OURS: u16 = 3;
const OUR_PROXY: u16 = 4;

/// The choice, and the attempts that it asked for, by the port to which they go.
struct Choice {
    form: Form,
    negotiation: Negotiation,
    attempts: Vec<(u16, Attempt)>,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.negotiation.fmt(f)
    }
}

impl Choice {
    fn new(form: Form, role: Role) -> Self {
        let mut config = Config::new(form, role, "s", jid(US), jid(PEER));
        config.candidates = offered(US, OURS);
        Self {
            form,
            negotiation: Negotiation::new(config),
            attempts: Vec::new(),
        }
    }

    fn start(&mut self) {
        let mut theirs = Transport::new(self.form, "s");
        theirs.candidates = offered(PEER, THEIRS);
        let theirs = Transport::read(&theirs.to_element(true), &jid(PEER));
        self.negotiation.start(NOW, &theirs.unwrap());
    }

    fn take(&mut self, input: Input<'_>) {
        let _ = self.negotiation.handle(NOW, input);
    }

    /// The peer got through to this one of ours.
    fn used(&mut self, port: u16) {
        let ours = offered(US, OURS);
        let used = ours.iter().find(|candidate| candidate.port == port);
        let reference = Reference::to(used.unwrap(), self.form);
        self.take(Input::Info(&Info::Used(reference)));
    }

    /// This comes of the attempts that go there.
    fn attempted(&mut self, ports: &[u16], outcome: fn(Attempt) -> Input<'static>) {
        for (port, attempt) in self.attempts.clone() {
            if ports.contains(&port) {
                self.take(outcome(attempt));
            }
        }
    }

    fn drain(&mut self) -> bool {
        let action = self.negotiation.poll_action();
        if let Some(s5b::Action::Connect {
            attempt, candidate, ..
        }) = &action
        {
            self.attempts.push((candidate.port, *attempt));
        }
        action.is_some()
    }
}

fn negotiation() -> Diagram {
    let forms = [Form::Candidates, Form::Streamhosts];
    let begin = |form, role| move || Choice::new(form, role);
    let [ours, our_hosts] = forms.map(|form| begin(form, Role::Initiator));
    let [theirs, their_hosts] = forms.map(|form| begin(form, Role::Responder));
    Subject {
        name: "onetrip-jingle-xmlstream: `s5b::Negotiation`",
        table: "jingle-xmlstream/src/s5b/negotiation.rs",
        state: &printed("phase"),
        begins: &[
            ("", &ours),
            ("", &our_hosts),
            ("", &theirs),
            ("", &their_hosts),
        ],
        inputs: &[
            ("start()", &Choice::start),
            ("the next attempt is due", &|choice| {
                let soon = NOW + Duration::from_secs(1);
                choice.negotiation.handle_timeout(soon);
            }),
            ("the peer's address is reached", &|choice| {
                choice.attempted(&[THEIRS], Input::Connected);
            }),
            ("the peer's proxy is reached", &|choice| {
                choice.attempted(&[THEIR_PROXY], Input::Connected);
            }),
            ("our proxy is reached", &|choice| {
                choice.attempted(&[OUR_PROXY], Input::Connected);
            }),
            ("nothing is reached", &|choice| {
                choice.attempted(&[THEIRS, THEIR_PROXY, OUR_PROXY], Input::Failed);
            }),
            ("our streamhost has the peer", &|choice| {
                choice.take(Input::Accepted);
            }),
            ("candidate-used: our address", &|choice| choice.used(OURS)),
            ("candidate-used: our proxy", &|choice| {
                choice.used(OUR_PROXY)
            }),
            ("candidate-error", &|choice| {
                choice.take(Input::Info(&Info::Error))
            }),
            ("activated", &|choice| {
                let proxy = THEIR_PROXY.to_string();
                choice.take(Input::Info(&Info::Activated(proxy)));
            }),
            ("proxy-error", &|choice| {
                choice.take(Input::Info(&Info::ProxyError))
            }),
            ("our proxy is activated", &|choice| {
                choice.take(Input::Activated)
            }),
            ("our proxy refuses", &|choice| {
                choice.take(Input::NotActivated)
            }),
            ("stop()", &|choice| choice.negotiation.stop()),
            ("its deadline", &|choice| {
                choice.negotiation.handle_timeout(late())
            }),
        ],
        drain: &Choice::drain,
    }
    .explore()
}
