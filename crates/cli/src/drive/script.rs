//! What a machine under `drive` is given: bytes from standard input, or a script.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::Failure;
use crate::options::Drive;

/// One input, from standard input or a script.
pub(super) enum Input {
    Bytes(Vec<u8>),
    Advance(Duration),
    Eof,
    Stanza(String),
    Handled(u32),
    Answer(Value),
    Ask(Value),
}

/// Reads what the machine is to be given.
pub(super) fn inputs(options: &Drive) -> Result<Vec<Input>, Failure> {
    let Some(file) = &options.input else {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        return Ok(vec![Input::Bytes(bytes)]);
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            input(line).map_err(|error| {
                Failure::Usage(format!("{}:{}: {error}", file.display(), index + 1))
            })
        })
        .collect()
}

fn input(line: &str) -> Result<Input, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if let Some(bytes) = text("bytes") {
        Ok(Input::Bytes(bytes.as_bytes().to_vec()))
    } else if let Some(bytes) = text("bytes_b64") {
        STANDARD
            .decode(bytes)
            .map(Input::Bytes)
            .map_err(|error| error.to_string())
    } else if let Some(millis) = value.get("advance_ms").and_then(Value::as_u64) {
        Ok(Input::Advance(Duration::from_millis(millis)))
    } else if value.get("eof") == Some(&Value::Bool(true)) {
        Ok(Input::Eof)
    } else if let Some(stanza) = text("stanza") {
        Ok(Input::Stanza(stanza.to_owned()))
    } else if let Some(count) = value.get("handled").and_then(Value::as_u64) {
        Ok(Input::Handled(u32::try_from(count).unwrap_or(u32::MAX)))
    } else if let Some(answer) = value.get("answer") {
        Ok(Input::Answer(answer.clone()))
    } else if let Some(pair) = value.get("ask") {
        Ok(Input::Ask(pair.clone()))
    } else {
        Err("expected bytes, bytes_b64, advance_ms, eof, stanza, handled, answer or ask".to_owned())
    }
}

/// Hands bytes over in pieces.
pub(super) fn pieces(bytes: &[u8], split: usize) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(if split == 0 {
        bytes.len().max(1)
    } else {
        split
    })
}
