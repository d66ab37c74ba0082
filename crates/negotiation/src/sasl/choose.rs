//! Which mechanism to use: ours to say, among what is offered (QS-R4).

use core::ops::RangeInclusive;

use onetrip_stream::Secret;

#[cfg(feature = "scram")]
use super::HtVersion;
use super::{BindingType, ChannelBinding, Mechanism};

/// What an initiating entity authenticates with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InitiatorConfig {
    /// The authentication identity: the local part, for a client.
    pub username: String,
    /// The password, where a mechanism needs one; the token, for the HT mechanisms.
    pub password: Option<Secret>,
    /// Whom to act as, if not oneself (RFC 6120 §6.3.8).
    pub authzid: Option<String>,
    /// The mechanisms that may be used; which one is, follows from our preference.
    pub allowed: Vec<Mechanism>,
    /// The iteration counts that are taken. Default: 4096 to 1,000,000.
    pub iterations: RangeInclusive<u32>,
    /// Whether a server that offers -PLUS without saying for which types (XEP-0440) is believed to mean
    /// `tls-exporter`. Default: no, since servers in the field mean `tls-unique` or nothing that works.
    pub assume_tls_exporter: bool,
    /// How the messages of the HT mechanisms are laid out.
    #[cfg(feature = "scram")]
    pub ht: HtVersion,
}

impl InitiatorConfig {
    fn new(username: &str, password: Option<Secret>, allowed: Vec<Mechanism>) -> Self {
        Self {
            username: username.to_owned(),
            password,
            authzid: None,
            allowed,
            iterations: 4096..=1_000_000,
            assume_tls_exporter: false,
            #[cfg(feature = "scram")]
            ht: HtVersion::default(),
        }
    }

    /// A name and a password: SCRAM in all its forms, and PLAIN.
    #[must_use]
    pub fn password(username: &str, password: Secret) -> Self {
        let allowed = Mechanism::ALL
            .into_iter()
            .filter(|mechanism| mechanism.is_scram() || *mechanism == Mechanism::Plain);
        Self::new(username, Some(password), allowed.collect())
    }

    /// A token, for the one mechanism that it was handed out for (XEP-0484 §3.4, XEP-0397 §3).
    #[must_use]
    pub fn token(username: &str, mechanism: Mechanism, token: Secret) -> Self {
        Self::new(username, Some(token), vec![mechanism])
    }

    /// What the TLS certificate proves, as `authzid` or as itself (RFC 6120 §6.3.4, XEP-0178).
    #[must_use]
    pub fn external(authzid: Option<String>) -> Self {
        Self {
            authzid,
            ..Self::new("", None, vec![Mechanism::External])
        }
    }

    /// Nobody in particular.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new("", None, vec![Mechanism::Anonymous])
    }
}

/// A mechanism, and what is said about channel binding with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    mechanism: Mechanism,
    /// What it binds to.
    bound: Option<BindingType>,
    /// Whether the offer held a -PLUS mechanism.
    plus_offered: bool,
    demands_lists: bool,
}

impl Choice {
    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether the server has to prove that what it advertised is what was seen (XEP-0474 §6, new rule 6).
    #[must_use]
    pub fn demands_lists(&self) -> bool {
        self.demands_lists
    }

    pub(crate) fn demanding_lists(self) -> Self {
        Self {
            demands_lists: true,
            ..self
        }
    }

    #[cfg(feature = "scram")]
    pub(crate) fn flag(&self, could_bind: bool) -> super::scram::Gs2Flag {
        use super::scram::Gs2Flag;
        match self.bound {
            Some(kind) if self.mechanism.binds_channel() => Gs2Flag::Bound(kind),
            // RFC 5802 §6: if somebody took -PLUS off the list, the server will notice.
            _ if could_bind && !self.plus_offered => Gs2Flag::NotOffered,
            _ => Gs2Flag::No,
        }
    }
}

