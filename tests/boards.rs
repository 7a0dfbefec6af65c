//! Whole boards under QEMU: they serve their own generator to a real rngd on this machine, and
//! they starve until a server on this machine feeds them. Needs what `tests/run boards` gets;
//! plain `cargo test` leaves it out. `tests/boards/` has the boards.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the figures of a run")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::feed::{Feed, Mood};
use support::ledger::{Book, Ledger, Numbered, Recorded};
use support::machine::{Machine, boot_command};
use support::process::{Process, command, netrng};
use support::rngd::Rngd;
use support::site::{READY, Site, free_port};
use support::wait;

/// rngd credits 64 bytes at a time, and tests 2,500 at a time: more than one block.
const CREDITS: usize = 60;
/// A server needs less than this, kB.
const MEMORY_MAX_KB: u64 = 4096;
const SERVICE: &str = "/etc/init.d/netrng";
const LOG: &str = "/var/log/messages";
/// Where a board under QEMU finds this machine.
const HOST: &str = "10.0.2.2";

/// Sets a server up on a board as the README says, and returns its client's configuration.
fn set_up(board: &mut Machine, address: &str) -> String {
    // Keys are made once there is randomness; nothing has asked for any yet.
    board.succeed("timeout 60 head -c 1 /dev/random | wc -c");
    board.succeed("umask 077; netrng genkey > /etc/netrng/server.key");
    assert_eq!(board.run(&format!("{SERVICE} status")).code, 3, "before the start");
    board.succeed(&format!("{SERVICE} start"));
    board.succeed(&format!("{SERVICE} status"));
    board.wait_until(&format!("grep -q '{READY}' {LOG}"));
    board.succeed(&format!("umask 077; netrng enroll alice --address {address} > /tmp/alice.toml"));
    // The server that runs learns of alice only by this.
    board.succeed(&format!("{SERVICE} reload"));
    board.succeed("cat /tmp/alice.toml")
}

/// Boots `name`, lets it serve a client with `rngd` here, and returns all that was credited.
fn serve(name: &str, generator: &str, rngd: &Rngd, environment: (&str, &str)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let overlay = dir.path().join("root");
    fs::create_dir_all(overlay.join("etc/netrng")).unwrap();
    fs::copy("conf/server.toml", overlay.join("etc/netrng.toml")).unwrap();
    let port = free_port();
    let mut boot = boot_command(name, &overlay);
    boot.env("BOARD_PORT", port.to_string()).env(environment.0, environment.1);
    let mut board = Machine::boot(&mut boot);
    let current = board.succeed("cat /sys/class/misc/hw_random/rng_current");
    assert_eq!(current.trim(), generator, "the generator behind /dev/hwrng");

    let config = set_up(&mut board, &format!("127.0.0.1:{port}"));
    let path = dir.path().join("alice.toml");
    fs::write(&path, config).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let watched = rngd.install_watched(&dir.path().join("bin"));
    let mut client = netrng(&["client", "-c"]);
    let mut client = Process::start(client.arg(&path).env("PATH", watched.search_path()));
    watched.wait_for_credit(CREDITS);
    assert_eq!(client.terminate().code(), Some(0));

    // At most, with its client: all that a small board must ever have for it.
    let memory = board
        .succeed("sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB$/\\1/p' /proc/$(pidof netrng)/status");
    println!("{name}: {} kB", memory.trim());
    let kilobytes: u64 = memory.trim().parse().unwrap();
    assert!((100..MEMORY_MAX_KB).contains(&kilobytes), "{name}: {kilobytes} kB");
    board.succeed(&format!("{SERVICE} stop"));
    assert_eq!(board.run("pidof netrng").code, 1, "it runs on");
    assert_eq!(board.run(&format!("{SERVICE} status")).code, 3, "after the stop");
    board.succeed(&format!("grep 'netrng.*stopped' {LOG}"));
    board.off();
    watched.credited().concat()
}

/// Every byte that was credited is the generator's, and none was twice.
fn account(name: &str, credited: &[u8], generator: impl Book) {
    assert!(credited.len() >= CREDITS * 64);
    Ledger::new(generator).enter(name, credited).unwrap();
    println!("{name}: {} bytes credited, all from the board's generator", credited.len());
}

/// What QEMU's bcm2835-rng gives under `-seed`: the stream of a Mersenne twister that is seeded,
/// a processor each, from the twister of that seed. Python has the same.
fn twister(seed: u64, bytes: usize) -> Vec<u8> {
    let program = format!(
        "from random import Random; import sys; \
         sys.stdout.buffer.write(Random(Random({seed}).getrandbits(64)).randbytes({bytes}))"
    );
    let mut python = Process::start(command("python3").args(["-c", &program]));
    assert!(python.wait(wait::PATIENCE).success());
    python.stdout_at_end()
}

