//! The encoding of values that outlive a connection: length-prefixed fields behind a magic and a version.

use bytes::{BufMut, Bytes, BytesMut};

/// The longest field that is read back: 1 MiB.
pub const MAX_FIELD: usize = 1 << 20;

/// Bytes that are not a stored value of the kind expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Not written by this crate, or a value of another kind.
    #[error("expected a stored value of this kind, got something else")]
    Foreign,
    /// Written by a version that this one does not know.
    #[error("expected a stored value of a version known here, got version {0}")]
    Version(u8),
    /// Cut short or damaged.
    #[error("expected a whole stored value, got one that is damaged at byte {0}")]
    Damaged(usize),
}

/// Writes a stored value.
///
/// ```
/// # use onetrip_stream::stored::{Store, Load};
/// let mut store = Store::new(*b"DEMO", 1);
/// store.text("hello");
/// store.number(7);
/// let bytes = store.finish();
/// let mut load = Load::new(*b"DEMO", &bytes).unwrap();
/// assert_eq!(load.version(), 1);
/// assert_eq!(load.text().unwrap(), "hello");
/// assert_eq!(load.number().unwrap(), 7);
/// assert!(load.finish().is_ok());
/// ```
#[derive(Debug)]
pub struct Store(BytesMut);

impl Store {
    /// A value of the kind `magic`, in this version of its encoding.
    #[must_use]
    pub fn new(magic: [u8; 4], version: u8) -> Self {
        let mut out = BytesMut::new();
        out.put_slice(&magic);
        out.put_u8(version);
        Self(out)
    }

    /// A number.
    pub fn number(&mut self, value: u64) {
        self.0.put_u64(value);
    }

    /// A truth.
    pub fn flag(&mut self, value: bool) {
        self.0.put_u8(u8::from(value));
    }

    /// A text of at most 1 MiB; a longer one is not written and makes the value unreadable.
    pub fn text(&mut self, value: &str) {
        self.number(value.len() as u64);
        self.0.put_slice(value.as_bytes());
    }

    /// A stored value inside this one, of any length.
    pub fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.0.put_slice(value);
    }

    /// A text that may be absent.
    pub fn option(&mut self, value: Option<&str>) {
        self.flag(value.is_some());
        if let Some(value) = value {
            self.text(value);
        }
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Reads a stored value back, field by field in the order it was written.
#[derive(Debug)]
pub struct Load<'a> {
    rest: &'a [u8],
    len: usize,
    version: u8,
}

impl<'a> Load<'a> {
    /// Opens a value of the kind `magic`.
    ///
    /// # Errors
    /// [`StoredError::Foreign`] when it is of another kind.
    pub fn new(magic: [u8; 4], bytes: &'a [u8]) -> Result<Self, StoredError> {
        let rest = bytes.strip_prefix(&magic).ok_or(StoredError::Foreign)?;
        let (&version, rest) = rest
            .split_first()
            .ok_or(StoredError::Damaged(bytes.len()))?;
        Ok(Self {
            rest,
            len: bytes.len(),
            version,
        })
    }

    /// The version it was written in.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    fn damaged(&self) -> StoredError {
        StoredError::Damaged(self.len.saturating_sub(self.rest.len()))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], StoredError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.damaged())?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number.
    ///
    /// # Errors
    /// [`StoredError::Damaged`] when the value ends here.
    pub fn number(&mut self) -> Result<u64, StoredError> {
        let bytes = self.take(8)?;
        Ok(bytes
            .iter()
            .fold(0, |value, &byte| (value << 8) | u64::from(byte)))
    }

    /// A number of things that follow, each of at least one byte: never more than bytes are left.
    ///
    /// # Errors
    /// [`StoredError::Damaged`] when there cannot be as many.
    pub fn count(&mut self) -> Result<usize, StoredError> {
        let count = usize::try_from(self.number()?).map_err(|_| self.damaged())?;
        if count > self.rest.len() {
            Err(self.damaged())
        } else {
            Ok(count)
        }
    }

    /// A truth.
    ///
    /// # Errors
    /// [`StoredError::Damaged`] when it is neither.
    pub fn flag(&mut self) -> Result<bool, StoredError> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.damaged()),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// [`StoredError::Damaged`] when it is cut short, too long or not UTF-8.
    pub fn text(&mut self) -> Result<String, StoredError> {
        let len = self.count()?;
        if len > MAX_FIELD {
            return Err(self.damaged());
        }
        let bytes = self.take(len)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.damaged())
    }

    /// A stored value inside this one.
    ///
    /// # Errors
    /// [`StoredError::Damaged`] when it is cut short.
    pub fn bytes(&mut self) -> Result<&'a [u8], StoredError> {
        let len = self.count()?;
        self.take(len)
    }

    /// A text that may be absent.
    ///
    /// # Errors
    /// As for [`Load::text`].
    pub fn option(&mut self) -> Result<Option<String>, StoredError> {
        if self.flag()? {
            self.text().map(Some)
        } else {
            Ok(None)
        }
    }

    /// The end.
    ///
    /// # Errors
    /// [`StoredError::Damaged`] when bytes are left.
    pub fn finish(self) -> Result<(), StoredError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }
}
