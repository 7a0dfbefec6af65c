//! What is written out reads back: the effective configuration, and what `enroll` hands out.

use super::{KEY_1, KEY_3, with_keys};
use crate::client::{Address, Kind, Location, Upstream};
use crate::config::listen::Place;
use crate::config::{
    ClientConfig, ClientDefaults, Config, ServerConfig, client_config_text, client_entry_text,
    parse_clients,
};
use crate::keys::{PrivateKey, Psk, PublicKey};
use crate::server::{Identity, Limits};
use crate::sink::Sink;
use crate::source::Settings;
use crate::source::origin::Origin;
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

const HIDDEN: &str = "(hidden)";

pub(super) fn server(text: &str) -> ServerConfig {
    match Config::parse(text, Path::new("/etc/n.toml")) {
        Ok(Config::Server(server)) => server,
        other => panic!("{other:?} from {text}"),
    }
}

pub(super) fn client(text: &str) -> ClientConfig {
    match Config::parse(text, Path::new("/etc/n.toml")) {
        Ok(Config::Client(client)) => client,
        other => panic!("{other:?} from {text}"),
    }
}

pub(super) fn address(upstream: &Upstream) -> &Address {
    let Kind::Address(address) = &upstream.kind else { panic!("{upstream:?}") };
    address
}

/// The text without secrets, and the same with `keys` in their places.
pub(super) fn unmask(text: &str, keys: &[&str]) -> String {
    for key in keys {
        assert!(!text.contains(&key[..8]), "a secret shows in {text}");
    }
    keys.iter().fold(text.to_owned(), |text, key| text.replacen(HIDDEN, key, 1))
}

#[test]
fn an_effective_server_is_the_same_server() {
    let given = server(&with_keys(
        "mode = 'server'\nuser = 'netrng'\nlog-to = 'syslog'\n[server]\nprivate-key = '{1}'\nclients-file = 'a\"\\b'\n\
         listen = ['192.0.2.1', '[::1]:0']\ntap-socket = '/a b/c'\nmax-clients = 7\nmax-waiting = 0\n\
         max-handshakes = 8\nmax-handshakes-per-address = 3\nhandshakes-per-s = 7\nhandshakes-per-s-per-address = 2\n\
         handshake-timeout = '1.5 s'\nidle-timeout = '1 min'\nwrite-timeout = '100 ms'\n\
         max-round = '333 ms'\nheadroom = 1\n[source]\ndevice = '/dev/a b'\n\
         sample-size = '1000 B'\nstock = 3\nmin-entropy = 0.25\nstall-timeout = '1 h'\n\
         [defaults]\nweight = 2\nguarantee = '500 B/s'\nlimit = '3 kB/s'\nmax-sessions = 4\n",
    ));
    let limits = Limits {
        sample_size: 1000,
        max_clients: 7,
        max_waiting: 0,
        max_handshakes: 8,
        max_handshakes_per_address: 3,
        handshakes_per_s: 7,
        handshakes_per_s_per_address: 2,
        handshake_timeout: Duration::from_millis(1500),
        idle_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_millis(100),
        max_round: Duration::from_millis(333),
        headroom: 1.0,
    };
    assert_eq!(given.limits, limits);
    let source = Settings {
        origin: Origin::Path("/dev/a b".into()),
        min_entropy: Some(0.25),
        sample_size: 1000,
        stock: 3,
        stall_timeout: Duration::from_secs(3600),
    };
    assert_eq!(given.source, source);
    let defaults = ClientDefaults {
        weight: 2,
        guarantee_bytes_per_s: 500,
        limit_bytes_per_s: Some(3000),
        max_sessions: 4,
    };
    assert_eq!(given.defaults, defaults);
    let text = Config::Server(given.clone()).to_string();
    assert_eq!(server(&unmask(&text, &[KEY_1])), given);
    assert!(text.contains("# No clients: /etc/a\"\\b: no such file"), "{text}");
}

#[test]
fn an_effective_server_lists_its_clients() {
    let mut given = server(&with_keys("mode = 'server'\nserver.private-key = '{1}'\n"));
    let clients = "[[client]]\nname = 'alice'\npublic-key = '{2}'\npsk = '{3}'\n\
                   limit = '1 kB/s'\nallowed = '10.0.0.7'\n\
                   [[client]]\nname = 'bob'\npublic-key = '{3}'\n\
                   [[client]]\nname = 'carol'\nuser = 'root'\n";
    let clients = parse_clients(&with_keys(clients), Path::new("/c"), &given.defaults);
    given.clients = clients.unwrap();
    let text = given.to_string();
    for line in [
        "# Clients: 3",
        "#   alice {2}, with psk, weight 1, guarantee 0 B/s, limit 1 kB/s, max-sessions 1, \
         from [\"10.0.0.7/32\"]",
        "#   bob {3}, without psk, weight 1, guarantee 0 B/s, limit none, max-sessions 1, \
         from anywhere",
        "#   carol user root (uid 0), weight 1, guarantee 0 B/s, limit none, max-sessions 1, \
         through netrng tap",
    ] {
        assert!(text.lines().any(|found| found == with_keys(line)), "{line} is not in {text}");
    }
}

