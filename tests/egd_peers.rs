//! Programs that speak EGD, and the real binary: it is drawn on by QEMU for its guests, by
//! ekeyd-egd-linux for a kernel that is hungry and by EntropyBroker, and draws on ekeyd, an Entropy
//! Key's daemon. Needs what `tests/run egd` gets; plain `cargo test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the figures of a run")]

mod support;

use netrng::wire::WaitReason;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use support::entropy_key::EntropyKey;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::machine::{Machine, boot_command};
use support::process::{Process, command};
use support::raw::RawClient;
use support::site::{READY, Site, free_port};
use support::wait;

/// What QEMU asks for at a time.
const REQUEST: usize = 64;

fn listener(port: u16, more: &str) -> String {
    format!("protocol = \"egd\"\naddress = \"127.0.0.1:{port}\"\n{more}")
}

/// A machine whose virtio-rng draws on us.
fn boot(port: u16) -> Machine {
    let empty = tempfile::tempdir().unwrap();
    let mut machine =
        Machine::boot(boot_command("pc", empty.path()).env("BOARD_EGD", port.to_string()));
    let generator = machine.succeed("cat /sys/class/misc/hw_random/rng_current");
    assert_eq!(generator.trim(), "virtio_rng.0");
    machine
}

/// Whether the machine's generator gives so many bytes within so many seconds; and those.
fn draw(machine: &mut Machine, count: usize, seconds: u32) -> Option<Vec<u8>> {
    let line = format!(
        "timeout -s KILL {seconds} dd if=/dev/hwrng of=/tmp/drawn bs={count} count=1 2>/dev/null"
    );
    if machine.run(&line).code != 0 {
        return None;
    }
    let hex = machine.succeed("hexdump -v -e '1/1 \"%02x\"' /tmp/drawn");
    let hex = hex.trim();
    let bytes =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    Some(bytes.collect())
}

#[test]
fn a_guest_draws_on_us_and_with_a_greeting_through_our_restart() {
    let ports = [free_port(), free_port()];
    let site = Site::with_fifo("source")
        .source("stock = 2")
        .source("stall-timeout = \"1 h\"")
        .listener(&listener(ports[0], ""))
        .listener(&listener(ports[1], "greet = 64"));
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let mut server = site.start_server();
    let [mut plain, mut greeted] = ports.map(boot);
    let mut ledger = Ledger::new(Numbered { len: u64::MAX });
    for (name, machine) in [("plain", &mut plain), ("greeted", &mut greeted)] {
        let drawn = draw(machine, 640, 60).expect("a source that gives");
        assert_eq!(drawn.len(), 640);
        ledger.enter(name, &drawn).unwrap();
    }

    // Both wait for an answer when the server goes.
    feed.set(Mood::Silent);
    for machine in [&mut plain, &mut greeted] {
        machine.succeed("cat /dev/hwrng >/dev/null & echo $! >/tmp/pid");
    }
    wait_for_hunger(ports[0]);
    assert_eq!(server.terminate().code(), Some(0));
    feed.set(Mood::Good);
    let server = site.start_server();
    for machine in [&mut plain, &mut greeted] {
        machine.succeed("kill -9 $(cat /tmp/pid)");
    }
    // Both are back.
    wait::until_true("both guests' QEMU", || {
        server.log_text().matches("client egd 127.0.0.1 connected").count() == ports.len()
    });
    let drawn = draw(&mut greeted, 640, 60).expect("healed by the greeting");
    ledger.enter("greeted again", &drawn).unwrap();
    // QEMU has not asked again for what it was owed. Should it learn to, tell the manual.
    assert_eq!(draw(&mut plain, REQUEST, 5), None, "healed without a greeting");
    println!("{} bytes drawn through QEMU, none twice", ledger.bytes());
    plain.off();
    greeted.off();
}

#[test]
fn a_guest_boots_while_our_source_gives_nothing() {
    let port = free_port();
    let site = Site::with_fifo("source").listener(&listener(port, ""));
    let feed = Feed::new(&site.path("source"), Mood::Closed);
    let server = site.spawn_server();
    server.wait_for(&format!("listening on 127.0.0.1:{port} for egd"));
    let mut machine = boot(port);
    server.wait_for("client egd 127.0.0.1 connected");
    assert_eq!(draw(&mut machine, REQUEST, 2), None, "there is nothing to be had");
    feed.set(Mood::Good);
    assert_eq!(draw(&mut machine, REQUEST, 60).unwrap().len(), REQUEST);
    machine.off();
}

/// Waits until the server says that somebody waits for bytes that it does not have.
fn wait_for_hunger(port: u16) {
    let mut asking = TcpStream::connect(("127.0.0.1", port)).unwrap();
    asking.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    wait::until_true("the stock to be drunk up", || {
        let mut level = [1; 4];
        asking.write_all(&[0]).unwrap();
        asking.read_exact(&mut level).unwrap();
        level == [0; 4]
    });
}

fn program(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `tests/run egd`"))
}

