//! An EGD server as `device`: what it may be, what is told of mistakes, and that it reads back.

use super::{KEY_1, with_keys};
use crate::config::{Config, ConfigError, ServerConfig};
use std::path::Path;

/// Three lines; what follows starts in line 4.
const START: &str = "mode = 'server'\nserver.private-key = '{1}'\n[source]\n";

fn read(lines: &str) -> Result<ServerConfig, ConfigError> {
    match Config::parse(&with_keys(&format!("{START}{lines}")), Path::new("/etc/n.toml"))? {
        Config::Server(server) => Ok(server),
        Config::Client(_) => panic!("a client from {lines}"),
    }
}

#[test]
fn what_it_may_be_reads_back() {
    for (lines, name) in [
        ("device = 'egd:127.0.0.1:8888'\nallow-plaintext = false", "egd:127.0.0.1:8888"),
        ("device = 'egd:[::1]:8888'", "egd:[::1]:8888"),
        ("device = 'egd:192.0.2.1:8888'\nallow-plaintext = true", "egd:192.0.2.1:8888"),
        ("device = 'egd:./egd.sock'", "egd:/etc/egd.sock"),
        ("device = 'egd:run/egd.sock'", "egd:/etc/run/egd.sock"),
    ] {
        let given = read(lines).unwrap();
        assert_eq!(given.source.origin.to_string(), name);
        let text = Config::Server(given.clone()).to_string().replace("(hidden)", KEY_1);
        match Config::parse(&text, Path::new("/etc/n.toml")) {
            Ok(Config::Server(again)) => assert_eq!(again, given),
            other => panic!("{other:?} from {text}"),
        }
    }
}

const MISTAKES: &[(&str, &str)] = &[
    (
        "device = 'egd:localhost:8888'",
        r#"/etc/n.toml:4: device: found "egd:localhost:8888"; want "egd:127.0.0.1:8888", "egd:[::1]:8888" or a socket's path, "egd:/run/egd.sock""#,
    ),
    (
        "device = 'egd:192.0.2.1:8888'",
        "/etc/n.toml:4: device: egd:192.0.2.1:8888 is not this machine, and EGD sends the bytes in clear: whoever is on the way can read and change them; run netrng where they come from, or write allow-plaintext = true",
    ),
    (
        "device = '/dev/hwrng'\nallow-plaintext = true",
        r#"/etc/n.toml:5: allow-plaintext: is only for a device such as "egd:192.0.2.1:8888"; remove it"#,
    ),
    (
        "allow-plaintext = false",
        r#"/etc/n.toml:4: allow-plaintext: is only for a device such as "egd:192.0.2.1:8888"; remove it"#,
    ),
    (
        "device = 'egd:127.0.0.1:8888'\n[[listen]]\nprotocol = 'egd'\naddress = '127.0.0.1:8888'",
        "/etc/n.toml:4: device: is a [[listen]] of this very server, which would wait for itself",
    ),
    (
        "device = 'egd:[::1]:8888'\n[[listen]]\nprotocol = 'egd'\nallow-plaintext = true\naddress = '[::]:8888'",
        "/etc/n.toml:4: device: is a [[listen]] of this very server, which would wait for itself",
    ),
    (
        "device = 'egd:./egd.sock'\n[[listen]]\nprotocol = 'egd'\npath = 'egd.sock'",
        "/etc/n.toml:4: device: is a [[listen]] of this very server, which would wait for itself",
    ),
];

#[test]
fn mistakes_are_told() {
    for (lines, expected) in MISTAKES {
        assert_eq!(read(lines).expect_err(lines).to_string(), *expected, "{lines}");
    }
    let long = format!("device = 'egd:/{}'", "a".repeat(104));
    let said = read(&long).unwrap_err().to_string();
    assert_eq!(
        said,
        "/etc/n.toml:4: device: a socket's path has at most 103 bytes; choose a shorter one"
    );
}
