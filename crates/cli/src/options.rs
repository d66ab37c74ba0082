//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use onetrip_core::stream::{Domain, Jid};
use onetrip_simulator::Strategy;
use onetrip_tls::rustls::Versions;

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
    /// Between servers, verify keys of dialback without TLS.
    #[arg(long)]
    pub(crate) verify_in_clear: bool,
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
    /// How long to wait for each answer.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The DNS server to ask, if not the system's.
    #[arg(long, value_name = "ADDR")]
    pub(crate) dns: Option<SocketAddr>,
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
pub(crate) struct Serve {
    /// Where to listen for STARTTLS.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Where to listen for direct TLS.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen_tls: SocketAddr,
    /// A domain to serve (repeatable).
    #[arg(long, default_value = "localhost")]
    pub(crate) domain: Vec<String>,
    /// Where to listen for other servers, with STARTTLS.
    #[arg(long, value_name = "ADDR")]
    pub(crate) s2s: Option<SocketAddr>,
    /// Where to listen for other servers, with direct TLS.
    #[arg(long, value_name = "ADDR")]
    pub(crate) s2s_tls: Option<SocketAddr>,
    /// Where the server of another domain listens, with STARTTLS (repeatable); DNS is not asked. Domains at the same place
    /// share a connection.
    #[arg(long, value_name = "DOMAIN=HOST:PORT", value_parser = peer)]
    pub(crate) peer: Vec<(String, String)>,
    /// The same with direct TLS.
    #[arg(long, value_name = "DOMAIN=HOST:PORT", value_parser = peer)]
    pub(crate) peer_tls: Vec<(String, String)>,
    /// Ask for further domains on connections that other servers have opened, too (reverse dialback, XEP-0288 §2.2).
    #[arg(long)]
    pub(crate) s2s_reverse: bool,
    /// How many connections other servers may open.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) s2s_limit: usize,
    /// How many of them from one address.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) s2s_limit_per_address: usize,
    /// How long a connection with another server stays without a stanza in either direction.
    #[arg(long, default_value = "60m", value_parser = duration)]
    pub(crate) s2s_idle: Duration,
    /// What was agreed with another server, so that nothing is negotiated with it (XEP-0361), as TOML (repeatable).
    #[arg(long, value_name = "FILE")]
    pub(crate) agreement: Vec<PathBuf>,
    /// Where to listen for servers with which there is an agreement.
    #[arg(long, value_name = "ADDR", requires = "agreement")]
    pub(crate) link: Option<SocketAddr>,
    /// Certificates to trust of other servers, as PEM; else the authority made on start, or with --cert the well-known
    /// ones. Whoever has none of these is dialed back (XEP-0220).
    #[arg(long, value_name = "FILE")]
    pub(crate) s2s_ca: Option<PathBuf>,
    /// An account (repeatable, each with its password file).
    #[arg(long, value_name = "JID")]
    pub(crate) user: Vec<Jid>,
    /// The password of the account named before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Vec<PathBuf>,
    /// Certificate chain to show, as PEM; made on start if not given.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Write the certificate to trust to this file, when it is made on start.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_out: Option<PathBuf>,
    /// Where to listen for the ends of bytestreams (XEP-0065): then proxy.DOMAIN is a proxy for them.
    #[arg(long, value_name = "ADDR")]
    pub(crate) proxy: Option<SocketAddr>,
    /// Do not announce pipelining.
    #[arg(long)]
    pub(crate) no_pipelining: bool,
    /// Do not give tokens for instant stream resumption.
    #[arg(long)]
    pub(crate) no_tokens: bool,
    /// How long a session waits for a client that was cut off.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub(crate) resume_for: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct E2e {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The full address of the client to open a stream to; without it, wait for one.
    #[arg(long, value_name = "JID")]
    pub(crate) to: Option<Jid>,
    /// Where this end can be reached, beside in band, which it always can (repeatable).
    #[arg(long, value_enum)]
    pub(crate) offer: Vec<Offer>,
    /// Ask for in-band bytestreams at once.
    #[arg(long)]
    pub(crate) in_band: bool,
    /// The proxy to offer.
    #[arg(long, value_name = "JID", required_if_eq("offer", "proxy"))]
    pub(crate) proxy: Option<Jid>,
    /// The address to listen on and offer.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: std::net::IpAddr,
    /// Connect to addresses of this very host as well.
    #[arg(long)]
    pub(crate) allow_loopback: bool,
    /// Do without TLS between the clients.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Which of the three texts to begin in.
    #[arg(long, value_enum, default_value = "modern")]
    pub(crate) dialect: Dialect,
    /// How many stanzas to send.
    #[arg(long, default_value_t = 10)]
    pub(crate) stanzas: u32,
    /// Send so many bytes over a bare bytestream, instead of a stream of stanzas, and take as many.
    #[arg(long, value_name = "BYTES")]
    pub(crate) bytes: Option<usize>,
    /// How many chunks are sent in band ahead of their acknowledgement.
    #[arg(long, default_value_t = 1)]
    pub(crate) window: u16,
}

