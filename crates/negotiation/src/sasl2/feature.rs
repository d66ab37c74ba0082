//! What a server offers within SASL2, and what a client makes of it (XEP-0388 §2.1, XEP-0440, XEP-0509).

use minidom::Element;
use onetrip_stream::{Build, ns};

use super::Version;
use crate::sasl::{self, BindingType, ChannelBinding, Choice, InitiatorConfig, Lists, Mechanism};

/// `<authentication/>`, and what stands beside it.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Offer {
    /// Which namespace it came in.
    pub version: Version,
    /// The mechanisms.
    pub mechanisms: Vec<String>,
    /// What may ride along.
    pub inline: Vec<Element>,
    /// The channel binding types; `None` when they are not listed at all (XEP-0440).
    pub channel_bindings: Option<Vec<String>>,
    /// Which configuration the server is in, opaque (XEP-0509).
    pub config_version: Option<String>,
}

impl Offer {
    /// Reads `<stream:features/>`; `None` without SASL2 in it. Where both versions are offered, the later is read.
    #[must_use]
    pub fn read(features: &Element) -> Option<Self> {
        let (version, element) = [Version::Two, Version::One]
            .into_iter()
            .find_map(|version| {
                let found = features.get_child("authentication", version.namespace())?;
                Some((version, found))
            })?;
        let named = |element: &Element, name: &str, namespace: &str| -> Vec<Element> {
            let named = element.children().filter(|child| child.is(name, namespace));
            named.cloned().collect()
        };
        let mechanisms = named(element, "mechanism", version.namespace());
        let inline = element.get_child("inline", version.namespace());
        let bindings = features.get_child("sasl-channel-binding", ns::CHANNEL_BINDING);
        let types = |list: &Element| {
            let types = named(list, "channel-binding", ns::CHANNEL_BINDING);
            let types = types.iter().filter_map(|binding| binding.attr("type"));
            types.map(str::to_owned).collect()
        };
        Some(Self {
            version,
            mechanisms: mechanisms
                .iter()
                .map(|mechanism| mechanism.text().trim().to_owned())
                .collect(),
            inline: inline
                .map(|inline| inline.children().cloned().collect())
                .unwrap_or_default(),
            channel_bindings: bindings.map(types),
            config_version: features
                .get_child("config-version", ns::CONFIG_VERSION)
                .and_then(|element| element.attr("value"))
                .map(str::to_owned),
        })
    }

    /// What may ride along under this name.
    #[must_use]
    pub fn inline(&self, name: &str, namespace: &str) -> Option<&Element> {
        self.inline.iter().find(|child| child.is(name, namespace))
    }

    /// What SCRAM compares (XEP-0474). FAST's mechanisms are not among it (ejabberd#4331).
    #[must_use]
    pub fn lists(&self) -> Lists {
        Lists::new(&self.mechanisms, self.channel_bindings.as_deref())
    }
}

/// The element by which a client says which configuration it assumes, and a server which one it is in (XEP-0509 §2).
#[must_use]
pub fn config_version(value: &str) -> Element {
    Element::bare("config-version", ns::CONFIG_VERSION)
        .with_attr("scheme", "opaque")
        .with_attr("value", value)
}

/// Why an offer is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unusable {
    /// No mechanism of it is allowed, possible and strong enough.
    NoMechanism,
    /// Mechanisms that bind the channel, and no types to bind it by: somebody took them off (XEP-0440 §3, rule 4).
    NoTypes,
    /// Types to bind the channel by, and no mechanism that does: somebody took them off (XEP-0440 §3, rule 5).
    NoBindingMechanism,
}

