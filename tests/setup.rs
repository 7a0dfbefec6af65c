//! `netrng setup` on real Debian roots, one for each init system that Debian has: what the first
//! run changes, that the second changes nothing, and that what it set up works.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;
use support::debian::{ROOT_PATIENCE, Root, finish};
use support::process::{self, Finished, Process, binary, command, netrng};
use support::site::READY;
use support::wait::{self, PATIENCE};

/// Each init system with the link that shows it starts netrng at boot.
const INITS: &[(&str, &str)] = &[
    ("systemd", "etc/systemd/system/multi-user.target.wants/netrng.service"),
    ("sysvinit", "etc/rc2.d/S01netrng"),
    ("openrc", "etc/runlevels/default/netrng"),
    ("runit", "etc/runit/runsvdir/default/netrng"),
];

/// A server and a client, set up by nothing but `setup` and `enroll`; the client's rngd gets
/// the server's bytes.
fn from_nothing_to_rngd(init: &str, enabled: &str) {
    let server = Root::new(init);
    let said = server.setup(&["server", "--apply"]).success();
    assert!(said.contains(" steps done now"), "{said}");
    assert!(!said.contains("\n/"), "the path of a program: {said}");
    assert!(fs::symlink_metadata(server.path(enabled)).is_ok(), "{init}: no {enabled}\n{said}");
    assert_eq!(server.access("etc/netrng"), (0o750, true));
    assert_eq!(server.access("etc/netrng/server.key").0, 0o600);
    assert_eq!(server.access("etc/netrng/clients.toml").0, 0o600);
    let key = said.lines().find_map(|line| line.strip_prefix("The public key of this server: "));
    assert_eq!(key.map(str::len), Some(44), "{said}");
    server.assert_nothing_changes(&["server", "--apply"]);
    let checked = finish(&mut server.command(&["netrng", "check"])).success();
    assert!(checked.contains(key.unwrap()), "{checked}");

    let enroll = ["netrng", "enroll", "alice", "--address", "127.0.0.1:8989"];
    let config = finish(&mut server.command(&enroll)).success();
    let client = Root::new(init);
    let path = client.path("alice.toml");
    fs::write(&path, &config).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let arguments = ["client", "--config", path.to_str().unwrap(), "--apply"];
    client.setup(&arguments).success();
    assert!(fs::symlink_metadata(client.path(enabled)).is_ok(), "{init}: no {enabled}");
    let named = config.replacen("mode = \"client\"\n", "mode = \"client\"\nuser = \"netrng\"\n", 1);
    assert_ne!(named, config);
    assert_eq!(fs::read_to_string(client.path("etc/netrng.toml")).unwrap(), named);
    assert_eq!(client.access("etc/netrng.toml").0, 0o600);
    client.assert_nothing_changes(&arguments);

    // In a network of their own: the port is everybody's.
    let run = ["netrng", "run", "-c", "/etc/netrng.toml"];
    let mut network = command("unshare");
    network.args(["--net", "sh", "-ec", "ip link set lo up; exec \"$@\"", "sh"]);
    let inside = server.command(&run);
    let running = Process::start(network.arg(inside.get_program()).args(inside.get_args()));
    running.wait_for(READY);
    let inside = client.command(&run);
    let mut joined = command("nsenter");
    joined.args(["--net", "--target", &running.pid().to_string()]);
    let mut feeding = Process::start(joined.arg(inside.get_program()).args(inside.get_args()));
    running.wait_for("alice");
    feeding.wait_for("rngd: started");
    feeding.wait_for("127.0.0.1:8989: gives bytes");
    assert!(feeding.try_wait().is_none());
    feeding.terminate();
}

#[test]
fn systemd_from_nothing_to_rngd() {
    from_nothing_to_rngd(INITS[0].0, INITS[0].1);
}

#[test]
fn sysvinit_from_nothing_to_rngd() {
    from_nothing_to_rngd(INITS[1].0, INITS[1].1);
}

#[test]
fn openrc_from_nothing_to_rngd() {
    from_nothing_to_rngd(INITS[2].0, INITS[2].1);
}

#[test]
fn runit_from_nothing_to_rngd() {
    from_nothing_to_rngd(INITS[3].0, INITS[3].1);
}

/// A system that runs, with processes and a network of its own.
struct Booted {
    _container: Process,
    /// Its first process, as we see it.
    first: u32,
}

