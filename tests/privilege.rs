//! `user = "nobody"`: who netrng's processes are, which of them does what, and that each comes
//! back. Needs root, strace and what `tests/run privilege` unpacks; plain `cargo test` leaves it
//! out.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the figures of a run")]

mod support;

use netrng::wire::WaitReason;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::process::{Process, Stdout, binary, command, finish, netrng};
use support::raw::RawClient;
use support::rngd::{Rngd, is_alive, kill};
use support::site::{Enrolled, READY, Site, free_port};
use support::ssh::{children, client};
use support::trace::{HEX, Trace, in_hex, traced};
use support::wait::{self, Stopwatch};

const NOBODY: u32 = 65534;
const AS_NOBODY: [&str; 5] = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
/// A sample of 2,048 bytes as it travels: length, type and tag around it.
const SAMPLE_ON_THE_WIRE: u64 = 2 + 1 + 2048 + 16;
const URANDOM: &str = "[[upstream]]\ncommand = [\"cat\", \"/dev/urandom\"]\n";
const KERNEL: &str = "type = \"kernel\"\ninterval = \"1 s\"";

/// A line of /proc/PID/status without its name, blanks made one.
fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or("gone").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Debug, Clone, Copy)]
struct Halves {
    root: u32,
    network: u32,
}

impl Halves {
    /// The two of the netrng that was started as `pid`, once the second has dropped its rights.
    fn of(pid: u32) -> Halves {
        let find = || {
            let all = children(pid);
            let by_uid = |uid: u32| {
                let uids = [uid; 4].map(|uid| uid.to_string()).join(" ");
                all.iter().copied().find(|child| status(*child, "Uid") == uids)
            };
            Some(Halves { root: by_uid(0)?, network: by_uid(NOBODY)? })
        };
        wait::until("both halves", wait::PATIENCE, find)
    }

    fn all(self) -> [u32; 2] {
        [self.root, self.network]
    }

    /// Nothing of root is left to the half with the network.
    fn check(self, main: u32) {
        for (name, pid) in [("main", main), ("root", self.root), ("network", self.network)] {
            let said = ["Uid", "Gid", "Groups", "NoNewPrivs", "CapPrm", "CapEff", "CapAmb"]
                .map(|key| format!("{key} {}", status(pid, key)));
            println!("{name:8} {}", said.join("; "));
        }
        let none = "0000000000000000";
        for (key, value) in [
            ("Uid", "65534 65534 65534 65534"),
            ("Gid", "65534 65534 65534 65534"),
            ("Groups", "65534"),
            ("NoNewPrivs", "1"),
            ("CapPrm", none),
            ("CapEff", none),
            ("CapAmb", none),
        ] {
            assert_eq!(status(self.network, key), value, "{key}");
        }
        for pid in [main, self.root] {
            assert_eq!(status(pid, "Uid"), "0 0 0 0");
            assert_ne!(status(pid, "CapEff"), none);
        }
    }
}

fn wait_for_end(pids: impl IntoIterator<Item = u32>) {
    for pid in pids {
        wait::until_true(&format!("the end of {pid}"), || !is_alive(pid));
    }
}

/// The inodes of a process's open sockets that the kernel's table names.
fn sockets(pid: u32, table: &str) -> BTreeSet<String> {
    let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
    let known: BTreeSet<&str> = table.lines().filter_map(|l| l.split_whitespace().nth(9)).collect();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = files.filter_map(|file| fs::read_link(file.path()).ok());
    let inodes = links.filter_map(|link| {
        let text = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
        known.contains(text.as_str()).then_some(text)
    });
    inodes.collect()
}

fn may_nobody_read(path: &Path) -> bool {
    finish(command("setpriv").args(AS_NOBODY).args(["head", "-c", "1"]).arg(path)).code == Some(0)
}

fn as_user(enrolled: &Enrolled) -> Enrolled {
    enrolled.preceded_by("user = \"nobody\"")
}

/// A site whose server parts in two.
fn site_of_two(device: &Path) -> Site {
    Site::new(device).top("user = \"nobody\"")
}

fn numbered_site() -> (Site, Feed) {
    let site = Site::with_fifo("fifo").top("user = \"nobody\"");
    let feed = Feed::new(&site.path("fifo"), Mood::Good);
    (site, feed)
}

