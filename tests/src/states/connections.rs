//! Whole connections, as the core composes them, with TLS by STARTTLS.

use core::fmt;

use onetrip_core::negotiation::{bind, sasl};
use onetrip_core::quickstart::{Cache, Key, Level, Policy, Transport};
use onetrip_core::stream::{Domain, Jid, Secret};
use onetrip_core::zero_handshake::{Agreement, CertificateRule, Security, Terms, TlsTerms};
use onetrip_core::{
    Action, Answer, ClientConfig, Connection, Event, InboundConfig, LinkConfig, OutboundConfig,
    ServerConfig, TlsInfo,
};

use super::{Diagram, Given, Subject, late, with_env};

/// A negotiation takes so many inputs at most.
const STEPS: usize = 16;
const HEADER: &str = ", header seen";
const STREAMS: &str = "xmlns:stream='http://etherx.jabber.org/streams'";
const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![
        client(Level::Off, "a client, step by step"),
        client(Level::Full, "a client that sends ahead"),
        outbound(),
        server(),
        inbound(),
        link(),
    ]
}

/// A connection, which prints its state and nothing else but whether it is to be closed.
struct Core {
    connection: Connection,
    /// What has come since the last restart, in words.
    seen: &'static str,
    closing: bool,
    state: fn(&str, &str) -> String,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.state(), self.closing)
    }
}

impl Core {
    fn new(connection: Connection, state: fn(&str, &str) -> String) -> Self {
        Self {
            connection,
            seen: "",
            closing: false,
            state,
        }
    }

    fn state(&self) -> String {
        let printed = format!("{:?}", self.connection);
        if printed.contains("failed: Some") {
            "Failed".to_owned()
        } else if printed.contains("closed: true") {
            "Closed".to_owned()
        } else {
            (self.state)(&printed, self.seen)
        }
    }

    fn header(&mut self, content: &str) {
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='{content}' {STREAMS} version='1.0' id='s1' {}>",
            if content == "jabber:client" {
                "from='capulet.lit'"
            } else {
                "from='montague.lit' to='capulet.lit'"
            }
        );
        self.begun();
        self.take(&header);
    }

    fn begun(&mut self) {
        if self.seen.is_empty() {
            self.seen = HEADER;
        }
    }

    fn features(&mut self, children: &str) {
        self.take(&format!("<stream:features>{children}</stream:features>"));
    }

    fn take(&mut self, text: &str) {
        let _ = with_env(|env| self.connection.receive(env, text.as_bytes()));
    }

    fn secured(&mut self) {
        self.secured_with("montague.lit");
    }

    fn secured_with(&mut self, name: &str) {
        let mut info = TlsInfo::new();
        info.names = vec![name.to_owned()];
        let _ = with_env(|env| self.connection.tls_established(env, info, b""));
    }

    fn answer(&mut self, answer: Answer) {
        let _ = with_env(|env| self.connection.answer(env, answer));
    }

    fn drain(&mut self) -> bool {
        let action = self.connection.poll_action();
        match action {
            Some(Action::UpgradeReceive) => self.seen = ", TLS begins",
            Some(Action::Event(Event::Secured | Event::Authenticated { .. })) => self.seen = "",
            _ => {}
        }
        action.is_some()
    }
}

/// Both halves of an initiating entity: what goes out next, and what is waited for.
fn halves(printed: &str, _: &str) -> String {
    let Some((_, halves)) = printed.split_once(", next: ") else {
        // What a connection is once it has left its negotiation behind.
        assert!(printed.contains("role: Online"));
        return "Nothing next, Anything awaited".to_owned();
    };
    let (next, rest) = halves.split_once(", expect: ").unwrap();
    let (expect, _) = rest.split_once(", starttls").unwrap();
    format!("{next} next, {expect} awaited")
}

/// What a receiving entity has reached, and whether the caller is being asked.
fn reached(printed: &str, seen: &str) -> String {
    let (_, facts) = printed.split_once("facts: Facts(").unwrap();
    let reached = match facts.split_once(')').unwrap().0 {
        "0" => "Clear",
        "1" => "Secured",
        "3" => "Authenticated",
        _ => return "Bound".to_owned(),
    };
    let deciding = printed.contains("pending: Some(");
    let more = if deciding { ", deciding" } else { seen };
    format!("{reached}{more}")
}

