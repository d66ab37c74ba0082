//! Connections made of what a program has at hand.

use std::sync::Arc;

use onetrip_core::{ClientConfig, Connection, Entity, ServerConfig};
use onetrip_stream::Clock;
use rustls::{ClientConfig as ClientTls, ServerConfig as ServerTls};

use super::{RustlsSession, SystemEntropy};
use crate::{Driven, TlsError};

impl<C: Clock> Driven<RustlsSession, C, SystemEntropy> {
    /// A client's connection, as `entity` plans it, over TLS with the server of the account's domain.
    ///
    /// # Errors
    /// As [`RustlsSession::client`].
    pub fn client(
        entity: &mut Entity,
        login: ClientConfig,
        tls: Arc<ClientTls>,
        clock: C,
    ) -> Result<Self, TlsError> {
        let session = RustlsSession::client(tls, login.account.domain())?;
        let entropy = SystemEntropy::new();
        Ok(Self::new(session, clock, entropy, |env| {
            entity.connect(login, env)
        }))
    }

    /// A server's side of a connection that a client has opened.
    ///
    /// # Errors
    /// As [`RustlsSession::server`].
    pub fn server(config: ServerConfig, tls: Arc<ServerTls>, clock: C) -> Result<Self, TlsError> {
        let session = RustlsSession::server(tls)?;
        let entropy = SystemEntropy::new();
        Ok(Self::new(session, clock, entropy, |env| {
            Connection::server(config, env)
        }))
    }
}
