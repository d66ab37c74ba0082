//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use onetrip_core::stream::Jid;

mod driving;
mod measuring;
mod serving;
mod values;

pub(crate) use driving::{Drive, Machine};
pub(crate) use measuring::{Budget, Compare, Picture, Probe, Replay, Simulate, Trace};
pub(crate) use serving::{Dialect, E2e, Offer, Serve};
use values::duration;
pub(crate) use values::nearest;

/// XMPP streams that start in the fewest round trips the protocols allow.
#[derive(Debug, Parser)]
#[command(name = "onetrip", version, about)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) output: OutputOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputOptions {
    /// Text for people, or one JSON object per line.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Letters, digits and punctuation only.
    #[arg(long, global = true)]
    pub(crate) ascii: bool,
    /// Show passwords and tokens.
    #[arg(long, global = true)]
    pub(crate) show_secrets: bool,
    /// Whether to use colours.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub(crate) color: Color,
    /// Also write the picture to this file: .svg, .mmd (Mermaid), .json (to replay) or .txt.
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in every way there is, over real sockets and TLS, and compare.
    Compare(Compare),
    /// The same in virtual time.
    Simulate(Simulate),
    /// Record one negotiation, and draw it.
    Trace(Trace),
    /// Draw a stored record again, or check what it took.
    Replay(Replay),
    /// See what a server offers and takes, without a login.
    Probe(Probe),
    /// Run the embedded server.
    Serve(Serve),
    /// Open a stream to another client, or wait for one.
    E2e(E2e),
    /// Feed bytes to one machine and print what it does.
    Drive(Drive),
}

/// Whom to connect to, over what kind of link.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// The account to log in to, or the domain of a server to connect to as a server; without it, the embedded server.
    pub(crate) jid: Option<Jid>,
    /// File with the password; else the variable ONETRIP_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Where the server is, if not where its domain says.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) connect: Option<String>,
    /// Certificates to trust, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// STARTTLS only.
    #[arg(long, conflicts_with = "direct_tls")]
    pub(crate) starttls: bool,
    /// Direct TLS only.
    #[arg(long)]
    pub(crate) direct_tls: bool,
    /// The DNS server to ask where the domain's servers are, if not the system's.
    #[arg(long, value_name = "ADDR")]
    pub(crate) dns: Option<SocketAddr>,
    /// How long a login may take, and an answer behind it [default: 30s; 10m with --rate].
    #[arg(long, value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Delay on a relay in between, there and back (100ms, 1s).
    #[arg(long, value_parser = duration)]
    pub(crate) rtt: Option<Duration>,
    /// Bits per second on that relay.
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// Make the relay hold what it gets for so long and pass it on in one piece.
    #[arg(long, value_parser = duration)]
    pub(crate) merge: Option<Duration>,
}

impl Target {
    /// How long a login may take, and an answer behind it.
    pub(crate) fn patience(&self) -> Duration {
        let usual = Duration::from_secs(if self.rate.is_some() { 600 } else { 30 });
        self.timeout.unwrap_or(usual)
    }
}