/// Whether a link is there.
fn there(printed: &str, _: &str) -> String {
    let securing = printed.contains("state: Securing");
    if securing { "Securing" } else { "Up" }.to_owned()
}

fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

fn explore(name: &str, begin: &dyn Fn() -> Core, inputs: &[Given<'_, Core>]) -> Diagram {
    let closing: [Given<'_, Core>; 4] = [
        ("the footer", &|core| core.take("</stream:stream>")),
        ("the end of the transport", &|core| {
            with_env(|env| core.connection.receive_eof(env))
        }),
        ("close()", &|core| {
            core.closing = true;
            with_env(|env| core.connection.close(env));
        }),
        ("its deadline", &|core| {
            let mut entropy = |out: &mut [u8]| out.fill(7);
            let mut env = onetrip_core::stream::Env::new(late(), &mut entropy);
            core.connection.handle_timeout(&mut env);
        }),
    ];
    Subject {
        name: &format!("onetrip-core: `Connection`, {name}"),
        table: "",
        state: &Core::state,
        begins: &[("", begin)],
        inputs: &[inputs, &closing].concat(),
        drain: &Core::drain,
    }
    .explore_to(STEPS)
}

fn policy(level: Level) -> Policy {
    let mut policy = Policy::default();
    policy.force = Some(level);
    policy
}

fn client(level: Level, name: &str) -> Diagram {
    let account: Jid = "juliet@capulet.lit".parse().unwrap();
    let id = with_env(|env| env.random_id());
    let begin = || {
        let sasl = sasl::InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
        let config = ClientConfig::new(account.clone(), Transport::StartTls, sasl);
        let key = Key::new(domain("capulet.lit"), Some(&account), Transport::StartTls);
        let plan = Cache::default().plan(&key, &policy(level));
        let made = with_env(|env| Connection::client(config, plan, env));
        Core::new(made, halves)
    };
    explore(
        name,
        &begin,
        &[
            ("header", &|core| core.header("jabber:client")),
            ("features with starttls", &|core| {
                core.features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            }),
            ("features with mechanisms", &|core| {
                let mechanism = "<mechanism>PLAIN</mechanism>";
                core.features(&format!("<mechanisms {SASL}>{mechanism}</mechanisms>"));
            }),
            ("features with bind", &|core| {
                core.features(&format!("<bind xmlns='{BIND}'/>"))
            }),
            ("proceed", &|core| {
                core.take("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            }),
            ("TLS is up", &Core::secured),
            ("success", &|core| core.take(&format!("<success {SASL}/>"))),
            ("failure of SASL", &|core| {
                core.take(&format!("<failure {SASL}><not-authorized/></failure>"));
            }),
            ("the result of bind", &|core| {
                let jid = "<jid>juliet@capulet.lit/balcony</jid>";
                core.take(&format!(
                    "<iq type='result' id='{id}'><bind xmlns='{BIND}'>{jid}</bind></iq>"
                ));
            }),
        ],
    )
}

fn outbound() -> Diagram {
    let begin = || {
        let connection = onetrip_core::dialback::ConnectionId(1);
        let (ours, theirs) = (domain("capulet.lit"), domain("montague.lit"));
        let config = OutboundConfig::new(connection, ours, theirs.clone(), Transport::StartTls);
        let key = Key::new(theirs, None, Transport::StartTls);
        let plan = Cache::default().plan(&key, &policy(Level::Off));
        let made = with_env(|env| Connection::outbound(config, plan, env));
        Core::new(made, halves)
    };
    explore(
        "to another server, step by step",
        &begin,
        &[
            ("header", &|core| core.header("jabber:server")),
            ("features with starttls", &|core| {
                core.features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            }),
            ("features with EXTERNAL", &|core| {
                let mechanism = "<mechanism>EXTERNAL</mechanism>";
                core.features(&format!("<mechanisms {SASL}>{mechanism}</mechanisms>"));
            }),
            ("features", &|core| core.features("")),
            ("proceed", &|core| {
                core.take("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            }),
            ("TLS is up", &Core::secured),
            ("success", &|core| core.take(&format!("<success {SASL}/>"))),
            ("failure of SASL", &|core| {
                core.take(&format!("<failure {SASL}><not-authorized/></failure>"));
            }),
        ],
    )
}

fn server() -> Diagram {
    let begin = || {
        let sasl = sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]);
        let domains = vec![domain("capulet.lit")];
        let config = ServerConfig::new(domains, Transport::StartTls, sasl);
        let made = with_env(|env| Connection::server(config, env));
        Core::new(made, reached)
    };
    explore(
        "from a client",
        &begin,
        &[
            ("header", &|core| {
                core.begun();
                core.take(&format!(
                    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' {STREAMS} version='1.0' to='capulet.lit'>"
                ));
            }),
            ("starttls", &|core| {
                core.take("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            }),
            ("TLS is up", &Core::secured),
            ("auth", &|core| {
                core.take(&format!(
                    "<auth {SASL} mechanism='PLAIN'>AGp1bGlldAByMG0zMG15cjBtMzA=</auth>"
                ));
            }),
            ("the answer accept", &|core| {
                let identity = "juliet".to_owned();
                core.answer(Answer::Sasl(sasl::Answer::Accept { identity }));
            }),
            ("the answer refuse", &|core| {
                let refuse = sasl::Answer::Refuse(sasl::Refusal::NotAuthorized);
                core.answer(Answer::Sasl(refuse));
            }),
            ("bind", &|core| {
                core.take(&format!(
                    "<iq type='set' id='b'><bind xmlns='{BIND}'/></iq>"
                ));
            }),
            ("the answer bound", &|core| {
                let jid = "juliet@capulet.lit/balcony".parse().expect("an address");
                core.answer(Answer::Bind(bind::Answer::Bound { jid }));
            }),
            ("the answer conflict", &|core| {
                let condition = "conflict";
                core.answer(Answer::Bind(bind::Answer::Refused { condition }));
            }),
            ("a message", &|core| core.take("<message/>")),
        ],
    )
}

fn inbound() -> Diagram {
    let begin = || {
        let connection = onetrip_core::dialback::ConnectionId(1);
        let config =
            InboundConfig::new(connection, vec![domain("capulet.lit")], Transport::StartTls);
        let made = with_env(|env| Connection::inbound(config, env));
        Core::new(made, reached)
    };
    explore(
        "from another server",
        &begin,
        &[
            ("header", &|core| core.header("jabber:server")),
            ("starttls", &|core| {
                core.take("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            }),
            (
                "TLS is up, its certificate proves the domain",
                &Core::secured,
            ),
            ("auth EXTERNAL", &|core| {
                core.take(&format!("<auth {SASL} mechanism='EXTERNAL'>=</auth>"));
            }),
            ("a message of the pair", &|core| {
                core.take("<message from='montague.lit' to='capulet.lit'/>");
            }),
        ],
    )
}

fn link() -> Diagram {
    let begin = || {
        let (ours, theirs) = (domain("capulet.lit"), domain("montague.lit"));
        let security = Security::Tls(TlsTerms::new(CertificateRule::Names));
        let mut terms = Terms::new(vec![ours], vec![theirs], security);
        terms.address = "192.0.2.1:5299".parse().ok();
        let agreement = Agreement::new(terms).unwrap();
        let admitted = agreement.reached("192.0.2.1:5299".parse().unwrap(), None);
        let config = LinkConfig::new(agreement, admitted.unwrap());
        Core::new(
            with_env(|env| Connection::link(config, env)).unwrap(),
            there,
        )
    };
    let diagram = explore(
        "of an agreement",
        &begin,
        &[
            (
                "TLS is up, its certificate is the agreed one",
                &Core::secured,
            ),
            ("TLS is up, its certificate is another", &|core| {
                core.secured_with("verona.lit");
            }),
            ("a message of the pair", &|core| {
                core.take("<message from='montague.lit' to='capulet.lit'/>");
            }),
            ("a message of another", &|core| {
                core.take("<message from='verona.lit' to='capulet.lit'/>");
            }),
        ],
    );
    Diagram {
        table: "core/src/link/end.rs".to_owned(),
        ..diagram
    }
}
