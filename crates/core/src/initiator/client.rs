//! What a client's connection is for: a resource, or a session to go on with.

use onetrip_isr::Dialects;
use onetrip_negotiation::bind;
use onetrip_quickstart as quickstart;
use onetrip_quickstart::{Plan, Stage};
use onetrip_stream::{Content, Env, Jid, Stanza, StreamHeader};

use super::{Beginning, Expect, Goal, Initiator, Next};
use crate::connection::negotiation_deadline;
use crate::management::Management;
use crate::online::Online;
use crate::shell::Shell;
use crate::{ClientConfig, ErrorKind, Event, Resumption, UsageError, config};

/// See the module.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) account: Jid,
    lang: Option<String>,
    pub(super) sasl2: Option<config::Sasl2Login>,
    /// The tokens of the account.
    pub(super) tokens: Option<onetrip_fast::Initiator>,
    pub(super) management: Option<config::Management>,
    bind: bind::Initiator,
    /// Whether the server offers stream management.
    pub(super) offers_management: bool,
}

impl Resource {
    /// `from` only under TLS, since it names the account (QS-41).
    pub(super) fn header(&self, stage: Stage) -> StreamHeader {
        let mut header = StreamHeader::new(Content::Client);
        header.to = Some(Jid::from_domain(self.account.domain().clone()));
        let named = stage != Stage::Clear && self.account.local().is_some();
        header.from = named.then(|| self.account.to_bare());
        header.lang.clone_from(&self.lang);
        header
    }
}

impl Initiator {
    /// A client's connection, with the session it goes on with if there is one.
    pub(crate) fn client(
        config: ClientConfig,
        plan: Plan,
        resumption: Option<Resumption>,
        env: &mut Env<'_>,
    ) -> (Self, Shell) {
        let login = config.sasl2.as_ref();
        let fast = login.and_then(|login| login.fast.clone());
        let resource = Resource {
            tokens: fast.map(|fast| onetrip_fast::Initiator::new(fast.wallet, fast.policy)),
            account: config.account,
            lang: config.lang,
            sasl2: config.sasl2,
            management: config.management,
            bind: bind::Initiator::new(),
            offers_management: false,
        };
        let mut shell = Shell::new(
            Content::Client,
            resource.header(Stage::Clear),
            config.bounds,
            16 * 1024,
        );
        shell.tracing = config.trace;
        shell.now = env.now;
        let management = config.management.map(|management| management.config);
        shell.management = Management::initiator(management, resumption, &resource.account);
        shell.management.instant.dialects = config
            .management
            .map_or_else(Dialects::default, |management| management.instant);
        negotiation_deadline(&mut shell, env.now);
        let beginning = Beginning {
            domain: resource.account.domain().clone(),
            credentials: config.sasl,
            transport: config.transport,
            plan,
        };
        let goal = Goal::Resource(Box::new(resource));
        let this = Self::begin(beginning, goal, env, &mut shell);
        (this, shell)
    }

    /// What is left of it, when nothing of the negotiation can matter any more: what was sent ahead is confirmed, and
    /// stream management is not to be asked for later.
    pub(crate) fn online(&self, shell: &Shell) -> Option<Online> {
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        let later =
            resource.sasl2.is_some() && !resource.offers_management && !shell.management.is_on();
        let asking = self.probe.is_some() || self.attempt.needs_later_answer();
        let over = self.expect == Expect::Anything && self.next == Next::Nothing;
        (over && !asking && !later).then(|| Online::Client(self.domain.clone()))
    }

    pub(super) fn request_bind(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let Goal::Resource(resource) = &mut self.goal else {
            return;
        };
        let request = resource.bind.request(env, resource.account.resource());
        shell.iq(&request);
    }

    /// QS-28: the stream is in step, so the next request goes on it.
    pub(crate) fn bind_again(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        wanted: Option<&str>,
    ) -> Result<(), UsageError> {
        let Goal::Resource(resource) = &mut self.goal else {
            return Err(UsageError::NotAsked);
        };
        let refused = self.expect == Expect::Bound && self.next == Next::Nothing;
        if !refused || !resource.bind.may_request() {
            return Err(UsageError::NotAsked);
        }
        let request = resource.bind.request(env, wanted);
        shell.iq(&request);
        Ok(())
    }

    pub(super) fn on_bind_answer(&mut self, env: &mut Env<'_>, shell: &mut Shell, stanza: &Stanza) {
        self.measure(env);
        let Goal::Resource(resource) = &mut self.goal else {
            return;
        };
        match resource.bind.handle(&stanza.element()) {
            Ok(Some(bind::Verdict::Bound { jid })) => {
                self.go_online(env, shell, jid, false, quickstart::Input::Bound);
            }
            Ok(Some(bind::Verdict::Refused(refusal))) => shell.event(Event::BindRefused(refusal)),
            // Not the answer: a server may push something first.
            Ok(_) => {
                shell.arrived(stanza.clone());
            }
            Err(error) => {
                self.on_end(env, shell);
                shell.fail(ErrorKind::Bind(error));
            }
        }
    }
}
