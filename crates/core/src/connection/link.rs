//! What only zero-handshake links have.

use onetrip_stream::Env;
use onetrip_zero_handshake::{Agreement, Refusal};

use super::{Connection, Role};
use crate::LinkConfig;
use crate::link::LinkEnd;

impl Connection {
    /// A connection of an agreement, in either role (XEP-0361): TLS from the first byte or none, then stanzas at once.
    ///
    /// Whoever it leads to is checked before a byte is parsed: the source by what made the configuration, the certificate
    /// when TLS is up. With acknowledgements agreed, [`Connection::handled`] has to be called for every stanza, and a link
    /// that ends hands back what was in flight: [`Event::Management`](crate::Event::Management).
    ///
    /// # Errors
    /// [`Refusal::Plain`] where the agreements are of different minds about TLS; nothing is written.
    pub fn link(config: LinkConfig, env: &mut Env<'_>) -> Result<Self, Refusal> {
        let (link, shell) = LinkEnd::start(config, env)?;
        Ok(Self {
            shell,
            role: Role::Link(Box::new(link)),
        })
    }

    /// Asks at once which stanzas have arrived, if any are unacknowledged on this link; does nothing otherwise. The policy
    /// that was agreed asks by itself, in its own time.
    pub fn request_acknowledgement(&mut self, env: &mut Env<'_>) {
        if let Role::Link(link) = &mut self.role {
            if !self.shell.is_closed() {
                self.shell.now = env.now;
                link.request(env, &mut self.shell);
            }
        }
    }

    /// What was agreed with this peer, once it is known who it is; `None` for a connection that negotiates.
    #[must_use]
    pub fn agreement(&self) -> Option<&Agreement> {
        match &self.role {
            Role::Link(link) => link.agreement(),
            _ => None,
        }
    }
}
