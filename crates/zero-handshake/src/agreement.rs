//! The agreement: terms that were checked, and answers to what they mean.

use core::time::Duration;
use std::collections::BTreeSet;

use onetrip_stream::{Content, Domain, Jid, Limits, Reader, StreamHeader};

use crate::fault::{AgreementError, Fault, Field};
use crate::{CertificateRule, Direction, Host, Security, Terms};

/// The least that may be taken as the largest stanza (RFC 6120 §13.12).
const LEAST_STANZA: usize = 10_000;

/// What two operators have agreed on, checked: without it there is no link (ZH-01).
///
/// It can only be built from terms that say who the peer is, or say openly that nothing does (ZH-04, ZH-R6).
///
/// ```
/// # use onetrip_zero_handshake::{Agreement, Fault, Field, Security, SourceRule, Terms};
/// # use onetrip_stream::Domain;
/// let domain = |name| Domain::new(name).unwrap();
/// let mut terms = Terms::new(vec![domain("ground.example")], vec![domain("air.example")], Security::Plain);
/// terms.address = "198.51.100.7:5299".parse().ok();
/// let error = Agreement::new(terms.clone()).unwrap_err();
/// assert_eq!((error.field, error.fault), (Field::AllowedSources, Fault::NoIdentity));
///
/// terms.allowed_sources = vec![SourceRule::network("198.51.100.7".parse().unwrap())];
/// let agreement = Agreement::new(terms).unwrap();
/// assert!(agreement.accept_source("198.51.100.7:40000".parse().unwrap(), None).is_ok());
/// assert!(agreement.accept_source("203.0.113.9:40000".parse().unwrap(), None).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    terms: Terms,
}

impl Agreement {
    /// Checks terms.
    ///
    /// # Errors
    /// [`AgreementError`] with the first field that is wrong.
    pub fn new(terms: Terms) -> Result<Self, AgreementError> {
        check_domains(&terms)?;
        check_direction(&terms)?;
        check_tls(&terms)?;
        check_sources(&terms)?;
        check_identity(&terms)?;
        check_times(&terms)?;
        check_presets(&terms)?;
        let agreement = Self { terms };
        // What primes the reader must not fail when a connection is there (ZH-R1).
        if Reader::primed(&agreement.header(), agreement.limits()).is_err() {
            return fault(Field::Language, Fault::Unwritable);
        }
        Ok(agreement)
    }

    /// What was agreed.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The terms back, to change them.
    #[must_use]
    pub fn into_terms(self) -> Terms {
        self.terms
    }

    /// Whether we may open connections (ZH-12).
    #[must_use]
    pub fn may_open(&self) -> bool {
        self.terms.direction != Direction::InboundOnly
    }

    /// Whether the peer may (ZH-12).
    #[must_use]
    pub fn may_be_opened(&self) -> bool {
        self.terms.direction != Direction::OutboundOnly
    }

    /// The server name to ask for when opening over TLS (ZH-28); `None` for a plain link.
    #[must_use]
    pub fn sni(&self) -> Option<&Domain> {
        match &self.terms.security {
            Security::Plain => None,
            Security::Tls(tls) => tls.sni.as_ref().or_else(|| self.terms.theirs.first()),
        }
    }

    /// The application protocol to offer, and to accept alone (ZH-28).
    #[must_use]
    pub fn alpn(&self) -> Option<&str> {
        match &self.terms.security {
            Security::Plain => None,
            Security::Tls(tls) => tls.alpn.as_deref(),
        }
    }

    /// What a peer may make a link hold.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::AUTHENTICATED;
        if let Some(size) = self.terms.presets.max_stanza_size {
            limits.element = size;
        }
        limits
    }

    /// The header that nobody sends: what the reader is primed with (ZH-R1).
    pub(crate) fn header(&self) -> StreamHeader {
        let main = |domains: &[Domain]| domains.first().cloned().map(Jid::from_domain);
        let mut header = StreamHeader::new(Content::Server);
        header.to = main(&self.terms.ours);
        header.from = main(&self.terms.theirs);
        header.lang.clone_from(&self.terms.language);
        header
    }
}

fn fault<T>(field: Field, fault: Fault) -> Result<T, AgreementError> {
    Err(AgreementError::new(field, fault))
}

fn check_domains(terms: &Terms) -> Result<(), AgreementError> {
    for (field, domains) in [(Field::Ours, &terms.ours), (Field::Theirs, &terms.theirs)] {
        if domains.is_empty() {
            return fault(field, Fault::Empty);
        }
        let mut seen = BTreeSet::new();
        for (index, domain) in domains.iter().enumerate() {
            if !seen.insert(domain) {
                return Err(AgreementError::new(field, Fault::Twice).at(index));
            }
        }
    }
    for (index, domain) in terms.theirs.iter().enumerate() {
        if terms.ours.contains(domain) {
            let fault = Fault::OurDomain(domain.clone());
            return Err(AgreementError::new(Field::Theirs, fault).at(index));
        }
    }
    Ok(())
}

