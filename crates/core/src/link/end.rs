//! One connection of an agreement: TLS where that was agreed, then the link, with its acknowledgements counted.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | securing | the end of the TLS handshake, with what it shows of the peer | up; failed, before a byte is parsed |
//! | up | whatever a link takes | closed; failed |
//! | any | the end of the transport, silence | closed; failed |

use onetrip_stream::{Content, Domain, Env, Instant, Stanza, StreamError, StreamHeader};
use onetrip_stream_management as sm;
use onetrip_zero_handshake as zh;
use onetrip_zero_handshake::{Admitted, Agreement, Authorised, Blocked, Fingerprint, Link};
use onetrip_zero_handshake::{PeerIdentity, Refusal, Role, Why};

use super::LinkConfig;
use super::books::{Books, Read};
use crate::order::Facts;
use crate::shell::Shell;
use crate::trace::{label, stanza_label};
use crate::{Action, Bounds, End, Error, ErrorKind, Event, Reason, TlsInfo, UsageError};

/// How a link says that it is over.
const FOOTER: &[u8] = b"</stream:stream>";

/// See the module.
#[derive(Debug)]
pub(crate) struct LinkEnd {
    role: Role,
    state: State,
}

#[derive(Debug)]
enum State {
    Securing(Vec<(Agreement, Admitted)>),
    Up(Box<Up>),
}

/// A link that is there.
#[derive(Debug)]
struct Up {
    agreement: Agreement,
    link: Link,
    books: Books,
    end: Option<End>,
}

impl LinkEnd {
    pub(crate) fn start(config: LinkConfig, env: &mut Env<'_>) -> Result<(Self, Shell), Refusal> {
        let tls = config.has_tls();
        let header = StreamHeader::new(Content::Server);
        let mut shell = Shell::new(Content::Server, header, Bounds::default(), 0);
        shell.now = env.now;
        shell.tracing = config.trace;
        let first = config.candidates.first();
        let role = first.map_or(Role::Acceptor, |(_, admitted)| admitted.role());
        if tls {
            shell.upgrade_sending();
            shell.upgrade_receiving();
            let at = env.now + config.handshake;
            shell.timers.set(Reason::Negotiation, at);
        }
        let state = State::Securing(config.candidates);
        let mut this = Self { role, state };
        if !tls {
            this.authorise(env, &mut shell, Agreement::accept_plain)?;
        }
        Ok((this, shell))
    }

