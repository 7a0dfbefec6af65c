//! The files in `conf/`: each is read, what the full one says of defaults is so, and it names
//! every key.

use super::{KEY_1, KEY_2};
use crate::client::{Address, Kind, Location};
use crate::config::{
    ClientDefaults, Config, ServerConfig, client, clients, listen, parse_clients, server, upstream,
};
use crate::keys::PublicKey;
use crate::server::Identity;
use crate::sink::Sink;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const FULL: &str = include_str!("../../../conf/netrng.toml");
const SERVER: &str = include_str!("../../../conf/server.toml");
const CLIENT: &str = include_str!("../../../conf/client.toml");

/// A folder that stands for /etc/netrng, with the key files that the shipped files name.
struct Etc(TempDir);

impl Etc {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("server.key", KEY_1), ("client.key", KEY_1), ("client.psk", KEY_2)] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        Etc(folder)
    }

    fn place(&self, text: &str) -> String {
        text.replace("/etc/netrng/", &format!("{}/", self.0.path().display()))
    }

    fn server(&self, text: &str) -> ServerConfig {
        match Config::parse(&self.place(text), Path::new("/etc/netrng.toml")) {
            Ok(Config::Server(mut server)) => {
                // The default stands in the code, so it is not in our folder.
                server.clients_file = server.clients_file.file_name().unwrap().into();
                // Whatever stands in this machine's own /etc/netrng.
                server.clients.missing = None;
                server.clients.rules.clear();
                server
            }
            other => panic!("{other:?}"),
        }
    }

    fn client(&self, text: &str) -> (String, Address, Sink) {
        match Config::parse(&self.place(text), Path::new("/etc/netrng.toml")) {
            Ok(Config::Client(mut client)) => {
                let upstream = client.upstreams.remove(0);
                assert_eq!(upstream.min_entropy, None);
                let Kind::Address(address) = upstream.kind else { panic!("{:?}", upstream.kind) };
                (upstream.name, address, client.sink)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The three parts of the full file.
fn parts() -> [&'static str; 3] {
    let parts: Vec<&str> = FULL.split("# ======== ").skip(1).collect();
    parts.try_into().expect("three parts")
}

/// With every `#key` in effect. The first line is the rest of the heading.
fn in_effect(part: &str) -> String {
    let lines = part.lines().skip(1).map(|line| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with([' ', '#']) => key,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_full_file_is_a_server_with_the_defaults() {
    let etc = Etc::new();
    let as_shipped = etc.server(FULL);
    assert_eq!(as_shipped, etc.server(SERVER));
    assert_eq!(as_shipped, etc.server(&in_effect(parts()[0])));
    assert_eq!(as_shipped.limits, crate::server::Limits::default());
    assert_eq!(as_shipped.source, server::default_source());
    assert_eq!(as_shipped.defaults, ClientDefaults::default());
    assert_eq!(as_shipped.listen.len(), 2);
}

#[test]
fn the_client_part_is_the_least_client() {
    let etc = Etc::new();
    let (full_name, full, full_sink) = etc.client(&in_effect(parts()[1]));
    let (least_name, least, least_sink) = etc.client(CLIENT);
    assert_eq!(full_sink, least_sink);
    assert_eq!(full_sink, Sink::Rngd { command: None });
    assert_eq!((full_name, &full.location), (least_name, &least.location));
    assert!(matches!(full.location, Location::At(_, 8989)), "{full:?}");
    assert_eq!(full.server_key, least.server_key);
    assert!(full.psk.is_some() && least.psk == full.psk);
}

/// What the client's part says of the kinds and sinks that it does not have in effect.
#[test]
fn the_client_part_states_defaults_of_other_kinds() {
    let stated = |key: &str| {
        let lines = parts()[1].lines();
        let mut lines = lines.filter_map(|line| line.strip_prefix(&format!("# {key} = ")));
        lines.next().unwrap_or_else(|| panic!("{key}")).to_owned()
    };
    let text = format!(
        "mode = 'client'\n[[upstream]]\nssh = 'a'\nraw = 'b'\nstall-timeout = {}\n\
         ssh-program = {}\n[sink]\ntype = 'kernel'\ncredit = {}\ninterval = {}\n",
        stated("stall-timeout"),
        stated("ssh-program"),
        stated("credit"),
        stated("interval"),
    );
    let bare = "mode = 'client'\n[[upstream]]\nssh = 'a'\nraw = 'b'\n[sink]\ntype = 'kernel'\n";
    let parse = |text: &str| Config::parse(text, Path::new("/n")).unwrap().to_string();
    assert_eq!(parse(&text), parse(bare));
    assert_eq!(stated("credit").parse(), Ok(crate::sink::DEFAULT_CREDIT));
}

#[test]
fn the_clients_part_states_the_defaults() {
    let etc = Etc::new();
    let other = ClientDefaults {
        weight: 9,
        guarantee_bytes_per_s: 9,
        limit_bytes_per_s: Some(9),
        max_sessions: 9,
    };
    let text = etc.place(&in_effect(parts()[2]));
    let clients = parse_clients(&text, Path::new("/c.toml"), &other).unwrap();
    let [alice] = &clients.rules[..] else { panic!("one client") };
    let Identity::Key { key, psk: Some(_) } = &alice.identity else { panic!("with both keys") };
    assert_ne!(*key, PublicKey([0; 32]));
    let stated = ClientDefaults {
        weight: alice.weight,
        guarantee_bytes_per_s: alice.guarantee_bytes_per_s,
        limit_bytes_per_s: alice.limit_bytes_per_s,
        max_sessions: alice.max_sessions,
    };
    assert_eq!(stated, ClientDefaults::default());
    assert!(alice.allowed.is_empty());
}

#[test]
fn the_full_file_names_every_key() {
    let [server, client, clients] = parts();
    for (part, keys) in [
        (server, crate::config::TOP_KEYS),
        (server, server::SERVER_KEYS),
        (server, server::SOURCE_KEYS),
        (server, clients::DEFAULTS_KEYS),
        (server, listen::LISTEN_KEYS),
        (client, crate::config::TOP_KEYS),
        (client, client::OWN_KEYS),
        (client, upstream::UPSTREAM_KEYS),
        (client, client::SINK_KEYS),
        (clients, clients::CLIENT_KEYS),
    ] {
        for key in keys {
            let named =
                ["", "#", "# "].iter().any(|sign| part.contains(&format!("\n{sign}{key} = ")));
            assert!(named, "{key} is not in conf/netrng.toml");
        }
    }
}
