//! `genkey` and `pubkey`: keys by hand, as `wg` does it.

use super::{Exit, Failure};
use crate::keys::PrivateKey;
use crate::sys::random::try_random;
use crate::wire::native::public_key;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use zeroize::{Zeroize, Zeroizing};

/// Prints a new private key.
///
/// # Errors
/// [`Exit::NotSeeded`] while the kernel's generator is not initialised.
pub fn genkey() -> Result<(), Failure> {
    let mut bytes = [0; 32];
    if !try_random(&mut bytes) {
        return Err(Failure::new(
            Exit::NotSeeded,
            "the kernel's generator is not initialised yet, so a key made now could be guessed; \
             wait for `crng init done` in the kernel's log, or let the server make this \
             machine's keys from its tested source: `netrng enroll NAME` there",
        ));
    }
    let key = PrivateKey::new(bytes);
    bytes.zeroize();
    print_secret(&key.to_text())
}

/// Reads a private key from stdin and prints its public key.
///
/// # Errors
/// [`Exit::Usage`] if what comes in is no key.
pub fn pubkey() -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .take(4096)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(Exit::Usage, format_args!("standard input: {error}")))?;
    let key = PrivateKey::from_text(&text).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format_args!("standard input: {error}; `netrng genkey` makes one"),
        )
    })?;
    print_line(&public_key(&key).to_string())
}

/// Prints a secret to stdout, and warns if that is a file that others may read.
///
/// # Errors
/// [`Exit::System`], if it cannot be written.
pub(super) fn print_secret(text: &str) -> Result<(), Failure> {
    if crate::sys::process::is_open_to_others(std::io::stdout().as_fd()) {
        log::warn!(
            "the secret goes to a file that others may read: chmod 600 it, or umask 077 first"
        );
    }
    print_line(text)
}

/// Prints one line to stdout.
///
/// # Errors
/// [`Exit::System`], if it cannot be written.
pub(super) fn print_line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())?;
    Ok(())
}