impl Booted {
    /// In a container with a /dev, a clock and a name that are not the machine's.
    fn new(root: &Root) -> Self {
        let mut start = command("systemd-nspawn");
        start.args(["--register=no", "--keep-unit", "--boot", "--private-network"]);
        start.args(["--console=pipe", "--directory"]).arg(root.path(""));
        let container = Process::start(&mut start);
        let first = wait::until("the first process", PATIENCE, || {
            descendants(container.pid()).into_iter().find(|pid| {
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let mut ids = status.lines().filter_map(|line| line.strip_prefix("NSpid:"));
                ids.next().is_some_and(|ids| ids.ends_with("\t1"))
            })
        });
        Booted { _container: container, first }
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let mut inside = command("nsenter");
        inside.args(["--target", &self.first.to_string()]);
        inside.args(["--mount", "--net", "--pid", "--ipc", "--uts", "--root", "--wd"]);
        finish(inside.args(arguments))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // The kernel ends with it all that it started. It is our child's child.
        let _ = Command::new("kill").args(["-KILL", &self.first.to_string()]).status();
    }
}

fn descendants(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    let children = text.split_whitespace().filter_map(|word| word.parse().ok());
    children.flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// The servers in it, by their numbers there.
fn running(system: &Booted) -> Vec<u32> {
    let line = "grep -lx netrng /proc/[0-9]*/comm | cut -d/ -f3";
    let found = system.run(&["sh", "-c", line]).success();
    found.lines().map(|pid| pid.parse().unwrap()).collect()
}

/// A server whose generator gives nothing is starting, for as long as it takes.
#[test]
fn systemd_does_not_wait_for_a_silent_source() {
    let root = Root::new("systemd");
    fs::copy(binary(), root.path("root/netrng")).unwrap();
    fs::remove_file(root.path("usr/sbin/policy-rc.d")).unwrap();
    let config = "mode = \"server\"\n[server]\nprivate-key-file = \"/etc/netrng/server.key\"\n\
                  [source]\ndevice = \"/root/silent\"\n";
    fs::write(root.path("root/server.toml"), config).unwrap();
    finish(command("mkfifo").arg(root.path("root/silent"))).success();
    let system = Booted::new(&root);
    let booted = ["systemctl", "is-system-running", "--wait"];
    wait::until("the boot", ROOT_PATIENCE, || (system.run(&booted).code == Some(0)).then_some(()));
    let setup = ["/root/netrng", "setup", "server", "--config", "/root/server.toml", "--apply"];
    let said = system.run(&setup).success();
    assert!(said.contains("netrng is starting: it waits for the source"), "{said}");
    let state = system.run(&["systemctl", "is-active", "netrng.service"]);
    assert_eq!(state.stdout.trim(), "activating");
    assert!(system.run(&setup).success().contains("nothing to do: all "));
    let named = fs::read_to_string(root.path("etc/netrng.toml")).unwrap();
    assert_eq!(named, config.replacen('\n', "\nuser = \"netrng\"\n", 1));
}

/// On a system that runs, the service runs afterwards, with the configuration that was there.
fn starts_where_the_system_runs(init: &str, booted: &[&str]) {
    let root = Root::new(init);
    fs::copy(binary(), root.path("root/netrng")).unwrap();
    fs::remove_file(root.path("usr/sbin/policy-rc.d")).unwrap();
    // Not the machine's own generator: the group of its device would change.
    let config = "mode = \"server\"\nuser = \"netrng\"\n[server]\nprivate-key-file = \"/etc/netrng/server.key\"\n\
                  [source]\ndevice = \"/dev/urandom\"\n";
    fs::write(root.path("etc/netrng.toml"), config).unwrap();
    let device = || fs::metadata("/dev/hwrng").map(|about| (about.mode(), about.gid())).unwrap();
    let before = device();
    let system = Booted::new(&root);
    wait::until("the boot", ROOT_PATIENCE, || (system.run(booted).code == Some(0)).then_some(()));

    let said = system.run(&["/root/netrng", "setup", "server", "--apply"]).success();
    assert!(said.contains("yours, stays as it is: The configuration;"), "{said}");
    // runit starts what is enabled, within five seconds.
    let port = format!("{:04X}", 8989);
    wait::until_true("a server that listens", || {
        system.run(&["grep", &format!(":{port} "), "/proc/net/tcp"]).code == Some(0)
    });
    assert!(said.contains("doing: The service runs"), "{said}");
    let again = system.run(&["/root/netrng", "setup", "server", "--apply"]).success();
    assert!(again.contains("nothing to do: all "), "{again}");

    // A newer program: what runs is started anew, and is the new one.
    let first = running(&system);
    let mut newer = fs::read(binary()).unwrap();
    newer.extend_from_slice(b"newer");
    fs::write(root.path("root/netrng"), newer).unwrap();
    let said = system.run(&["/root/netrng", "setup", "server", "--apply"]).success();
    assert!(said.contains("2 of ") && said.contains("doing: The service runs"), "{said}");
    wait::until_true("another process", || {
        let now = running(&system);
        !now.is_empty() && now.iter().all(|pid| !first.contains(pid))
    });
    let again = system.run(&["/root/netrng", "setup", "server", "--apply"]).success();
    assert!(again.contains("nothing to do: all "), "{again}");

    // A changed service as well.
    let second = running(&system);
    let service = if init == "runit" { "sv/netrng/run" } else { "init.d/netrng" };
    let service = match init {
        "systemd" => "etc/systemd/system/netrng.service".to_owned(),
        _ => format!("etc/{service}"),
    };
    for folder in ["", "etc/netrng/shipped/"] {
        let path = root.path(folder).join(&service);
        let older = fs::read_to_string(&path).unwrap() + "# older\n";
        fs::write(path, older).unwrap();
    }
    let said = system.run(&["/root/netrng", "setup", "server", "--apply"]).success();
    assert!(said.contains("2 of ") && said.contains("doing: The service runs"), "{said}");
    wait::until_true("another process", || {
        let now = running(&system);
        !now.is_empty() && now.iter().all(|pid| !second.contains(pid))
    });

    assert_eq!(fs::read_to_string(root.path("etc/netrng.toml")).unwrap(), config);
    assert_eq!(device(), before, "the machine's own device was touched");
}

#[test]
fn systemd_starts_it() {
    starts_where_the_system_runs("systemd", &["systemctl", "is-system-running", "--wait"]);
}

#[test]
fn sysvinit_starts_it() {
    starts_where_the_system_runs("sysvinit", &["sh", "-c", "runlevel | grep 2$"]);
}

#[test]
fn openrc_starts_it() {
    starts_where_the_system_runs("openrc", &["sh", "-c", "runlevel | grep 2$"]);
}

#[test]
fn runit_starts_it() {
    starts_where_the_system_runs("runit", &["test", "-e", "/run/runit.stopit"]);
}

#[test]
fn what_an_admin_changed_stays_and_what_an_older_netrng_wrote_goes() {
    let root = Root::new("sysvinit");
    root.setup(&["server", "--apply"]).success();
    let (service, shipped) = ("etc/init.d/netrng", "etc/netrng/shipped/etc/init.d/netrng");
    let ours = fs::read_to_string(root.path(service)).unwrap();
    // An older netrng's, unchanged.
    fs::write(root.path(service), "#!/bin/sh\n# old\n").unwrap();
    fs::write(root.path(shipped), "#!/bin/sh\n# old\n").unwrap();
    let said = root.setup(&["server", "--apply"]).success();
    assert!(said.contains("1 of ") && said.contains("doing: The service, for sysvinit"), "{said}");
    assert_eq!(fs::read_to_string(root.path(service)).unwrap(), ours);

    // The admin's, and a configuration that is nobody else's business.
    let mine = ours + "# and mine\n";
    fs::write(root.path(service), &mine).unwrap();
    let config = fs::read_to_string(root.path("etc/netrng.toml")).unwrap() + "max-clients = 7\n";
    fs::write(root.path("etc/netrng.toml"), &config).unwrap();
    root.assert_nothing_changes(&["server", "--apply"]);
    let said = root.setup(&["server"]).success();
    assert_eq!(said.matches("(yours: stays as it is)").count(), 2, "{said}");
    assert_eq!(fs::read_to_string(root.path(service)).unwrap(), mine);
    assert_eq!(fs::read_to_string(root.path("etc/netrng.toml")).unwrap(), config);

    // It is a server's, so it cannot be a client's machine; nor has it what is not installed.
    for (arguments, code, part) in [
        (
            &["client", "--apply"][..],
            3,
            "/etc/netrng.toml is there already and makes this machine a",
        ),
        (&["server", "--apply", "--init", "openrc"], 2, "no openrc here; want the one"),
        (&["server", "--apply", "--init", "upstart"], 2, "no upstart here; want the one"),
    ] {
        let refused = root.setup(arguments);
        assert_eq!(refused.code, Some(code), "{refused:#?}");
        assert!(refused.stderr.contains(part) && refused.stdout.is_empty(), "{refused:#?}");
    }

    // What was broken since is mended, and a folder may stand elsewhere.
    let program = root.path("usr/local/bin/netrng");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let said = root.setup(&["server", "--apply"]).success();
    assert!(said.contains("1 of ") && said.contains("doing: The program"), "{said}");
    assert_eq!(fs::metadata(&program).unwrap().mode() & 0o777, 0o755);
    fs::rename(root.path("etc/netrng"), root.path("var/netrng")).unwrap();
    symlink("../var/netrng", root.path("etc/netrng")).unwrap();
    root.assert_nothing_changes(&["server", "--apply"]);
}

/// The lines of shell in a section of docs/init.md.
fn shell_of(section: &str) -> Vec<&'static str> {
    let text = include_str!("../docs/init.md");
    let text = text.split(&format!("\n## {section}\n")).nth(1).unwrap();
    let text = text.split("\n## ").next().unwrap();
    text.lines().filter_map(|line| line.strip_prefix("    ")).collect()
}

