//! What is wrong with a configuration, where it stands and what to do about it.
//!
//! Owns the one shape of all messages, and the guess at what a misspelt key should be. It
//! never shows a secret: what may be shown of a value is decided in [`shown`].

use std::fmt;
use std::path::PathBuf;

/// One mistake: `FILE:LINE: KEY: what was found; what is allowed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file that holds the mistake.
    pub file: PathBuf,
    /// Counted from 1; `None` if it is about the file as a whole.
    pub line: Option<usize>,
    /// The key as it stands in the file.
    pub key: Option<String>,
    /// What was found and what is allowed, or what to do.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// Adds a word that is allowed as well.
    pub(super) fn or(mut self, word: &str) -> Self {
        self.message += &format!(", or \"{word}\"");
        self
    }
}

/// Longer texts are not shown: a key in base64 has 43 characters, and one may stand, by
/// mistake, anywhere.
const SHOWN_MAX: usize = 40;

/// A text from the file as it may appear in a message.
pub(super) fn shown(text: &str) -> String {
    let count = text.chars().count();
    if count <= SHOWN_MAX { format!("{text:?}") } else { format!("a text of {count} characters") }
}

/// The one of `known` that `word` most likely stands for: at most a third of it wrong.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let scored = known.iter().map(|key| (distance(word, key), *key));
    let (edits, key) = scored.min()?;
    (edits <= key.len().div_ceil(3) && word.len() <= SHOWN_MAX).then_some(key)
}

/// Levenshtein's distance: letters to insert, remove or replace.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn a_guess_is_near_or_not_made() {
        let known = ["sample-size", "stock", "device", "psk"];
        assert_eq!(nearest("sampel-size", &known), Some("sample-size"));
        assert_eq!(nearest("sample_size", &known), Some("sample-size"));
        assert_eq!(nearest("psl", &known), Some("psk"));
        assert_eq!(nearest("wholly-other", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn what_could_be_a_key_is_not_shown() {
        assert_eq!(shown("5 parsecs"), "\"5 parsecs\"");
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"A".repeat(44)), "a text of 44 characters");
    }
}
