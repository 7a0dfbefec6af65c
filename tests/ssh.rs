//! Real OpenSSH and real dropbear, on both ends, with throwaway keys on loopback. Needs root and
//! what `tests/run ssh` installs; plain `cargo test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the figures of a run")]

mod support;

use std::fs;
use std::path::Path;
use support::board::{Board, SAMPLE};
use support::deal::Deal;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::numbered::byte_at;
use support::process::{Process, Stdout};
use support::rngd::is_alive;
use support::site::READY;
use support::ssh::{Host, children, client, open_to_all};
use support::wait;

const STARTUP: usize = 1024;
const STDOUT: &str = "type = \"stdout\"";

fn start(host: &Host, more: &str) -> Process {
    Process::start(&mut client(host.path("").as_path(), &host.upstream(more), STDOUT))
}

fn cat(path: &Path) -> String {
    format!("raw = \"cat {}\"", path.display())
}

#[test]
fn raw_bytes_come_whole_through_openssh_and_dropbear() {
    for host in [Host::openssh(), Host::dropbear()] {
        let host = at_home(host);
        let path = host.path("bytes");
        let bytes: Vec<u8> = (0..300_000).map(byte_at).collect();
        fs::write(&path, &bytes).unwrap();
        let mut client = start(&host, &cat(&path));
        client.wait_for("board: gives bytes");
        client.wait_for("exited with code 0");
        assert_eq!(client.terminate().code(), Some(0));
        let got = client.stdout_at_end();
        let whole = bytes.len() - STARTUP;
        assert!(got.len() >= whole && got[..whole] == bytes[STARTUP..], "{} bytes", got.len());
    }
}

/// dropbear looks for authorized_keys in the home of whoever logs in, and nowhere else; so his
/// own keys are set aside meanwhile.
fn at_home(host: Host) -> AtHome {
    AtHome::new(host)
}

struct AtHome {
    host: Host,
    before: Option<Vec<u8>>,
}

const HOME_KEYS: &str = "/root/.ssh/authorized_keys";

impl AtHome {
    fn new(host: Host) -> Self {
        let before = fs::read(HOME_KEYS).ok();
        fs::create_dir_all("/root/.ssh").unwrap();
        fs::copy(host.path("authorized_keys"), HOME_KEYS).unwrap();
        AtHome { host, before }
    }
}