/// Chooses the best mechanism that is offered, allowed, possible, and no weaker than `pin` (QS-R4).
///
/// `channel_bindings` are the types the server lists (XEP-0440), `binding` what our TLS session yields.
#[must_use]
pub fn choose(
    config: &InitiatorConfig,
    offered: &[String],
    channel_bindings: &[String],
    binding: Option<&ChannelBinding>,
    pin: u8,
) -> Option<Choice> {
    let offered: Vec<Mechanism> = offered
        .iter()
        .filter_map(|name| Mechanism::from_name(name))
        .collect();
    let assumed = channel_bindings.is_empty() && config.assume_tls_exporter;
    let listed = |kind: &BindingType| {
        let named = channel_bindings.iter().any(|name| name == kind.name());
        named || (assumed && *kind == BindingType::TlsExporter)
    };
    let bound = binding.and_then(|binding| binding.types().find(listed));
    let possible = |mechanism: &Mechanism| {
        let has_password = config.password.is_some()
            || matches!(mechanism, Mechanism::Anonymous | Mechanism::External);
        let can_bind = match mechanism.binding_type() {
            // Whose name says what it binds to is listed only where the server has it.
            Some(kind) => binding.is_some_and(|binding| binding.data(kind).is_some()),
            None => bound.is_some() || !mechanism.binds_channel(),
        };
        mechanism.is_built_in()
            && config.allowed.contains(mechanism)
            && has_password
            && can_bind
            && mechanism.strength() >= pin
    };
    let mechanism = offered.iter().copied().filter(possible).max()?;
    Some(Choice {
        mechanism,
        bound,
        plus_offered: offered
            .iter()
            .any(|mechanism| mechanism.is_scram() && mechanism.binds_channel()),
        demands_lists: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(offered: &[Mechanism]) -> Vec<String> {
        offered
            .iter()
            .map(|mechanism| mechanism.name().to_owned())
            .collect()
    }

    fn best(offered: &[Mechanism], types: &[&str], bound: bool, pin: u8) -> Option<Mechanism> {
        let config = InitiatorConfig::password("juliet", Secret::from("pw"));
        let types: Vec<String> = types.iter().map(|name| (*name).to_owned()).collect();
        let binding = bound.then(|| ChannelBinding::tls_exporter(Secret::new(vec![0; 32])));
        choose(&config, &names(offered), &types, binding.as_ref(), pin)
            .map(|choice| choice.mechanism())
    }

    #[test]
    fn qs_r4_the_choice_is_ours_and_never_below_the_pin() {
        use Mechanism::{Anonymous, Plain};
        assert_eq!(best(&[Plain, Anonymous], &[], false, 0), Some(Plain));
        assert_eq!(best(&[Plain], &[], false, 2), None);
        assert_eq!(best(&[Anonymous], &[], false, 0), None);
        assert_eq!(best(&[], &[], false, 0), None);
    }

    #[cfg(feature = "scram")]
    #[test]
    fn plus_needs_the_data_and_a_server_that_lists_the_type() {
        use Mechanism::{Plain, ScramSha1, ScramSha1Plus, ScramSha256};
        let offered = [Plain, ScramSha1, ScramSha256, ScramSha1Plus];
        assert_eq!(
            best(&offered, &["tls-exporter"], true, 0),
            Some(ScramSha1Plus)
        );
        assert_eq!(
            best(&offered, &["tls-exporter"], false, 0),
            Some(ScramSha256)
        );
        assert_eq!(best(&offered, &["tls-unique"], true, 0), Some(ScramSha256));
        assert_eq!(best(&offered, &[], true, 0), Some(ScramSha256));
        assert_eq!(best(&offered, &[], true, 3), None);
    }

    #[cfg(not(feature = "scram"))]
    #[test]
    fn scram_is_not_chosen_where_it_is_not_built_in() {
        assert_eq!(
            best(&Mechanism::ALL, &["tls-exporter"], true, 0),
            Some(Mechanism::Plain)
        );
    }
}
