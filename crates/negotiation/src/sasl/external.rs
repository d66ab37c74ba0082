//! Whom a certificate stands for between servers (XEP-0178 §3).

use onetrip_stream::Domain;

use super::{Answer, Refusal};

/// Decides about EXTERNAL between servers: the peer is who it says it is, by `authzid` or else by the `from` of the
/// stream, if its certificate proves that domain. Where it says both, both have to be the same.
///
/// ```
/// # use onetrip_negotiation::sasl::{Answer, between_servers};
/// # use onetrip_stream::Domain;
/// let capulet = Domain::new("capulet.lit").unwrap();
/// let proves = |domain: &Domain| *domain == capulet;
/// assert!(matches!(between_servers(None, Some(&capulet), proves), Answer::Accept { .. }));
/// assert!(matches!(between_servers(Some("montague.lit"), Some(&capulet), proves), Answer::Refuse(_)));
/// ```
#[must_use]
pub fn between_servers(
    authzid: Option<&str>,
    from: Option<&Domain>,
    proves: impl Fn(&Domain) -> bool,
) -> Answer {
    let claimed = match (authzid.map(Domain::new), from) {
        (None, from) => from.cloned(),
        (Some(authzid), from) => authzid.filter(|authzid| from.is_none_or(|from| from == authzid)),
    };
    match claimed.filter(proves) {
        Some(domain) => Answer::Accept {
            identity: domain.as_str().to_owned(),
        },
        None => Answer::Refuse(Refusal::NotAuthorized),
    }
}
