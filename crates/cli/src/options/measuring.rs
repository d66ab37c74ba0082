//! The options of the commands that measure: compare, simulate, trace, replay, probe.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use onetrip_core::stream::Domain;
use onetrip_simulator::Strategy;
use onetrip_tls::rustls::Versions;

use super::Target;
use super::values::{budget, domain, duration, strategy, tls};

#[derive(Debug, Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only these strategies (repeatable).
    #[arg(long, value_parser = strategy)]
    pub(crate) strategy: Vec<Strategy>,
    /// Only these SASL mechanisms (repeatable).
    #[arg(long)]
    pub(crate) mechanism: Vec<String>,
    /// How often to run each strategy.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Fail with exit code 4 when the fastest is slower: rtt=4,ms=800.
    #[arg(long, value_parser = budget)]
    pub(crate) budget: Option<Budget>,
    /// Between servers: the domain of ours, which the other server must find at --listen.
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub(crate) local: Option<Domain>,
    /// Between servers: where ours takes connections.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Between servers: the certificate chain that ours shows, as PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Let each strategy learn from one run to the next instead of forcing it: what a client does.
    #[arg(long)]
    pub(crate) learn: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// A strategy, or all (repeatable).
    #[arg(long, default_value = "all")]
    pub(crate) strategy: Vec<String>,
    /// The version of TLS.
    #[arg(long, default_value = "1.3", value_parser = tls)]
    pub(crate) tls: Versions,
    /// The link's delay, there and back.
    #[arg(long, default_value = "100ms", value_parser = duration)]
    pub(crate) rtt: Duration,
    /// The link's bits per second.
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// Where random bytes begin.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Cut the connection behind this byte of what the client sends.
    #[arg(long, value_name = "BYTE")]
    pub(crate) cut_at: Option<u64>,
    /// Deliver in pieces of so many bytes.
    #[arg(long, value_name = "N")]
    pub(crate) split: Option<usize>,
    /// Draw the ladder of each strategy.
    #[arg(long)]
    pub(crate) ladder: bool,
    /// What to draw into the file of -o; without, the ladder of one strategy, two beside each other, the slopes of more.
    #[arg(long, value_enum)]
    pub(crate) picture: Option<Picture>,
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The strategy to follow.
    #[arg(long, value_parser = strategy, default_value = "c2s-quickstart-starttls-scram")]
    pub(crate) strategy: Strategy,
    /// In virtual time, between our own two ends.
    #[arg(long, conflicts_with = "jid")]
    pub(crate) simulate: bool,
    /// The version of TLS, with --simulate.
    #[arg(long, default_value = "1.3", value_parser = tls)]
    pub(crate) tls: Versions,
    /// Where random bytes begin, with --simulate.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// What to draw into the file of -o.
    #[arg(long, value_enum, default_value = "ladder")]
    pub(crate) picture: Picture,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A record that `trace --format json` or `-o FILE.json` has written.
    pub(crate) file: PathBuf,
    /// A second record, to be drawn beside the first.
    pub(crate) beside: Option<PathBuf>,
    /// Fail with exit code 4 when it took more: rtt=4,ms=800.
    #[arg(long, value_parser = budget)]
    pub(crate) budget: Option<Budget>,
    /// What to draw into the file of -o; without, the ladder of one record, two beside each other.
    #[arg(long, value_enum)]
    pub(crate) picture: Option<Picture>,
}

#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// Whose servers to look at.
    #[arg(value_parser = domain)]
    pub(crate) domain: Domain,
    /// Where the server is, if not where DNS says; with --s2s and --direct-tls if it is that.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) connect: Option<String>,
    /// Clients' servers only.
    #[arg(long, conflicts_with = "s2s")]
    pub(crate) c2s: bool,
    /// Servers' servers only.
    #[arg(long)]
    pub(crate) s2s: bool,
    /// STARTTLS only.
    #[arg(long, conflicts_with = "direct_tls")]
    pub(crate) starttls: bool,
    /// Direct TLS only.
    #[arg(long)]
    pub(crate) direct_tls: bool,
    /// Certificates to trust, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Log in to this account as well, once by each way that there may be, and say what the server does.
    #[arg(long, value_name = "NAME", conflicts_with = "s2s")]
    pub(crate) user: Option<String>,
    /// File with its password; else the variable ONETRIP_PASSWORD.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// How long to wait for each answer.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The DNS server to ask, if not the system's.
    #[arg(long, value_name = "ADDR")]
    pub(crate) dns: Option<SocketAddr>,
}

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// Each write of one exchange.
    Ladder,
    /// Two exchanges on one time axis.
    Beside,
    /// What a longer link costs each strategy.
    Slope,
    /// Which phases of one exchange overlapped.
    Phases,
}

/// What the fastest strategy may take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    pub(crate) rtt: Option<f64>,
    pub(crate) ms: Option<f64>,
}