impl std::ops::Deref for AtHome {
    type Target = Host;
    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Drop for AtHome {
    fn drop(&mut self) {
        match &self.before {
            Some(keys) => fs::write(HOME_KEYS, keys).unwrap(),
            None => fs::remove_file(HOME_KEYS).unwrap(),
        }
    }
}

#[test]
fn the_real_device_of_a_host_with_nothing_installed() {
    let host = Host::openssh();
    let client = start(&host, "raw = \"cat /dev/hwrng\"");
    client.wait_for("board: gives bytes");
    client.wait_for_bytes(8192);
}

#[test]
fn a_tunnel_that_is_killed_in_the_middle_comes_back_and_no_byte_comes_twice() {
    let host = Host::openssh();
    let feed = Feed::new(&host.path("fifo"), Mood::Good);
    feed.set_pace(200_000);
    let mut client = start(&host, &cat(feed.path()));
    client.wait_for("board: gives bytes");
    client.wait_for_bytes(20_000);
    // Our end, then theirs.
    for round in 0..2 {
        let mark = client.mark();
        if round == 0 {
            let [ssh] = children(client.pid())[..] else { panic!("one ssh") };
            support::rngd::kill(ssh);
            client.wait_for_after(mark, "ssh was ended by signal 9");
        } else {
            host.cut();
            client.wait_for_after(mark, "the connection broke: ");
        }
        client.wait_for_after(mark, "board: gives bytes again");
        client.wait_for_bytes(20_000);
    }
    assert_eq!(client.terminate().code(), Some(0));
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    ledger.enter("client", &client.stdout_at_end()).unwrap();
    assert!(ledger.runs() >= 3, "{} runs", ledger.runs());
}

#[test]
fn a_host_that_goes_and_comes_is_found_again() {
    let mut host = Host::openssh();
    let mut client = start(&host, "raw = \"cat /dev/urandom\"");
    client.wait_for("board: gives bytes");
    let mark = client.mark();
    host.stop();
    client.wait_for_after(mark, "cannot be reached: connect to host 127.0.0.1 port");
    let host = host.restart();
    client.wait_for_after(mark, "board: gives bytes again");
    let ssh = children(client.pid());
    assert_eq!(client.terminate().code(), Some(0));
    assert!(ssh.into_iter().all(|pid| !is_alive(pid)), "ssh outlives the client");
    drop(host);
}

#[test]
fn another_host_key_ends_it_and_nothing_is_taken() {
    let host = Host::openssh();
    host.new_host_key();
    let host = host.restart();
    let mut client = start(&host, "raw = \"cat /dev/urandom\"");
    let line = client.wait_for("shows another key");
    assert!(line.contains("127.0.0.1 shows another key than the one in"), "{line}");
    assert!(line.contains(host.path("known_hosts").to_str().unwrap()), "{line}");
    host.know_host();
    client.wait_for("board: gives bytes");
    client.terminate();
}

#[test]
fn an_unknown_host_key_ends_it_and_the_sentence_says_what_to_do() {
    let host = Host::openssh();
    fs::write(host.path("known_hosts"), "").unwrap();
    let client = start(&host, "raw = \"cat /dev/urandom\"");
    let line = client.wait_for("is not known");
    assert!(line.contains(&format!("`ssh-keyscan -p {} 127.0.0.1`", host.port)), "{line}");
    assert_eq!(client.stdout_len(), 0);
    assert_eq!(fs::read_to_string(host.path("known_hosts")).unwrap(), "", "ssh learned it");
}

#[test]
fn a_refused_key_and_a_key_that_cannot_be_used_are_told_apart() {
    let host = Host::openssh();
    host.authorize_nobody();
    let client = start(&host, "raw = \"cat /dev/urandom\"");
    let line = client.wait_for("refuses our key");
    assert!(line.contains("must hold the public half of"), "{line}");
    drop(client);
    host.authorize("");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(host.path("id"), open).unwrap();
    let client = start(&host, "raw = \"cat /dev/urandom\"");
    let line = client.wait_for("cannot use our key");
    assert!(line.contains("bad permissions"), "{line}");
}

#[test]
fn what_runs_on_the_host_and_fails_is_named() {
    let host = Host::openssh();
    for (more, part) in [
        ("", "127.0.0.1 has no netrng in the PATH of its ssh sessions: install it there"),
        ("raw = \"infnoise --raw\"", "127.0.0.1 does not know the command `infnoise --raw`"),
        (
            "raw = \"cat /no/such/rng\"",
            "`cat /no/such/rng` on 127.0.0.1 exited with code 1; it last",
        ),
        ("raw = \"cat /dev/zero\"", "its bytes are not random"),
        ("raw = \"sleep 1000\"\nstall-timeout = \"2 s\"", "gives nothing since 2000 ms"),
    ] {
        let client = start(&host, more);
        client.wait_for(part);
        assert_eq!(client.stdout_len(), 0, "{more}");
    }
    let missing = host.upstream("ssh-program = \"no-such-ssh\"");
    let client = Process::start(&mut client(host.path("").as_path(), &missing, STDOUT));
    client.wait_for("no-such-ssh is not installed: install `openssh-client`");
}

/// Running processes with this command line, arguments joined by blanks.
fn running(words: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_it = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        line.join(" ").trim_end() == words
    };
    pids.filter(is_it).collect()
}

