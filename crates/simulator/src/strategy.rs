//! The ways to log in that are compared, by name.

use onetrip_core::negotiation::sasl::Mechanism;
use onetrip_core::quickstart::{Level, Transport};

/// How a client authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Login {
    /// The best SCRAM there is.
    Scram,
    /// PLAIN.
    Plain,
    /// The certificate of its TLS session.
    External,
}

impl Login {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Scram, Self::Plain, Self::External];

    /// The last part of a strategy's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scram => "scram",
            Self::Plain => "plain",
            Self::External => "external",
        }
    }

    /// The mechanisms it stands for.
    #[must_use]
    pub fn mechanisms(self) -> Vec<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .filter(|mechanism| match self {
                Self::Scram => mechanism.is_scram(),
                Self::Plain => *mechanism == Mechanism::Plain,
                Self::External => *mechanism == Mechanism::External,
            })
            .collect()
    }
}

/// What is done as in the texts that first counted (digest §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Historical {
    /// RFC 6120 §9.1: before TLS every unit is a write of its own.
    Rfc6120,
    /// The seed of XEP-0305: the server opens its stream under TLS unasked.
    Xep0305,
}

/// How a client comes back that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comeback {
    /// It logs in and resumes its session (XEP-0198).
    Resume,
    /// It shows its token (instant stream resumption).
    Token,
}

/// How the answer to a stanza between servers comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answers {
    /// Over a second connection, which the other server opens.
    Two,
    /// Over the same one (XEP-0288).
    Bidi,
}

/// A way to log in, to come back, or to connect two servers.
///
/// ```
/// # use onetrip_simulator::Strategy;
/// let strategy = Strategy::named("c2s-quickstart-starttls-scram").unwrap();
/// assert_eq!(strategy.name(), "c2s-quickstart-starttls-scram");
/// assert_eq!(Strategy::all().len(), 41);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Strategy {
    /// How far the client runs ahead.
    pub level: Level,
    /// How TLS begins.
    pub transport: Transport,
    /// How the client authenticates.
    pub login: Login,
    /// Whether it is one of the two historical counts.
    pub historical: Option<Historical>,
    /// Whether it goes on with a session.
    pub comeback: Option<Comeback>,
    /// Whether it is between servers.
    pub answers: Option<Answers>,
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

impl Strategy {
    /// All strategies: logins by level, transport and mechanism, ways to come back, ways between servers, then the
    /// historical counts.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for transport in [Transport::StartTls, Transport::DirectTls] {
            for login in Login::ALL {
                for level in Level::ALL {
                    all.push(Self {
                        level,
                        transport,
                        login,
                        historical: None,
                        comeback: None,
                        answers: None,
                    });
                }
            }
        }
        let back = |level, transport, comeback| Self {
            level,
            transport,
            login: Login::Scram,
            historical: None,
            comeback: Some(comeback),
            answers: None,
        };
        for transport in [Transport::StartTls, Transport::DirectTls] {
            all.push(back(Level::Off, transport, Comeback::Resume));
            all.push(back(Level::Full, transport, Comeback::Resume));
            all.push(back(Level::Off, transport, Comeback::Token));
        }
        all.push(back(Level::Full, Transport::StartTls, Comeback::Token));
        for transport in [Transport::StartTls, Transport::DirectTls] {
            for level in [Level::Off, Level::Full] {
                for answers in [Answers::Two, Answers::Bidi] {
                    all.push(Self {
                        level,
                        transport,
                        login: Login::External,
                        historical: None,
                        comeback: None,
                        answers: Some(answers),
                    });
                }
            }
        }
        let historical = |level, historical| Self {
            level,
            transport: Transport::StartTls,
            login: Login::Scram,
            historical: Some(historical),
            comeback: None,
            answers: None,
        };
        all.push(historical(Level::Off, Historical::Rfc6120));
        all.push(historical(Level::Full, Historical::Xep0305));
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
        let level = level_name(self.level);
        let transport = transport_name(self.transport);
        let login = self.login.name();
        match self.answers {
            Some(Answers::Two) => return format!("s2s-{level}-{transport}-{login}-two"),
            Some(Answers::Bidi) => return format!("s2s-{level}-{transport}-{login}-bidi"),
            None => {}
        }
        match (self.historical, self.comeback) {
            (Some(Historical::Rfc6120), _) => "rfc6120-9.1".to_owned(),
            (Some(Historical::Xep0305), _) => "xep0305-steps".to_owned(),
            (None, None) => format!("c2s-{level}-{transport}-{login}"),
            (None, Some(Comeback::Resume)) => format!("c2s-resume-{level}-{transport}-{login}"),
            // ISR-12: with a token even the step-by-step way has its request behind the header.
            (None, Some(Comeback::Token)) if self.level == Level::Off => {
                format!("c2s-isr-{transport}")
            }
            (None, Some(Comeback::Token)) => format!("c2s-isr-{level}-{transport}"),
        }
    }

    /// The step-by-step way to do the same, to which others are compared; before there is a session to come back to, it
    /// is the login that opens one.
    #[must_use]
    pub fn classic(&self) -> Self {
        Self {
            level: Level::Off,
            historical: None,
            ..*self
        }
    }
}