#[test]
fn a_raspberry_pi_1_serves_its_own_generator() {
    // Both of its 32-bit words must be set for Python and QEMU to take it alike.
    const SEED: u64 = 0x0123_4567_89ab_cdef;
    let [rngd, _] = Rngd::all();
    let seed = SEED.to_string();
    let credited = serve("raspi1", "20104000.rng", &rngd, ("BOARD_SEED", &seed));
    account("raspi1", &credited, Recorded::new(twister(SEED, 1 << 20)));
}

/// A board whose virtio-rng gives the numbered stream.
fn serve_numbered(name: &str, rngd: &Rngd) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("generator");
    let feed = Feed::new(&path, Mood::Good);
    let credited = serve(name, "virtio_rng.0", rngd, ("BOARD_RNG", path.to_str().unwrap()));
    account(name, &credited, Numbered { len: feed.fed() });
}

#[test]
fn an_armv7_board_serves_its_generator() {
    let [_, rngd] = Rngd::all();
    serve_numbered("virt", &rngd);
}

#[test]
fn an_alix_serves_its_generator() {
    let [rngd, _] = Rngd::all();
    serve_numbered("alix", &rngd);
}

/// A server here, and a folder with the configuration of its client on a board.
fn feeding_site(dir: &Path, sink: &str) -> (Site, Feed, Process) {
    let site = Site::with_fifo("source");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let (_, port) = site.address.rsplit_once(':').unwrap();
    let alice = site.enroll_at("alice", &format!("{HOST}:{port}"));
    let server = site.start_server();
    fs::create_dir_all(dir.join("etc")).unwrap();
    fs::copy(site.client_config(&alice, sink), dir.join("etc/netrng.toml")).unwrap();
    (site, feed, server)
}

/// Asserts that nothing has initialised the board's kernel: it has no generator, no seed from the
/// loader, no entropy to speak of from interrupts, and getrandom without patience fails. (A
/// getrandom that waits would make the kernel collect jitter and be done in a second; that
/// nobody on the board calls one is the point.)
fn assert_starved(board: &mut Machine) {
    let generator = board.succeed("cat /sys/class/misc/hw_random/rng_current");
    assert_eq!(generator.trim(), "none");
    let seeds = board.run("dmesg | grep -iE 'crng init done|rng seed|rng-seed'; ls /proc/device-tree/chosen/rng-seed 2>/dev/null");
    assert_eq!(seeds.text, "", "a seed from elsewhere");
    let bits = board.succeed("cat /proc/sys/kernel/random/entropy_avail");
    assert!(bits.trim().parse::<u32>().unwrap() < 128, "{bits}");
    let refused = board.run("netrng genkey");
    assert_eq!(refused.code, 7, "{refused:?}");
}

/// Asserts that the kernel is initialised, and that its getrandom answers.
fn assert_seeded(board: &mut Machine) {
    let done = board.succeed("dmesg | grep 'crng init done'");
    println!("{}", done.trim());
    board.succeed("netrng genkey >/dev/null");
    assert_eq!(board.succeed("timeout 10 head -c 32 /dev/random | wc -c").trim(), "32");
}

/// The same program, server and bytes once without credit and once with: so it is the credit,
/// and not interrupts, jitter or time, that initialises the kernel.
#[test]
fn a_starved_board_is_initialised_by_our_credit_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (_site, _feed, _server) =
        feeding_site(dir.path(), "type = \"kernel\"\ninterval = \"1 s\"\ncredit = 0");
    let mut board = Machine::boot(&mut boot_command("starved-virt", dir.path()));
    assert_starved(&mut board);

    board.succeed(&format!("{SERVICE} start"));
    board.wait_until(&format!("grep -q 'gives bytes' {LOG}"));
    // Long enough for jitter, if somebody had asked for it.
    board.succeed("sleep 5");
    board.succeed(&format!("{SERVICE} status"));
    assert_starved(&mut board);

    board.succeed("sed -i '/^credit = 0$/d' /etc/netrng.toml");
    board.succeed(&format!("{SERVICE} restart"));
    board.wait_until("dmesg | grep -q 'crng init done'");
    board.succeed(&format!("grep 'fed 64 bytes, credited 256 bits' {LOG}"));
    assert_seeded(&mut board);
    board.succeed(&format!("{SERVICE} stop"));
    board.off();
}

#[test]
fn waiting_on_a_starved_board_ends_when_we_have_initialised_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_site, _feed, _server) = feeding_site(dir.path(), "type = \"kernel\"");
    let mut board = Machine::boot(&mut boot_command("starved-alix", dir.path()));
    assert_starved(&mut board);
    let said = board.succeed("netrng client --wait-seeded");
    assert!(said.contains("fed 64 bytes, credited 256 bits"), "{said}");
    assert!(said.contains("the kernel's generator is initialised; stopping"), "{said}");
    assert_seeded(&mut board);
    board.off();
}
