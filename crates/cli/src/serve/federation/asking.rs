//! A server that has one question for another, and takes the connections that this brings about.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use onetrip_core::Entity;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Env, Stanza};
use tokio::task::JoinHandle;

use super::agreed::Agreed;
use super::{Federating, Federation, accept};
use crate::Failure;
use crate::meter::Measuring;
use crate::serve::Settings;
use crate::serve::hub::Hub;

/// See the module.
pub(crate) struct Asking {
    federation: Rc<Federation>,
    agreed: Rc<Agreed>,
    tasks: [JoinHandle<()>; 2],
}

impl Asking {
    /// Begins to listen. `entity` remembers the other server; `measuring` hears of all that happens.
    pub(crate) fn start(
        settings: Settings,
        mut with: Federating,
        entity: Entity,
        measuring: &Rc<Measuring>,
        (listener, transport): (TcpListener, Transport),
    ) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::Check(error.to_string());
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        let hub = Arc::new(Hub::new(settings, Vec::new(), None, None));
        let agreements = core::mem::take(&mut with.agreements);
        let federation = Federation::new(hub, with, entity, Some(Rc::clone(measuring)));
        let agreed = Rc::new(Agreed::beside(&federation, agreements));
        let accepting = accept(Rc::clone(&federation), listener, transport);
        let keeping = Rc::clone(&agreed).keep_time();
        Ok(Self {
            federation,
            agreed,
            tasks: [
                tokio::task::spawn_local(accepting),
                tokio::task::spawn_local(keeping),
            ],
        })
    }

    /// Asks.
    pub(crate) fn ask(&self, question: Stanza) {
        if !self.agreed.route(&question) {
            self.federation.route(question);
        }
    }

    /// Closes all connections; returns what was learnt.
    pub(crate) fn close(self) -> Entity {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.agreed.close();
        self.federation.close()
    }
}

impl Federation {
    /// Closes all connections; what is remembered of others goes with the caller.
    fn close(&self) -> Entity {
        let links = &mut *self.links.borrow_mut();
        let env = &mut Env::new(self.hub.clock.now(), &mut links.entropy);
        for link in links.open.values_mut() {
            link.secured.close(env);
            link.wake.notify_one();
        }
        core::mem::take(&mut links.entity)
    }
}