#[test]
fn what_gives_nothing_ends_on_the_host_with_our_ssh() {
    for (host, span) in [(Host::openssh(), "91731"), (Host::dropbear(), "91732")] {
        let host = at_home(host);
        let sleep = format!("sleep {span}");
        for command in
            [sleep.clone(), format!("{sleep} | cat; true"), format!("echo 'a b'; {sleep}")]
        {
            let client = start(&host, &format!("raw = {command:?}\nstall-timeout = \"2 s\""));
            let first = wait::until("it runs", wait::PATIENCE, || running(&sleep).first().copied());
            client.wait_for("gives nothing since 2000 ms");
            wait::until_true("its end", || !is_alive(first));
            drop(client);
            wait::until_true("no other runs on", || running(&sleep).is_empty());
        }
    }
}

#[test]
fn a_forced_command_gives_raw_bytes_whatever_is_asked_for() {
    let host = Host::openssh();
    host.authorize("restrict,command=\"cat /dev/urandom\"");
    start(&host, "raw = \"anything\"").wait_for_bytes(8192);
    host.authorize("restrict,command=\"true\"");
    let said = |more: &str, words: &str| drop(start(&host, more).wait_for(words));
    said("", "what 127.0.0.1 runs in place of `netrng tap` exited with code 0: another command");
    said("raw = \"cat x\"", "`cat x` on 127.0.0.1 exited with code 0: it came to its end");
}

#[test]
fn each_cause_is_said_once() {
    let host = Host::openssh();
    host.authorize_nobody();
    let mut command = client(host.path("").as_path(), &host.upstream("raw = \"cat\""), STDOUT);
    let mut client = Process::start(command.env("RUST_LOG", "netrng=info"));
    client.wait_for("refuses our key");
    client.terminate();
    let log = client.log_at_end();
    assert_eq!(log.matches("board: ").count(), 1, "{log}");
    assert!(!log.contains("Permission denied"), "{log}");
}

#[test]
fn a_user_without_a_home_hears_what_ssh_lacks() {
    let host = Host::openssh();
    let user = "_apt";
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let entry = passwd.lines().find(|line| line.starts_with("_apt:")).unwrap();
    assert!(entry.contains(":/nonexistent:"), "{entry}");
    let upstream = format!(
        "user = {user:?}\n[[upstream]]\nssh = \"root@127.0.0.1\"\nssh-port = {}\nraw = \"cat\"\n",
        host.port
    );
    let client = Process::start(&mut client(host.path("").as_path(), &upstream, STDOUT));
    let line = client.wait_for("is not known");
    let hint = "ssh ran as _apt, which has no home: set identity-file and known-hosts-file";
    assert!(line.contains(hint), "{line}");
}

#[test]
fn a_tap_that_is_cut_in_the_middle_comes_back_and_no_byte_comes_twice() {
    for host in [Host::openssh(), Host::dropbear()] {
        cut_in_the_middle(&Board::behind(host, &["alice"]));
    }
}

fn cut_in_the_middle(board: &Board) {
    board.feed.set_pace(200_000);
    let mut server = board.site.start_server();
    let mut client = board.start("alice", Stdout::Keep);
    client.wait_for("board: gives bytes");
    let line = server.wait_for("client alice connected from uid ");
    assert!(!line.ends_with("uid 0"), "{line}");
    client.wait_for_bytes(20_000);
    for round in 0..4 {
        let mark = client.mark();
        match round {
            0 => {
                let [ssh] = children(client.pid())[..] else { panic!("one ssh") };
                support::rngd::kill(ssh);
                client.wait_for_after(mark, "ssh was ended by signal 9");
            }
            1 => {
                board.host.cut();
                client.wait_for_after(mark, "the connection broke: ");
            }
            2 => {
                assert_eq!(server.terminate().code(), Some(0));
                client.wait_for_after(mark, "the server said goodbye: shutting-down");
                server = board.site.start_server();
            }
            _ => {
                server.kill();
                let line = client.wait_for_after(mark, "`netrng tap` on 127.0.0.1: ");
                assert!(line.contains("the netrng server ended the connection"), "{line}");
                client.wait_for_after(mark, "no netrng server listens at");
                server = board.site.start_server();
            }
        }
        client.wait_for_after(mark, "board: gives bytes again");
        client.wait_for_bytes(20_000);
    }
    assert_eq!(client.terminate().code(), Some(0));
    let mut ledger = Ledger::new(Numbered { len: board.feed.fed() });
    ledger.enter("alice", &client.stdout_at_end()).unwrap();
    // Each start of the server begins with a test whose bytes are thrown away; what a tunnel lost
    // may be nothing.
    println!("{} runs, not given: {:?}", ledger.runs(), ledger.gaps());
    assert!(ledger.runs() >= 3, "{} runs", ledger.runs());
}

