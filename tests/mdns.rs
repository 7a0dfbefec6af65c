//! `announce` and `discover` in a network of our own, with Avahi as the peer: what it sees of our
//! server, and which of those that it announces our client goes to. Needs root, dbus-daemon and
//! what `tests/run mdns` unpacks; plain `cargo test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use support::netns::{Namespace, ip};
use support::process::{Process, Stdout, command};
use support::site::{READY, Site, fresh_keys};
use support::ssh::children;
use support::trace::traced;
use support::wait;
use tempfile::TempDir;

const NOBODY: &str = "65534";
const SERVICE: &str = "_netrng._tcp";
/// The crate's thread.
const MDNS_THREAD: &str = "mDNS_daemon";
/// Port 5353 as /proc/net/udp has it.
const MDNS_PORT: &str = ":14E9";
/// Of the impostors' listeners.
const TRAP_PORT: u16 = 20_099;
/// How much a flood makes the server grow: far more than it needs, and than it may keep.
const FLOODED_KIB: u64 = 32 * 1024;
/// Messages between two looks at that.
const FLOOD_BURST: u32 = 10;
/// From a fault to its end: up to three searches, with backoff between them.
const LONG: Duration = Duration::from_secs(90);
const CLIENT: &str = "type = \"stdout\"";

/// Machines on one switch, with a tag for their names.
struct Lan(Namespace, char);

impl Lan {
    fn new(tag: char) -> Self {
        let switch = Namespace::new(&format!("{tag}s"));
        switch.ip(&[
            "link",
            "add",
            "name",
            "lan",
            "type",
            "bridge",
            "mcast_snooping",
            "0",
            "forward_delay",
            "0",
        ]);
        switch.ip(&["link", "set", "lan", "up"]);
        Lan(switch, tag)
    }

    /// A machine with the addresses 192.0.2.LAST and fe80::LAST.
    fn machine(&self, last: u8) -> Namespace {
        let machine = Namespace::new(&format!("{}{last}", self.1));
        let (port, switch) = (format!("p{last}"), self.0.name.as_str());
        ip(&[
            "link",
            "add",
            "name",
            &port,
            "netns",
            switch,
            "type",
            "veth",
            "peer",
            "name",
            "uplink",
            "netns",
            &machine.name,
        ]);
        self.0.ip(&["link", "set", &port, "master", "lan", "up"]);
        machine.ip(&["link", "set", "uplink", "addrgenmode", "none"]);
        machine.ip(&["address", "add", &format!("192.0.2.{last}/24"), "dev", "uplink"]);
        machine.ip(&["address", "add", &format!("fe80::{last}/64"), "dev", "uplink", "nodad"]);
        machine.ip(&["link", "set", "uplink", "up"]);
        machine.ip(&["route", "add", "224.0.0.0/4", "dev", "uplink"]);
        machine
    }
}

/// An Avahi of a machine, on a bus of its own.
struct Avahi<'n> {
    machine: &'n Namespace,
    folder: TempDir,
    bus: Process,
    daemon: Option<Process>,
}