#[test]
fn an_effective_client_is_the_same_client() {
    let public_4 = PublicKey([4; 32]);
    let given = client(&format!(
        "{}\n[[upstream]]\naddress = '[2001:db8::1]:9000'\npublic-key = '{public_4}'\n\
         name = 'attic'\nprivate-key = '{KEY_3}'\n\
         [sink]\nrngd-command = ['/opt/rn gd', '-f', '\"']\n",
        with_keys(
            "mode = 'client'\n[client]\nprivate-key = '{1}'\n\
             [[upstream]]\naddress = 'a.example'\npublic-key = '{2}'\npsk = '{3}'\n"
        )
    ));
    let text = Config::Client(given.clone()).to_string();
    let again = client(&unmask(&text, &[KEY_1, KEY_3, KEY_3]));
    // All that an upstream holds shows in its Debug text but the secrets.
    assert_eq!(format!("{again:?}"), format!("{given:?}"));
    for (again, given) in again.upstreams.iter().zip(&given.upstreams) {
        let (again, given) = (address(again), address(given));
        assert!(again.private_key == given.private_key && again.psk == given.psk);
    }
    assert_eq!(given.upstreams[0].name, "a.example:8989");
    let location = Location::At("2001:db8::1".to_owned(), 9000);
    assert_eq!(address(&given.upstreams[1]).location, location);
}

#[test]
fn every_kind_of_upstream_reads_back() {
    for upstream in [
        "ssh = 'board'",
        "ssh = 'rng@board'\nssh-port = 2222\nidentity-file = '/k/id'\n\
         known-hosts-file = 'known'\nname = 'attic'\nmin-entropy = 0.5",
        "ssh = 'rng@2001:db8::1'\nssh-program = '/opt/my ssh'\nraw = 'cat \"/dev/hwrng\"'\n\
         stall-timeout = '2 min'",
        "command = ['/opt/a b/rng', '--raw', '\\']\nstall-timeout = '1.5 s'\nmin-entropy = 8",
        "command = 'rng'\nname = 'other'",
    ] {
        let given = client(&format!(
            "mode = 'client'\n[[upstream]]\n{upstream}\n\
             [[upstream]]\ncommand = ['pv', '/dev/hwrng']\n"
        ));
        let text = given.to_string();
        assert!(!text.contains(HIDDEN), "no secret is here: {text}");
        assert_eq!(format!("{:?}", client(&text)), format!("{given:?}"), "{upstream}");
        assert_eq!(given.upstreams[1].name, "pv");
    }
}

#[test]
fn every_sink_reads_back() {
    for sink in [
        "type = 'rngd'",
        "type = 'fifo'\npath = '/run/\u{e4} \"x\\'",
        "type = 'stdout'",
        "type = 'kernel'",
        "type = 'kernel'\ncredit = 0.5\ninterval = '24 h'",
    ] {
        let given = client(&with_keys(&format!(
            "mode = 'client'\nclient.private-key = '{{1}}'\n[[upstream]]\naddress = '::1'\n\
             public-key = '{{2}}'\n[sink]\n{sink}\n"
        )));
        let text = given.to_string();
        assert_eq!(client(&unmask(&text, &[KEY_1])).sink, given.sink);
    }
}

#[test]
fn what_enroll_hands_out_reads_back_on_both_sides() {
    let (private_key, psk) = (PrivateKey::new([5; 32]), Psk::new([6; 32]));
    let (server_key, key) = (PublicKey([7; 32]), PublicKey([8; 32]));
    let text = client_config_text("alice", "rng.example", &server_key, &private_key, &psk);
    let given = client(&text);
    assert_eq!(given.sink, Sink::Rngd { command: None });
    let [upstream] = &given.upstreams[..] else { panic!("one upstream") };
    let upstream = address(upstream);
    assert_eq!(upstream.location, Location::At("rng.example".to_owned(), 8989));
    assert_eq!(upstream.server_key, server_key);
    assert!(upstream.private_key == private_key && upstream.psk.as_ref() == Some(&psk));

    // Appended to a file whose last line is not closed.
    let before = with_keys("[[client]]\nname = 'bob'\npublic-key = '{1}'");
    let text = before + &client_entry_text("alice", &key, &psk);
    let clients = parse_clients(&text, Path::new("/c"), &ClientDefaults::default()).unwrap();
    let [_, alice] = &clients.rules[..] else { panic!("two clients") };
    assert_eq!(alice.name, "alice");
    assert_eq!(alice.identity, Identity::Key { key, psk: Some(psk) });
}

proptest! {
    #[test]
    fn any_path_and_any_words_read_back(
        path in "/[^\0]{1,20}",
        words in proptest::collection::vec("[^\0]{1,10}", 1..4),
    ) {
        let mut given = client(&with_keys(
            "mode = 'client'\nclient.private-key = '{1}'\n[[upstream]]\naddress = 'a'\n\
             public-key = '{2}'\n",
        ));
        for sink in [Sink::Fifo { path: path.into() }, Sink::Rngd { command: Some(words) }] {
            given.sink = sink;
            let text = given.to_string();
            let again = client(&text.replace(HIDDEN, KEY_1)).sink;
            prop_assert_eq!(&again, &given.sink);
        }
    }
}

#[test]
fn a_socket_that_shows_who_the_clients_are_is_not_open_to_all() {
    let mode = |lines: &str| {
        let listen = format!("[[listen]]\npath = '/run/s'\n{lines}\n");
        let text = "mode = 'server'\n[server]\nprivate-key = '{1}'\nclients-file = 'c'\n";
        match &server(&(with_keys(text) + &listen)).listeners[0].place {
            Place::Unix(_, mode) => *mode,
            Place::Tcp(address) => panic!("{address}"),
        }
    };
    assert_eq!(mode("protocol = 'http'"), 0o660);
    assert_eq!(mode("protocol = 'http'\nmode = '0666'"), 0o666);
    assert_eq!(mode("protocol = 'egd'"), 0o666);
}
