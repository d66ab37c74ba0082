//! Counts of stanzas, modulo 2^32 (XEP-0198 §4).

/// How many stanzas, modulo 2^32.
///
/// ```
/// # use onetrip_stream_management::Count;
/// let nearly = Count::new(u32::MAX);
/// assert_eq!(nearly.next(), Count::new(0));
/// assert_eq!(Count::new(2).since(nearly), 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Count(u32);

impl Count {
    /// A count.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The value on the wire.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// One more; behind 2^32 - 1 comes 0.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// So many more.
    #[must_use]
    pub const fn plus(self, stanzas: u32) -> Self {
        Self(self.0.wrapping_add(stanzas))
    }

    /// How many stanzas lie between `earlier` and this.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Reads `h`: digits alone, as `xs:unsignedInt` has it; no sign, no `0x1`, no `1e0`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok().map(Self)).flatten()
    }
}

impl core::fmt::Display for Count {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn only_unsigned_decimals_are_counts() {
        assert_eq!(Count::read("4294967295"), Some(Count::new(u32::MAX)));
        assert_eq!(Count::read("007"), Some(Count::new(7)));
        for bad in ["", "-1", "+1", "0x1", "1e0", " 1", "4294967296"] {
            assert_eq!(Count::read(bad), None, "{bad:?}");
        }
    }
}
