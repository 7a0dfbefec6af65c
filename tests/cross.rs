//! The static binaries of `packaging/cross`, each on the oldest processor that it is for, as
//! qemu-user plays it: what they are made of, and a server and a client in every pairing with
//! this machine's own build. `NETRNG_CROSS` is the folder with TARGET/small/netrng.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::process::{self, Process, finish};
use support::site::{READY, Site};
use support::wait::PATIENCE;

/// What every static binary must stay below.
const SIZE_MAX: u64 = 1 << 20;
/// Some samples, more than fit into the buffers on their way.
const PLENTY: usize = 64 * 1024;

/// A binary and the machine that it is for.
struct Build {
    target: &'static str,
    /// qemu's name of the architecture, and of the processor.
    machine: (&'static str, &'static str),
    /// What readelf says of it.
    marks: &'static [&'static str],
}

const X86_64: Build = Build {
    target: "x86_64-unknown-linux-musl",
    machine: ("x86_64", "qemu64"),
    marks: &["X86-64", "ELF64"],
};
const AARCH64: Build = Build {
    target: "aarch64-unknown-linux-musl",
    machine: ("aarch64", "cortex-a53"),
    marks: &["AArch64", "ELF64"],
};
const ARMV7: Build = Build {
    target: "armv7-unknown-linux-musleabihf",
    machine: ("arm", "cortex-a8"),
    marks: &["ELF32", "Tag_CPU_arch: v7", "Tag_ABI_VFP_args: VFP registers"],
};
const ARMV6: Build = Build {
    target: "arm-unknown-linux-musleabihf",
    machine: ("arm", "arm1176"),
    marks: &["ELF32", "Tag_CPU_arch: v6", "Tag_ABI_VFP_args: VFP registers"],
};
const I586: Build = Build {
    target: "i586-unknown-linux-musl",
    machine: ("i386", "pentium"),
    marks: &["Intel 80386", "ELF32"],
};
static BUILDS: [Build; 5] = [X86_64, AARCH64, ARMV7, ARMV6, I586];

impl Build {
    fn path(&self) -> PathBuf {
        let folder = std::env::var_os("NETRNG_CROSS").expect("NETRNG_CROSS names the folder");
        PathBuf::from(folder).join(self.target).join("small/netrng")
    }

    /// The same command, with this binary on its machine.
    fn carry(&self, command: &Command) -> Command {
        self.carry_on(self.machine, command)
    }

    fn carry_on(&self, (machine, processor): (&str, &str), command: &Command) -> Command {
        let mut carried = process::command(format!("qemu-{machine}-static"));
        carried.args(["-cpu", processor]).arg(self.path()).args(command.get_args());
        for (key, value) in command.get_envs() {
            carried.env(key, value.unwrap_or_default());
        }
        carried
    }
}

/// What `program` says of the binary.
fn look(program: &str, argument: &str, build: &Build) -> String {
    finish(process::command(program).arg(argument).arg(build.path())).success()
}

#[test]
fn each_is_static_for_its_processor_and_below_one_mebibyte() {
    for build in &BUILDS {
        let size = fs::metadata(build.path()).unwrap().len();
        assert!(size <= SIZE_MAX, "{}: {size} bytes", build.target);
        let told = look("readelf", "-ahlA", build);
        for mark in build.marks {
            assert!(told.contains(mark), "{}: not {mark}", build.target);
        }
        for dynamic in ["INTERP", "(NEEDED)"] {
            assert!(!told.contains(dynamic), "{}: {dynamic}", build.target);
        }
    }
    let shell = finish(process::command("readelf").args(["-ahlA", "/bin/sh"])).success();
    assert!(shell.contains("INTERP") && shell.contains("(NEEDED)"), "what is not static shows");
}

#[test]
fn each_says_its_version_and_reads_a_configuration() {
    let site = Site::new("/dev/urandom");
    let mut check = process::netrng(&["check", "-c"]);
    check.arg(site.path("server.toml"));
    let expected = finish(&mut check).success();
    for build in &BUILDS {
        let version = finish(&mut build.carry(&process::netrng(&["--version"]))).success();
        assert_eq!(version, concat!("netrng ", env!("CARGO_PKG_VERSION"), "\n"));
        assert_eq!(finish(&mut build.carry(&check)).success(), expected, "{}", build.target);
        // Secrets come from the kernel's generator: a system call by hand on each of them.
        let key = finish(&mut build.carry(&process::netrng(&["genkey"]))).success();
        assert_eq!(key.trim().len(), 44, "{}", build.target);
    }
}

/// A server at rest needs less than this, kB.
const MEMORY_MAX_KB: u64 = 4096;

