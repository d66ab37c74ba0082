//! `<open/>`, `<data/>` and `<close/>` (XEP-0047 §2), and the base64 between them.

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use bytes::Bytes;
use onetrip_stream::{Payload, ns};

use crate::iq::number;

/// The largest block that is ever offered: XEP-0261's schema counts in a signed 16-bit integer.
pub const MAX_OFFER: u16 = 32767;

/// What one element of the namespace says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// A bytestream is opened.
    Open {
        /// Its name.
        sid: &'a str,
        /// The most bytes of one chunk, before they are encoded.
        block_size: u16,
        /// Whether the chunks come in messages instead of iqs.
        by_message: bool,
    },
    /// One chunk: the text of the element is its base64.
    Data {
        /// Of which bytestream.
        sid: &'a str,
        /// Which one: from 0 on, and 0 again behind 65535.
        seq: u16,
    },
    /// A bytestream is closed.
    Close {
        /// Which one.
        sid: &'a str,
    },
}

impl<'a> Packet<'a> {
    /// Reads an element of the namespace; `None` when it lacks an attribute or has one that cannot be.
    #[must_use]
    pub fn read(payload: &'a Payload<'_>) -> Option<Self> {
        if payload.namespace() != ns::IBB {
            return None;
        }
        let sid = payload.attr("sid")?;
        match payload.name() {
            "open" => Some(Self::Open {
                sid,
                block_size: number(payload.attr("block-size")?).filter(|&size| size > 0)?,
                by_message: match payload.attr("stanza") {
                    None | Some("iq") => false,
                    Some("message") => true,
                    Some(_) => return None,
                },
            }),
            "data" => Some(Self::Data {
                sid,
                seq: number(payload.attr("seq")?)?,
            }),
            "close" => Some(Self::Close { sid }),
            _ => None,
        }
    }

    /// The element as it goes out.
    #[must_use]
    pub fn to_payload(&self) -> Payload<'a> {
        match *self {
            Self::Open {
                sid,
                block_size,
                by_message,
            } => Payload::new("open", ns::IBB)
                .with_attr("block-size", block_size.to_string())
                .with_attr("sid", sid)
                .with_attr("stanza", if by_message { "message" } else { "iq" }),
            Self::Data { sid, seq } => Payload::new("data", ns::IBB)
                .with_attr("seq", seq.to_string())
                .with_attr("sid", sid),
            Self::Close { sid } => Payload::new("close", ns::IBB).with_attr("sid", sid),
        }
    }

    /// Of which bytestream it speaks.
    #[must_use]
    pub fn sid(&self) -> &'a str {
        match *self {
            Self::Open { sid, .. } | Self::Data { sid, .. } | Self::Close { sid } => sid,
        }
    }
}

/// Why a chunk cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    NotBase64,
    TooLong,
}

/// Decodes a chunk of at most `block_size` bytes.
///
/// White space is removed first, unless `strict`: the XEP's own samples are folded. Everything else outside the
/// alphabet is refused, and so is a `=` that is not at the end (XEP-0047 §5).
pub(crate) fn decode(text: &[u8], block_size: u16, strict: bool) -> Result<Bytes, Unreadable> {
    let decode = |text: &[u8]| {
        if text.len() > encoded_length(block_size.into()) {
            return Err(Unreadable::TooLong);
        }
        let decoded = STANDARD.decode(text).map_err(|_| Unreadable::NotBase64)?;
        if decoded.len() > usize::from(block_size) {
            return Err(Unreadable::TooLong);
        }
        Ok(Bytes::from(decoded))
    };
    let plain = decode(text);
    // Whoever folds pays for it: white space is looked for where the text is not base64 as it stands.
    let folded = || text.iter().any(u8::is_ascii_whitespace);
    if plain.is_ok() || strict || !folded() {
        return plain;
    }
    let mut unfolded = text.to_vec();
    unfolded.retain(|byte| !byte.is_ascii_whitespace());
    decode(&unfolded)
}

/// A chunk in base64 without line breaks, made while it is written.
pub(crate) fn encoded(chunk: &[u8]) -> Base64Display<'_, '_, GeneralPurpose> {
    Base64Display::new(chunk, &STANDARD)
}

/// How long the base64 of so many bytes is.
pub(crate) fn encoded_length(length: usize) -> usize {
    length.div_ceil(3).saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digest §7.4: the first chunk of XEP-0247's sample, folded and indented as it stands there.
    const SAMPLE: &str = "
    PHN0cmVhbTpzdHJlYW0geG1sbnM9J2phYmJlcjpjbGllbnQnIHhtbG5zOnN0cmVh
    bT0naHR0cDovL2V0aGVyeC5qYWJiZXIub3JnL3N0cmVhbXMnIGZyb209J3JvbWVv
    QG1vbnRhZ3VlLmxpdC9vcmNoYXJkJyB0bz0nanVsaWV0QGNhcHVsZXQubGl0L2Jh
    bGNvbnknIHZlcnNpb249JzEuMCc+
  ";

    #[test]
    fn the_published_sample_decodes_though_it_is_folded() {
        let decoded = decode(SAMPLE.as_bytes(), 4096, false).unwrap();
        assert_eq!(
            decoded,
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
             from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony' version='1.0'>"
        );
        let strict = decode(SAMPLE.as_bytes(), 4096, true);
        assert_eq!(strict, Err(Unreadable::NotBase64));
        let encoded = encoded(b"</stream:stream>").to_string();
        assert_eq!(encoded, "PC9zdHJlYW06c3RyZWFtPg==");
        assert_eq!(encoded.len(), encoded_length(16));
    }

    #[test]
    fn whatever_is_no_base64_is_refused() {
        for bad in [
            "=AAA", "BBBB=CCC", "AA=A", "A", "AAA", "AAAA!", "AA==AA==", "AB==",
        ] {
            assert_eq!(
                decode(bad.as_bytes(), 4096, false),
                Err(Unreadable::NotBase64),
                "{bad}"
            );
        }
    }

    #[test]
    fn block_size_counts_decoded_bytes() {
        let decoded = |length| decode(STANDARD.encode(vec![0; length]).as_bytes(), 10, false);
        assert_eq!(decoded(10).unwrap().len(), 10);
        assert_eq!(decoded(11), Err(Unreadable::TooLong));
        assert_eq!(decoded(99), Err(Unreadable::TooLong));
    }

    #[test]
    fn packets_survive_the_wire() {
        for packet in [
            Packet::Open {
                sid: "s",
                block_size: 4096,
                by_message: false,
            },
            Packet::Open {
                sid: "s",
                block_size: 65535,
                by_message: true,
            },
            Packet::Data {
                sid: "s",
                seq: 65535,
            },
            Packet::Close { sid: "s" },
        ] {
            assert_eq!(Packet::read(&packet.to_payload()), Some(packet));
        }
    }

    #[test]
    fn attributes_that_cannot_be_are_refused() {
        let open = |size: &'static str| {
            Payload::new("open", ns::IBB)
                .with_attr("sid", "s")
                .with_attr("block-size", size)
        };
        for size in ["0", "65536", "-1", "+1", "x"] {
            assert_eq!(Packet::read(&open(size)), None, "{size}");
        }
        let presence = open("1").with_attr("stanza", "presence");
        assert_eq!(Packet::read(&presence), None);
        assert_eq!(Packet::read(&Payload::new("close", ns::IBB)), None);
    }
}