fn check_direction(terms: &Terms) -> Result<(), AgreementError> {
    let opens = terms.direction != Direction::InboundOnly;
    match &terms.address {
        None if opens => return fault(Field::Address, Fault::Missing),
        Some(_) if !opens => return fault(Field::Address, Fault::Unused),
        Some(address) if address.port == 0 => return fault(Field::Address, Fault::Port),
        _ => {}
    }
    match terms.source_port {
        Some(0) => fault(Field::SourcePort, Fault::Port),
        Some(_) if !opens => fault(Field::SourcePort, Fault::Unused),
        _ if !opens && !terms.reply_on_inbound => fault(Field::ReplyOnInbound, Fault::Mute),
        _ => Ok(()),
    }
}

fn check_tls(terms: &Terms) -> Result<(), AgreementError> {
    let Security::Tls(tls) = &terms.security else {
        return Ok(());
    };
    if let CertificateRule::PinnedCertificate(pins) | CertificateRule::PinnedKey(pins) =
        &tls.certificate
    {
        if pins.is_empty() {
            return fault(Field::Pins, Fault::Empty);
        }
        for (index, pin) in pins.iter().enumerate() {
            if pins.iter().take(index).any(|earlier| earlier == pin) {
                return Err(AgreementError::new(Field::Pins, Fault::Twice).at(index));
            }
        }
    }
    match tls.alpn.as_ref().map(String::len) {
        None | Some(1..=255) => Ok(()),
        Some(_) => fault(Field::Alpn, Fault::Length),
    }
}

fn check_sources(terms: &Terms) -> Result<(), AgreementError> {
    for (index, rule) in terms.allowed_sources.iter().enumerate() {
        let found = if rule.ports.is_impossible() {
            Fault::Port
        } else if rule.is_everything() && !terms.insecure_implicit {
            Fault::Everything
        } else if terms.allowed_sources.iter().take(index).any(|r| r == rule) {
            Fault::Twice
        } else {
            continue;
        };
        return Err(AgreementError::new(Field::AllowedSources, found).at(index));
    }
    let plain = terms.security == Security::Plain && !terms.allowed_sources.is_empty();
    if let (true, Some(Host::Ip(ip))) = (plain, terms.address.as_ref().map(|a| &a.host)) {
        let known = |rule: &crate::SourceRule| rule.names(*ip, None);
        // A rule by name may turn out to cover it once the driver has verified the name.
        let by_name = |rule: &crate::SourceRule| matches!(rule.source, crate::Source::Name(_));
        if !terms
            .allowed_sources
            .iter()
            .any(|rule| known(rule) || by_name(rule))
        {
            return fault(Field::Address, Fault::Outside);
        }
    }
    Ok(())
}

/// Something must prove who the peer is, in each direction that is open, or insecurity is spelt out (ZH-R6).
fn check_identity(terms: &Terms) -> Result<(), AgreementError> {
    let sources = terms
        .allowed_sources
        .iter()
        .any(|rule| !rule.is_everything());
    let certificate = match &terms.security {
        Security::Plain => false,
        // Who is opened shows a certificate always; who opens, only where that is agreed.
        Security::Tls(tls) => tls.client_certificates || terms.direction == Direction::OutboundOnly,
    };
    match (sources || certificate, terms.insecure_implicit) {
        (false, false) => fault(Field::AllowedSources, Fault::NoIdentity),
        (true, true) => fault(Field::InsecureImplicit, Fault::NotInsecure),
        _ => Ok(()),
    }
}

fn check_times(terms: &Terms) -> Result<(), AgreementError> {
    let times = [
        (Field::Quiet, Some(terms.quiet)),
        (Field::Retry, Some(terms.retry)),
        (Field::IdleClose, terms.idle_close),
        (Field::Stall, Some(terms.stall)),
        (Field::CloseWait, Some(terms.close_wait)),
        (Field::Keepalive, terms.presets.keepalive),
    ];
    match times.iter().find(|(_, time)| *time == Some(Duration::ZERO)) {
        Some((field, _)) => fault(*field, Fault::Zero),
        None if terms.idle_close.is_some() && terms.direction == Direction::InboundOnly => {
            // The opener closes (ZH-14), and that is never us.
            fault(Field::IdleClose, Fault::Unused)
        }
        None => Ok(()),
    }
}

fn check_presets(terms: &Terms) -> Result<(), AgreementError> {
    if terms
        .presets
        .max_stanza_size
        .is_some_and(|size| size < LEAST_STANZA)
    {
        return fault(Field::MaxStanzaSize, Fault::TooSmall(LEAST_STANZA));
    }
    let Some(acks) = terms.presets.acknowledgements else {
        return Ok(());
    };
    let zero = acks.request_after == 0
        || acks.volunteer_after == 0
        || acks.request_idle.is_zero()
        || acks.answer_within.is_zero()
        || acks.stanzas == 0
        || acks.bytes == 0;
    if zero {
        return fault(Field::Acknowledgements, Fault::Zero);
    }
    Ok(())
}