#[test]
fn rngd_is_roots_and_the_network_is_not_and_each_comes_back() {
    for variant in Rngd::all() {
        let (site, feed) = numbered_site();
        let alice = as_user(&site.enroll("alice"));
        let server = site.start_server();
        let watched = variant.install_watched(&site.path("bin"));
        let mut main = watched.start_client(&site, &alice);
        watched.wait_for_credit(2);
        assert!(!may_nobody_read(&site.path("alice.toml")), "the key would be no secret");

        let first = Halves::of(main.pid());
        println!("{}:", variant.package);
        first.check(main.pid());
        let rngd = watched.running_pid();
        assert_eq!(status(rngd, "PPid"), first.root.to_string());
        assert_eq!(status(rngd, "Uid"), "0 0 0 0");
        assert_eq!(sockets(first.network, "tcp").len(), 1);
        for pid in [main.pid(), first.root, rngd] {
            assert_eq!(sockets(pid, "tcp"), BTreeSet::new());
        }

        kill(first.network);
        main.wait_for("the network half was ended by signal 9; both halves start again in");
        watched.wait_for_credit(60);
        let second = Halves::of(main.pid());
        assert!(!first.all().contains(&second.network));
        second.check(main.pid());

        kill(second.root);
        main.wait_for("the root half was ended by signal 9; both halves start again in");
        watched.wait_for_credit(60);
        let third = Halves::of(main.pid());
        kill(watched.running_pid());
        watched.wait_for_credit(60);
        let rngd = watched.running_pid();
        assert_eq!(main.terminate().code(), Some(0));
        wait_for_end(third.all().into_iter().chain([rngd]));

        let mut main = watched.start_client(&site, &alice);
        watched.wait_for_credit(2);
        let last = Halves::of(main.pid());
        let rngd = watched.running_pid();
        main.kill();
        wait_for_end(last.all().into_iter().chain([rngd]));

        drop(server);
        let credited = watched.credited().concat();
        println!("{} bytes credited, none twice", credited.len());
        Ledger::new(Numbered { len: feed.fed() }).enter("alice", &credited).unwrap();
    }
}

#[test]
fn the_kernel_is_fed_by_root_and_the_server_is_called_by_nobody() {
    let site = Site::new("/dev/urandom");
    let alice = as_user(&site.enroll("alice"));
    let _server = site.start_server();
    let log = site.path("client.trace");
    let options = [HEX, "-yy", "-e", "trace=ioctl,connect,sendto,recvfrom"];
    let mut main =
        Process::start(&mut traced(&site.client_command(&alice, KERNEL), &options, &log));
    let trace = Trace(log);
    trace.wait_for("RNDRESEEDCRNG", 3);
    let halves = Halves::of(main.pid());
    let (credit, tcp) = ("RNDADDENTROPY", "<TCP:[");
    let (mut fed, mut called) = (0, 0);
    for line in trace.lines() {
        let thread: u32 = line.split_whitespace().next().unwrap().parse().unwrap();
        let process = || status(thread, "Tgid");
        if line.contains(credit) {
            fed += 1;
            assert_eq!(process(), halves.root.to_string(), "{line}");
        }
        if line.contains(tcp) {
            called += 1;
            assert_eq!(process(), halves.network.to_string(), "{line}");
        }
    }
    println!("{fed} feeds by root, {called} calls to the server by nobody");
    assert!(fed >= 3 && called >= 4);
    assert_eq!(main.terminate().code(), Some(0));
    wait_for_end(halves.all());
}

