//! What the store keeps of one session.

use core::time::Duration;

use onetrip_stream::stored::{Load, Store, StoredError};
use onetrip_stream::{Instant, Jid};

use crate::TokenHash;

/// What the store keeps of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Without a resource.
    pub(crate) account: Jid,
    pub(crate) current: TokenHash,
    /// The one before, while it is not known whether the peer has the current one.
    pub(crate) previous: Option<TokenHash>,
    pub(crate) expires: Instant,
}

impl Record {
    /// Whether this is one of its tokens. Both are compared, whichever it is.
    pub(crate) fn holds(&self, hash: &TokenHash) -> bool {
        let current = self.current == *hash;
        let previous = self.previous.is_some_and(|previous| previous == *hash);
        current | previous
    }

    pub(crate) fn hashes(&self) -> impl Iterator<Item = &TokenHash> {
        core::iter::once(&self.current).chain(&self.previous)
    }

    pub(crate) fn store(&self, out: &mut Store) {
        out.text(&self.account.to_string());
        store_hash(out, &self.current);
        out.flag(self.previous.is_some());
        if let Some(previous) = &self.previous {
            store_hash(out, previous);
        }
        let expires = self.expires.since_epoch();
        out.number(expires.as_secs());
        out.number(expires.subsec_nanos().into());
    }

    pub(crate) fn load(from: &mut Load<'_>) -> Result<Self, StoredError> {
        let account: Jid = from.text()?.parse().map_err(|_| StoredError::Foreign)?;
        let current = load_hash(from)?;
        let previous = match from.flag()? {
            true => Some(load_hash(from)?),
            false => None,
        };
        let seconds = from.number()?;
        let nanos = u32::try_from(from.number()?)
            .ok()
            .filter(|nanos| *nanos < 1_000_000_000)
            .ok_or(StoredError::Foreign)?;
        Ok(Self {
            account: account.to_bare(),
            current,
            previous,
            expires: Instant::from_epoch(Duration::new(seconds, nanos)),
        })
    }
}

fn store_hash(out: &mut Store, hash: &TokenHash) {
    for eight in hash.as_bytes().chunks_exact(8) {
        let number = |high, &low: &u8| (high << 8) | u64::from(low);
        out.number(eight.iter().fold(0, number));
    }
}

fn load_hash(from: &mut Load<'_>) -> Result<TokenHash, StoredError> {
    let mut bytes = [0; 32];
    for eight in bytes.chunks_exact_mut(8) {
        eight.copy_from_slice(&from.number()?.to_be_bytes());
    }
    Ok(TokenHash::from_bytes(bytes))
}
