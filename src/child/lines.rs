//! What a child says, as log lines: cut, made printable, and so many a minute.
//!
//! Pure. It does not know what the lines mean.

use crate::moment::Moment;
use std::time::Duration;

/// Bytes of a line that are kept.
const LINE_LEN_MAX: usize = 300;
/// Lines passed on in a minute; programs say a few at their start.
const LINES_PER_MINUTE_MAX: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// Makes lines of chunks.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    last: Option<String>,
    minute_began: Option<Moment>,
    passed: u32,
    dropped: u32,
}

impl Lines {
    /// Takes the next bytes; answers the lines they complete and that may be said.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> Vec<String> {
        let mut said = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line(now, &mut said);
            } else if self.partial.len() < LINE_LEN_MAX {
                self.partial.push(byte);
            }
        }
        said
    }

    /// No more bytes come: an unfinished line counts.
    pub(super) fn handle_end(&mut self, now: Moment) -> Vec<String> {
        let mut said = Vec::new();
        self.end_line(now, &mut said);
        said
    }

    /// The last line, whether said or not.
    pub(super) fn into_last(self) -> Option<String> {
        self.last
    }

    fn end_line(&mut self, now: Moment, said: &mut Vec<String>) {
        let text = String::from_utf8_lossy(&self.partial);
        let line: String = text.trim().chars().map(printable).collect();
        self.partial.clear();
        if line.is_empty() {
            return;
        }
        if self.minute_began.is_none_or(|began| now.since(began) >= MINUTE) {
            self.minute_began = Some(now);
            self.passed = 0;
            if std::mem::take(&mut self.dropped) > 0 {
                said.push("(lines beyond 30 a minute were left out)".into());
            }
        }
        if self.passed < LINES_PER_MINUTE_MAX {
            self.passed += 1;
            said.push(line.clone());
        } else {
            self.dropped += 1;
        }
        self.last = Some(line);
    }
}

/// Terminals obey control characters, and a child's words end on one.
fn printable(char: char) -> char {
    match char {
        '\t' => ' ',
        char if char.is_control() => '?',
        char => char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_cut_and_made_printable_and_the_last_needs_no_newline() {
        let mut lines = Lines::default();
        let said = lines.handle_bytes(b"o\tne\r\n\n\x1b[31mred\xff\nthr", Moment::ZERO);
        assert_eq!(said, ["o ne", "?[31mred\u{fffd}"]);
        assert_eq!(lines.handle_bytes(&[b'e'; 10_000], Moment::ZERO), [""; 0]);
        assert_eq!(lines.handle_end(Moment::ZERO)[0].len(), LINE_LEN_MAX);
        assert!(lines.into_last().unwrap().starts_with("threee"));
    }

    #[test]
    fn a_child_that_chatters_is_heard_again_after_a_minute() {
        let mut lines = Lines::default();
        assert_eq!(lines.handle_bytes(&b"a\n".repeat(1000), Moment::ZERO).len(), 30);
        let later = lines.handle_bytes(b"b\n", Moment::ZERO + MINUTE);
        assert_eq!(later, ["(lines beyond 30 a minute were left out)", "b"]);
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_lines(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            at in 0usize..200,
        ) {
            let mut whole = Lines::default();
            let expected = whole.handle_bytes(&bytes, Moment::ZERO);
            let (front, back) = bytes.split_at(at.min(bytes.len()));
            let mut split = Lines::default();
            let mut said = split.handle_bytes(front, Moment::ZERO);
            said.extend(split.handle_bytes(back, Moment::ZERO));
            prop_assert_eq!(said, expected);
        }
    }
}