/// What the kernel has received for the connections to the site's server.
fn received(site: &Site) -> u64 {
    let text = finish(command("ss").args(["-tinH", "dst", &site.address])).success();
    let counts = text.split_whitespace().filter_map(|w| w.strip_prefix("bytes_received:"));
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

#[test]
fn the_second_process_takes_no_sample_more_ahead_of_a_blocked_sink() {
    for user in [false, true] {
        let (site, _feed) = numbered_site();
        let mut alice = site.enroll("alice");
        if user {
            alice = as_user(&alice);
        }
        let _server = site.start_server();
        let fifo = format!("type = \"fifo\"\npath = {:?}", site.path("out"));
        let _client = Process::start(&mut site.client_command(&alice, &fifo));
        wait::until_true("two samples", || received(&site) >= 2 * SAMPLE_ON_THE_WIRE);
        let span = Duration::from_secs(1);
        let total = wait::until_settled("the client rests", span, || received(&site));
        let handshake = total - 2 * SAMPLE_ON_THE_WIRE;
        println!("user: {user}; received {total} bytes: two samples and {handshake}");
        assert!(handshake < 200, "{total} bytes");
    }
}

#[test]
fn waiting_for_an_initialised_generator_ends_both_halves() {
    let waiting = |inject: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut client = client(dir.path(), &format!("user = \"nobody\"\n{URANDOM}"), KERNEL);
        client.arg("--wait-seeded");
        let log = dir.path().join("trace");
        let options = ["-e", "trace=getrandom,ioctl", "-e", inject];
        (Process::start(&mut traced(&client, &options, &log)), Trace(log), dir)
    };
    let (mut main, trace, _dir) = waiting("inject=getrandom:error=EAGAIN");
    trace.wait_for("entropy_count=256", 2);
    let halves = Halves::of(main.pid());
    assert_eq!(main.terminate().code(), Some(7));
    wait_for_end(halves.all());
    assert_eq!(main.log_at_end().matches("stopped before the kernel's generator").count(), 1);

    // Stopped while there are no halves.
    let (mut main, _trace, _dir) = waiting("inject=getrandom:error=EAGAIN");
    loop {
        let mark = main.mark();
        kill(Halves::of(main.pid()).network);
        let line = main.wait_for_after(mark, "both halves start again in");
        let delay_ms = line.split_whitespace().rev().nth(1).unwrap().parse::<u64>().unwrap();
        if delay_ms >= 500 {
            break;
        }
    }
    assert_eq!(main.terminate().code(), Some(7));

    let (mut main, trace, _dir) = waiting("inject=getrandom:error=EAGAIN:when=1..10");
    main.wait_for("the kernel's generator is initialised; stopping");
    assert_eq!(main.wait(wait::PATIENCE).code(), Some(0));
    trace.wait_for("entropy_count=256", 1);
}

#[test]
fn what_goes_to_stdout_needs_no_half_with_roots_rights() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = format!("user = \"nobody\"\n{URANDOM}");
    let client = Process::start(&mut client(dir.path(), &upstream, "type = \"stdout\""));
    client.wait_for_bytes(10_000);
    assert_eq!(status(client.pid(), "Uid"), "65534 65534 65534 65534");
    assert_eq!(status(client.pid(), "CapEff"), "0000000000000000");
    assert_eq!(status(client.pid(), "NoNewPrivs"), "1");
}

#[test]
fn a_server_reopens_and_reloads_what_only_root_may_read() {
    let (site, feed) = numbered_site();
    let [alice, bob] = ["alice", "bob"].map(|name| site.enroll(name));
    let with_bob = fs::read_to_string(site.path("clients.toml")).unwrap();
    let (only_alice, _) = with_bob.rsplit_once("[[client]]").unwrap();
    site.write_secret("clients.toml", only_alice);
    let config = fs::read_to_string(site.path("server.toml")).unwrap();
    site.write_secret("server.toml", &config);
    let mut main = site.start_server();
    let halves = Halves::of(main.pid());
    halves.check(main.pid());
    for name in ["server.toml", "clients.toml", "server.key", "fifo"] {
        assert!(!may_nobody_read(&site.path(name)), "{name} proves nothing");
    }
    RawClient::open(&site, &alice).draw(2048);
    assert_eq!(sockets(halves.root, "tcp"), BTreeSet::new());
    assert_ne!(sockets(halves.network, "tcp"), BTreeSet::new());

    feed.set(Mood::Closed);
    // The stock is full, so the reader looks again only when somebody asks.
    RawClient::open(&site, &alice).draw(16 * 2048);
    main.wait_for("failed (eof)");
    let mark = main.mark();
    feed.set(Mood::Good);
    main.wait_for_after(mark, "passed its start-up test");
    RawClient::open(&site, &alice).draw(2048);

    site.write_secret("clients.toml", &with_bob);
    main.signal(libc::SIGHUP);
    RawClient::open_in_the_end(&site, &bob).draw(2048);

    // Bob stays known although the process that learned of him is gone.
    kill(halves.network);
    main.wait_for("the network half was ended by signal 9");
    RawClient::open_in_the_end(&site, &bob).draw(2048);
    let second = Halves::of(main.pid());
    kill(second.root);
    main.wait_for("the root half was ended by signal 9");
    RawClient::open_in_the_end(&site, &alice).draw(2048);

    let third = Halves::of(main.pid());
    assert_eq!(main.terminate().code(), Some(0));
    wait_for_end(third.all());
    let mut main = site.start_server();
    let last = Halves::of(main.pid());
    main.kill();
    wait_for_end(last.all());
}

