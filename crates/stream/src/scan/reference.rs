//! The five entities and the character references (XML 1.0 §4.1, §4.6).

use super::Fault;

/// The longest entity name, and the most digits: rxml's bound.
pub(super) const LONGEST: usize = 8;

/// What stands between `&` and `;`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Entity,
    Decimal,
    Hexadecimal,
}

impl Kind {
    /// Whether `byte` may go on in what has been read of the name or number.
    pub(super) fn takes(self, byte: u8) -> bool {
        match self {
            Self::Entity => super::class::is(byte, super::class::NAME),
            Self::Decimal => byte.is_ascii_digit(),
            Self::Hexadecimal => byte.is_ascii_hexdigit(),
        }
    }

    /// What `byte` makes of it, when nothing of the name or number has been read.
    pub(super) fn refined(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Entity, b'#') => Some(Self::Decimal),
            (Self::Decimal, b'x') => Some(Self::Hexadecimal),
            _ => None,
        }
    }

    /// Bytes of a reference whose name or number has `length` of them.
    pub(super) fn written(self, length: usize) -> usize {
        let around = match self {
            Self::Entity => 2,
            Self::Decimal => 3,
            Self::Hexadecimal => 4,
        };
        length.saturating_add(around)
    }

    /// The character that a complete name or number stands for.
    pub(super) fn character(self, name: &str) -> Result<char, Fault> {
        let radix = match self {
            Self::Entity => return entity(name).ok_or(Fault::Entity),
            Self::Decimal => 10,
            Self::Hexadecimal => 16,
        };
        u32::from_str_radix(name, radix)
            .ok()
            .and_then(char::from_u32)
            .filter(|c| super::text::is_allowed(*c))
            .ok_or(Fault::Forbidden)
    }
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => None,
    }
}

/// The character of a reference that has been checked, without its `&` and `;`.
pub(super) fn resolve(reference: &str) -> Option<char> {
    let (kind, name) = if let Some(digits) = reference.strip_prefix("#x") {
        (Kind::Hexadecimal, digits)
    } else if let Some(digits) = reference.strip_prefix('#') {
        (Kind::Decimal, digits)
    } else {
        (Kind::Entity, reference)
    };
    kind.character(name).ok()
}