#[test]
#[cfg(target_arch = "x86_64")]
fn a_server_at_rest_keeps_less_than_four_mebibytes() {
    let site = Site::new("/dev/urandom");
    let alice = site.enroll("alice");
    let server = Process::start(&mut Half::Bare(&BUILDS[0]).command(site.server_command()));
    server.wait_for(READY);
    let mut client = site.start_client(&alice);
    client.wait_for_bytes(PLENTY);
    client.terminate();
    server.wait_for("alice at");
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap();
    assert!((100..MEMORY_MAX_KB).contains(&kilobytes), "{kilobytes} kB");
}

/// Sizes in the README may be off by so much, per cent: small changes need not touch it.
const SIZE_PRECISION: u64 = 2;
/// Memory as well: what the kernel has mapped differs a little from run to run.
const MEMORY_PRECISION: u64 = 10;

/// What packaging/footprint has written into the README.
fn readme_footprint() -> String {
    let readme = fs::read_to_string("README.md").unwrap();
    let (_, rest) = readme.split_once("<!-- footprint").expect("the mark in the README");
    rest.split_once("<!-- end of footprint").expect("the mark at its end").0.to_owned()
}

/// The rows of Markdown's tables in `text`: the first cell, and the number in the last.
fn rows(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        Some((cells.next()?, cells.last()?.parse().ok()?))
    })
}

/// Asserts that the README's figure is that of today, or off by `precision` per cent.
fn assert_told(what: &str, told: u64, now: u64, precision: u64) {
    assert!(
        told.abs_diff(now) * 100 <= now * precision,
        "{what}: {now} kB, README says {told}; run packaging/footprint --readme"
    );
}

fn footprint(mode: &str, input: &str) -> String {
    let mut command = process::command("packaging/footprint");
    command.arg(mode).env("CARGO_TARGET_DIR", std::env::var_os("NETRNG_CROSS").unwrap());
    process::finish_with_input(&mut command, input.as_bytes()).success()
}