#[test]
fn the_tap_socket_is_made_by_root_and_outlives_a_half() {
    let (site, _feed) = numbered_site();
    site.add_local("bob", "root", &[]);
    let mut server = site.start_server();
    let draw = || {
        let mut command = netrng(&["tap", "--socket"]);
        let stdin = std::process::Stdio::piped();
        let mut tap = Process::start_with(command.arg(site.path("tap.sock")), stdin, Stdout::Keep);
        // A request for 2,048 bytes.
        tap.write(&[0, 5, 1, 0, 0, 8, 0]);
        tap.wait_for_bytes(2048 + 3);
    };
    draw();
    let mark = server.mark();
    kill(Halves::of(server.pid()).network);
    server.wait_for_after(mark, READY);
    draw();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!site.path("tap.sock").exists(), "the socket outlives its server");
}

/// Between its birth and its own handlers a half has those of the process that made it.
#[test]
fn a_half_that_is_told_to_end_before_it_can_hear_ends_all_the_same() {
    let site = site_of_two(Path::new("/dev/urandom"));
    let log = site.path("trace");
    // The first that a half does, prolonged.
    let options = ["-e", "trace=setsid,kill", "-e", "inject=setsid:delay_exit=700000"];
    let mut main = Process::start(&mut traced(&site.server_command(), &options, &log));
    let halves = || Some(children(main.pid())).filter(|all| all.len() == 2);
    let halves = wait::until("both halves", wait::PATIENCE, halves);
    assert_eq!(main.terminate().code(), Some(0));
    wait_for_end(halves);
    let trace = Trace(log).text();
    assert_eq!(trace.matches(", SIGTERM)").count(), 2, "{trace}");
    assert!(!trace.contains("SIGKILL"), "it had to be killed: {trace}");

    for _ in 0..20 {
        let mut main = site.spawn_server();
        wait::until_true("a half", || !children(main.pid()).is_empty());
        let clock = Stopwatch::start();
        assert_eq!(main.terminate().code(), Some(0), "{}", main.log_text());
        // A half that has not heard is killed after 12 s.
        assert!(clock.elapsed() < Duration::from_secs(10), "{:?}", clock.elapsed());
    }
}

fn kill_by(signal: &str, pid: u32) {
    finish(command("kill").args([signal, &pid.to_string()])).success();
}

/// It ends with code 0, as if it had been told to by us.
#[test]
fn a_half_that_takes_sigterm_from_somebody_else_comes_back_with_the_other() {
    let site = site_of_two(Path::new("/dev/urandom"));
    let dir = tempfile::tempdir().unwrap();
    let fifo = format!("type = \"fifo\"\npath = {:?}", dir.path().join("fifo"));
    let upstream = format!("user = \"nobody\"\n{URANDOM}");
    for round in 0..6 {
        let client = Process::start(&mut client(dir.path(), &upstream, &fifo));
        for (mut main, well) in [(client, "gives bytes"), (site.spawn_server(), READY)] {
            main.wait_for(well);
            let first = Halves::of(main.pid());
            let (name, pid) = [("root", first.root), ("network", first.network)][round % 2];
            let mark = main.mark();
            kill_by("-TERM", pid);
            let line = main.wait_for_after(mark, "both halves start again in");
            assert!(line.contains(&format!("the {name} half exited with code 0;")), "{line}");
            main.wait_for_after(mark, well);
            let second = Halves::of(main.pid());
            assert!(first.all().iter().all(|pid| !second.all().contains(pid)), "{second:?}");
            assert_eq!(main.terminate().code(), Some(0));
        }
    }
}

