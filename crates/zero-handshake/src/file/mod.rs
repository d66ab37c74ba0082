//! The file form of an agreement: TOML, whose errors name the field and the line (feature `serde`).

use core::fmt;

mod form;
mod parts;

use crate::{Agreement, AgreementError};
use form::Form;

/// A file that is no agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileError {
    /// The line, counted from 1.
    pub line: usize,
    /// The key, with its table; empty where the file is no TOML there.
    pub field: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key that means nothing: it is never ignored.
    #[error("expected a key that means something here, got another")]
    Unknown,
    /// A key that must be there. The line is that of its table.
    #[error("expected this key, got none")]
    Missing,
    /// A value of another type, or one that cannot be read.
    #[error("{0}")]
    Value(String),
    /// Terms that are no agreement.
    #[error("{}", .0.fault)]
    Terms(AgreementError),
}

impl core::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.field.is_empty() {
            write!(f, "`{}`: ", self.field)?;
        }
        fmt::Display::fmt(&self.problem, f)
    }
}

impl Agreement {
    /// Reads the file form.
    ///
    /// ```
    /// # use onetrip_zero_handshake::Agreement;
    /// let text = "ours = ['a.example']\ntheirs = ['a.example']\nsecurity = 'plain'";
    /// let error = Agreement::from_toml(text).unwrap_err();
    /// assert_eq!(error.to_string(), "line 2: `theirs`: expected domains of the peer's, got a.example, which is ours");
    /// ```
    ///
    /// # Errors
    /// [`FileError`] with the first line that is wrong.
    pub fn from_toml(text: &str) -> Result<Self, FileError> {
        let form: Form = toml::from_str(text).map_err(|error| foreign(text, &error))?;
        let terms = form.to_terms().map_err(|wrong| FileError {
            line: line_at(text, wrong.at),
            field: wrong.field.to_owned(),
            problem: Problem::Value(wrong.what),
        })?;
        Self::new(terms).map_err(|error| FileError {
            line: line_at(text, form.place(&error)),
            field: error.field.key().to_owned(),
            problem: Problem::Terms(error),
        })
    }

    /// Writes the file form: every key, whether at its default or not. Times are in whole seconds there, rounded up.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // The form holds nothing that TOML cannot.
        toml::to_string(&Form::from_terms(self.terms())).unwrap_or_default()
    }
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, at: usize) -> usize {
    let before = text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    before.saturating_add(1)
}

/// What the library says, in our words. Its messages put names between back-ticks.
fn foreign(text: &str, error: &toml::de::Error) -> FileError {
    let at = error.span().map_or(0, |span| span.start);
    let message = error.message();
    let named = message.split('`').nth(1).unwrap_or_default();
    let (table, key) = key_at(text, at);
    let (field, problem) = if message.starts_with("unknown field") {
        (joined(&table, named), Problem::Unknown)
    } else if message.starts_with("missing field") {
        // The span is that of the table: its header, or the place of an inline table.
        let table = if at == 0 { String::new() } else { table };
        (joined(&table, named), Problem::Missing)
    } else if is_semantic(message) {
        (joined(&table, &key), Problem::Value(message.to_owned()))
    } else {
        (String::new(), Problem::Syntax(message.to_owned()))
    };
    FileError {
        line: line_at(text, at),
        field,
        problem,
    }
}

/// Whether the file was TOML, and a value of it did not fit.
fn is_semantic(message: &str) -> bool {
    [
        "invalid type",
        "invalid value",
        "unknown variant",
        "wanted exactly",
        "invalid length",
    ]
    .iter()
    .any(|start| message.starts_with(start))
}

fn joined(table: &str, key: &str) -> String {
    match table {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    }
}

/// The table and the key that a byte of the file belongs to.
fn key_at(text: &str, at: usize) -> (String, String) {
    let (mut table, mut key) = (String::new(), String::new());
    let mut start = 0_usize;
    for line in text.split_inclusive('\n') {
        if start > at {
            break;
        }
        start = start.saturating_add(line.len());
        let line = line.trim();
        let name = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
        if let Some(header) = line.strip_prefix('[').filter(|_| line.ends_with(']')) {
            // An element of an array that stands on lines of its own is no header.
            if header.starts_with(|c: char| c == '[' || c.is_ascii_alphabetic()) {
                table = name(header.trim_matches(['[', ']']));
                key.clear();
            }
        } else if let Some((before, _)) = line.split_once('=') {
            if before.trim().bytes().all(is_key_byte) {
                key = name(before);
            }
        }
    }
    (table, key)
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}