/// Whoever does by hand what the documents say has a service that starts.
#[test]
fn by_hand_it_starts_as_well() {
    let root = Root::new("sysvinit");
    fs::create_dir_all(root.path("src/target/release")).unwrap();
    fs::copy(binary(), root.path("src/target/release/netrng")).unwrap();
    finish(command("cp").args(["-a", "init", "conf"]).arg(root.path("src"))).success();
    // Processes and a network of their own, which end with the shell.
    let run = |lines: &[&str]| {
        let lines = format!("cd /src\n{}", lines.join("\n"));
        let inside = root.command(&["sh", "-ec", &lines]);
        let mut alone = command("unshare");
        alone.args(["--net", "--pid", "--fork", "--kill-child"]).arg(inside.get_program());
        finish(alone.args(inside.get_args())).success()
    };
    let first = shell_of("First");
    let is_check = |line: &&str| *line == "netrng check";
    let (server, client) = first.split_at(first.iter().position(is_check).unwrap());
    run(server);
    assert_eq!(root.access("etc/netrng"), (0o750, true));
    assert_eq!(root.access("etc/netrng/server.key").0, 0o600);
    let service = &shell_of("System V")[..2];
    let start = ["netrng check", "service netrng start", "service netrng status"];
    let said = run(&[service, &start].concat());
    assert!(said.contains("\nuser = \"netrng\"\n"), "{said}");
    assert!(said.contains("netrng: start done") && said.contains("netrng runs"), "{said}");

    // And as a client's.
    let enroll = "(umask 077; netrng enroll alice --address 127.0.0.1:8989 > alice.toml)";
    let said = run(&[&[enroll, "rm /etc/netrng.toml"], &client[1..]].concat());
    assert!(said.contains("\nmode = \"client\"\nuser = \"netrng\"\n"), "{said}");
    assert_eq!(root.access("etc/netrng.toml").0, 0o600);
}

