//! `check`: reads the configuration as `run` would, looks whether what it names is there, and
//! prints what it comes to.

use super::keys::print_line;
use super::{Failure, halves};
use crate::client::Kind;
use crate::config::{Config, mistake_at};
use crate::sys::harden::is_root;
use crate::sys::privilege::{User, run_as};
use crate::wire::native::public_key;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// Prints the effective configuration; secrets are masked.
///
/// # Errors
/// What is wrong with the configuration.
pub fn check(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let user = find_user(&config, path)?;
    let mut text = format!("# {}: no mistakes found. In effect:\n{config}", path.display());
    match &config {
        Config::Server(server) => {
            text += &format!("\n# The server's public key: {}\n", public_key(&server.private_key));
            if let Some((_, path)) = server.source.origin.path().filter(|(_, path)| !path.exists())
            {
                let device = path.display();
                text += &format!("# {device} does not exist now; a server waits for it.\n");
            }
        }
        Config::Client(client) => {
            if let Some(missing) = client.sink.missing() {
                text += &format!("\n# {missing}.\n");
            }
            for upstream in &client.upstreams {
                match &upstream.kind {
                    Kind::Address(address) => {
                        let key = public_key(&address.private_key);
                        text += &format!("\n# Our public key for {}: {key}\n", upstream.name);
                    }
                    Kind::Ssh(ssh) => {
                        let (file, user) = (path, user.as_ref());
                        let make = "`ssh-keygen -t ed25519 -N '' -f` makes one";
                        expect(file, "identity-file", ssh.identity_file.as_deref(), user, make)?;
                        let make = "put what `ssh-keyscan` shows of the host there, once compared";
                        expect(
                            file,
                            "known-hosts-file",
                            ssh.known_hosts_file.as_deref(),
                            user,
                            make,
                        )?;
                    }
                    Kind::Netrng02(_) | Kind::Command(_) => {}
                }
            }
        }
    }
    print_line(text.trim_end())
}

/// The user that the configuration, which was read from `path`, names; `None`: it names none.
///
/// # Errors
/// This machine has no such user, or it is root.
pub fn find_user(config: &Config, path: &Path) -> Result<Option<User>, Failure> {
    let Some(name) = config.user() else { return Ok(None) };
    let found = halves::find(name).map(Some);
    found.map_err(|failure| mistake_at(path, "user", name, failure.text).into())
}

/// Looks whether what `key` names is there and can be read by the one who will. `make`: what to
/// do if it is not there.
pub(super) fn expect(
    config: &Path,
    key: &str,
    named: Option<&Path>,
    user: Option<&User>,
    make: &str,
) -> Result<(), Failure> {
    let Some(path) = named else { return Ok(()) };
    let name = path.display();
    let said = match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("no such file; {make}")
        }
        Err(error) => error.to_string(),
        Ok(about) if !about.is_file() => "it is not a file".to_owned(),
        Ok(_) if can_read(user, path) => return Ok(()),
        Ok(_) => {
            let reader = user.map_or_else(|| "this user".to_owned(), ToString::to_string);
            format!(
                "{reader}, as whom ssh runs, may not read it; chgrp it to that user's group, and chmod 640"
            )
        }
    };
    let value = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    Err(mistake_at(config, key, value, format!("{key}: {name}: {said}")).into())
}

/// True as well where we cannot know: only root can look with another user's eyes.
fn can_read(user: Option<&User>, path: &Path) -> bool {
    let Some(user) = user.filter(|user| !user.is_us()) else { return File::open(path).is_ok() };
    if !is_root() {
        return true;
    }
    let mut look = Command::new("/bin/sh");
    look.args(["-c", "exec < \"$0\""]).arg(path);
    look.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    run_as(&mut look, user.clone());
    look.status().map_or(true, |status| status.success())
}
