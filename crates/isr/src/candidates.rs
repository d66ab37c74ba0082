//! Where to resume: which places to try, in which order (ISR-07).

use crate::Location;

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Begin {
    /// With the first byte (XEP-0368). `<starttls/>` is not to be sent, even if it is offered (ISR-08).
    DirectTls,
    /// Behind `<starttls/>` (RFC 6120 §5). The header in clear carries no token (ISR-09).
    StartTls,
}

/// Why a place is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// It came with the token.
    Isr,
    /// It is one of the domain's places for TLS from the first byte (XEP-0368).
    Direct,
    /// Stream management named it (XEP-0198 §5).
    StreamManagement,
    /// It is where the domain is found otherwise (RFC 6120 §3.2).
    Usual,
}

/// A place to try.
///
/// Whatever it is called, who is to be found there is the XMPP domain: that is the name in SNI, the one the
/// certificate is checked against, and ALPN says `xmpp-client` or `xmpp-server` (ISR-08, XEP-0368 §2). So a location
/// cannot lead to anybody else, only nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Candidate {
    /// Where.
    pub location: Location,
    /// How TLS begins there.
    pub begin: Begin,
    /// Who named it first.
    pub origin: Origin,
}

/// The places to try, in order: the token's, those with TLS from the first byte, stream management's, and the usual
/// ones; each once (ISR-07).
///
/// The token's location is always for TLS from the first byte (ISR-08). Stream management's does not say how TLS begins
/// there: behind `<starttls/>`, unless it is known for the other way from `direct`.
///
/// ```
/// # use onetrip_isr::{Begin, Location, Origin, candidates};
/// let at = |text| Location::parse(text, 5222).unwrap();
/// let usual = [(at("xmpp.capulet.lit"), Begin::StartTls)];
/// let list = candidates(Some(&at("isr.capulet.lit:443")), &[at("XMPP.capulet.lit:443")], None, &usual);
/// let origins: Vec<Origin> = list.iter().map(|candidate| candidate.origin).collect();
/// assert_eq!(origins, [Origin::Isr, Origin::Direct, Origin::Usual]);
/// assert_eq!(list[0].begin, Begin::DirectTls);
/// ```
#[must_use]
pub fn candidates(
    isr: Option<&Location>,
    direct: &[Location],
    sm: Option<&Location>,
    usual: &[(Location, Begin)],
) -> Vec<Candidate> {
    let sm_begin = |sm: &Location| match direct.iter().any(|known| known.is_same(sm)) {
        true => Begin::DirectTls,
        false => Begin::StartTls,
    };
    let first = isr.map(|place| (place, Begin::DirectTls, Origin::Isr));
    let second = direct
        .iter()
        .map(|place| (place, Begin::DirectTls, Origin::Direct));
    let third = sm.map(|place| (place, sm_begin(place), Origin::StreamManagement));
    let fourth = usual
        .iter()
        .map(|(place, begin)| (place, *begin, Origin::Usual));
    let mut list: Vec<Candidate> = Vec::new();
    for (place, begin, origin) in first.into_iter().chain(second).chain(third).chain(fourth) {
        let known = |known: &Candidate| known.begin == begin && known.location.is_same(place);
        if !list.iter().any(known) {
            list.push(Candidate {
                location: place.clone(),
                begin,
                origin,
            });
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::Begin::{DirectTls, StartTls};
    use super::*;

    fn at(host: &str, port: u16) -> Location {
        let host = host.to_owned();
        Location { host, port }
    }

    fn shown(list: &[Candidate]) -> Vec<(String, Begin, Origin)> {
        let one = |it: &Candidate| (it.location.to_string(), it.begin, it.origin);
        list.iter().map(one).collect()
    }

    #[test]
    fn isr_07_the_four_sources_come_in_their_order() {
        let direct = [at("d1", 443), at("d2", 443)];
        let usual = [(at("u1", 5222), StartTls), (at("u2", 5223), DirectTls)];
        let list = candidates(Some(&at("i", 5222)), &direct, Some(&at("s", 5222)), &usual);
        let expected = [
            ("i:5222", DirectTls, Origin::Isr),
            ("d1:443", DirectTls, Origin::Direct),
            ("d2:443", DirectTls, Origin::Direct),
            ("s:5222", StartTls, Origin::StreamManagement),
            ("u1:5222", StartTls, Origin::Usual),
            ("u2:5223", DirectTls, Origin::Usual),
        ];
        let expected = expected.map(|(place, begin, origin)| (place.to_owned(), begin, origin));
        assert_eq!(shown(&list), expected);
        assert!(candidates(None, &[], None, &[]).is_empty());
    }

    #[test]
    fn isr_07_a_place_is_tried_once_for_each_way_tls_may_begin() {
        let direct = [at("H", 443), at("h", 443), at("h", 5223)];
        let usual = [(at("h", 443), StartTls), (at("h", 443), DirectTls)];
        let list = candidates(Some(&at("h", 443)), &direct, Some(&at("H", 443)), &usual);
        let expected = [
            ("h:443", DirectTls, Origin::Isr),
            ("h:5223", DirectTls, Origin::Direct),
            ("h:443", StartTls, Origin::Usual),
        ];
        let expected = expected.map(|(place, begin, origin)| (place.to_owned(), begin, origin));
        assert_eq!(shown(&list), expected);
    }

    #[test]
    fn isr_08_the_location_of_the_token_is_for_tls_from_the_first_byte_even_at_5222() {
        let usual = [(at("h", 5222), StartTls)];
        let list = candidates(Some(&at("h", 5222)), &[], None, &usual);
        assert_eq!(list[0].begin, DirectTls);
        assert_eq!(list[1].begin, StartTls);
    }

    #[test]
    fn stream_management_names_a_place_for_direct_tls_only_if_the_look_up_says_so() {
        let direct = [at("h", 443)];
        let begin = |list: Vec<Candidate>| list.last().map(|last| last.begin);
        let other = candidates(None, &direct, Some(&at("h", 5222)), &[]);
        assert_eq!(begin(other), Some(StartTls));
        assert_eq!(candidates(None, &direct, Some(&at("h", 443)), &[]).len(), 1);
    }
}
