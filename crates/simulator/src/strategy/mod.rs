//! The ways to connect that are compared, by name.

use onetrip_core::fast::{self, DateTime};
use onetrip_core::isr::Dialects;
use onetrip_core::negotiation::sasl::Mechanism;
use onetrip_core::quickstart::{Level, Transport};
use onetrip_core::{FastLogin, Management, Sasl2Login};

mod parts;

pub use parts::{Answers, Carrier, Comeback, Historical, Login, Proof};

/// A way to log in, to come back, or to connect two servers or two clients.
///
/// ```
/// # use onetrip_simulator::Strategy;
/// let strategy = Strategy::named("c2s-quickstart-starttls-scram").unwrap();
/// assert_eq!(strategy.name(), "c2s-quickstart-starttls-scram");
/// assert_eq!(Strategy::all().len(), 93);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// A client logs in.
    Login {
        /// How far it runs ahead.
        level: Level,
        /// How TLS begins.
        transport: Transport,
        /// How it authenticates.
        login: Login,
    },
    /// A client comes back that was cut off.
    Comeback {
        /// How far it runs ahead.
        level: Level,
        /// How TLS begins.
        transport: Transport,
        /// How it goes on.
        comeback: Comeback,
    },
    /// A client logs in by SASL2, with its resource or its session in the same exchange (XEP-0388, XEP-0386).
    Sasl2 {
        /// How far it runs ahead.
        level: Level,
        /// How TLS begins.
        transport: Transport,
        /// How it authenticates.
        login: Login,
        /// Whether it was cut off and goes on with its session.
        resumes: bool,
    },
    /// The same by a token instead of the password (XEP-0484).
    Fast {
        /// How far it runs ahead.
        level: Level,
        /// How TLS begins.
        transport: Transport,
        /// Whether it was cut off and goes on with its session.
        resumes: bool,
        /// Whether the login goes as early data of TLS 1.3.
        early: bool,
    },
    /// A server connects to another.
    Servers {
        /// How far it runs ahead.
        level: Level,
        /// How TLS begins.
        transport: Transport,
        /// How it proves its domain.
        proof: Proof,
        /// How answers come back.
        answers: Answers,
    },
    /// Two servers have agreed on everything, and stanzas flow at once (XEP-0361).
    Zero {
        /// Whether over TLS, which begins with the first byte.
        tls: bool,
    },
    /// A client opens a stream to another.
    Clients(Carrier),
    /// One of the two historical counts.
    Historical(Historical),
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Off => "classic",
        Level::Safe => "safe",
        Level::Paced => "paced",
        Level::Full => "quickstart",
    }
}

const fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::StartTls => "starttls",
        Transport::DirectTls => "direct",
    }
}

const TRANSPORTS: [Transport; 2] = [Transport::StartTls, Transport::DirectTls];

