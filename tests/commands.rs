//! The commands that no server or client runs behind: keys, enrolment, check, exit codes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use support::process::{Process, finish, finish_with_input, netrng};
use support::site::{Site, fresh_keys};
use support::wait::{self, PATIENCE};

#[test]
fn keys_are_wireguards_kind_and_never_the_same() {
    let (private, public) = fresh_keys();
    assert_eq!((private.len(), public.len()), (44, 44));
    assert_ne!(private, public);
    let (other, other_public) = fresh_keys();
    assert_ne!(private, other);
    assert_ne!(public, other_public);
}

#[test]
fn the_public_key_is_that_of_rfc_7748() {
    // RFC 7748 §6.1, Alice.
    let private = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
    let public = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
    let printed = finish_with_input(&mut netrng(&["pubkey"]), private.as_bytes()).success();
    assert_eq!(printed.trim(), public);
}

#[test]
fn pubkey_refuses_what_is_no_key() {
    let refused = finish_with_input(&mut netrng(&["pubkey"]), b"not a key\n");
    assert_ne!(refused.code, Some(0));
    assert_eq!(refused.stdout, "");
    assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
}

#[test]
fn enrolling_makes_a_complete_client_and_its_entry() {
    let site = Site::new("/dev/urandom");
    let alice = site.enroll("alice");
    assert_eq!(alice.text("public-key"), site.public_key);
    assert_eq!(alice.text("address"), site.address);

    let clients = fs::read_to_string(site.path("clients.toml")).unwrap();
    assert!(clients.contains("\"alice\""), "{clients}");
    assert!(clients.contains(&alice.text("psk")), "enroll always sets a psk");
    let private = alice.text("private-key");
    assert!(!clients.contains(&private), "the server must not keep a client's private key");
    let public = finish_with_input(&mut netrng(&["pubkey"]), private.as_bytes()).success();
    assert!(clients.contains(public.trim()), "the private key printed is not the entry's");
    let mode = fs::metadata(site.path("clients.toml")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & 0o027, 0, "{mode:o}: it holds pre-shared keys");
}

#[test]
fn enrolling_a_name_twice_changes_nothing() {
    let site = Site::new("/dev/urandom");
    site.enroll("alice");
    let before = fs::read_to_string(site.path("clients.toml")).unwrap();
    let mut again = netrng(&["enroll", "alice", "--address", &site.address, "-c"]);
    let refused = finish(again.arg(site.path("server.toml")));
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("alice"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(site.path("clients.toml")).unwrap(), before);
}

/// Two at once: one may be told to try again, but whoever was told "enrolled" is.
#[test]
fn enrolling_side_by_side_loses_nobody() {
    let site = Site::new("/dev/urandom");
    let names: Vec<String> = (0..48).map(|number| format!("client-{number}")).collect();
    let enroll = |name: &str| {
        wait::until("enrolled in the end", PATIENCE, || {
            let tried = finish(&mut site.enroll_command(name, &site.address));
            assert!(tried.code == Some(0) || tried.stderr.contains("under way"), "{tried:?}");
            (tried.code == Some(0)).then_some(())
        });
    };
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| enroll(name));
        }
    });
    let clients = fs::read_to_string(site.path("clients.toml")).unwrap();
    let lost: Vec<_> = names.iter().filter(|n| !clients.contains(&format!("\"{n}\""))).collect();
    assert!(lost.is_empty(), "enrolled, and lost: {lost:?}");
}

#[test]
fn check_prints_the_effective_config_without_secrets() {
    let site = Site::new("/dev/urandom").server("max-clients = 7");
    let alice = site.enroll("alice");
    for path in [site.path("server.toml"), site.client_config(&alice, "type = \"stdout\"")] {
        let printed = finish(netrng(&["check", "-c"]).arg(&path)).success();
        let private = fs::read_to_string(site.path("server.key")).unwrap();
        for secret in [private.trim(), &alice.text("private-key"), &alice.text("psk")] {
            assert!(!printed.contains(secret), "a secret in:\n{printed}");
        }
        if path.ends_with("server.toml") {
            assert!(printed.contains("max-clients = 7"), "{printed}");
            assert!(printed.contains("handshake-timeout = "), "no defaults in\n{printed}");
        }
    }
}