/// What is wrong with a configuration is said before anything happens, and another one stays.
#[test]
fn a_given_configuration_is_judged_first() {
    let root = Root::new("sysvinit");
    let path = root.path("alice.toml");
    let before = root.state();
    let arguments = ["client", "--config", path.to_str().unwrap(), "--apply"];
    for (text, part) in [
        ("", "alice.toml: the file is empty"),
        ("mode = \"client\"\n", "alice.toml: upstream: missing"),
    ] {
        fs::write(&path, text).unwrap();
        let refused = root.setup(&arguments);
        assert_eq!(refused.code, Some(3), "{refused:#?}");
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    fs::remove_file(&path).unwrap();
    let changed = |after: String| {
        let is_new = |line: &&str| !before.contains(*line) && !line.ends_with("/root d");
        after.lines().filter(is_new).map(str::to_owned).collect::<Vec<_>>()
    };
    let changed = changed(root.state());
    assert!(changed.len() <= 1, "more than the folder that the file was in: {changed:#?}");

    let mine = "mode = \"client\"\n[[upstream]]\ncommand = [\"mine\"]\n";
    fs::write(root.path("etc/netrng.toml"), mine).unwrap();
    fs::write(&path, mine.replace("mine", "other")).unwrap();
    let refused = root.setup(&arguments);
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.stderr.contains("`diff -u /etc/netrng.toml "), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(root.path("etc/netrng.toml")).unwrap(), mine);
    assert!(!root.path("usr/local/bin/netrng").exists() && !root.path("etc/netrng").exists());

    // Users are those of the root: its own netrng looks, and before the file is installed.
    fs::remove_file(root.path("etc/netrng.toml")).unwrap();
    fs::write(&path, format!("user = \"ghost\"\n{mine}")).unwrap();
    let refused = root.setup(&arguments);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("user = \"ghost\": this machine has no such user"),
        "{refused:?}"
    );
    assert!(!root.state().contains("/netrng.toml"), "{}", root.state());
    let inside = ["netrng", "setup", "client", "--config", "/alice.toml", "--apply"];
    let refused = finish(&mut root.command(&inside));
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.stderr.contains("/alice.toml: user = \"ghost\": this"), "{refused:#?}");
    assert_eq!(refused.stdout, "");
    fs::write(&path, mine).unwrap();
    root.setup(&arguments).success();
}