#[test]
fn twenty_clients_through_taps_of_one_user_share_as_equals() {
    let names: Vec<String> = (0..20).map(|number| format!("vm-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let board = Board::new(&names);
    let mut server = board.site.start_server();
    // A round of all takes a second: far longer than an answer and the next request.
    board.feed.set_pace(20 * SAMPLE);
    let mut clients: Vec<Process> =
        names.iter().map(|name| board.start(name, Stdout::Keep)).collect();
    clients.iter().for_each(|client| drop(client.wait_for("board: gives bytes")));
    let rounds = 6;
    clients.iter().for_each(|client| {
        wait::until_true("rounds", || client.stdout_len() as u64 >= rounds * SAMPLE);
    });
    assert_eq!(server.terminate().code(), Some(0));
    let sample = usize::try_from(SAMPLE).unwrap();
    let hand = |client: &mut Process| -> Vec<Vec<u8>> {
        client.wait_for("said goodbye");
        client.terminate();
        client.stdout_at_end().chunks(sample).map(<[u8]>::to_vec).collect()
    };
    let hands: Vec<_> = clients.iter_mut().map(hand).collect();
    let deal = Deal::new(&Numbered { len: board.feed.fed() }, &hands);
    let shares = deal.shares(&deal.window());
    println!("shares of twenty: {shares:?}");
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!(most - least <= SAMPLE, "{shares:?}");
    assert!(*least >= (rounds - 2) * SAMPLE, "{shares:?}");
}

/// The README's files, for a user without a home: root's, and readable by his group.
#[test]
fn a_user_without_a_home_gets_through_with_files_of_roots() {
    let board = Board::new(&["alice"]);
    let _server = board.site.start_server();
    let folder = board.host.path("etc");
    fs::create_dir(&folder).unwrap();
    let (key, known) = (folder.join("id_ed25519"), folder.join("known_hosts"));
    let sh = |line: &str| {
        let mut shell = support::process::command("sh");
        shell.args(["-euc", line, "sh"]).args([&folder, &key, &known]);
        support::process::finish(shell.arg(board.host.port.to_string())).success()
    };
    sh("chgrp nogroup $1; chmod 0750 $1; ssh-keygen -q -t ed25519 -N '' -f $2; touch $3");
    let upstream = format!(
        "user = \"nobody\"\n[[upstream]]\nssh = \"{}@127.0.0.1\"\nssh-port = {}\nname = \"board\"\n\
         identity-file = {key:?}\nknown-hosts-file = {known:?}\n",
        board.user_name(),
        board.host.port
    );
    let path = board.host.path("client.toml");
    let mut client = support::ssh::client_at(&path, &upstream, STDOUT);
    let check = || support::process::finish(support::process::netrng(&["check", "-c"]).arg(&path));
    let refused = check();
    assert_eq!(refused.code, Some(3));
    let part = "identity-file: ";
    assert!(refused.stderr.contains(part), "{}", refused.stderr);
    let part = "nobody, as whom ssh runs, may not read it";
    assert!(refused.stderr.contains(part), "{}", refused.stderr);

    sh("chgrp nogroup $2; chmod 0640 $2");
    check().success();
    sh("ssh-keyscan -t ed25519 -p $4 127.0.0.1 >> $3; test -s $3");
    let allowed = fs::read_to_string(board.host.path("authorized_keys")).unwrap();
    let ours = |path: &Path| fs::read_to_string(path).unwrap().trim_end().to_owned();
    let alice = ours(&board.host.path("alice.pub"));
    assert!(allowed.contains(&alice));
    let allowed = allowed.replace(&alice, &ours(&key.with_extension("pub")));
    fs::write(board.host.path("authorized_keys"), allowed).unwrap();

    let mut client = Process::start(&mut client);
    client.wait_for("board: gives bytes");
    client.wait_for_bytes(2048);
    assert_eq!(client.terminate().code(), Some(0));
}

#[test]
fn a_tap_takes_two_samples_ahead_of_a_sink_that_waits() {
    for host in [Host::openssh(), Host::dropbear()] {
        two_samples_ahead(&Board::behind(host, &["alice"]));
    }
}

fn two_samples_ahead(board: &Board) {
    let server = board.site.start_server();
    let stocked = board.feed.taken_at_rest();
    let blocked = board.start("alice", Stdout::Blocked);
    blocked.wait_for("board: gives bytes");
    server.wait_for("client alice connected");
    let taken = board.feed.taken_at_rest();
    println!("taken through the tap with the sink blocked: {} bytes", taken - stocked);
    assert!(taken - stocked <= 2 * SAMPLE, "{} bytes", taken - stocked);
}

#[test]
fn what_keeps_a_tap_from_its_server_is_one_sentence_here() {
    let board = Board::new(&["alice"]);
    let client = board.start("alice", Stdout::Keep);
    let line = client.wait_for("next attempt");
    assert!(line.contains("`netrng tap` on 127.0.0.1: no netrng server listens at"), "{line}");
    open_to_all(&board.site.path(""), 0o700);
    let server = board.site.spawn_server();
    server.wait_for(READY);
    let mark = client.mark();
    client.wait_for_after(mark, "this user may not get to");
    open_to_all(&board.site.path(""), 0o711);
    client.wait_for("board: gives bytes");
    board.site.write_secret("clients.toml", "");
    server.signal(libc::SIGHUP);
    let line = client.wait_for("no client with name = \"alice\" and user = \"netrng-tap-test\"");
    assert!(line.contains("add it to its clients file"), "{line}");
}

#[test]
fn dbclient_is_a_command_like_any_other() {
    let host = at_home(Host::dropbear());
    let path = host.path("bytes");
    let bytes: Vec<u8> = (0..100_000).map(byte_at).collect();
    fs::write(&path, &bytes).unwrap();
    let mut convert = support::process::command("dropbearconvert");
    convert.args(["openssh", "dropbear"]).arg(host.path("id")).arg(host.path("id_dropbear"));
    support::process::finish(&mut convert).success();
    let upstream = format!(
        "[[upstream]]\ncommand = [\"env\", \"HOME={}\", \"dbclient\", \"-y\", \"-p\", \"{}\", \
         \"-i\", \"{}\", \"-W\", \"4096\", \"root@127.0.0.1\", \"cat {}\"]\n",
        host.path("").display(),
        host.port,
        host.path("id_dropbear").display(),
        path.display(),
    );
    let mut client = Process::start(&mut client(host.path("").as_path(), &upstream, STDOUT));
    client.wait_for("env: gives bytes");
    client.wait_for("env: exited with code 0");
    client.terminate();
    let got = client.stdout_at_end();
    let whole = bytes.len() - STARTUP;
    assert!(got.len() >= whole && got[..whole] == bytes[STARTUP..], "{} bytes", got.len());

    wait::until_true("dbclient ends with the client", || children(client.pid()).is_empty());
}
