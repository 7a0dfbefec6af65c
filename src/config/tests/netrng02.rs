//! Listeners and upstreams that speak the original NetRNG's protocol, which is in clear.

use super::mistakes::{Mistakes, answer, check};
use super::with_keys;
use crate::client::Kind;
use crate::config::Config;
use std::path::Path;

/// Five lines.
const OLD: &str = "mode = 'client'\n[[upstream]]\nprotocol = 'netrng-0.2'\n\nname = 'old'\n";
/// Six lines.
const LISTENER: &str = "mode = 'server'\n[server]\nprivate-key = '{1}'\n\
                        clients-file = '/nowhere/clients.toml'\n[[listen]]\n\
                        protocol = 'netrng-0.2'\n";

const UPSTREAM_MISTAKES: &Mistakes = &[
    (
        "address = 'rng.example.org'",
        "/n:6: address: netrng-0.2 sends the bytes in clear, and whoever is on the way can read and change them; use another protocol, or write allow-plaintext = true",
    ),
    (
        "address = '192.0.2.1'\nallow-plaintext = false",
        "/n:6: address: netrng-0.2 sends the bytes in clear, and whoever is on the way can read and change them; use another protocol, or write allow-plaintext = true",
    ),
    (
        "address = 'a'\nallow-plaintext = 'yes'",
        r#"/n:7: allow-plaintext: found "yes"; want true or false"#,
    ),
    (
        "address = 'localhost'\npublic-key = '{2}'",
        r#"/n:7: public-key: has no effect with protocol = "netrng-0.2", which knows no keys; remove it"#,
    ),
    (
        "address = '::1'\npsk-file = '/k'",
        r#"/n:7: psk-file: has no effect with protocol = "netrng-0.2", which knows no keys; remove it"#,
    ),
    ("ssh = 'a'", "/n:3: protocol: is only for upstreams with address; remove it"),
    (
        "address = 'a b'",
        r#"/n:6: address: found "a b"; want "host", "host:port", "192.0.2.1:8989" or "[2001:db8::1]:8989"; ports go up to 65535"#,
    ),
];

const OTHER_MISTAKES: &Mistakes = &[
    (
        "address = 'a'\nprotocol = 'egd'",
        r#"/n:4: protocol: found "egd"; want "netrng" or "netrng-0.2""#,
    ),
    ("address = 'a'\nprotocol = 2", r#"/n:4: protocol: found 2; want "netrng" or "netrng-0.2""#),
    (
        "address = 'a'\nallow-plaintext = true",
        r#"/n:4: allow-plaintext: is only for protocol = "netrng-0.2"; "netrng" encrypts; remove it"#,
    ),
];

const LISTENER_MISTAKES: &Mistakes = &[
    (
        "address = '0.0.0.0:8989'",
        "/n:7: address: 0.0.0.0:8989 is not this machine alone, and netrng-0.2 sends the bytes in clear: whoever is on the way can read and change them; use 127.0.0.1 or a `path`, or write allow-plaintext = true",
    ),
    (
        "address = '127.0.0.1'",
        r#"/n:7: address: found "127.0.0.1"; want a numeric address and a port such as "127.0.0.1:8888" or "[::1]:8888"; ports go up to 65535"#,
    ),
    (
        "address = '127.0.0.1:1'\ngreet = 64",
        r#"/n:8: greet: is only for protocol = "egd"; remove it"#,
    ),
];

#[test]
fn mistakes_are_told() {
    check(answer, OLD, UPSTREAM_MISTAKES);
    check(answer, "mode = 'client'\n[[upstream]]\n", OTHER_MISTAKES);
    check(answer, LISTENER, LISTENER_MISTAKES);
}

#[test]
fn an_upstream_reads_back_and_is_exposed_unless_it_is_this_machine() {
    for (lines, port, is_exposed) in [
        ("address = 'rng.example.org'\nallow-plaintext = true", 8989, true),
        ("address = '192.0.2.1:9000'\nallow-plaintext = true", 9000, true),
        ("address = '0.0.0.0'\nallow-plaintext = true", 8989, true),
        ("address = 'localhost:7000'", 7000, false),
        ("address = '127.1.2.3'", 8989, false),
        ("address = '[::1]:7000'\nallow-plaintext = true", 7000, false),
        ("address = '::ffff:127.0.0.1'", 8989, false),
    ] {
        let read = |text: &str| match Config::parse(text, Path::new("/n")).unwrap() {
            Config::Client(client) => client,
            Config::Server(_) => panic!("a server's"),
        };
        let client = read(&format!("{OLD}{lines}\n"));
        let Kind::Netrng02(server) = &client.upstreams[0].kind else { panic!("{lines}") };
        assert_eq!((server.port, server.is_exposed()), (port, is_exposed), "{lines}");
        let text = client.to_string();
        assert_eq!(text.contains("allow-plaintext = true"), is_exposed, "{text}");
        assert_eq!(format!("{:?}", read(&text)), format!("{client:?}"), "{lines}");
    }
}

#[test]
fn a_listener_reads_back() {
    let lines = "address = '0.0.0.0:2000'\nallow-plaintext = true\nallowed = ['192.0.2.0/24']\n\
                 weight = 3\nlimit = '10 kB/s'\nmax-sessions = 7\n";
    let text = with_keys(&format!("{LISTENER}{lines}"));
    let Ok(Config::Server(server)) = Config::parse(&text, Path::new("/n")) else {
        panic!("a server's")
    };
    let [listener] = &server.listeners[..] else { panic!("one listener") };
    assert!(listener.is_exposed);
    let shown = server.to_string();
    for line in [
        "protocol = \"netrng-0.2\"\naddress = \"0.0.0.0:2000\"\nallow-plaintext = true\n",
        "weight = 3\nlimit = \"10 kB/s\"\nmax-sessions = 7\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
}