#[test]
fn a_client_by_ssh_gets_its_files_and_a_folder_is_mended() {
    let root = Root::new("sysvinit");
    let install = ["apt-get", "install", "-y", "--no-install-recommends", "openssh-client"];
    finish(&mut root.command(&install)).success();
    let path = root.path("alice.toml");
    let config = "mode = \"client\"\n[[upstream]]\nssh = \"rng@board\"\n\
                  identity-file = \"/etc/netrng/id_ed25519\"\n\
                  known-hosts-file = \"/etc/netrng/known_hosts\"\n[sink]\ntype = \"kernel\"\n";
    fs::write(&path, config).unwrap();
    let arguments = ["client", "--config", path.to_str().unwrap(), "--apply"];
    let said = root.setup(&arguments).success();
    assert_eq!(root.access("etc/netrng/id_ed25519"), (0o640, true));
    assert_eq!(fs::read_to_string(root.path("etc/netrng/known_hosts")).unwrap(), "");
    let key = fs::read_to_string(root.path("etc/netrng/id_ed25519.pub")).unwrap();
    let line = format!("restrict,command=\"netrng tap --name NAME\" {}\n", key.trim_end());
    assert!(said.contains(&line) && said.contains("useradd --system"), "{said}");
    root.assert_nothing_changes(&arguments);

    // Of a key that it may not read, it says so: from outside by its step, inside before all.
    let key = root.path("etc/netrng/id_ed25519");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let inside = ["netrng", "setup", "client", "--config", "/alice.toml", "--apply"];
    for (refused, code, part) in [
        (root.setup(&arguments), 1, "it is there: chgrp it to netrng and chmod 0640"),
        (
            finish(&mut root.command(&inside)),
            3,
            "/alice.toml:4: identity-file: /etc/netrng/id_ed25519: ",
        ),
    ] {
        assert_eq!(refused.code, Some(code), "{refused:#?}");
        assert!(refused.stderr.contains(part), "{refused:#?}");
    }
    // ssh wants one of its own closed to all others.
    let user = finish(&mut root.command(&["id", "-u", "netrng"])).success();
    chown(&key, user.trim().parse().ok(), None).unwrap();
    root.assert_nothing_changes(&arguments);

    fs::set_permissions(root.path("etc/netrng"), fs::Permissions::from_mode(0o755)).unwrap();
    let said = root.setup(&arguments).success();
    assert!(said.contains("1 of ") && said.contains("doing: A folder for keys"), "{said}");
    assert_eq!(root.access("etc/netrng"), (0o750, true));
}