/// Where an end can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Offer {
    /// At an address of its own.
    Direct,
    /// At a proxy.
    Proxy,
}

/// The texts of XEP-0247.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// The published text on the Jingle of today.
    Modern,
    /// The published text of 2009.
    Published,
    /// The interim text of 2009.
    Interim,
}

#[derive(Debug, Args)]
pub(crate) struct Drive {
    /// Which machine.
    #[arg(value_enum)]
    pub(crate) machine: Machine,
    /// Our address.
    #[arg(long, value_name = "JID")]
    pub(crate) local: Option<Jid>,
    /// The peer's address.
    #[arg(long, value_name = "JID")]
    pub(crate) remote: Option<Jid>,
    /// A setting of the machine (repeatable): level, transport, mechanisms, lang, advertise, proactive, management,
    /// tokens, handled=script, and the session to go on with: previd, h, acked, tok. Between servers: external, authzid,
    /// bidi, and hosted, the further domains that are ours. Of a link: agreement=FILE, or acks, on-invalid and tolerate;
    /// role=opener, and source, where the peer is.
    /// Between clients: dialect, s5b, insecure, loopback, certificate, and candidates=HOST:PORT,JID@HOST:PORT, the latter of
    /// proxies.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,
    /// Feed so many bytes at a time; 0 is all at once.
    #[arg(long, default_value_t = 0)]
    pub(crate) split: usize,
    /// Where random bytes begin.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// An upgrade to TLS succeeds at once; the bytes that follow are its plaintext.
    #[arg(long)]
    pub(crate) tls_up: bool,
    /// The domain that the peer's certificate names.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) peer_cert: Option<String>,
    /// The account: whom the initiator is, or whom the receiver lets in.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File with its password, between servers the secret that dialback keys are made from, without which there is no
    /// dialback; else the variable ONETRIP_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// A script of inputs, one JSON object per line, instead of standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Machine {
    /// The reader alone.
    Stream,
    /// A client.
    C2sInitiator,
    /// A server to its clients.
    C2sReceiver,
    /// A server that connects to another one.
    S2sInitiator,
    /// A server that another one connects to.
    S2sReceiver,
    /// One end of a zero-handshake link.
    Link,
    /// One end of a stream between two clients.
    Jingle,
}

/// What the fastest strategy may take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    pub(crate) rtt: Option<f64>,
    pub(crate) ms: Option<f64>,
}

/// `100ms`, `1.5s`, `2400us`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("'{text}' is no duration: try 100ms or 1s"))?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        _ => return Err(format!("'{text}' is no duration: try 100ms or 1s")),
    };
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("'{text}' is no duration that can be waited for"))
}

fn peer(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((domain, place)) if place.contains(':') => Ok((domain.to_owned(), place.to_owned())),
        _ => Err("DOMAIN=HOST:PORT".to_owned()),
    }
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::new(text).ok_or_else(|| format!("'{text}' is no domain"))
}

fn tls(text: &str) -> Result<Versions, String> {
    match text {
        "1.2" => Ok(Versions::Tls12),
        "1.3" => Ok(Versions::Tls13),
        _ => Err("1.2 or 1.3".to_owned()),
    }
}

fn strategy(text: &str) -> Result<Strategy, String> {
    Strategy::named(text)
        .ok_or_else(|| format!("no strategy of this name; did you mean {}?", nearest(text)))
}

/// The strategy whose name shares the most parts with `text`.
pub(crate) fn nearest(text: &str) -> String {
    let shared = |name: &String| {
        name.split('-')
            .filter(|part| text.split('-').any(|other| other == *part))
            .count()
    };
    Strategy::all()
        .iter()
        .map(Strategy::name)
        .max_by_key(shared)
        .unwrap_or_default()
}

fn budget(text: &str) -> Result<Budget, String> {
    let mut budget = Budget::default();
    for part in text.split(',') {
        let number = |value: &str| {
            value
                .parse::<f64>()
                .map_err(|_| format!("'{value}' is no number"))
        };
        match part.split_once('=') {
            Some(("rtt", value)) => budget.rtt = Some(number(value)?),
            Some(("ms", value)) => budget.ms = Some(number(value)?),
            _ => return Err("a budget looks like rtt=4,ms=800".to_owned()),
        }
    }
    Ok(budget)
}
