//! What a server advertises, in the one form that SCRAM can protect (XEP-0474).

/// The mechanisms and channel binding types of an offer: what the client has seen, or what the server has sent.
///
/// Their hash goes into SCRAM's messages, so that whoever changes the lists on their way is found out. Only the
/// mechanisms of the SASL profile that is used belong here, and none of FAST's or ISR's (ejabberd#4331).
///
/// ```
/// # use onetrip_negotiation::sasl::Lists;
/// let lists = Lists::new(["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"], Some(&["tls-server-end-point", "tls-exporter"]));
/// let types: Option<&[&str]> = Some(&["tls-exporter", "tls-server-end-point"]);
/// assert_eq!(lists, Lists::new(["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"], types));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lists(String);

impl Lists {
    /// The lists in any order; `None` for channel binding types that were not listed at all, which is not the same as
    /// an empty list.
    #[must_use]
    pub fn new<M: AsRef<str>, T: AsRef<str>>(
        mechanisms: impl IntoIterator<Item = M>,
        types: Option<&[T]>,
    ) -> Self {
        let mechanisms: Vec<M> = mechanisms.into_iter().collect();
        let mut text = joined(&mechanisms);
        if let Some(types) = types {
            text.push('\x1f');
            text.push_str(&joined(types));
        }
        Self(text)
    }

    /// The hash that is compared (XEP-0474 §5.1).
    #[cfg(feature = "scram")]
    pub(crate) fn digest(&self, hash: super::Hash) -> Vec<u8> {
        hash.digest(self.0.as_bytes())
    }
}

fn joined<T: AsRef<str>>(names: &[T]) -> String {
    let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    names.join("\x1e")
}

#[cfg(all(test, feature = "scram"))]
mod tests {
    use super::*;
    use crate::sasl::Hash;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// XEP-0474 §5.3.
    #[test]
    fn the_vector_of_xep_0474() {
        let lists = Lists::new(
            ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"],
            Some(&["tls-server-end-point", "tls-exporter"]),
        );
        let digest = STANDARD.encode(lists.digest(Hash::Sha1));
        assert_eq!(digest, "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    }

    #[test]
    fn no_list_and_an_empty_list_differ() {
        let none = Lists::new(["PLAIN"], None::<&[&str]>);
        assert_ne!(none, Lists::new(["PLAIN"], Some::<&[&str]>(&[])));
    }
}
