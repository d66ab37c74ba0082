//! A TLS session without a socket, as any library can offer it.

use bytes::BytesMut;
use onetrip_core::TlsInfo;

/// How far a TLS session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsState {
    /// The handshake is under way.
    Handshaking,
    /// The handshake is under way and data may be written all the same: a server's half-RTT data
    /// (RFC 8446 §4.4.4, QS-R2). Nothing is known about the client yet.
    Sendable,
    /// The handshake has ended; data flows both ways.
    Established,
    /// The peer has closed its half with `close_notify`.
    Closed,
}

/// TLS between two byte streams: five methods that every TLS library can serve, and two for early data, which may be left
/// out.
///
/// Nothing here waits, and nothing is written anywhere but to the buffers handed in.
pub trait TlsSession {
    /// Takes all of `cipher`, appends what it decrypts to `plain`.
    ///
    /// # Errors
    /// [`TlsError`] when the peer broke TLS or its certificate is not acceptable. Final; an alert for the peer may
    /// be waiting to be written.
    fn read(&mut self, cipher: &[u8], plain: &mut BytesMut) -> Result<(), TlsError>;

    /// Encrypts all of `plain`, appends what is to be sent to `cipher`: handshake messages and alerts that were
    /// waiting first. An empty `plain` sends just those; that is how a client's ClientHello comes about.
    ///
    /// # Errors
    /// [`TlsError`] when the session cannot send data now.
    fn write(&mut self, plain: &[u8], cipher: &mut BytesMut) -> Result<(), TlsError>;

    /// How far it has come.
    fn state(&self) -> TlsState;

    /// What is known about the session; complete once it is established.
    fn info(&self) -> TlsInfo;

    /// Appends a `close_notify` to `cipher`.
    fn close(&mut self, cipher: &mut BytesMut);

    /// A client's: encrypts all of `plain` as early data of TLS 1.3 (RFC 8446 §2.3), behind its ClientHello, and appends both
    /// to `cipher`. `false` when it cannot take all of it, and nothing is appended; so for who leaves it out. Whether the
    /// server has taken it is told by [`TlsInfo::early_data`].
    fn write_early(&mut self, plain: &[u8], cipher: &mut BytesMut) -> bool {
        let _ = (plain, cipher);
        false
    }

    /// A server's: appends to `plain` the early data that was in what it has read. It may be a replay, so it never is in
    /// what [`TlsSession::read`] appends. Who leaves it out takes none.
    fn read_early(&mut self, plain: &mut BytesMut) {
        let _ = plain;
    }
}

/// For drivers whose connections may do without TLS: `None` is never used by one that does, and refuses all work.
impl<T: TlsSession> TlsSession for Option<T> {
    fn read(&mut self, cipher: &[u8], plain: &mut BytesMut) -> Result<(), TlsError> {
        self.as_mut().ok_or_else(none)?.read(cipher, plain)
    }

    fn write(&mut self, plain: &[u8], cipher: &mut BytesMut) -> Result<(), TlsError> {
        self.as_mut().ok_or_else(none)?.write(plain, cipher)
    }

    fn state(&self) -> TlsState {
        self.as_ref().map_or(TlsState::Handshaking, T::state)
    }

    fn info(&self) -> TlsInfo {
        self.as_ref().map_or_else(TlsInfo::new, T::info)
    }

    fn close(&mut self, cipher: &mut BytesMut) {
        if let Some(session) = self {
            session.close(cipher);
        }
    }

    fn write_early(&mut self, plain: &[u8], cipher: &mut BytesMut) -> bool {
        self.as_mut()
            .is_some_and(|session| session.write_early(plain, cipher))
    }

    fn read_early(&mut self, plain: &mut BytesMut) {
        if let Some(session) = self {
            session.read_early(plain);
        }
    }
}

fn none() -> TlsError {
    TlsError::new(TlsErrorKind::Configuration, "no TLS session")
}

/// Why a TLS session failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {text}")]
#[non_exhaustive]
pub struct TlsError {
    /// What kind of failure.
    pub kind: TlsErrorKind,
    /// What the library said.
    pub text: String,
}

impl TlsError {
    /// A failure of this kind.
    #[must_use]
    pub fn new(kind: TlsErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

/// Kinds of [`TlsError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TlsErrorKind {
    /// The peer's certificate was not accepted (RFC 6120 §13.7.2).
    #[error(
        "expected a certificate of the domain by an authority that is trusted, got none that is accepted"
    )]
    Certificate,
    /// The peer refused the session with an alert.
    #[error("expected the peer to go on with TLS, got an alert")]
    Alert,
    /// What came was not TLS: plaintext behind the boundary, or a peer that does not speak it.
    #[error("expected TLS, got something else")]
    NotTls,
    /// The peer broke TLS, or the two have nothing in common.
    #[error("expected TLS that both ends can speak, and they cannot")]
    Protocol,
    /// The configuration cannot work.
    #[error("expected a TLS configuration that can work, got another")]
    Configuration,
}
