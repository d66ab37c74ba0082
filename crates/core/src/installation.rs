//! What a client keeps of an account for its logins by token.

use bytes::Bytes;
use onetrip_fast::Wallet;
use onetrip_stream::stored::{Load, Store, StoredError};
use onetrip_stream::{Env, Jid};

const MAGIC: [u8; 4] = *b"OTIN";
const VERSION: u8 = 1;

/// Who a client is to the server of one account, and the tokens it was handed out there (XEP-0484): a value to store
/// anywhere and give back. It is as good as a password: keep it as one, and in no backup (XEP-0484 §4.1).
///
/// ```
/// # use onetrip_core::Installation;
/// # use onetrip_core::stream::{Env, Instant};
/// # let mut entropy = |out: &mut [u8]| out.fill(0xf4);
/// let env = &mut Env::new(Instant::EPOCH, &mut entropy);
/// let installation = Installation::new(&"juliet@capulet.lit/balcony".parse().unwrap(), env);
/// assert_eq!(installation.id, "f4f4f4f4-f4f4-44f4-b4f4-f4f4f4f4f4f4");
/// assert_eq!(Installation::from_bytes(&installation.to_bytes()), Ok(installation));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Installation {
    /// The account, without a resource.
    pub account: Jid,
    /// A UUID of version 4, by which the server knows this client of this account again (XEP-0388 §2.3).
    pub id: String,
    /// The tokens.
    pub wallet: Wallet,
}

impl Installation {
    /// One that is new to its server.
    #[must_use]
    pub fn new(account: &Jid, env: &mut Env<'_>) -> Self {
        let mut random = [0_u8; 16];
        env.entropy.fill(&mut random);
        Self::with(account, uuid(random), Wallet::default())
    }

    pub(crate) fn with(account: &Jid, id: String, wallet: Wallet) -> Self {
        Self {
            account: account.to_bare(),
            id,
            wallet,
        }
    }

    /// The versioned encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.text(&self.account.to_string());
        out.text(&self.id);
        out.bytes(&self.wallet.to_bytes());
        out.finish()
    }

    /// Reads the encoding back.
    ///
    /// # Errors
    /// [`StoredError`] when the bytes are of another kind or version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let mut from = Load::new(MAGIC, bytes)?;
        if from.version() != VERSION {
            return Err(StoredError::Version(from.version()));
        }
        let account: Jid = from.text()?.parse().map_err(|_| StoredError::Foreign)?;
        let id = from.text()?;
        let wallet = Wallet::from_bytes(from.bytes()?)?;
        from.finish()?;
        Ok(Self::with(&account, id, wallet))
    }
}

/// RFC 9562 §5.4.
fn uuid(random: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(random);
    let bits = bits & !(0xf << 76) | 4 << 76;
    let bits = bits & !(0b11 << 62) | 0b10 << 62;
    let digits = format!("{bits:032x}");
    let groups = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let groups = groups.map(|(from, to)| digits.get(from..to).unwrap_or_default());
    groups.join("-")
}
