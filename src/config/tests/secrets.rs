//! Files: which ones may hold secrets, and what is said of those that cannot be read.

use super::{KEY_1, KEY_2, with_keys};
use crate::config::{ClientDefaults, Config, load_clients};
use crate::keys::PrivateKey;
use crate::server::Identity;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const BY_FILE: &str =
    "mode = 'server'\n[server]\nprivate-key-file = 'key'\nclients-file = 'none'\n";
const INLINE: &str = "mode = 'server'\n[server]\nprivate-key = '{1}'\nclients-file = 'none'\n";
const ALICE: &str = "[[client]]\nname = 'alice'\npublic-key = '{1}'\n";

fn write(folder: &TempDir, name: &str, mode: u32, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// What loading says, with the folder's name taken out.
fn said(folder: &TempDir, path: &Path) -> Option<String> {
    let error = Config::load(path).err()?.to_string();
    assert!(![KEY_1, KEY_2].iter().any(|key| error.contains(&key[..6])), "{error}");
    Some(error.replace(folder.path().to_str().unwrap(), ""))
}

#[test]
fn a_file_with_a_secret_is_closed_to_strangers() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, closed) in [
        (0o600, true),
        (0o640, true),
        (0o440, true),
        (0o400, true),
        (0o644, false),
        (0o660, false),
        (0o641, false),
        (0o642, false),
    ] {
        let path = write(&folder, "n.toml", mode, with_keys(INLINE));
        let expected = format!(
            "/n.toml:3: private-key: in this file: it holds a secret, but its mode {mode:04o} \
             is too open; run: chmod 640 /n.toml"
        );
        assert_eq!(said(&folder, &path), (!closed).then_some(expected));

        let path = write(&folder, "by-file.toml", 0o666, BY_FILE);
        write(&folder, "key", mode, format!("{KEY_1}\n"));
        let expected = format!(
            "/by-file.toml:3: private-key-file: /key: it holds a secret, but its mode {mode:04o} \
             is too open; run: chmod 640 /key"
        );
        assert_eq!(said(&folder, &path), (!closed).then_some(expected));
    }
}

#[test]
fn a_clients_file_is_closed_only_if_it_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| load_clients(path, &ClientDefaults::default());
    let path = write(&folder, "clients", 0o644, with_keys(ALICE));
    assert_eq!(load(&path).unwrap().rules.len(), 1);
    let path = write(&folder, "clients", 0o644, with_keys(&format!("{ALICE}psk = '{{2}}'\n")));
    let error = load(&path).unwrap_err();
    assert_eq!((error.line, error.key.as_deref()), (Some(4), Some("psk")));
    assert!(error.message.contains("chmod 640"), "{error}");
    write(&folder, "psk", 0o600, KEY_2);
    let path = write(&folder, "clients", 0o644, with_keys(&format!("{ALICE}psk-file = 'psk'\n")));
    let Identity::Key { psk, .. } = &load(&path).unwrap().rules[0].identity else { panic!() };
    assert!(psk.is_some());
}

#[test]
fn a_key_file_is_read_from_the_folder_of_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "n.toml", 0o644, BY_FILE);
    write(&folder, "key", 0o600, format!("  {KEY_2}\n\n"));
    let Config::Server(server) = Config::load(&path).unwrap() else { panic!("not a server") };
    assert_eq!(server.private_key, PrivateKey::from_text(KEY_2).unwrap());
    assert_eq!(server.clients_file, folder.path().join("none"));
    write(&folder, "key", 0o600, &KEY_2[1..]);
    let expected = "/n.toml:3: private-key-file: /key: not a key: want 32 bytes in base64, \
                    44 characters that end in `=`";
    assert_eq!(said(&folder, &path).as_deref(), Some(expected));
}

#[test]
fn what_cannot_be_read_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let expected = "/none: no such file; start from conf/netrng.toml, or for a client run \
                    `netrng enroll NAME` on its server";
    assert_eq!(said(&folder, &folder.path().join("none")).as_deref(), Some(expected));
    let expected = ": it is a folder, not a file";
    assert_eq!(said(&folder, folder.path()).as_deref(), Some(expected));
    let path = write(&folder, "n.toml", 0o644, b"mode = 'server'\n# caf\xe9\n");
    assert_eq!(said(&folder, &path).as_deref(), Some("/n.toml: line 2 is not UTF-8 text"));
}

#[test]
fn no_clients_file_is_nobody_but_a_broken_one_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "n.toml", 0o600, with_keys(INLINE));
    let Config::Server(server) = Config::load(&path).unwrap() else { panic!("not a server") };
    assert!(server.clients.rules.is_empty());
    let missing = server.clients.missing.unwrap().to_string();
    let expected = "/none: no such file, so no client may connect; `netrng enroll NAME` makes it";
    assert_eq!(missing.replace(folder.path().to_str().unwrap(), ""), expected);
    write(&folder, "none", 0o644, "[[client]]\nname = 'alice'\n[[client\n");
    let expected = "/none:3: not valid TOML: unclosed array table, expected `]]`";
    assert_eq!(said(&folder, &path).as_deref(), Some(expected));
}
