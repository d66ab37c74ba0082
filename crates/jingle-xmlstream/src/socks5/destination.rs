//! DST.ADDR: the hash by which a streamhost knows a bytestream (XEP-0065 §5.3.2, JXS-12).

use onetrip_stream::Jid;
use sha1::{Digest as _, Sha1};

/// The SHA-1 of a transport's sid and both addresses, as 40 lower-case hexadecimal digits.
///
/// ```
/// # use onetrip_jingle_xmlstream::socks5::Destination;
/// let romeo = "romeo@montague.lit/orchard".parse().unwrap();
/// let juliet = "juliet@capulet.lit/balcony".parse().unwrap();
/// let destination = Destination::new("vj3hs98y", &romeo, &juliet);
/// assert_eq!(destination.as_str(), "972b7bf47291ca609517f67f86b5081086052dad");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination(String);

impl Destination {
    /// Of the sid of the *transport*, not of the session. Which address is first depends on the form (JXS-R12): the
    /// initiator's with streamhosts, that of the one who offers with candidates.
    #[must_use]
    pub fn new(sid: &str, first: &Jid, second: &Jid) -> Self {
        let hash = Sha1::new()
            .chain_update(sid)
            .chain_update(first.to_string())
            .chain_update(second.to_string())
            .finalize();
        Self(crate::hex::hex(&hash))
    }

    /// Reads one, as from `dstaddr` (XEP-0260 §2.2); `None` when it is not 40 hexadecimal digits.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let fits = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iq::testing::*;

    #[test]
    fn jxs_12_and_r12_both_orders_of_the_samples() {
        let (romeo, juliet) = (romeo(), juliet());
        assert_eq!(
            Destination::new("vj3hs98y", &romeo, &juliet).as_str(),
            "972b7bf47291ca609517f67f86b5081086052dad"
        );
        assert_eq!(
            Destination::new("vj3hs98y", &juliet, &romeo).as_str(),
            "1a12fb7bc625e55f3ed5b29a53dbe0e4aa7d80ba"
        );
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        assert!(Destination::read("972B7BF47291CA609517F67F86B5081086052DAD").is_some());
        for bad in ["", "972b", "972b7bf47291ca609517f67f86b5081086052daz"] {
            assert_eq!(Destination::read(bad), None);
        }
    }
}
