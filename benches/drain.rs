//! What a client whose sink is blocked takes from the board, over a real sshd on loopback.
//!
//!     cargo bench --bench drain       (root; needs OpenSSH's client and server)
//!
//! Bytes that leave the source, once all has come to rest, beyond what the server had in stock:
//! netrng over TCP, through `netrng tap`, over ssh without netrng on the board (`raw`), and as
//! it was done before, `ssh board cat SOURCE | consumer`.
#![allow(clippy::print_stdout, reason = "what a bench finds is printed")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{ExitCode, Stdio};
use support::board::{Board, SAMPLE};
use support::feed::{Feed, Mood};
use support::process::{Process, Stdout, command};
use support::ssh::{Host, client};

/// What may be drained through netrng: one sample in the pipe to the sink, one in hand.
const DRAIN_MAX: u64 = 2 * SAMPLE;

fn main() -> ExitCode {
    println!("sink blocked, samples of {SAMPLE} bytes; drained beyond the server's stock:\n");
    let board = Board::new(&["alice"]);
    let bob = board.site.enroll("bob");
    let mut holds = true;
    for (name, through_tap) in [("netrng, TCP", false), ("netrng, ssh and tap", true)] {
        let mut server = board.site.start_server();
        let before = board.feed.taken_at_rest();
        let client = match through_tap {
            true => board.start("alice", Stdout::Blocked),
            false => board.site.start_blocked_client(&bob),
        };
        client.wait_for("gives bytes");
        let drained = board.feed.taken_at_rest() - before;
        println!("{name:<30} {drained:>9} bytes");
        holds &= drained <= DRAIN_MAX;
        drop(client);
        server.terminate();
    }
    drop(board);

    let host = Host::openssh();
    let feed = Feed::new(&host.path("fifo"), Mood::Good);
    let cat = format!("cat {}", feed.path().display());
    let upstream = host.upstream(&format!("raw = \"{cat}\""));
    let mut raw = client(&host.path(""), &upstream, "type = \"stdout\"");
    let mut ssh = command("ssh");
    ssh.args(["-T", "-p", &host.port.to_string(), "-i"]).arg(host.path("id"));
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", host.path("known_hosts").display()));
    ssh.args(["root@127.0.0.1", &cat]);
    for (name, command) in [("netrng, ssh and raw", &mut raw), ("ssh board cat SOURCE", &mut ssh)] {
        let before = feed.taken();
        let process = Process::start_with(command, Stdio::null(), Stdout::Blocked);
        support::wait::until_true("it draws", || feed.taken() > before);
        println!("{name:<30} {:>9} bytes", feed.taken_at_rest() - before);
        drop(process);
        host.cut();
    }
    println!(
        "\nat most {DRAIN_MAX} bytes through netrng on both ends: {}",
        if holds { "holds" } else { "DOES NOT HOLD" }
    );
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