#[test]
fn what_a_command_started_ends_with_a_half_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(NOBODY), None).unwrap();
    let pids = dir.path().join("pids");
    // The kernel tells the command itself of its half's end, but not its children.
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $$ $! >> {}; while :; do head -c 4096 /dev/urandom; done",
        pids.display()
    );
    let upstream = format!(
        "user = \"nobody\"\n[[upstream]]\ncommand = [\"sh\", \"-c\", {script:?}]\nname = \"sh\"\n"
    );
    let sink_dir = tempfile::tempdir().unwrap();
    let fifo = format!("type = \"fifo\"\npath = {:?}", sink_dir.path().join("fifo"));
    let mut main = Process::start(&mut client(dir.path(), &upstream, &fifo));
    let started = |round: usize| {
        wait::until("a command", wait::PATIENCE, || {
            let text = fs::read_to_string(&pids).ok()?;
            let line = text.lines().nth(round).filter(|_| text.ends_with('\n'))?;
            Some(line.split(' ').map(|pid| pid.parse::<u32>().unwrap()).collect::<Vec<_>>())
        })
    };
    let first = started(0);
    kill(Halves::of(main.pid()).network);
    wait_for_end(first);
    let second = started(1);
    main.wait_for("sh: gives bytes");
    assert_eq!(main.terminate().code(), Some(0));
    wait_for_end(second);
}

/// What it says of its end is not believed: see halves.rs for its codes.
#[test]
fn a_network_half_that_ends_by_itself_is_started_again_once_it_was_well() {
    let site = site_of_two(Path::new("/dev/urandom"));
    let alice = site.enroll("alice");
    let log = site.path("trace");
    let failing = "inject=epoll_wait,epoll_pwait:error=EBADF:when=60+";
    let options = ["-e", "trace=epoll_wait,epoll_pwait", "-e", failing];
    let mut main = Process::start(&mut traced(&site.server_command(), &options, &log));
    main.wait_for(READY);
    let client = site.start_client(&alice);
    main.wait_for("the network half exited with code 1; both halves start again in");
    client.wait_for("gives bytes again");
    assert_eq!(main.terminate().code(), Some(0));
}

/// Who is started with SIGCHLD ignored gets no status of its children, unless it minds that.
#[test]
fn halves_are_watched_whatever_the_parent_did_with_their_ends() {
    let site = site_of_two(Path::new("/dev/urandom"));
    let server = site.server_command();
    let mut ignoring = command("sh");
    ignoring.args(["-c", "trap '' CHLD; exec \"$@\"", "sh"]).arg(server.get_program());
    let mut main = Process::start(ignoring.args(server.get_args()));
    main.wait_for(READY);
    let network = Halves::of(main.pid()).network;
    let mark = main.mark();
    kill(network);
    main.wait_for_after(mark, READY);
    let last = Halves::of(main.pid());
    assert_eq!(main.terminate().code(), Some(0));
    wait_for_end(last.all());
}

#[test]
fn the_real_device_is_opened_by_root_and_read_by_nobody() {
    let device = Path::new("/dev/hwrng");
    assert!(!may_nobody_read(device));
    let site = site_of_two(device);
    let alice = site.enroll("alice");
    let socket = UnixDatagram::bind(site.path("notify")).unwrap();
    socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let log = site.path("server.trace");
    let options = [HEX, "-y", "-e", "trace=openat,read,sendto"];
    let mut server = traced(&site.server_command(), &options, &log);
    let server = Process::start(server.env("NOTIFY_SOCKET", site.path("notify")));
    server.wait_for(READY);
    let mut text = [0; 64];
    let count = socket.recv(&mut text).unwrap();
    assert!(
        text[..count].starts_with(b"READY=1"),
        "{:?}",
        text[..count].escape_ascii().to_string()
    );
    let halves = Halves::of(server.pid());
    assert_eq!(RawClient::open(&site, &alice).draw(2048).len(), 2048);

    let trace = Trace(log);
    let by = |what: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
        let lines = trace.lines();
        let threads = lines.iter().filter(|line| what(line)).map(|line| line.split(' ').next());
        threads.map(|thread| status(thread.unwrap().parse().unwrap(), "Tgid")).collect()
    };
    let name = in_hex("/dev/hwrng");
    let opened = by(&|line| line.contains("openat(") && line.contains(&name));
    let read = by(&|line| line.contains("read(") && line.contains(&format!("<{name}")));
    let told = by(&|line| line.contains("sendto(") && line.contains(&in_hex("READY=1")));
    assert_eq!(opened, BTreeSet::from([halves.root.to_string()]));
    assert_eq!(read, BTreeSet::from([halves.network.to_string()]));
    assert_eq!(told, BTreeSet::from([server.pid().to_string()]), "systemd believes main only");
}

