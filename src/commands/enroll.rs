//! `enroll NAME`: makes a client's key and pre-shared key from the tested source, adds the
//! client to the clients file, and prints the client's whole configuration.

use super::keys::print_secret;
use super::{Exit, Failure};
use crate::config::{self, Config, ServerConfig};
use crate::keys::{PrivateKey, Psk};
use crate::source::draw::draw;
use crate::sys::lock::lock_folder;
use crate::wire::native::public_key;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use zeroize::Zeroizing;

/// Enrols a client. `address` is where it will find this server; without it the first address
/// listened on, or the host's name.
///
/// # Errors
/// A name that is taken or has forbidden characters, a source that fails, a file that cannot
/// be written.
pub fn enroll(path: &Path, name: &str, address: Option<&str>) -> Result<(), Failure> {
    let Config::Server(server) = Config::load(path)? else {
        return Err(Failure::new(
            Exit::Config,
            format_args!(
                "{}: mode: this is a client's file; run enroll on the server",
                path.display()
            ),
        ));
    };
    if !config::is_client_name(name) {
        let rule = config::CLIENT_NAME_RULE;
        return Err(Failure::new(Exit::Usage, format_args!("{name:?} is no client name: {rule}")));
    }
    let address = address.map_or_else(|| own_address(&server), |text| Ok(text.to_owned()))?;
    if config::parse_address(&address).is_none() {
        return Err(Failure::new(
            Exit::Usage,
            format_args!(
                "--address: found {address:?}; want \"host\", \"host:port\", \"192.0.2.1:8989\" or \
                 \"[2001:db8::1]:8989\""
            ),
        ));
    }
    // From here on alone: two enrolments at once must not lose each other's client.
    let file = &server.clients_file;
    let cannot_add = |error: io::Error| {
        Failure::new(
            Exit::Config,
            format_args!("{}: cannot add the client: {error}", file.display()),
        )
    };
    let _lock = lock_folder(folder_of(file)).map_err(cannot_add)?;
    let clients = config::load_clients(file, &server.defaults)?;
    if clients.rules.iter().any(|client| client.name == name) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!(
                "{name:?} is enrolled already: choose another name, or remove its [[client]] from {}",
                file.display()
            ),
        ));
    }
    let drawn = draw(&server.source, 64)?;
    let half = |range: std::ops::Range<usize>| {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(&drawn.as_bytes()[range]);
        bytes
    };
    let (private_key, psk) = (PrivateKey::new(*half(0..32)), Psk::new(*half(32..64)));
    let entry = config::client_entry_text(name, &public_key(&private_key), &psk);
    let text = config::client_config_text(
        name,
        &address,
        &public_key(&server.private_key),
        &private_key,
        &psk,
    );
    append(file, &entry).map_err(cannot_add)?;
    print_secret(text.trim_end())?;
    let file = file.display();
    let mut err = io::stderr().lock();
    let _ = writeln!(
        err,
        "netrng: {name} was added to {file}; if the server runs, send it SIGHUP.\n\
         netrng: its configuration goes to {name} as /etc/netrng.toml (mode 0600), and nowhere else; \
         it finds the server at {address}."
    );
    Ok(())
}

/// Where a client finds this server, as far as the server can know.
fn own_address(server: &ServerConfig) -> Result<String, Failure> {
    let listen = server.listen.iter();
    if let Some(address) = listen.clone().find(|address| !address.ip().is_unspecified()) {
        return Ok(address.to_string());
    }
    let port = listen.map(|address| address.port()).next().unwrap_or(config::DEFAULT_PORT);
    match host_name().as_str() {
        "" => Err(Failure::new(
            Exit::Usage,
            "this host does not know its own name: say --address HOST:PORT, where the client \
             finds this server",
        )),
        name => Ok(format!("{name}:{port}")),
    }
}

/// As this machine calls itself; empty if it has no name of its own, or keeps it to itself.
pub(super) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "localhost" | "(none)" => String::new(),
        name => name.to_owned(),
    }
}

/// Appends to the clients file in one step: whoever reads it sees all of the entry or none of
/// it, whatever happens in between. Owner and group stay; others lose what access they had.
fn append(path: &Path, entry: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(".new");
    let temporary = folder_of(path).join(temporary_name);
    let (old, metadata) = match fs::read(path) {
        Ok(old) => (Zeroizing::new(old), Some(fs::metadata(path)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Zeroizing::default(), None),
        Err(error) => return Err(error),
    };
    // It holds a secret from now on, so it is not for others, whatever it was before.
    let mode = metadata.as_ref().map_or(0o600, |metadata| metadata.mode() & 0o640);
    // What an enrolment that was killed left behind.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let mut write = || -> io::Result<()> {
        if let Some(metadata) = &metadata {
            fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
        }
        file.write_all(&old)?;
        file.write_all(entry.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn appending_keeps_what_was_there_and_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.toml");
        append(&path, "\na\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        append(&path, "\nb\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "\na\n\nb\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_a_killed_enrolment_left_behind_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.toml");
        fs::write(folder.path().join(".clients.toml.new"), "half an en").unwrap();
        append(&path, "x").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    }
}