    /// Takes the first agreement that this peer fits.
    fn authorise(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        fits: impl Fn(&Agreement, Admitted) -> Result<Authorised, Refusal>,
    ) -> Result<(), Refusal> {
        let State::Securing(candidates) = &mut self.state else {
            return Ok(());
        };
        let mut refused = None;
        for (agreement, admitted) in core::mem::take(candidates) {
            match fits(&agreement, admitted) {
                Ok(authorised) => {
                    shell.facts.reach(Facts::AUTHENTICATED);
                    shell.facts.reach(Facts::BOUND);
                    self.state = State::Up(Box::new(Up {
                        link: Link::new(&agreement, authorised, env),
                        books: Books::new(&agreement),
                        agreement,
                        end: None,
                    }));
                    self.drain(env, shell);
                    return Ok(());
                }
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        Err(refused.unwrap_or(Refusal::NoCertificate))
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    fn up(&mut self) -> Option<&mut Up> {
        match &mut self.state {
            State::Up(up) => Some(up),
            State::Securing(_) => None,
        }
    }

    /// What was agreed with this peer, once it is known who it is.
    pub(crate) fn agreement(&self) -> Option<&Agreement> {
        match &self.state {
            State::Up(up) => Some(&up.agreement),
            State::Securing(_) => None,
        }
    }

    pub(crate) fn peer(&self) -> Option<&Domain> {
        self.agreement()
            .and_then(|agreement| agreement.terms().theirs.first())
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(&self.state, State::Up(up) if up.link.is_open())
    }

    pub(crate) fn buffered(&self) -> usize {
        match &self.state {
            State::Up(up) => up.link.buffered(),
            State::Securing(_) => 0,
        }
    }

    pub(crate) fn received(&self) -> u64 {
        match &self.state {
            State::Up(up) => up.link.received(),
            State::Securing(_) => 0,
        }
    }

    pub(crate) fn stage(&self, handle: sm::Handle) -> Option<sm::Stage> {
        match &self.state {
            State::Up(up) => up.books.stage(handle),
            State::Securing(_) => None,
        }
    }

    /// The TLS handshake has ended; what came along with it is given in afterwards (ZH-19, ZH-R7).
    pub(crate) fn on_secured(&mut self, env: &mut Env<'_>, shell: &mut Shell, info: &TlsInfo) {
        shell.timers.stop(Reason::Negotiation);
        let fits = |agreement: &Agreement, admitted| {
            agreement.accept_certificate(admitted, &identity(agreement, info))
        };
        if let Err(refusal) = self.authorise(env, shell, fits) {
            shell.fail(ErrorKind::Refused(refusal));
        }
    }

    /// Takes in bytes and returns how many: before the link is up they belong to TLS.
    pub(crate) fn receive(&mut self, env: &mut Env<'_>, shell: &mut Shell, input: &[u8]) -> usize {
        if shell.is_closed() {
            return input.len();
        }
        let Some(up) = self.up() else { return 0 };
        // Every frame ends with `>`: so an acknowledgement is looked at before what is behind it, however bytes are split.
        let step = up.books.are_kept();
        for piece in input.split_inclusive(|byte| step && *byte == b'>') {
            if let Some(up) = self.up() {
                // What the peer did wrong comes out as the link's end.
                let _ = up.link.receive(env, piece);
            }
            self.drain(env, shell);
        }
        input.len()
    }

    pub(crate) fn receive_eof(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        match self.up() {
            Some(up) => up.link.receive_eof(env),
            None => return shell.finish(End::Cut),
        }
        self.drain(env, shell);
    }

    pub(crate) fn send(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        stanza: &Stanza,
    ) -> Result<Option<sm::Handle>, UsageError> {
        let up = self.up().ok_or(UsageError::NotOnline)?;
        if !up.link.is_open() {
            return Err(UsageError::Closed);
        }
        up.link.check(stanza).map_err(usage)?;
        let bytes = stanza.bytes();
        if !up.books.have_room(bytes.len()) {
            return Err(UsageError::Full);
        }
        if up.books.request_due(env.now) {
            up.say(env, shell, sm::Nonza::Request);
        }
        shell.may_write(bytes.len(), || stanza_label(&stanza.element()));
        // It was checked; the link is open.
        let _ = up.link.send(env, stanza);
        let handle = up.books.sent(env.now, bytes.clone());
        self.drain(env, shell);
        Ok(handle)
    }

    /// Asks what has arrived, if anything is open.
    pub(crate) fn request(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        if let Some(up) = self.up() {
            if let Some(request) = up.books.request(env.now) {
                up.say(env, shell, request);
            }
        }
        self.drain(env, shell);
    }

    pub(crate) fn handled(&mut self, shell: &mut Shell, stanzas: u32) {
        if let Some(up) = self.up() {
            up.books.handled(stanzas);
        }
        at(shell.now, |env| self.drain(env, shell));
    }

    pub(crate) fn close(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        match self.up() {
            Some(up) => up.link.close(env),
            None => return shell.finish(End::Clean),
        }
        self.drain(env, shell);
    }

    pub(crate) fn close_with(&mut self, shell: &mut Shell, error: &StreamError) {
        at(shell.now, |env| {
            match self.up() {
                Some(up) => up.link.close_with(env, error),
                None => return shell.finish(End::Clean),
            }
            self.drain(env, shell);
        });
    }

    pub(crate) fn on_timeout(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let Some(up) = self.up() else { return };
        up.link.handle_timeout(env);
        match up.books.due(env.now) {
            Some(sm::Due::Request) => up.say(env, shell, sm::Nonza::Request),
            Some(_) => up.fail(env, shell, ErrorKind::TimedOut(Reason::Acknowledgement)),
            None => {}
        }
        self.drain(env, shell);
    }

    /// Carries out what the link asks for.
    fn drain(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let Some(up) = self.up() else { return };
        loop {
            if let Some(answer) = up.books.settle(env, &mut up.link) {
                up.say(env, shell, answer);
            }
            let Some(action) = up.link.poll_action() else {
                break;
            };
            up.on_action(env, shell, action);
        }
        if !shell.is_closed() {
            up.set_timers(shell);
        }
    }
}

impl Up {
    /// An acknowledgement, or the request for one.
    fn say(&mut self, env: &mut Env<'_>, shell: &mut Shell, nonza: sm::Nonza) {
        let element = nonza.to_element();
        if self.link.send_acknowledgement(env, &element).is_ok() {
            let length = nonza.short().map_or(0, |short| short.as_ref().len());
            shell.may_write(length, || label(&element));
        }
    }

    /// The peer broke a rule of ours, not of the link's.
    fn fail(&mut self, env: &mut Env<'_>, shell: &mut Shell, kind: ErrorKind) {
        let offset = self.link.received();
        let said = kind.stream_error();
        let error = Error { kind, offset };
        if let Some(said) = said {
            let said = said.with_text(error.to_string());
            self.link.close_with(env, &said);
        }
        shell.failed = Some(error);
    }

    fn on_action(&mut self, env: &mut Env<'_>, shell: &mut Shell, action: zh::Action) {
        match action {
            zh::Action::Transmit(bytes) => {
                if bytes.ends_with(FOOTER) {
                    shell.may_write(FOOTER.len(), || "footer".to_owned());
                }
                shell.pass_on(&bytes);
            }
            zh::Action::Stanza(stanza) => {
                shell.read(|| stanza_label(&stanza.element()));
                self.books.arrived();
                shell.event(Event::Stanza(stanza));
            }
            zh::Action::Acknowledgement(element) => {
                shell.read(|| label(&element));
                match self.books.read(env.now, &element) {
                    Ok(Read::Answer(answer)) => self.say(env, shell, answer),
                    Ok(Read::Settled(Some(handles))) => {
                        shell.event(Event::Management(sm::Event::Acked(handles)));
                    }
                    Ok(Read::Settled(None)) => {}
                    Err(error) => self.fail(env, shell, error.into()),
                }
            }
            zh::Action::Bounce { why, answer } => {
                self.books.arrived_own();
                shell.event(Event::Bounce { why, answer });
            }
            zh::Action::Event(event) => self.on_event(env, shell, event),
            zh::Action::Close => {
                let entries = self.books.hand_back();
                if !entries.is_empty() {
                    shell.event(Event::Management(sm::Event::HandedBack(entries)));
                }
                shell.finish(self.end.take().unwrap_or(End::Cut));
            }
            _ => {}
        }
    }

    fn on_event(&mut self, env: &mut Env<'_>, shell: &mut Shell, event: zh::Event) {
        match event {
            zh::Event::Connected => {
                if let Some(peer) = self.agreement.terms().theirs.first().cloned() {
                    let provisional = false;
                    shell.event(Event::Established { peer, provisional });
                }
            }
            zh::Event::Ended(end) => self.end = Some(ended(shell, end)),
            event => {
                match &event {
                    zh::Event::Dropped(_) => self.books.arrived_own(),
                    zh::Event::Closing(why) => {
                        // Whoever has closed does not read on.
                        if let Some(request) = self.books.close(*why != Why::Peer) {
                            self.say(env, shell, request);
                        }
                    }
                    _ => {}
                }
                shell.event(Event::Link(event));
            }
        }
    }

    fn set_timers(&self, shell: &mut Shell) {
        shell.timers.clear();
        if let Some(deadline) = self.link.poll_timeout() {
            shell.timers.set(deadline.reason.into(), deadline.at);
        }
        if let Some(deadline) = self.books.deadline() {
            shell.timers.set(Reason::Acknowledgement, deadline);
        }
    }
}

/// How a link ended, in the words of all connections.
fn ended(shell: &mut Shell, end: zh::End) -> End {
    if let zh::End::Failed(zh::Error { kind, offset, .. }) = end {
        let kind = ErrorKind::Link(kind);
        shell.failed = Some(Error { kind, offset });
    } else if let zh::End::PeerError(error) = end {
        shell.push(Action::Event(Event::PeerError(error.clone())));
        return End::PeerError(error);
    } else if let zh::End::Cut { .. } = end {
        return End::Cut;
    }
    match &shell.failed {
        Some(error) => End::Failed(error.clone()),
        None => End::Clean,
    }
}

/// What TLS has shown, as an agreement asks for it.
fn identity(agreement: &Agreement, info: &TlsInfo) -> PeerIdentity {
    let theirs = agreement.terms().theirs.iter();
    let mut identity = PeerIdentity::default();
    identity.names = theirs.filter(|name| info.proves(name)).cloned().collect();
    identity.certificate = info
        .peer_certificates
        .first()
        .map(|der| Fingerprint::of(der));
    identity.public_key = info.public_key.as_ref().map(|der| Fingerprint::of(der));
    identity.alpn = info.alpn.as_ref().map(|name| name.to_vec());
    identity
}

fn usage(blocked: Blocked) -> UsageError {
    match blocked {
        Blocked::Content => UsageError::OtherContent,
        Blocked::Address(_) => UsageError::NoAddress,
        Blocked::TooLarge { size, allowed } => UsageError::TooLarge { size, allowed },
        _ => UsageError::PairNotOpen,
    }
}

/// For calls that bring no environment: a link asks for no entropy.
fn at<R>(now: Instant, call: impl FnOnce(&mut Env<'_>) -> R) -> R {
    let mut none = |_: &mut [u8]| ();
    call(&mut Env::new(now, &mut none))
}