#[test]
fn check_looks_for_what_the_configuration_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.toml");
    let check = |top: &str, upstream: &str| {
        let text =
            format!("mode = \"client\"\n{top}\n[[upstream]]\nssh = \"rng@board\"\n{upstream}\n");
        fs::write(&path, text).unwrap();
        finish(netrng(&["check", "-c"]).arg(&path))
    };
    let files = "identity-file = \"id\"\nknown-hosts-file = \"known\"";
    for (top, upstream, part) in [
        (
            "user = \"no-such-user\"",
            "",
            ".toml:2: user = \"no-such-user\": this machine has no such user",
        ),
        ("user = \"root\"", "", "user = \"root\": has all of root's rights"),
        ("", files, ".toml:5: identity-file: "),
        ("", files, "/id: no such file; `ssh-keygen -t ed25519 -N '' -f` makes one"),
        ("", "identity-file = \"/\"", "identity-file: /: it is not a file"),
    ] {
        let refused = check(top, upstream);
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
        assert_eq!(refused.stderr.trim_end().lines().count(), 1, "{}", refused.stderr);
    }
    fs::write(folder.path().join("id"), "").unwrap();
    let refused = check("", files);
    assert!(refused.stderr.contains("known-hosts-file: "), "{}", refused.stderr);
    fs::write(folder.path().join("known"), "").unwrap();
    check("", files).success();
}

#[test]
fn check_says_once_what_is_not_there_yet() {
    let site = Site::new("/dev/urandom");
    fs::remove_file(site.path("clients.toml")).unwrap();
    let printed = finish(netrng(&["check", "-c"]).arg(site.path("server.toml"))).success();
    assert_eq!(printed.matches("no client may connect").count(), 1, "{printed}");

    let alice = site.enroll("alice");
    let check = |sink: &str| {
        let config = site.client_config(&alice, sink);
        finish(netrng(&["check", "-c"]).arg(config).env("PATH", site.path("empty"))).success()
    };
    assert!(check("type = \"rngd\"").contains("# rngd is not installed"));
    for sink in ["type = \"kernel\"", "rngd-command = [\"/bin/cat\"]"] {
        assert!(!check(sink).contains("not installed"), "{sink}");
    }
}

#[test]
fn the_demo_ends_with_the_way_of_the_readme() {
    let printed = finish(&mut netrng(&["demo", "--seconds", "1"])).stdout;
    for step in
        ["./netrng setup server --apply", "./netrng setup client --config NAME.toml --apply"]
    {
        assert!(printed.contains(step), "{printed}");
    }
}

#[test]
fn a_client_at_the_port_of_another_program_hears_so() {
    let site = Site::new("/dev/urandom");
    let sshd = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let alice = site.enroll_at("alice", &sshd.local_addr().unwrap().to_string());
    let client = site.start_client(&alice);
    let (mut stream, _) = sshd.accept().unwrap();
    stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
    client.wait_for("what answers there is no netrng server: check the address");
}

#[test]
fn who_is_nobody_here_does_not_listen() {
    let refused =
        finish(&mut Site::new("/dev/urandom").top("user = \"no-such-user\"").server_command());
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let place = "server.toml:2: user = \"no-such-user\": this machine has no such user";
    assert!(refused.stderr.contains(place), "{}", refused.stderr);
    assert!(!refused.stderr.contains("listening"), "{}", refused.stderr);
}

