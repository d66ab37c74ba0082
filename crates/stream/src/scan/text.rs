//! Characters: UTF-8, `Char` of XML 1.0 §2.2, and what a reader makes of line ends and white space (§2.11, §3.3.3).

use super::Fault;
use super::reference;

/// Checks what the classes of bytes cannot: UTF-8, and the two characters in it that are none.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.is_ascii() {
        return Ok(());
    }
    let text = core::str::from_utf8(bytes).map_err(|_| Fault::Utf8)?;
    // Both begin with this byte, which is rare.
    if bytes.contains(&0xEF) && text.contains(['\u{FFFE}', '\u{FFFF}']) {
        return Err(Fault::Forbidden);
    }
    Ok(())
}

/// `Char`.
pub(super) const fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Bytes that [`check`] has let through.
pub(super) fn as_str(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

/// A run of text without references, its line ends made one LF each.
pub(super) fn lines(run: &str) -> String {
    run.replace("\r\n", "\n").replace('\r', "\n")
}

/// A checked value, its references resolved, its white space made spaces.
pub(super) fn value(raw: &str) -> String {
    let mut value = String::with_capacity(raw.len());
    let mut parts = raw.split('&');
    let plain = |value: &mut String, part: &str| {
        let spaces = part.replace("\r\n", " ").replace(['\t', '\n'], " ");
        value.push_str(&spaces);
    };
    plain(&mut value, parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once(';').unwrap_or_default();
        value.extend(reference::resolve(name));
        plain(&mut value, rest);
    }
    value
}