impl<'n> Avahi<'n> {
    fn start(machine: &'n Namespace, host: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let bus_config = format!(
            "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
             <allow send_type=\"method_call\"/><allow send_type=\"signal\"/>\
             <allow send_type=\"method_return\"/><allow send_type=\"error\"/>\
             <allow receive_type=\"method_call\"/><allow receive_type=\"signal\"/>\
             <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>\
             </policy></busconfig>",
            path("bus").display()
        );
        fs::write(path("bus.conf"), bus_config).unwrap();
        fs::write(
            path("avahi.conf"),
            format!("[server]\nhost-name={host}\nallow-interfaces=uplink\n[wide-area]\nenable-wide-area=no\n"),
        )
        .unwrap();
        // It wants a user and a group of this name, if only to own a folder.
        for (name, line) in [("passwd", "avahi:x:110:120::/:/bin/false"), ("group", "avahi:x:120:")]
        {
            let text = fs::read_to_string(format!("/etc/{name}")).unwrap();
            machine.etc(name, &format!("{text}{line}\n"));
        }
        let mut bus = command("dbus-daemon");
        bus.args(["--nofork", "--nopidfile"]);
        let bus = machine.start(bus.arg(format!("--config-file={}", path("bus.conf").display())));
        wait::until_true("the bus listens", || path("bus").exists());
        let mut avahi = Avahi { machine, folder, bus, daemon: None };
        // Its pid and its socket go to /run, so it has one of its own.
        let mut daemon = command("sh");
        daemon.args([
            "-c",
            "mount -t tmpfs none /run && mkdir /run/avahi-daemon && exec \"$@\"",
            "sh",
        ]);
        daemon.arg(unpacked("usr/sbin/avahi-daemon"));
        daemon.args(["--no-drop-root", "--no-chroot", "--no-rlimits", "--file"]);
        daemon.arg(avahi.folder.path().join("avahi.conf"));
        let daemon = avahi.run(&mut daemon);
        daemon.wait_for("Server startup complete");
        avahi.daemon = Some(daemon);
        avahi
    }

    fn run(&self, command: &mut Command) -> Process {
        let bus = self.folder.path().join("bus");
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", bus.display()));
        command.env("LD_LIBRARY_PATH", libraries());
        self.machine.start(command)
    }

    /// What it sees of our service, as it comes and goes.
    fn browse(&self) -> Browser {
        let mut browse = command("stdbuf");
        browse.arg("-oL").arg(unpacked("usr/bin/avahi-browse"));
        Browser(self.run(browse.args(["-r", "-p", SERVICE])))
    }

    /// Announces a service for as long as what it answers lives.
    fn publish(&self, name: &str, service: &str, port: u16, texts: &[String]) -> Process {
        let mut publish = command(unpacked("usr/bin/avahi-publish"));
        publish.args(["-s", name, service]).arg(port.to_string()).args(texts);
        let publisher = self.run(&mut publish);
        publisher.wait_for("Established");
        publisher
    }
}

/// `avahi-browse -rp`.
struct Browser(Process);

impl Browser {
    fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0.stdout()).lines().map(str::to_owned).collect()
    }

    /// Waits for a line that starts so, after `mark` of them.
    fn wait_for(&self, mark: usize, start: &str) -> String {
        let what = format!("{start} from avahi-browse");
        wait::until(&what, LONG, || {
            self.lines().into_iter().skip(mark).find(|line| line.starts_with(start))
        })
    }
}

fn unpacked(path: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("NETRNG_AVAHI").expect("set by tests/run mdns")).join(path)
}

/// Those that Avahi brings along, and the system's.
fn libraries() -> String {
    let folder = fs::read_dir(unpacked("usr/lib")).unwrap().flatten();
    let folders = folder.map(|entry| entry.path().display().to_string());
    folders.collect::<Vec<_>>().join(":")
}

/// `inner` on a machine of this name.
fn named(name: &str, inner: &Command) -> Command {
    let mut outer = command("unshare");
    let script = "echo \"$0\" >/proc/sys/kernel/hostname && exec \"$@\"";
    outer.args(["--uts", "sh", "-c", script, name]);
    outer.arg(inner.get_program()).args(inner.get_args());
    for (key, value) in inner.get_envs() {
        outer.env(key, value.unwrap_or_default());
    }
    outer
}

/// Announced, and reading what never ends.
fn announcing(port: u16) -> Site {
    Site::at(&format!("0.0.0.0:{port}"), "/dev/urandom").server("announce = true")
}

fn start_server(machine: &Namespace, site: &Site) -> Process {
    let server = machine.start(&named("board", &site.server_command()));
    server.wait_for(READY);
    server
}

/// The fingerprint that a server says it announces.
fn fingerprint(server: &Process) -> String {
    let line = server.wait_for("announced by mDNS as ");
    line.rsplit_once("key=").unwrap().1.to_owned()
}