#[test]
fn an_egd_servers_socket_is_roots_to_connect_to_and_its_address_nobodys() {
    let port = free_port();
    let giving = Site::with_fifo("fifo")
        .listener("protocol = \"egd\"\npath = \"egd.sock\"\nmode = \"0600\"")
        .listener(&format!("protocol = \"egd\"\naddress = \"127.0.0.1:{port}\""));
    let feed = Feed::new(&giving.path("fifo"), Mood::Good);
    let mut giver = giving.start_server();
    let socket = format!("egd:{}", giving.path("egd.sock").display());
    let (_dir, house) = open_house("nobody");
    let mut assess = command("setpriv");
    assess.args(AS_NOBODY).arg(house.get_program()).args(["assess", &socket]);
    let refused = finish(&mut assess);
    assert!(refused.stderr.contains("cannot connect: Permission denied"), "{refused:?}");

    let mut drawn = Vec::new();
    let address = (format!("egd:127.0.0.1:{port}"), format!("htons({port})"));
    for (device, called) in [(socket, "/egd.sock\"".to_owned()), address] {
        let is_unix = called.contains('/');
        let site = site_of_two(Path::new(&device)).source("stock = 2");
        let alice = site.enroll("alice");
        let log = site.path("trace");
        let options = ["-e", "trace=connect"];
        let mut server = Process::start(&mut traced(&site.server_command(), &options, &log));
        server.wait_for(READY);
        let halves = Halves::of(server.pid());
        let trace = Trace(log);
        let lines = trace.lines();
        let lines = lines.iter().filter(|line| line.contains(&called));
        let by = lines.map(|line| status(line.split(' ').next().unwrap().parse().unwrap(), "Tgid"));
        let expected = if is_unix { halves.root } else { halves.network };
        assert_eq!(by.collect::<BTreeSet<_>>(), BTreeSet::from([expected.to_string()]), "{device}");

        let mut session = RawClient::open(&site, &alice);
        let mark = server.mark();
        assert_eq!(giver.terminate().code(), Some(0));
        drawn.extend(session.draw_until(WaitReason::SourceFailed));
        server.wait_for_after(mark, "failed (peer-closed)");
        giver = giving.start_server();
        server.wait_for_after(mark, "passed its start-up test");
        drawn.extend_from_slice(session.draw(2048).as_bytes());
        assert_eq!(server.terminate().code(), Some(0));
    }
    Ledger::new(Numbered { len: feed.fed() }).enter("alice", &drawn).unwrap();
}

/// A folder, a configuration and netrng itself, all open to everybody.
fn open_house(user: &str) -> (tempfile::TempDir, Command) {
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(binary(), dir.path().join("netrng")).unwrap();
    let config = dir.path().join("client.toml");
    let text =
        format!("mode = \"client\"\nuser = \"{user}\"\n{URANDOM}\n[sink]\ntype = \"stdout\"\n");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(dir.path().join("netrng"));
    command.args(["client", "-c"]).arg(config);
    (dir, command)
}

/// `netrng` started as somebody else.
fn by_user(netrng: &Command, uid: &str) -> Command {
    let mut command = command("setpriv");
    command.args(["--reuid", uid, "--clear-groups"]);
    command.arg(netrng.get_program()).args(netrng.get_args());
    command
}

#[test]
fn whom_it_cannot_become_it_says_in_a_sentence() {
    for (uid, user, sentence) in [
        ("0", "no-such-user", "user = \"no-such-user\": this machine has no such user"),
        ("0", "root", "user = \"root\": has all of root's rights"),
        ("1", "nobody", "user = \"nobody\": only root can become another user"),
    ] {
        let (_dir, netrng) = open_house(user);
        let refused = finish(&mut by_user(&netrng, uid));
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert!(refused.stderr.contains(sentence), "{refused:?}");
    }
    let (_dir, netrng) = open_house("nobody");
    let client = Process::start(&mut by_user(&netrng, "65534"));
    client.wait_for_bytes(10_000);
    assert_eq!(children(client.pid()).len(), 1, "cat and no other half");
}
