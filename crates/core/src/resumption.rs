//! What a client keeps of a connection that was cut: the session, and the token that brings it back.

use bytes::Bytes;
use onetrip_isr::{Begin, Candidate, Dialect, Location, Ticket};
use onetrip_stream::Jid;
use onetrip_stream::stored::{Load, Store, StoredError};
use onetrip_stream_management::Session;

const MAGIC: [u8; 4] = *b"OTRS";
const VERSION: u8 = 1;

/// The port of a place that names none (RFC 6120 §14.7).
const CLIENT_PORT: u16 = 5222;

/// How often a request to resume may go unanswered before what it was made with is no longer believed in.
const MAX_LOST: u8 = 4;
/// How often for a token: it may have been used up by an answer that was lost (ISR-R3).
const MAX_LOST_TICKETS: u8 = 2;
/// The same for a key: a used one that is proved again ends the session (ISR-R6), and behind a login it still goes on.
const MAX_LOST_KEYS: u8 = 1;

/// What it takes to go on where a connection was cut: a value to store anywhere and give back.
///
/// It is in one place only: here, or with the connection that was made with it.
///
/// ```
/// # use onetrip_core::Resumption;
/// # use onetrip_core::stream_management::{Count, Session};
/// let owner = "juliet@capulet.lit/balcony".parse().unwrap();
/// let session = Session::new("s1", &owner, Count::new(3), Count::new(5), vec!["<message/>".into()]);
/// let resumption = Resumption::new(session);
/// assert_eq!(Resumption::from_bytes(&resumption.to_bytes()), Ok(resumption));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumption {
    /// The account that the connection was configured with: the next one of the same finds the session by it.
    pub account: Jid,
    /// The session (XEP-0198).
    pub session: Session,
    /// The token that resumes it without a login, if the server gave one (ISR-06).
    pub ticket: Option<Ticket>,
    /// How many connections in a row ended with the request unanswered.
    pub(crate) lost: u8,
}

impl Resumption {
    /// A session without a token.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self {
            account: session.owner.clone(),
            session,
            ticket: None,
            lost: 0,
        }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_ticket(mut self, ticket: Ticket) -> Self {
        self.ticket = Some(ticket);
        self
    }

    /// Where to reconnect, in the order of ISR-07: the place that came with the token, the servers with TLS from the first
    /// byte that a look-up has found (`direct`), the place that came with the session, and what else was found (`usual`).
    ///
    /// Whatever the place, the certificate has to be the XMPP domain's (ISR-08).
    #[must_use]
    pub fn candidates(&self, direct: &[Location], usual: &[(Location, Begin)]) -> Vec<Candidate> {
        let isr = self
            .ticket
            .as_ref()
            .and_then(|ticket| ticket.location.as_ref());
        let named = self.session.location.as_deref();
        let sm = named.and_then(|place| Location::parse(place, CLIENT_PORT));
        onetrip_isr::candidates(isr, direct, sm.as_ref(), usual)
    }

    /// The request to resume was not answered before the connection ended. `false` when that happened too often: a
    /// server that closes at such a request would be met again and again.
    pub(crate) fn outlives_silence(&mut self) -> bool {
        self.lost = self.lost.saturating_add(1);
        let allowed = |ticket: &Ticket| match ticket.dialect {
            Dialect::Seed => MAX_LOST_TICKETS,
            _ => MAX_LOST_KEYS,
        };
        self.ticket = self
            .ticket
            .take()
            .filter(|ticket| self.lost < allowed(ticket));
        self.lost < MAX_LOST
    }

    /// The versioned encoding. It holds the token: keep it as you keep a password.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.text(&self.account.to_string());
        out.bytes(&self.session.to_bytes());
        out.flag(self.ticket.is_some());
        if let Some(ticket) = &self.ticket {
            out.bytes(&ticket.to_bytes());
        }
        out.number(self.lost.into());
        out.finish()
    }

    /// Reads the encoding back.
    ///
    /// # Errors
    /// [`StoredError`] when the bytes are of another kind or version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let mut from = Load::new(MAGIC, bytes)?;
        if from.version() != VERSION {
            return Err(StoredError::Version(from.version()));
        }
        let account = from.text()?.parse().map_err(|_| StoredError::Foreign)?;
        let session = Session::from_bytes(from.bytes()?)?;
        let ticket = if from.flag()? {
            Some(Ticket::from_bytes(from.bytes()?)?)
        } else {
            None
        };
        let lost = u8::try_from(from.number()?).map_err(|_| StoredError::Foreign)?;
        from.finish()?;
        Ok(Self {
            account,
            session,
            ticket,
            lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use onetrip_isr::{Origin, Token};
    use onetrip_stream_management::Count;

    use super::*;

    /// ISR-07, ISR-08: TLS from the first byte first.
    #[test]
    fn isr_07_places_come_in_order() {
        let place = |text: &str| Location::parse(text, 5223).unwrap();
        let owner = "juliet@capulet.lit/balcony".parse().unwrap();
        let mut session = Session::new("s1", &owner, Count::new(0), Count::new(0), Vec::new());
        session.location = Some("sm.capulet.lit".to_owned());
        let token = Token::read("t").unwrap();
        let ticket = Ticket::new(token, Some(place("isr.capulet.lit:443")));
        let resumption = Resumption::new(session).with_ticket(ticket);
        let usual = [(place("xmpp.capulet.lit:5222"), Begin::StartTls)];
        let found: Vec<_> = resumption
            .candidates(&[place("tls.capulet.lit")], &usual)
            .into_iter()
            .map(|candidate| {
                let place = candidate.location.to_string();
                (place, candidate.begin, candidate.origin)
            })
            .collect();
        let expected = [
            ("isr.capulet.lit:443", Begin::DirectTls, Origin::Isr),
            ("tls.capulet.lit:5223", Begin::DirectTls, Origin::Direct),
            (
                "sm.capulet.lit:5222",
                Begin::StartTls,
                Origin::StreamManagement,
            ),
            ("xmpp.capulet.lit:5222", Begin::StartTls, Origin::Usual),
        ]
        .map(|(place, begin, origin)| (place.to_owned(), begin, origin));
        assert_eq!(found, expected);
    }

    /// A server that closes at each request to resume is not met for ever.
    #[test]
    fn silence_is_outlived_a_few_times() {
        let owner = "juliet@capulet.lit/balcony".parse().unwrap();
        let session = Session::new("s1", &owner, Count::new(0), Count::new(0), Vec::new());
        let mut resumption =
            Resumption::new(session).with_ticket(Ticket::new(Token::read("t").unwrap(), None));
        assert!(resumption.outlives_silence() && resumption.ticket.is_some());
        assert!(resumption.outlives_silence() && resumption.ticket.is_none());
        assert!(resumption.outlives_silence() && !resumption.outlives_silence());
    }
}
