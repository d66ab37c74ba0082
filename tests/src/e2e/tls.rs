//! TLS of a test: on rustls, or something that behaves as TLS does.

use bytes::BytesMut;
use onetrip_core::TlsInfo;
use onetrip_core::jingle::xtls::TlsRole;
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::{TlsError, TlsErrorKind, TlsSession, TlsState};

use super::Setting;

/// The certificate that an end pretends to have.
#[must_use]
pub fn pretended(end: usize) -> Vec<u8> {
    ["certificate of romeo", "certificate of juliet"][end]
        .as_bytes()
        .to_vec()
}

/// Something that behaves as TLS does and encrypts nothing: `[certificate]` is the handshake, NUL the close_notify.
#[derive(Debug)]
pub struct Pretended {
    role: TlsRole,
    certificate: Vec<u8>,
    said: bool,
    theirs: Vec<u8>,
    state: TlsState,
}

impl Pretended {
    /// Shows this certificate.
    #[must_use]
    pub fn new(role: TlsRole, certificate: Vec<u8>) -> Self {
        Self {
            role,
            certificate,
            said: false,
            theirs: Vec::new(),
            state: TlsState::Handshaking,
        }
    }
}

impl TlsSession for Pretended {
    fn read(&mut self, cipher: &[u8], plain: &mut BytesMut) -> Result<(), TlsError> {
        for &byte in cipher {
            match (self.state, byte) {
                (TlsState::Handshaking, b'[') if self.theirs.is_empty() => self.theirs.push(byte),
                (TlsState::Handshaking, _) if self.theirs.is_empty() => {
                    return Err(TlsError::new(TlsErrorKind::NotTls, "no bracket"));
                }
                (TlsState::Handshaking, b']') => self.state = TlsState::Established,
                (TlsState::Handshaking, byte) => self.theirs.push(byte),
                (TlsState::Closed, _) => {}
                (_, 0) => self.state = TlsState::Closed,
                (_, byte) => plain.extend_from_slice(&[byte]),
            }
        }
        Ok(())
    }

    fn write(&mut self, plain: &[u8], cipher: &mut BytesMut) -> Result<(), TlsError> {
        let may = self.role == TlsRole::Client || self.state != TlsState::Handshaking;
        if may && !self.said {
            self.said = true;
            cipher.extend_from_slice(b"[");
            cipher.extend_from_slice(&self.certificate);
            cipher.extend_from_slice(b"]");
        }
        cipher.extend_from_slice(plain);
        Ok(())
    }

    fn state(&self) -> TlsState {
        self.state
    }

    fn info(&self) -> TlsInfo {
        let mut info = TlsInfo::new();
        let certificate = self.theirs.get(1..).unwrap_or_default().to_vec();
        info.peer_certificates = vec![certificate.into()];
        info
    }

    fn close(&mut self, cipher: &mut BytesMut) {
        cipher.extend_from_slice(&[0]);
    }
}

/// TLS, or what passes for it.
#[derive(Debug)]
pub enum Tls {
    /// On rustls.
    Real(Box<RustlsSession>),
    /// See [`Pretended`].
    Pretended(Pretended),
}

impl Tls {
    fn inner(&mut self) -> &mut dyn TlsSession {
        match self {
            Self::Real(session) => &mut **session,
            Self::Pretended(session) => session,
        }
    }
}

impl TlsSession for Tls {
    fn read(&mut self, cipher: &[u8], plain: &mut BytesMut) -> Result<(), TlsError> {
        self.inner().read(cipher, plain)
    }

    fn write(&mut self, plain: &[u8], cipher: &mut BytesMut) -> Result<(), TlsError> {
        self.inner().write(plain, cipher)
    }

    fn state(&self) -> TlsState {
        match self {
            Self::Real(session) => session.state(),
            Self::Pretended(session) => session.state(),
        }
    }

    fn info(&self) -> TlsInfo {
        match self {
            Self::Real(session) => session.info(),
            Self::Pretended(session) => session.info(),
        }
    }

    fn close(&mut self, cipher: &mut BytesMut) {
        self.inner().close(cipher);
    }
}

pub(super) fn of(setting: &Setting, end: usize, role: TlsRole) -> Tls {
    match &setting.tls {
        Some(real) => Tls::Real(Box::new(real[end].session(role).expect("it works"))),
        None => Tls::Pretended(Pretended::new(role, pretended(end))),
    }
}
