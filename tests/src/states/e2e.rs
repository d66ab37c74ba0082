//! A whole stream between two clients, on TLS that encrypts nothing.

use core::fmt;

use onetrip_core::e2e::{Action, Config, EndToEnd};
use onetrip_core::jingle::Dialect;
use onetrip_core::jingle::s5b::{Attempt, Info, Link};
use onetrip_core::jingle::session::Reason;
use onetrip_core::stream::{Content, Env, Stanza};

use super::jingle::{PEER, US, Way, jid};
use super::{Diagram, Subject, late, printed, stanza, with_env};

/// A stream takes so many inputs at most, from its beginning to its end.
const STEPS: usize = 8;
const BYTESTREAM: &str = "xmlns='http://jabber.org/protocol/ibb'";

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![end_to_end()]
}

/// One end, and what it has asked for.
struct End {
    way: Way,
    machine: EndToEnd,
    /// The ids of its requests.
    asked: Vec<String>,
    attempt: Option<Attempt>,
}

impl fmt::Debug for End {
    /// Without numbers: what is counted leads nowhere else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printed = format!("{:?}", self.machine);
        f.write_str(&printed.replace(|letter: char| letter.is_ascii_digit(), ""))
    }
}

impl End {
    fn initiate(in_band: bool) -> Self {
        let way = Way::new(Dialect::Modern, in_band);
        let (us, peer, none) = (jid(US), jid(PEER), Vec::new());
        let config = Config::new(way.config());
        let made = with_env(|env| EndToEnd::initiate(config, env, us, peer, None, none));
        Self::new(way, made.unwrap())
    }

    fn incoming(in_band: bool) -> Self {
        let way = Way::new(Dialect::Modern, in_band);
        let (config, asked) = (Config::new(way.config()), way.asks());
        let made = with_env(|env| EndToEnd::incoming(config, env, jid(US), &asked, true));
        Self::new(way, made.unwrap())
    }

    fn new(way: Way, machine: EndToEnd) -> Self {
        Self {
            way,
            machine,
            asked: Vec::new(),
            attempt: None,
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut EndToEnd, &mut Env<'_>)) {
        with_env(|env| act(&mut self.machine, env));
    }

    fn says(&mut self, action: &str, content: &str) {
        let request = self.way.says(action, content);
        self.act(|machine, env| {
            machine.handle(env, &request);
        });
    }

    fn iq(&mut self, kind: &str, id: &str, child: &str) {
        let text =
            format!("<iq xmlns='jabber:client' type='{kind}' id='{id}' from='{PEER}'>{child}</iq>");
        let stanza = stanza(&text);
        self.act(|machine, env| {
            machine.handle(env, &stanza);
        });
    }

    /// The connection that was asked for is made, and the streamhost there says yes to everything.
    fn connected(&mut self) {
        let Some(attempt) = self.attempt else { return };
        self.act(|machine, env| {
            machine.connected(env, attempt);
            for answer in [&[5, 0][..], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]] {
                machine.receive(env, Link::Made(attempt), answer);
            }
        });
    }

    fn drain(&mut self) -> bool {
        let action = self.machine.poll_action();
        match &action {
            Some(Action::Send(stanza)) if stanza.head().type_.as_deref() == Some("set") => {
                self.asked
                    .extend(stanza.head().id.as_deref().map(str::to_owned));
            }
            Some(Action::Connect { attempt, .. }) => self.attempt = Some(*attempt),
            Some(Action::Encrypt(bytes)) => self.act(|machine, env| machine.transmit(env, bytes)),
            _ => {}
        }
        action.is_some()
    }
}

fn end_to_end() -> Diagram {
    Subject {
        name: "onetrip-core: `e2e::EndToEnd`",
        table: "core/src/e2e/end_to_end.rs",
        state: &|end: &End| printed("state")(&end.machine),
        begins: &[
            ("initiate()", &|| End::initiate(true)),
            ("initiate()", &|| End::initiate(false)),
            ("incoming()", &|| End::incoming(true)),
        ],
        inputs: &[
            ("session-accept", &|end| {
                end.says("session-accept", &end.way.offer());
            }),
            ("accept()", &|end| {
                end.act(|machine, env| machine.accept(env, Vec::new()))
            }),
            ("candidate-error", &|end| {
                end.says("transport-info", &end.way.report(Info::Error));
            }),
            ("security-info", &|end| {
                end.says("security-info", &end.way.security());
            }),
            ("the results of what it asked", &|end| {
                for id in end.asked.clone() {
                    end.iq("result", &id, "");
                }
            }),
            ("the connection is made", &End::connected),
            ("closed()", &|end| {
                if let Some(attempt) = end.attempt {
                    end.act(|machine, env| machine.closed(env, Link::Made(attempt)));
                }
            }),
            ("open", &|end| {
                let open = format!("<open {BYTESTREAM} sid='{}' block-size='4096'/>", Way::id());
                end.iq("set", "o", &open);
            }),
            ("close", &|end| {
                let close = format!("<close {BYTESTREAM} sid='{}'/>", Way::id());
                end.iq("set", "c", &close);
            }),
            ("tls_established()", &|end| {
                end.act(|machine, env| machine.tls_established(env, Some(b"theirs")));
            }),
            ("tls_established() with another certificate", &|end| {
                end.act(|machine, env| machine.tls_established(env, Some(b"another")));
            }),
            ("tls_failed()", &|end| end.act(EndToEnd::tls_failed)),
            ("the header", &|end| {
                let names = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
                let header = format!("<stream:stream {names} version='1.0'>");
                end.act(|machine, env| machine.receive_plain(env, header.as_bytes()));
            }),
            ("a stanza", &|end| {
                end.act(|machine, env| machine.receive_plain(env, b"<message/>"));
            }),
            ("the footer", &|end| {
                end.act(|machine, env| machine.receive_plain(env, b"</stream:stream>"));
            }),
            ("receive_eof()", &|end| end.act(EndToEnd::receive_eof)),
            ("send()", &|end| {
                let stanza = Stanza::parse(b"<message/>", Content::Client).unwrap();
                end.act(|machine, env| {
                    let _ = machine.send(env, &stanza);
                });
            }),
            ("close()", &|end| end.act(EndToEnd::close)),
            ("tls_closed()", &|end| end.act(EndToEnd::tls_closed)),
            ("session-terminate", &|end| {
                end.says("session-terminate", "")
            }),
            ("terminate()", &|end| {
                end.act(|machine, env| machine.terminate(env, Reason::Cancel));
            }),
            ("its deadline", &|end| {
                let mut entropy = |out: &mut [u8]| out.fill(7);
                let env = &mut Env::new(late(), &mut entropy);
                end.machine.handle_timeout(env);
            }),
        ],
        drain: &End::drain,
    }
    .explore_to(STEPS)
}
