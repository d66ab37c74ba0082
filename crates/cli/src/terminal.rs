//! What is drawn on a terminal of 80 columns, or goes where there is none.

use std::io::{IsTerminal as _, Write as _};

/// How wide a terminal is taken to be.
pub(crate) const COLUMNS: usize = 80;

pub(crate) const BOLD: anstyle::Style = anstyle::Style::new().bold();
const DIM: anstyle::Style = anstyle::Style::new().dimmed();

/// Says more about what stands above.
pub(crate) fn notes(notes: &[String]) {
    for line in notes.iter().flat_map(|note| wrapped(note, COLUMNS - 4)) {
        anstream::println!("    {DIM}{line}{DIM:#}");
    }
}

/// What is under way: one line, wiped before anything else is said. Nothing is shown where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Replaces the line.
    pub(crate) fn show(&self, text: &str) {
        self.clear();
        if self.terminal {
            let text: String = text.chars().take(COLUMNS - 1).collect();
            eprint!("{text}");
            let _ = std::io::stderr().flush();
        }
    }

    /// Wipes the line, without escape sequences, which not every terminal knows.
    pub(crate) fn clear(&self) {
        if self.terminal {
            eprint!("\r{:1$}\r", "", COLUMNS - 1);
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Lines of at most `width` characters, broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_broken_between_words_and_nothing_is_lost() {
        let text = "a stream error that is long, and a word-that-is-longer-than-the-line";
        let lines = wrapped(text, 20);
        assert_eq!(lines.join(" "), text);
        let long = lines.iter().filter(|line| line.len() > 20);
        assert_eq!(long.count(), 1, "{lines:?}");
    }
}