/// Chooses among what is offered, as [`sasl::choose`] does, and by the rules of XEP-0440 for SASL2.
///
/// Where a -PLUS mechanism would do but for its types, none of which there is data for here, the choice goes on without
/// and demands that the server proves its lists (XEP-0474 §6).
///
/// # Errors
/// [`Unusable`], when nothing is to be begun on this stream.
pub fn choose(
    config: &InitiatorConfig,
    offer: &Offer,
    binding: Option<&ChannelBinding>,
    pin: u8,
) -> Result<Choice, Unusable> {
    let types = offer.channel_bindings.as_deref().unwrap_or_default();
    let plus = |mechanism: &Mechanism| mechanism.is_scram() && mechanism.binds_channel();
    let offers_plus = offer
        .mechanisms
        .iter()
        .filter_map(|name| Mechanism::from_name(name))
        .any(|mechanism| plus(&mechanism));
    let could_bind = binding.is_some() && config.allowed.iter().any(plus);
    if could_bind && offers_plus && types.is_empty() && !config.assume_tls_exporter {
        return Err(Unusable::NoTypes);
    }
    if could_bind && !offers_plus && !types.is_empty() {
        return Err(Unusable::NoBindingMechanism);
    }
    let choice = sasl::choose(config, &offer.mechanisms, types, binding, pin)
        .ok_or(Unusable::NoMechanism)?;
    let wanted = could_bind && offers_plus && choice.mechanism().is_scram();
    let end_point = BindingType::TlsServerEndPoint.name();
    let listed = types.iter().any(|name| name == end_point);
    Ok(
        match wanted && !choice.mechanism().binds_channel() && !listed {
            true => choice.demanding_lists(),
            false => choice,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use onetrip_stream::Secret;

    fn offer(mechanisms: &[&str], types: Option<&[&str]>) -> Offer {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Offer {
            mechanisms: owned(mechanisms),
            channel_bindings: types.map(owned),
            ..Offer::default()
        }
    }

    fn chosen(offer: &Offer) -> Result<(Mechanism, bool), Unusable> {
        let config = InitiatorConfig::password("juliet", Secret::from("pw"));
        let binding = ChannelBinding::tls_exporter(Secret::new(vec![1; 32]));
        let choice = choose(&config, offer, Some(&binding), 0)?;
        Ok((choice.mechanism(), choice.demands_lists()))
    }

    #[cfg(feature = "scram")]
    #[test]
    fn xep_0440_lists_that_do_not_go_together_are_not_used() {
        use Mechanism::{ScramSha1, ScramSha1Plus};
        let both = ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"];
        let exporter: Option<&[&str]> = Some(&["tls-exporter"]);
        assert_eq!(chosen(&offer(&both, None)), Err(Unusable::NoTypes));
        assert_eq!(chosen(&offer(&both, Some(&[]))), Err(Unusable::NoTypes));
        assert_eq!(
            chosen(&offer(&["SCRAM-SHA-1"], exporter)),
            Err(Unusable::NoBindingMechanism)
        );
        assert_eq!(chosen(&offer(&both, exporter)), Ok((ScramSha1Plus, false)));
        let foreign = offer(&both, Some(&["tls-unique"]));
        assert_eq!(chosen(&foreign), Ok((ScramSha1, true)));
        let weaker = offer(&both, Some(&["tls-server-end-point"]));
        assert_eq!(chosen(&weaker), Ok((ScramSha1, false)));
    }

    #[test]
    fn without_a_mechanism_nothing_is_chosen() {
        let none = offer(&["DIGEST-MD5"], None);
        assert_eq!(chosen(&none), Err(Unusable::NoMechanism));
        assert_eq!(
            chosen(&offer(&["PLAIN"], None)),
            Ok((Mechanism::Plain, false))
        );
    }

    #[test]
    fn an_offer_is_read_with_what_stands_beside_it() {
        let features: Element = "<features xmlns='http://etherx.jabber.org/streams'>\
            <authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline>\
            <sm xmlns='urn:xmpp:sm:3'/></inline></authentication>\
            <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>\
            <config-version xmlns='urn:xmpp:iap:0' value='VGhpcw=='/></features>"
            .parse()
            .unwrap();
        let offer = Offer::read(&features).unwrap();
        assert_eq!(offer.mechanisms, ["PLAIN"]);
        assert!(offer.inline("sm", ns::STREAM_MANAGEMENT).is_some());
        assert!(offer.inline("bind", ns::BIND2).is_none());
        assert_eq!(
            offer.channel_bindings,
            Some(vec!["tls-exporter".to_owned()])
        );
        assert_eq!(offer.config_version.as_deref(), Some("VGhpcw=="));
        assert_eq!(Offer::read(&Element::bare("features", ns::STREAMS)), None);
    }
}
