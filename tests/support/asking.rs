//! `netrng status`, and what `jq` finds in its JSON.

use super::process::{Finished, command, finish, finish_with_input, netrng};
use std::path::Path;

/// `netrng status` of the daemon at this socket.
pub fn status(socket: &Path, arguments: &[&str]) -> Finished {
    finish(netrng(&["status", "--socket"]).arg(socket).args(arguments))
}

/// What `jq` finds in a JSON text; strings bare, several results a line each.
pub fn jq(json: &str, filter: &str) -> String {
    let words = ["-r", "-c", filter];
    finish_with_input(command("jq").args(words), json.as_bytes()).success().trim().to_owned()
}

/// The same, a number.
///
/// # Panics
/// If it is none.
pub fn number(json: &str, filter: &str) -> u64 {
    let text = jq(json, filter);
    text.parse().unwrap_or_else(|_| panic!("{filter} is {text:?} in {json}"))
}