/// What can be wrong with a site's `server.toml`: the change, and what the message must say.
const MISTAKES: &[(&str, &[&str])] = &[
    ("max-client = 5", &["server.toml:7", "max-client", "max-clients"]),
    ("max-clients = \"many\"", &["server.toml:7", "max-clients", "many"]),
    ("max-clients = 0", &["server.toml:7", "max-clients", "1"]),
    ("handshake-timeout = \"5 parsecs\"", &["server.toml:7", "handshake-timeout", "5 parsecs"]),
    ("= =", &["server.toml:7"]),
];

#[test]
fn a_mistake_in_the_config_is_named_with_file_line_key_and_remedy() {
    for (line, words) in MISTAKES {
        let site = Site::new("/dev/urandom").server(line);
        let refused = finish(&mut site.server_command());
        for word in *words {
            assert!(refused.stderr.contains(word), "{line:?}: no {word:?} in {}", refused.stderr);
        }
    }
}

#[test]
fn a_secret_that_the_world_can_read_is_refused() {
    let site = Site::new("/dev/urandom");
    let key = site.path("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = finish(&mut site.server_command());
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("server.key"), "{}", refused.stderr);
    assert!(refused.stderr.contains("chmod"), "no remedy: {}", refused.stderr);
}

#[test]
fn every_kind_of_failure_has_its_own_exit_code() {
    let site = Site::new("/dev/urandom");
    let alice = site.enroll("alice");

    let usage = finish(&mut netrng(&["no-such-command"]));
    let config = finish(&mut Site::new("/dev/urandom").server("nonsense = 1").server_command());
    let other = std::net::TcpListener::bind(&site.address).unwrap();
    let bind = finish(&mut site.server_command());
    assert!(bind.stderr.contains("perhaps netrng itself (`netrng status`)"), "{}", bind.stderr);
    drop(other);
    // A source that only is to be read once, so that waiting for it makes no sense.
    let mut enroll = netrng(&["enroll", "bob", "--address", "192.0.2.1:1", "-c"]);
    let source = finish(enroll.arg(Site::new("/nowhere/at/all").path("server.toml")));
    let mut client = site.client_command(&alice, "type = \"rngd\"");
    let rngd = finish(client.env("PATH", site.path("empty")));
    assert!(rngd.stderr.contains("rng-tools"), "names no package: {}", rngd.stderr);

    let failures = [
        ("usage", usage),
        ("config", config),
        ("bind", bind),
        ("source", source),
        ("rngd missing", rngd),
    ];
    let help = finish(&mut netrng(&["--help"])).success();
    let mut codes = BTreeMap::new();
    for (kind, finished) in &failures {
        let code = finished.code.unwrap_or_else(|| panic!("{kind}: ended by a signal"));
        assert!(!finished.stderr.trim().is_empty(), "{kind}: not a word");
        assert!(!finished.stderr.contains("panicked"), "{kind}: {}", finished.stderr);
        assert!(![0, 1, 101].contains(&code), "{kind}: {code} says nothing: {}", finished.stderr);
        assert!(help.contains(&code.to_string()), "{kind}: {code} is not in --help");
        let before = codes.insert(code, kind);
        assert_eq!(before, None, "{kind} has the code {code} of another kind");
    }
}

#[test]
fn run_takes_the_mode_from_the_config() {
    let site = Site::new("/dev/urandom");
    let mut server = Process::start(netrng(&["run", "-c"]).arg(site.path("server.toml")));
    server.wait_for(support::site::READY);
    let alice = site.enroll("alice");
    server.signal(libc::SIGHUP);
    let config = site.client_config(&alice, "type = \"stdout\"");
    let client = Process::start(netrng(&["run", "-c"]).arg(config));
    client.wait_for_bytes(4096);
    drop(client);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[test]
fn a_command_that_does_not_fit_the_config_says_so() {
    let site = Site::new("/dev/urandom");
    let refused = finish(netrng(&["client", "-c"]).arg(site.path("server.toml")));
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("server"), "{}", refused.stderr);
}
