//! strace: what a program really read, fed and asked of the kernel.

use super::process;
use super::wait;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest buffer that strace shows, bytes: more than any read or ioctl here has.
const STRING_LIMIT: &str = "70000";

/// Shows every string byte by byte, for [`quoted_bytes`]; paths too, see [`in_hex`].
pub const HEX: &str = "-xx";

/// strace's words before the program it watches. With `-D` the tracer is a grandchild: the
/// pid we start, signal and watch is the program's own, and the tracer ends with it.
pub fn strace_words(options: &[&str], log: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        ["strace", "-D", "-f", "-qq", "-s", STRING_LIMIT].map(OsString::from).to_vec();
    words.extend(options.iter().map(OsString::from));
    words.push("-o".into());
    words.push(log.into());
    words
}

/// `command`, watched by strace with these options.
pub fn traced(command: &Command, options: &[&str], log: &Path) -> Command {
    let words = strace_words(options, log);
    let mut traced = process::command(&words[0]);
    traced.args(&words[1..]).arg(command.get_program()).args(command.get_args());
    traced
}

/// A trace that may still grow.
pub struct Trace(pub PathBuf);

impl Trace {
    /// All of it so far.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }

    /// Its complete lines so far.
    pub fn lines(&self) -> Vec<String> {
        let text = self.text();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole].lines().map(str::to_owned).collect()
    }

    /// Waits until `count` lines hold `text`.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    pub fn wait_for(&self, text: &str, count: usize) {
        let what = format!("{count} lines with {text} in {}", self.0.display());
        wait::until_true(&what, || {
            self.lines().iter().filter(|line| line.contains(text)).count() >= count
        });
    }
}

/// How [`HEX`] shows a text.
pub fn in_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// The bytes of strace's first `"\x12\x34…"` in `line`.
pub fn quoted_bytes(line: &str) -> Option<Vec<u8>> {
    let (_, rest) = line.split_once('"')?;
    let (quoted, _) = rest.split_once('"')?;
    quoted
        .split("\\x")
        .skip(1)
        .map(|hex| u8::from_str_radix(hex, 16).ok())
        .collect::<Option<Vec<u8>>>()
}

/// The value that a traced call returned.
pub fn returned(line: &str) -> Option<i64> {
    line.rsplit_once(" = ")?.1.split_whitespace().next()?.parse().ok()
}