#[test]
fn the_readme_tells_the_sizes() {
    let text = readme_footprint();
    for build in &BUILDS {
        let target = format!("`{}`", build.target);
        let (_, told) = rows(&text).find(|(name, _)| *name == target).expect("a row in the README");
        let size = fs::metadata(build.path()).unwrap().len() / 1000;
        assert_told(build.target, told, size, SIZE_PRECISION);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_readme_tells_the_memory_with_a_user_and_without() {
    let figures = |text: &str| -> Vec<u64> {
        let (_, rest) = text.split_once("A server at rest keeps ").expect("the sentence");
        let (sentence, _) = rest.split_once("setup` writes it.").expect("its end");
        // The architecture's name is no figure.
        sentence.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let now = figures(&footprint("--memory", ""));
    let told = figures(&readme_footprint());
    let [alone, halves, processes] = now[..] else { panic!("not three figures: {now:?}") };
    assert_eq!(processes, 3, "root's half, the network's half and what starts them");
    assert!(alone < halves && halves < MEMORY_MAX_KB, "{now:?}");
    assert_told("memory", told[0], alone, MEMORY_PRECISION);
    assert_told("memory with `user`", told[1], halves, MEMORY_PRECISION);
    assert_eq!(told[2], processes);
}

#[test]
fn the_readme_names_each_part_of_the_binary() {
    let text = readme_footprint();
    let (_, table) = text.split_once("| part | kB |").expect("the table of parts");
    let mut told: Vec<_> = rows(table).map(|(name, _)| name).collect();
    told.sort_unstable();
    let parts = footprint("--parts", "");
    let mut parts: Vec<_> =
        parts.lines().filter_map(|line| Some(line.split_once('\t')?.1)).collect();
    parts.sort_unstable();
    assert_eq!(told, parts, "run packaging/footprint --readme");
    let sum: u64 = rows(table).map(|(_, size)| size).sum();
    let whole = rows(&text).next().expect("the table of sizes").1;
    // Each is rounded.
    assert!(sum.abs_diff(whole) <= parts.len() as u64, "{sum} kB in parts, {whole} in all");
}

/// A symbol of each kind, and whose it is.
const SYMBOLS: &[(&str, &str)] = &[
    ("netrng::server::run", "netrng itself"),
    ("<alloc::vec::Vec<netrng::Sample>>::push", "netrng itself"),
    ("<clap_builder::Command as core::fmt::Debug>::fmt", "clap"),
    ("core::fmt::write", "Rust: core, alloc, std"),
    ("__rustc::__rust_alloc", "Rust: core, alloc, std"),
    ("<str>::trim_start_matches::<char>", "Rust: core, alloc, std"),
    ("OUTLINED_FUNCTION_17", "pieces that functions of Rust share"),
    ("getaddrinfo", "C library (musl, and zig's)"),
    ("c.malloc.free", "C library (musl, and zig's)"),
    ("unheard_of::new", "not told apart"),
    ("str.0", "not told apart"),
];

#[test]
fn each_symbol_is_counted_for_whose_it_is() {
    for (symbol, owner) in SYMBOLS {
        let parts =
            footprint("--parts", &format!("0000000000004096 0000000000000123 t {symbol}\n"));
        assert!(parts.contains(&format!("123\t{owner}\n")), "{symbol} is not of {owner}: {parts}");
    }
}

/// The processors that the README names are those that the binaries run on here.
#[test]
fn the_readme_names_the_processors() {
    let readme = fs::read_to_string("README.md").unwrap().to_lowercase();
    for build in &BUILDS[1..] {
        let processor = build.machine.1;
        assert!(readme.contains(processor), "not {processor}");
    }
}

/// Where one half of a link runs.
#[derive(Clone, Copy)]
enum Half {
    /// This machine's own build.
    Native,
    /// A static binary on the machine that it is for.
    Carried(&'static Build),
    /// A static binary on this machine.
    Bare(&'static Build),
}

impl Half {
    fn command(self, command: Command) -> Command {
        match self {
            Half::Native => command,
            Half::Carried(build) => build.carry(&command),
            Half::Bare(build) => {
                let mut bare = process::command(build.path());
                bare.args(command.get_args());
                bare
            }
        }
    }

    /// Ends it. qemu-i386 7.2 gives a thread that has handled a signal the memory of another
    /// thread (a C program of ten lines shows it, which is well on a real processor), so there
    /// a process of several threads is killed.
    fn end(self, process: &mut Process) {
        match self {
            Half::Carried(Build { machine: ("i386", _), .. }) => {
                process.kill();
            }
            _ => assert_eq!(process.terminate().code(), Some(0)),
        }
    }
}

fn exchange(server_half: Half, client_half: Half) {
    let site = Site::with_fifo("source");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let alice = site.enroll("alice");
    let mut server = Process::start(&mut server_half.command(site.server_command()));
    server.wait_for(READY);
    let drawing = site.client_command(&alice, "type = \"stdout\"");
    let mut client = Process::start(&mut client_half.command(drawing));
    client.wait_for_bytes(PLENTY);
    client_half.end(&mut client);
    server_half.end(&mut server);
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    ledger.enter("alice", &client.stdout_at_end()).unwrap();
}

#[test]
fn each_serves_itself_and_either_half_of_this_machines_build() {
    for build in &BUILDS {
        println!("{}", build.target);
        exchange(Half::Carried(build), Half::Carried(build));
        exchange(Half::Carried(build), Half::Native);
        exchange(Half::Native, Half::Carried(build));
    }
}

/// Both run on today's PCs as they are; the second needs a kernel with 32-bit programs, as
/// Debian's is.
#[test]
#[cfg(target_arch = "x86_64")]
fn those_for_pcs_end_in_order_on_this_machine() {
    for build in [&BUILDS[0], &BUILDS[4]] {
        println!("{}", build.target);
        exchange(Half::Bare(build), Half::Bare(build));
    }
}

/// That the processors above are those of their time, and not all that qemu knows.
#[test]
fn what_is_too_new_for_a_processor_dies_on_it() {
    let version = process::netrng(&["--version"]);
    let mut dies = Process::start(&mut ARMV7.carry_on(ARMV6.machine, &version));
    assert_eq!(dies.wait(PATIENCE).signal(), Some(libc::SIGILL));
    // And what is old enough lives on what is newer.
    finish(&mut ARMV6.carry_on(ARMV7.machine, &version)).success();
}

/// Instructions that a Pentium does not have. qemu runs some of them all the same, such as the
/// long NOPs that stop a Geode.
const AFTER_PENTIUM: &[&str] = &["nopw", "nopl", "endbr", "cmov", "fcomi", "fucomi", "%xmm", "%mm"];

fn newer_than_pentium(build: &Build) -> Vec<String> {
    let listing = look("objdump", "-d", build);
    assert!(listing.lines().count() > 10_000, "no listing of {}", build.target);
    let is_newer = |line: &&str| AFTER_PENTIUM.iter().any(|newer| line.contains(newer));
    listing.lines().filter(is_newer).map(str::to_owned).collect()
}

#[test]
fn the_i586_build_has_no_instruction_that_a_pentium_lacks() {
    let newer = newer_than_pentium(&I586);
    assert!(newer.is_empty(), "{} of them: {:#?}", newer.len(), &newer[..newer.len().min(10)]);
    for mark in ["cmov", "%xmm", "nopw"] {
        let seen = newer_than_pentium(&X86_64).iter().any(|line| line.contains(mark));
        assert!(seen, "{mark} is not even seen where it must be");
    }
}