impl Strategy {
    /// All strategies: logins by transport, mechanism and level, ways to come back, ways between servers and between
    /// clients, then the historical counts.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for transport in TRANSPORTS {
            for login in Login::ALL {
                all.extend(Level::ALL.map(|level| Self::Login {
                    level,
                    transport,
                    login,
                }));
            }
        }
        for transport in TRANSPORTS {
            let ways = [
                (Level::Off, Comeback::Resume),
                (Level::Full, Comeback::Resume),
                (Level::Off, Comeback::Token),
                (Level::Full, Comeback::Token),
            ];
            // On direct TLS a token goes out behind the header at every level (ISR-12).
            let distinct = |&(level, comeback): &(Level, Comeback)| {
                transport == Transport::StartTls
                    || (level, comeback) != (Level::Full, Comeback::Token)
            };
            all.extend(
                ways.into_iter()
                    .filter(distinct)
                    .map(|(level, comeback)| Self::Comeback {
                        level,
                        transport,
                        comeback,
                    }),
            );
        }
        all.extend(
            [
                (Level::Off, Comeback::Key),
                (Level::Safe, Comeback::KeyLogin),
            ]
            .map(|(level, comeback)| Self::Comeback {
                level,
                transport: Transport::DirectTls,
                comeback,
            }),
        );
        for transport in TRANSPORTS {
            // There is no restart to run ahead of, so what every server takes is all there is to be sent ahead.
            let ways = [
                (Level::Off, false),
                (Level::Safe, false),
                (Level::Safe, true),
            ];
            for (level, resumes) in ways {
                all.extend([Login::Scram, Login::Plain].map(|login| Self::Sasl2 {
                    level,
                    transport,
                    login,
                    resumes,
                }));
                for early in [false, true] {
                    // By STARTTLS a round trip goes before the ClientHello; and early data is sent ahead, or it is none.
                    let direct = transport == Transport::DirectTls;
                    if !early || (direct && level == Level::Safe) {
                        all.push(Self::Fast {
                            level,
                            transport,
                            resumes,
                            early,
                        });
                    }
                }
            }
        }
        for transport in TRANSPORTS {
            for level in Level::ALL {
                for proof in [Proof::External, Proof::Dialback] {
                    all.extend([Answers::Two, Answers::Bidi].map(|answers| Self::Servers {
                        level,
                        transport,
                        proof,
                        answers,
                    }));
                }
            }
        }
        let clear = |answers| Self::Servers {
            level: Level::Off,
            transport: Transport::StartTls,
            proof: Proof::DialbackInClear,
            answers,
        };
        all.extend([Answers::Two, Answers::Bidi].map(clear));
        all.extend([false, true].map(|tls| Self::Zero { tls }));
        all.extend([Carrier::InBand, Carrier::Socks5].map(Self::Clients));
        all.extend([Historical::Rfc6120, Historical::Xep0305].map(Self::Historical));
        all
    }

    /// The strategy of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all()
            .into_iter()
            .find(|strategy| strategy.name() == name)
    }

    /// Its name, as the program takes and prints it.
    #[must_use]
    pub fn name(&self) -> String {
        let (level, transport) = (level_name(self.level()), transport_name(self.transport()));
        // By SASL2 it is the rule to send ahead what every server takes.
        let ahead = match self.level() {
            Level::Off => "-classic",
            _ => "",
        };
        match *self {
            Self::Login { login, .. } => format!("c2s-{level}-{transport}-{}", login.name()),
            Self::Comeback {
                comeback: Comeback::Resume,
                ..
            } => format!("c2s-resume-{level}-{transport}-scram"),
            Self::Comeback {
                comeback: Comeback::Key,
                ..
            } => format!("c2s-isr-d2-{transport}"),
            Self::Comeback {
                comeback: Comeback::KeyLogin,
                ..
            } => format!("c2s-isr-d3-{transport}"),
            // ISR-12: with a token even the step-by-step way has its request behind the header.
            Self::Comeback {
                level: Level::Off, ..
            } => format!("c2s-isr-{transport}"),
            Self::Comeback { .. } => format!("c2s-isr-{level}-{transport}"),
            Self::Sasl2 { login, resumes, .. } => {
                let way = if resumes { "resume-sasl2" } else { "sasl2" };
                format!("c2s-{way}{ahead}-{transport}-{}", login.name())
            }
            Self::Fast { resumes, early, .. } => {
                let way = if resumes { "resume-fast" } else { "fast" };
                let early = if early { "-0rtt" } else { "" };
                format!("c2s-{way}{ahead}-{transport}{early}")
            }
            // Only step by step, and only behind STARTTLS.
            Self::Servers {
                proof: proof @ Proof::DialbackInClear,
                answers,
                ..
            } => format!("s2s-{transport}-{}-{}", proof.name(), answers.name()),
            Self::Servers { proof, answers, .. } => {
                format!(
                    "s2s-{level}-{transport}-{}-{}",
                    proof.name(),
                    answers.name()
                )
            }
            Self::Zero { tls: false } => "s2s-zero-tcp".to_owned(),
            Self::Zero { tls: true } => "s2s-zero-tls".to_owned(),
            Self::Clients(carrier) => format!("e2e-{}", carrier.name()),
            Self::Historical(Historical::Rfc6120) => "rfc6120-9.1".to_owned(),
            Self::Historical(Historical::Xep0305) => "xep0305-steps".to_owned(),
        }
    }

    /// How far the initiating entity runs ahead.
    #[must_use]
    pub const fn level(&self) -> Level {
        match *self {
            Self::Login { level, .. }
            | Self::Comeback { level, .. }
            | Self::Sasl2 { level, .. }
            | Self::Fast { level, .. }
            | Self::Servers { level, .. } => level,
            Self::Zero { .. } | Self::Clients(_) | Self::Historical(Historical::Rfc6120) => {
                Level::Off
            }
            Self::Historical(Historical::Xep0305) => Level::Full,
        }
    }

    /// Whether it is there to be counted only, and no end of ours does so on a real connection.
    #[must_use]
    pub const fn is_only_simulated(&self) -> bool {
        matches!(
            self,
            Self::Historical(_)
                | Self::Servers {
                    proof: Proof::DialbackInClear,
                    ..
                }
        )
    }

    /// Whether it is between two servers.
    #[must_use]
    pub const fn is_between_servers(&self) -> bool {
        matches!(self, Self::Servers { .. } | Self::Zero { .. })
    }

    /// How TLS begins, if there is any.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match *self {
            Self::Login { transport, .. }
            | Self::Comeback { transport, .. }
            | Self::Sasl2 { transport, .. }
            | Self::Fast { transport, .. }
            | Self::Servers { transport, .. } => transport,
            Self::Zero { .. } | Self::Clients(_) => Transport::DirectTls,
            Self::Historical(_) => Transport::StartTls,
        }
    }

    /// How a client authenticates; between servers, and between clients, `None`.
    #[must_use]
    pub const fn login(&self) -> Option<Login> {
        match *self {
            Self::Login { login, .. } | Self::Sasl2 { login, .. } => Some(login),
            // The token is handed out behind a password.
            Self::Comeback { .. } | Self::Fast { .. } | Self::Historical(_) => Some(Login::Scram),
            Self::Servers { .. } | Self::Zero { .. } | Self::Clients(_) => None,
        }
    }

    /// How a client comes back, if that is what it does.
    #[must_use]
    pub const fn comeback(&self) -> Option<Comeback> {
        match *self {
            Self::Comeback { comeback, .. } => Some(comeback),
            Self::Sasl2 { resumes: true, .. } | Self::Fast { resumes: true, .. } => {
                Some(Comeback::Resume)
            }
            _ => None,
        }
    }

    /// Whether a client logs in by SASL2.
    #[must_use]
    pub const fn is_sasl2(&self) -> bool {
        matches!(
            self,
            Self::Sasl2 { .. }
                | Self::Fast { .. }
                | Self::Comeback {
                    comeback: Comeback::KeyLogin,
                    ..
                }
        )
    }

    /// By which texts of instant stream resumption a session is brought back: its own and no other.
    #[must_use]
    pub fn dialects(&self) -> Dialects {
        let mut dialects = Dialects::NONE;
        match self.comeback() {
            Some(Comeback::Token) => dialects.seed = true,
            Some(Comeback::Key) => dialects.hmac = true,
            Some(Comeback::KeyLogin) => dialects.sasl2 = true,
            Some(Comeback::Resume) | None => {}
        }
        dialects
    }

    /// What a client asks of stream management, if it comes back.
    #[must_use]
    pub fn management(&self) -> Option<Management> {
        let mut management = Management::default();
        management.instant = self.dialects();
        self.comeback().map(|_| management)
    }

    /// Whether the login goes as early data of TLS 1.3.
    #[must_use]
    pub const fn is_early(&self) -> bool {
        matches!(self, Self::Fast { early: true, .. })
    }

    /// How a client is to log in by SASL2, if that is the strategy, at this time.
    #[must_use]
    pub fn sasl2(&self, now: DateTime) -> Option<Sasl2Login> {
        let fast = match self {
            Self::Fast { .. } => {
                // XEP-0484 §6: those that bind the channel first.
                let all = Mechanism::TOKEN.into_iter().rev();
                let mut policy = fast::Policy::new(all.map(Mechanism::name));
                policy.early = self.is_early();
                Some(FastLogin::new(policy).at(now))
            }
            _ if self.is_sasl2() => None,
            _ => return None,
        };
        let mut login = Sasl2Login::default();
        login.fast = fast;
        Some(login)
    }

    /// How a server proves its domain; for a client, and where servers have agreed, `None`.
    #[must_use]
    pub const fn proof(&self) -> Option<Proof> {
        match *self {
            Self::Servers { proof, .. } => Some(proof),
            _ => None,
        }
    }

    /// How answers between servers come back; for a client, `None`.
    #[must_use]
    pub const fn answers(&self) -> Option<Answers> {
        match *self {
            Self::Servers { answers, .. } => Some(answers),
            _ => None,
        }
    }

    /// The step-by-step way to do the same by the means of RFC 6120, to which others are compared.
    #[must_use]
    pub const fn classic(&self) -> Self {
        let (level, transport) = (Level::Off, self.transport());
        match *self {
            Self::Sasl2 { resumes: true, .. } | Self::Fast { resumes: true, .. } => {
                Self::Comeback {
                    level,
                    transport,
                    comeback: Comeback::Resume,
                }
            }
            Self::Comeback {
                comeback: Comeback::KeyLogin,
                ..
            } => Self::Comeback {
                level,
                transport,
                comeback: Comeback::Resume,
            },
            Self::Login { login, .. } | Self::Sasl2 { login, .. } => Self::Login {
                level,
                transport,
                login,
            },
            Self::Fast { .. } => Self::Login {
                level,
                transport,
                login: Login::Scram,
            },
            Self::Comeback { comeback, .. } => Self::Comeback {
                level,
                transport,
                comeback,
            },
            Self::Servers { proof, answers, .. } => Self::Servers {
                level,
                transport,
                proof,
                answers,
            },
            Self::Zero { .. } | Self::Clients(_) => *self,
            Self::Historical(_) => Self::Login {
                level,
                transport,
                login: Login::Scram,
            },
        }
    }
}
