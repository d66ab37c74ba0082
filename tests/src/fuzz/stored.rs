//! What is stored and comes back, and the file of an agreement.

use onetrip_core::fast::{Tokens as FastTokens, Wallet};
use onetrip_core::isr::{Keys, Ticket, Tokens};
use onetrip_core::quickstart::Cache;
use onetrip_core::stream_management::Session;
use onetrip_core::zero_handshake::Agreement;
use onetrip_core::{Installation, Resumption};

/// What is read from bytes writes something that reads the same, and is not longer than what it was read from.
macro_rules! round {
    ($data:expr, $($kind:ty),+) => {
        $(
            if let Ok(value) = <$kind>::from_bytes($data) {
                let bytes = value.to_bytes();
                let again = <$kind>::from_bytes(&bytes).unwrap_or_else(|error| panic!("{error}: {:02x?}", &bytes[..]));
                assert_eq!(again.to_bytes(), bytes, stringify!($kind));
            }
        )+
    };
}

pub(super) fn values(data: &[u8]) {
    round!(
        data,
        Cache,
        Session,
        Resumption,
        Ticket,
        Tokens,
        Keys,
        FastTokens,
        Wallet,
        Installation
    );
}

/// What is read from a file writes a file that says the same.
pub(super) fn agreement(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    if let Ok(agreement) = Agreement::from_toml(text) {
        let written = agreement.to_toml();
        let again =
            Agreement::from_toml(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
        assert_eq!(again.terms(), agreement.terms(), "{written}");
    }
}
