//! The options of the commands that go on until they are stopped, or the other end is done: serve and e2e.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use onetrip_core::stream::Jid;

use super::Target;
use super::values::{duration, peer};

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
    /// Do not offer SASL2: clients log in as RFC 6120 says.
    #[arg(long)]
    pub(crate) no_sasl2: bool,
    /// Do not give tokens, neither for instant stream resumption nor for logins (FAST).
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