/// The printed script, run in the system itself, does what `--apply` does.
#[test]
fn the_printed_script_does_the_same() {
    let applied = Root::new("openrc");
    applied.setup(&["server", "--apply"]).success();
    let pasted = Root::new("openrc");
    fs::create_dir_all(pasted.path("usr/local/bin")).unwrap();
    fs::copy(binary(), pasted.path("usr/local/bin/netrng")).unwrap();
    let script = finish(&mut pasted.command(&["netrng", "setup", "server"])).success();
    assert_eq!(
        script.matches("(to do)").count() + script.matches("(done already)").count(),
        12,
        "{script}"
    );
    fs::write(pasted.path("script"), script).unwrap();
    finish(&mut pasted.command(&["sh", "/script"])).success();
    let again = pasted.state();
    finish(&mut pasted.command(&["sh", "/script"])).success();
    let only = |state: &str, root: &Root| -> Vec<String> {
        let prefix = root.folder();
        let fields = |line: &str| {
            let fields: Vec<&str> =
                line.strip_prefix(prefix.to_str().unwrap()).unwrap().split(' ').collect();
            // Without inode and time of change.
            [&fields[..2], &fields[3..6]].concat().join(" ")
        };
        let lines = state.lines().map(fields).filter(|line| !line.starts_with("/script "));
        let mut lines: Vec<_> = lines.filter(|line| !line.starts_with("/dev/hwrng ")).collect();
        lines.sort();
        lines
    };
    assert_eq!(only(&again, &pasted), only(&applied.state(), &applied));
    assert_eq!(only(&again, &pasted), only(&pasted.state(), &pasted));
    for path in ["etc/init.d/netrng", "etc/netrng.toml", "etc/udev/rules.d/60-netrng.rules"] {
        let text = |root: &Root| fs::read_to_string(root.path(path)).unwrap();
        assert_eq!(text(&applied), text(&pasted));
    }
}

#[test]
fn every_script_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.sh");
    let config = folder.path().join("alice.toml");
    let text = "mode = \"client\"\n[[upstream]]\nssh = \"rng@board\"\nidentity-file = \"/k/i;d\"\n\
                known-hosts-file = \"/k/known\"\n[sink]\ntype = \"kernel\"\n";
    fs::write(&config, text).unwrap();
    let with_config = ["client", "--config", config.to_str().unwrap()];
    let mut scripts = 0;
    let mut refused = 0;
    for system in ["debian", "rhel", "gentoo", "alpine", "openwrt", "freebsd"] {
        for init in ["systemd", "procd", "openrc", "runit", "upstart", "rcd", "sysvinit"] {
            let tried =
                finish(&mut netrng(&["setup", "server", "--system", system, "--init", init]));
            if tried.code == Some(2) {
                assert!(tried.stderr.contains("want one of: "), "{}", tried.stderr);
                refused += 1;
                continue;
            }
            for role in [&["server"][..], &["client"], &with_config] {
                let mut setup = netrng(&["setup", "--system", system, "--init", init]);
                fs::write(&path, finish(setup.args(role)).success()).unwrap();
                // 2317: a function may be used by none of the steps.
                let mut judge = command("shellcheck");
                judge.args(["--shell=sh", "--exclude=SC2317"]).arg(&path);
                finish(&mut judge).success();
                scripts += 1;
            }
        }
    }
    assert_eq!((scripts, refused), (14 * 3, 6 * 7 - 14));
}

#[test]
fn what_cannot_be_applied_is_printed_and_said() {
    let foreign = finish(&mut netrng(&["setup", "server", "--apply", "--system", "alpine"]));
    assert_eq!(foreign.code, Some(2));
    assert!(foreign.stdout.starts_with("#!/bin/sh\n") && foreign.stdout.contains("addgroup"));
    assert!(foreign.stderr.contains("--apply is not for alpine"), "{}", foreign.stderr);
    assert!(!foreign.stdout.contains("(to do)"), "marks of another system mean nothing");

    let folder = tempfile::tempdir().unwrap();
    let nowhere = finish(netrng(&["setup", "server", "--root"]).arg(folder.path()));
    assert_eq!(nowhere.code, Some(2));
    assert!(nowhere.stderr.contains("want a folder with a system"), "{}", nowhere.stderr);

    let mut user = command("setpriv");
    user.args(["--reuid=65534", "--clear-groups"]).arg(process::binary());
    let refused = finish(user.args(["setup", "server", "--apply", "--init", "systemd"]));
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("run it as root"), "{}", refused.stderr);
}