/// Copies a program and its libraries to where a machine finds them.
fn install(program: &str, root: &Path) {
    let mut ldd = Process::start(command("ldd").arg(program));
    assert!(ldd.wait(wait::PATIENCE).success());
    let text = String::from_utf8(ldd.stdout_at_end()).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries {
        let target = root.join(&path[1..]);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy(program, root.join("bin/ekeyd-egd-linux")).unwrap();
}

#[test]
fn ekeyd_egd_linux_initialises_a_hungry_kernel() {
    let port = free_port();
    let site = Site::with_fifo("source").listener(&listener(port, ""));
    let _feed = Feed::new(&site.path("source"), Mood::Good);
    let server = site.start_server();
    let root = tempfile::tempdir().unwrap();
    install(&program("NETRNG_EKEYD"), root.path());
    let mut machine = Machine::boot(&mut boot_command("starved-pc", root.path()));
    let before = machine.run("dmesg | grep 'crng init done'");
    assert_eq!(before.text, "", "initialised by something else");
    let start =
        format!("ekeyd-egd-linux -H 10.0.2.2 -p {port} -r 1 >/dev/null & echo $! >/tmp/pid");
    machine.succeed(&start);
    machine.wait_until("dmesg | grep -q 'crng init done'");
    machine.succeed("kill $(cat /tmp/pid)");
    let line = server.wait_for("left: peer-closed");
    let bytes =
        line.rsplit(", ").next().and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    println!("ekeyd-egd-linux drew {bytes:?} bytes");
    // Four blocks of 128.
    assert!(bytes.unwrap() >= 512, "{line}");
    machine.off();
}

#[test]
fn entropy_broker_draws_on_us() {
    let site = Site::with_fifo("source").listener("protocol = \"egd\"\npath = \"egd.sock\"");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let _server = site.start_server();
    let drawn = site.path("drawn");
    let password = site.write_secret("password", "user\npassword\n");
    let mut broker = command(program("NETRNG_EB_SERVER_EGD"));
    broker.arg("-d").arg(site.path("egd.sock")).arg("-o").arg(&drawn).arg("-X").arg(password);
    broker.arg("-P").arg(site.path("pid")).args(["-a", "64", "-b", "1", "-n"]);
    let _broker = Process::start(&mut broker);
    // It writes 4,096 at a time.
    wait::until_true("what it drew", || fs::metadata(&drawn).is_ok_and(|file| file.len() >= 8192));
    let drawn = fs::read(&drawn).unwrap();
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    ledger.enter("EntropyBroker", &drawn[..8192]).unwrap();
}

/// Draws so many bytes at least.
fn draw_from(session: &mut RawClient, count: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < count {
        got.extend_from_slice(session.draw(64).as_bytes());
    }
    got
}

/// A real ekeyd that calls itself `egd` at `place`, with a key that we play; through the daemon's
/// late start, a pause of the key and the daemon's end.
fn serve_ekeyd(site: &Site, place: &str, egd: &str) {
    const GIVEN: usize = 32 * 1024;
    let alice = site.enroll("alice");
    let keyring = site.path("keyring");
    let key = EntropyKey::plug_in(&site.path("key"), &keyring);
    let config = site.path("ekeyd.conf");
    let key_path = site.path("key");
    let lines =
        format!("Keyring {keyring:?}\nDaemonise(false)\n{egd}\nAddEntropyKey {key_path:?}\n");
    fs::write(&config, lines).unwrap();

    let server = site.spawn_server();
    server.wait_for("(no-connection): cannot connect");
    let mut ekeyd = command(program("NETRNG_EKEYD_DAEMON"));
    ekeyd.arg("-f").arg(&config).arg("-p").arg(site.path("pid"));
    let mut ekeyd = Process::start(&mut ekeyd);
    key.give(GIVEN);
    server.wait_for(READY);
    let mut session = RawClient::open(site, &alice);
    let mut got = draw_from(&mut session, GIVEN / 2);
    // To the last byte, and then the key pauses.
    let mark = server.mark();
    got.extend(session.draw_until(WaitReason::SourceFailed));
    server.wait_for_after(mark, "(stalled): no bytes for 1 s");
    key.give(GIVEN);
    server.wait_for_after(mark, "passed its start-up test");
    got.extend(draw_from(&mut session, GIVEN / 2));

    let mark = server.mark();
    ekeyd.kill();
    session.draw_until(WaitReason::SourceFailed);
    server.wait_for_after(mark, "(peer-closed): the EGD server closed the connection");
    let mut ledger = Ledger::new(Numbered { len: 2 * GIVEN as u64 });
    ledger.enter("alice", &got).unwrap();
    println!("{} bytes drawn from ekeyd at {place}, none twice", ledger.bytes());
}

/// ekeyd gives the youngest of its blocks first: they stay whole if 64 bytes are asked at a time.
fn ekeyds_site(place: &str) -> Site {
    Site::new(format!("egd:{place}")).source("sample-size = 64").source("stall-timeout = \"1 s\"")
}

#[test]
fn an_entropy_key_is_served_from_ekeyds_address() {
    let port = free_port();
    let place = format!("127.0.0.1:{port}");
    serve_ekeyd(&ekeyds_site(&place), &place, &format!("EGDTCPSocket({port})"));
}

#[test]
fn an_entropy_key_is_served_from_ekeyds_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egd.sock").display().to_string();
    serve_ekeyd(&ekeyds_site(&path), &path, &format!("EGDUnixSocket {path:?}"));
}
