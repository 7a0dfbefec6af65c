//! The shape of the source, held to by a test: which module may import what, where `unsafe`
//! may stand, how long files get.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules without sockets, files, threads, processes, clocks or configuration.
const PURE: &[&str] = &[
    "moment.rs",
    "sample.rs",
    "keys.rs",
    "retry.rs",
    "wire/",
    "source/health",
    "source/fips",
    "assess/",
    "client/patience.rs",
    "client/turns.rs",
    "server/admission.rs",
    "server/core.rs",
    "server/gate.rs",
    "server/giving.rs",
    "server/guests.rs",
    "server/lifecycle.rs",
    "server/places.rs",
    "server/requests.rs",
    "server/roster.rs",
    "server/schedule.rs",
    "server/session.rs",
    "server/report.rs",
    "server/visits.rs",
    "status/",
    "commands/demo/verdict.rs",
    "commands/setup/plan.rs",
    "commands/setup/script.rs",
    "commands/setup/systems.rs",
];

/// What a pure module must not name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::",
    "SystemTime",
    "SocketAddr",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "UdpSocket",
    "mio::",
    "socket2::",
    "libc::",
    "crossbeam_channel",
    "signal_hook",
    "crate::sys",
    "crate::config",
    "crate::commands",
    "crate::cli",
];

/// Pure parts of shells, which every shell may use.
const PURE_PARTS: &[&str] = &["crate::source::health", "crate::source::fips"];

/// Shells, and the shells they must not know: `commands` wires them.
const SHELLS: &[(&str, &[&str])] = &[
    (
        "source/",
        &["crate::server", "crate::client", "crate::sink", "crate::config", "crate::commands"],
    ),
    (
        "server/",
        &["crate::source", "crate::client", "crate::sink", "crate::config", "crate::commands"],
    ),
    (
        "client/",
        &["crate::source", "crate::server", "crate::sink", "crate::config", "crate::commands"],
    ),
    (
        "sink/",
        &["crate::source", "crate::server", "crate::client", "crate::config", "crate::commands"],
    ),
    (
        "child/",
        &[
            "crate::source",
            "crate::server",
            "crate::client",
            "crate::sink",
            "crate::config",
            "crate::commands",
        ],
    ),
    (
        "status/",
        &["crate::source", "crate::server", "crate::client", "crate::config", "crate::commands"],
    ),
    (
        "stock.rs",
        &["crate::source", "crate::server", "crate::client", "crate::config", "crate::commands"],
    ),
    (
        "sys/",
        &["crate::source", "crate::server", "crate::client", "crate::config", "crate::commands"],
    ),
    (
        "wire/",
        &["crate::source", "crate::server", "crate::client", "crate::config", "crate::commands"],
    ),
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), text)
        })
        .collect()
}

/// The code of a file: no comments, no tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    (1..).zip(text[..end].lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test(name: &str) -> bool {
    name.ends_with("_tests.rs") || name.ends_with("/simulation.rs")
}

#[test]
fn pure_modules_name_nothing_impure() {
    let mut checked = 0;
    for (name, text) in sources() {
        if is_test(&name) || !PURE.iter().any(|pure| name.starts_with(pure)) {
            continue;
        }
        checked += 1;
        for (line, code) in code(&text) {
            for impure in IMPURE {
                assert!(!code.contains(impure), "src/{name}:{line}: {impure} in a pure module");
            }
        }
    }
    assert!(checked >= PURE.len(), "only {checked} pure files found");
}

#[test]
fn shells_do_not_know_each_other() {
    let sources = sources();
    for (shell, strangers) in SHELLS {
        let files: Vec<_> = sources.iter().filter(|(name, _)| name.starts_with(shell)).collect();
        assert!(!files.is_empty(), "{shell} is gone");
        for (name, text) in files {
            for (line, code) in code(text) {
                let code =
                    PURE_PARTS.iter().fold(code.to_owned(), |code, pure| code.replace(pure, ""));
                for stranger in *strangers {
                    assert!(!code.contains(stranger), "src/{name}:{line}: {stranger}");
                }
            }
        }
    }
}

#[test]
fn only_the_event_loop_uses_mio() {
    for (name, text) in sources() {
        if ["server/event_loop.rs", "server/sockets.rs", "commands/server.rs"].contains(&&*name) {
            continue;
        }
        for (line, code) in code(&text) {
            assert!(!code.contains("mio::"), "src/{name}:{line}: mio outside the event loop");
        }
    }
}

#[test]
fn multicast_dns_has_one_place_on_either_side() {
    for (name, text) in sources() {
        if ["client/discover.rs", "commands/announce.rs"].contains(&&*name) {
            continue;
        }
        for (line, code) in code(&text) {
            assert!(!code.contains("mdns_sd"), "src/{name}:{line}: mdns_sd outside of them");
        }
    }
}

#[test]
fn unsafe_stands_only_in_sys() {
    for (name, text) in sources() {
        for (line, code) in code(&text) {
            let found = code.contains("unsafe ") || code.contains("allow(unsafe_code)");
            assert!(!found || name.starts_with("sys/"), "src/{name}:{line}: unsafe outside sys");
        }
    }
}

#[test]
fn systems_and_processors_are_told_apart_in_one_place() {
    let conditions = ["target_os", "target_arch", "target_family", "cfg(unix", "cfg(not(unix"];
    for (name, text) in sources() {
        for (line, code) in text.lines().enumerate() {
            let found = conditions.iter().any(|condition| code.contains(condition));
            assert!(
                !found || name == "sys/platform.rs",
                "src/{name}:{}: {code}: that belongs into sys/platform.rs",
                line + 1
            );
        }
    }
}

/// Where a file stands is the system's choice: FreeBSD has no /run. An example in a sentence stands
/// behind a `\"`.
#[test]
fn files_in_run_have_their_places_in_one_file() {
    for (name, text) in sources() {
        if is_test(&name) || name.contains("/tests/") {
            continue;
        }
        for (line, code) in code(&text) {
            let found = code.replace("\\\"", "").contains("\"/run/");
            let told_apart = name == "sys/platform.rs" && code.contains("if IS_FREEBSD");
            assert!(!found || told_apart, "src/{name}:{line}: that belongs into sys/platform.rs");
        }
    }
}

#[test]
fn every_file_says_what_it_owns_and_stays_short() {
    for (name, text) in sources() {
        assert!(text.starts_with("//!"), "src/{name} does not open with //!");
        let lines = text.lines().count();
        assert!(lines <= 600, "src/{name} has {lines} lines: split it");
    }
}

#[test]
fn no_async_runtime_is_in_the_tree() {
    // It holds what all features bring.
    let lock =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let has = |name: &str| lock.contains(&format!("name = \"{name}\""));
    assert!(has("mdns-sd"), "Cargo.lock is without the feature mdns");
    for runtime in
        ["tokio", "async-std", "smol", "async-executor", "futures-executor", "futures-core"]
    {
        assert!(!has(runtime), "{runtime} is in Cargo.lock");
    }
}
