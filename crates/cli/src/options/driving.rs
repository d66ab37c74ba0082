//! The options of `onetrip drive`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onetrip_core::stream::Jid;

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
    /// Of SASL2: sasl2, agent, which is the id of the client, tag, config-version, fast and tasks, by name for a client, and
    /// token=MECHANISM:TOKEN, which both may know.
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