/// The process among these that has the mDNS thread.
fn with_mdns(pids: &[u32]) -> Option<u32> {
    let is_one = |pid: &&u32| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.any(|name| name.trim() == MDNS_THREAD)
    };
    pids.iter().find(is_one).copied()
}

/// Whether anybody in the network namespace of this process has mDNS's port.
fn has_mdns_port(pid: u32) -> bool {
    ["udp", "udp6"].iter().any(|table| {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
        table.lines().any(|line| {
            line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(MDNS_PORT))
        })
    })
}

/// What a process has in memory.
fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// An answer without a question: TXT records of four names that nobody else has, good for 68 years.
fn strange_records(number: u32) -> Vec<u8> {
    let mut message = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    for record in 0..4 {
        message.push(11);
        message.extend(format!("x{number:09}{record}").bytes());
        message.extend(b"\x07_netrng\x04_tcp\x05local\x00");
        message.extend([0, 16, 0, 1, 0x7f, 0xff, 0xff, 0xff, 1, 0, 255]);
        message.extend([b'a'; 255]);
    }
    message
}

/// Whether somebody has connected.
fn was_visited(trap: &TcpListener) -> bool {
    trap.set_nonblocking(true).unwrap();
    match trap.accept() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

fn texts(key: &str, protocol: &str) -> [String; 2] {
    [format!("key={key}"), format!("protocol={protocol}")]
}

#[test]
fn avahi_sees_the_server_while_it_runs() {
    let lan = Lan::new('a');
    let (board, desk) = (lan.machine(1), lan.machine(2));
    // The board has an Avahi as well, which announces the machine itself.
    let (beside, avahi) = (Avahi::start(&board, "board"), Avahi::start(&desk, "desk"));
    let browser = avahi.browse();
    let site = announcing(20_001).top("user = \"nobody\"");
    let mut server = start_server(&board, &site);
    let key = fingerprint(&server);
    assert_eq!(key.len(), 32);

    let seen = browser.wait_for(0, "=;uplink;IPv4;board;_netrng._tcp;local;");
    let fields: Vec<&str> = seen.split(';').collect();
    assert_eq!(&fields[6..9], ["board-netrng.local", "192.0.2.1", "20001"], "{seen}");
    for text in [
        format!("\"key={key}\""),
        format!("\"version={}\"", env!("CARGO_PKG_VERSION")),
        "\"protocol=netrng/1\"".to_owned(),
    ] {
        assert!(fields[9].contains(&text), "{text} in {seen}");
    }
    assert!(!seen.contains(&site.public_key), "the key itself is nobody's business: {seen}");

    // Who speaks to strangers has no rights.
    let speaker = with_mdns(&children(server.pid())).expect("a half with mDNS");
    let status = fs::read_to_string(format!("/proc/{speaker}/status")).unwrap();
    assert!(status.contains(&format!("\nUid:\t{NOBODY}\t{NOBODY}\t")), "{status}");

    let mark = browser.lines().len();
    assert!(server.terminate().success());
    browser.wait_for(mark, "-;uplink;IPv4;board;");
    // It listened on IPv4 alone, and so it was announced.
    assert!(!browser.lines().iter().any(|line| line.contains(";fe80::1;")), "{seen}");
    let words = beside.daemon.as_ref().unwrap().log_text();
    assert!(!words.contains("conflict"), "netrng took Avahi's name: {words}");
    drop(beside.bus);
}

/// The crate keeps records that nobody asked for, without a limit; here, too long for the test to
/// see them end.
#[test]
fn a_flood_of_records_is_dropped_and_the_server_is_announced_all_the_while() {
    let lan = Lan::new('f');
    let (board, desk, other) = (lan.machine(1), lan.machine(2), lan.machine(3));
    let avahi = Avahi::start(&desk, "desk");
    let browser = avahi.browse();
    let site = announcing(20_007);
    let mut server = start_server(&board, &site);
    browser.wait_for(0, "=;uplink;IPv4;board;_netrng._tcp;local;");
    let before = resident_kib(server.pid());

    // To the board alone: Avahi has other limits.
    let socket = other.datagrams("0.0.0.0:5353");
    let mut sent = 0;
    wait::until("a full memory", LONG, || {
        for _ in 0..FLOOD_BURST {
            socket.send_to(&strange_records(sent), "192.0.2.1:5353").unwrap();
            sent += 1;
        }
        (resident_kib(server.pid()) > before + FLOODED_KIB).then_some(())
    });
    let said = "mDNS: others send too much; announced anew";
    wait::until("a new start", LONG, || server.log_text().contains(said).then_some(()));
    wait::until("the memory back", LONG, || {
        (resident_kib(server.pid()) < before + FLOODED_KIB / 2).then_some(())
    });

    // Who comes now sees it, from a thread that has not seen the flood.
    drop(socket);
    let late = Avahi::start(&other, "other");
    late.browse().wait_for(0, "=;uplink;IPv4;board;_netrng._tcp;local;");
    let gone = |lines: Vec<String>| lines.iter().any(|line| line.starts_with("-;"));
    assert!(!gone(browser.lines()), "it was gone meanwhile: {:?}", browser.lines());
    // So the lack of that line means something.
    let mark = browser.lines().len();
    assert!(server.terminate().success());
    browser.wait_for(mark, "-;uplink;IPv4;board;");
}

#[test]
fn the_client_goes_to_the_server_that_it_trusts_wherever_it_is() {
    let lan = Lan::new('b');
    let (board, desk, other) = (lan.machine(1), lan.machine(2), lan.machine(3));
    let mut site = announcing(20_002);
    let alice = site.enroll("alice").discovering();
    let avahi = Avahi::start(&other, "other");
    // At IPv6 and IPv4.
    let trap = other.listen(&format!("[::]:{TRAP_PORT}"));
    let (_, strange_key) = fresh_keys();
    assert_ne!(strange_key, site.public_key);

    // The key's fingerprint, from one who has it.
    let mut server = start_server(&board, &site);
    let key = fingerprint(&server);
    assert!(server.terminate().success());
    let another = format!("{}{}", &key[1..], if key.starts_with('0') { '1' } else { '0' });

    // Impostors alone: another key, none, the right one with another protocol or service.
    let _impostors = [
        avahi.publish("impostor", SERVICE, TRAP_PORT, &texts(&another, "netrng/1")),
        avahi.publish("mute", SERVICE, TRAP_PORT, &[]),
        avahi.publish("future", SERVICE, TRAP_PORT, &texts(&key, "netrng/9")),
        avahi.publish("web", "_http._tcp", TRAP_PORT, &texts(&key, "netrng/1")),
    ];
    let client = desk.start(&site.client_command(&alice, CLIENT));
    wait::until_true("the client looks around", || has_mdns_port(client.pid()));
    let name = format!("mdns-{}", &key[..8]);
    let said = client.wait_for(&format!("{name}: no server with key={key} is announced here"));
    assert!(said.contains("only others (3), which are left alone"), "{said}");
    for (instance, why) in [
        ("impostor", "does not have the key that we trust"),
        ("mute", "does not have the key that we trust"),
        ("future", "speaks another protocol"),
    ] {
        client.wait_for(&format!("{instance}.{SERVICE}.local. {why}, and is left alone"));
    }
    assert!(!was_visited(&trap), "the client went to an impostor");

    // With the server there, to it and to nobody else.
    let mut server = start_server(&board, &site);
    client.wait_for("gives bytes");
    server.wait_for("alice");
    client.wait_for_bytes(64 * 1024);
    assert!(!was_visited(&trap), "the client went to an impostor");

    // Elsewhere, at another port.
    assert!(server.terminate().success());
    board.ip(&["address", "delete", "192.0.2.1/24", "dev", "uplink"]);
    board.ip(&["address", "add", "192.0.2.77/24", "dev", "uplink"]);
    board.ip(&["route", "replace", "224.0.0.0/4", "dev", "uplink"]);
    site.move_to("0.0.0.0:20003");
    let mark = client.mark();
    let server = start_server(&board, &site);
    wait::until("bytes from the new place", LONG, || {
        client.log_text().lines().skip(mark).any(|l| l.contains("gives bytes again")).then_some(())
    });
    client.wait_for_bytes(64 * 1024);
    server.wait_for("alice");
    assert!(!was_visited(&trap), "the client went to an impostor");
}

/// Who repeats the fingerprint gets a visit, and cannot keep the client from the server.
#[test]
fn a_liar_with_the_right_fingerprint_gets_nothing_and_stops_nobody() {
    let lan = Lan::new('c');
    let (board, desk, other) = (lan.machine(1), lan.machine(2), lan.machine(3));
    let (site, false_site) = (announcing(20_004), Site::at("0.0.0.0:20099", "/dev/urandom"));
    let alice = site.enroll("alice").discovering();
    let server = start_server(&board, &site);
    let key = fingerprint(&server);
    // A real server, but not the one with that key.
    let liar = start_server(&other, &false_site);
    let avahi = Avahi::start(&other, "other");
    let lie = avahi.publish("liar", SERVICE, TRAP_PORT, &texts(&key, "netrng/1"));
    for _ in 0..4 {
        let mut client = desk.start(&site.client_command(&alice, CLIENT));
        client.wait_for("gives bytes");
        client.wait_for_bytes(64 * 1024);
        client.terminate();
    }
    assert!(!liar.log_text().contains("alice"), "{}", liar.log_text());

    // Alone, it is no server at all.
    drop(server);
    let client = desk.start(&site.client_command(&alice, CLIENT));
    client.wait_for("the server ended the handshake");
    assert_eq!(client.stdout_len(), 0);
    drop(lie);
}

/// As under systemd's RestrictAddressFamilies.
#[test]
fn who_may_not_see_its_own_addresses_is_told_so() {
    let (lan, site) = (Lan::new('e'), announcing(20_006));
    let board = lan.machine(1);
    let alice = site.enroll("alice").discovering();
    // It asks the kernel for them over netlink, and sends by nothing else in this way.
    let forbidden = ["-e", "trace=sendto", "-e", "inject=sendto:error=EACCES"];
    let start =
        |name: &str, command: &Command| board.start(&traced(command, &forbidden, &site.path(name)));
    let server = start("server.trace", &site.server_command());
    let said = server.wait_for("not announced (announce): ");
    assert!(said.contains("RestrictAddressFamilies=AF_NETLINK"), "{said}");
    // It serves all the same.
    server.wait_for(READY);
    let client = start("client.trace", &site.client_command(&alice, CLIENT));
    let said = client.wait_for("cannot find its address: ");
    assert!(said.contains("RestrictAddressFamilies=AF_NETLINK"), "{said}");
}

#[test]
fn a_client_that_has_a_server_has_no_mdns() {
    let lan = Lan::new('d');
    let (board, desk) = (lan.machine(1), lan.machine(2));
    let site = announcing(20_005);
    let alice = site.enroll("alice").discovering();
    let mut command = site.client_command(&alice, CLIENT);
    command = desk.command(&command);
    let client = Process::start_with(&mut command, std::process::Stdio::null(), Stdout::Blocked);
    // It looks while there is none: so the last word below means something.
    wait::until_true("the client looks around", || {
        has_mdns_port(client.pid()) && with_mdns(&[client.pid()]).is_some()
    });
    client.wait_for("no netrng server is announced here");
    let _server = start_server(&board, &site);
    client.wait_for("gives bytes");
    wait::until_true("no socket is left", || !has_mdns_port(client.pid()));
    wait::until_true("no thread is left", || with_mdns(&[client.pid()]).is_none());
}
