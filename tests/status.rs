//! `netrng status` and the HTTP listener against the real binary: each figure beside what the
//! test's own clients got, promtool's opinion, and peers that mean harm. Needs root and what `tests/run status` installs; plain `cargo test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::Request;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::asking::{jq, number, status};
use support::feed::{Feed, Mood};
use support::process::{Finished, Process, command, finish, finish_with_input, netrng};
use support::raw::RawClient;
use support::site::{Site, free_port};
use support::wait;

/// Root, and the group of `nobody` as Debian has it.
const ROOT_AND_NOBODY: (u32, u32) = (0, 65_534);

/// Samples by name and labels.
fn metrics(text: &str) -> BTreeMap<String, String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|l| l.rsplit_once(' ').map(|(a, b)| (a.into(), b.into())).unwrap()).collect()
}

fn promtool(arguments: &[&str], input: &str) -> Finished {
    let promtool = std::env::var("NETRNG_PROMTOOL").expect("the part `status` says where it is");
    finish_with_input(command(promtool).args(arguments), input.as_bytes())
}

/// A server on a FIFO, with the HTTP listener on this port.
fn site_with_page() -> (Site, Feed, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let listener = format!("protocol = \"http\"\naddress = \"{address}\"\nnames = [\"rng.test\"]");
    let site = Site::with_fifo("fifo").listener(&listener);
    let feed = Feed::new(&site.path("fifo"), Mood::Good);
    (site, feed, address)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    stream
}

/// Code and all of what a server answers to these bytes.
fn http(address: &str, request: &[u8]) -> (u16, String) {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.unwrap_or_else(|| panic!("no code in {answer:?}")), answer)
}

fn get(address: &str, path: &str) -> (u16, String) {
    let (code, answer) =
        http(address, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn each_figure_is_what_clients_got_to_the_digit() {
    let (site, feed, address) = site_with_page();
    let (alice, _absent) = (site.enroll("alice"), site.enroll("bob"));
    site.set_rule("alice", &["weight = 3", "guarantee = \"1 kB/s\"", "limit = \"5 MB/s\""]);
    let _server = site.start_server();
    let mut raw = RawClient::open(&site, &alice);
    let got: usize = [2048, 2048, 100, 64].map(|count| raw.draw(count).len()).iter().sum();
    // Asked for, and not to be had: the source falls silent first.
    feed.give_only(0);
    wait::until_settled("the source", Duration::from_millis(500), || feed.taken());
    let socket = site.path("server.sock");
    let stocked = |json: &str| number(json, ".source.stock_bytes");
    let read = feed.taken();
    let json = status(&socket, &["--json"]).success();
    assert_eq!(number(&json, ".source.read_bytes"), read);
    assert_eq!(number(&json, ".server.given_bytes"), got as u64);
    assert_eq!(
        jq(&json, ".role, .source.health, .source.up, .server.ready"),
        "server\ngood\ntrue\ntrue"
    );
    assert!(stocked(&json) > 0 && stocked(&json) <= read, "{json}");
    assert_eq!(jq(&json, ".clients | map(.name)"), r#"["alice","bob"]"#);
    let local = raw.stream.local_addr().unwrap().to_string();
    for (filter, value) in [
        ("given_bytes", got.to_string()),
        ("given_samples", "4".into()),
        ("state", "served".into()),
        ("address", local),
        ("sessions", "1".into()),
        ("share", "1".into()),
        ("wanted_bytes", "0".into()),
        ("weight", "3".into()),
        ("guarantee_bytes_per_second", "1000".into()),
        ("limit_bytes_per_second", "5000000".into()),
        ("last_end", "null".into()),
    ] {
        assert_eq!(jq(&json, &format!(".clients[0].{filter}")), value, "{filter}");
    }
    assert_eq!(jq(&json, ".clients[1] | .state, .given_bytes, .address"), "absent\n0\nnull");
    assert!(jq(&json, ".clients[0].connected_seconds").parse::<f64>().unwrap() > 0.0);

    // All faces say the same.
    let text = status(&socket, &["--prometheus"]).success();
    let found = metrics(&text);
    assert_eq!(found["netrng_client_given_bytes_total{client=\"alice\"}"], got.to_string());
    assert_eq!(found["netrng_source_read_bytes_total"], read.to_string());
    assert_eq!(found["netrng_server_guarantees_kept"], "1");
    let page = get(&address, "/").1;
    assert!(page.contains(">alice<") && page.contains("4,260") && got == 4260, "{page}");
    let table = status(&socket, &[]).success();
    let row = table.lines().find(|line| line.starts_with("alice")).unwrap();
    assert!(row.contains("4,260") && row.contains("100 %"), "{table}");
    assert_eq!(
        table,
        String::from_utf8_lossy(table.as_bytes()).replace(|c: char| !c.is_ascii(), "")
    );

    // Wants, and why it left.
    while number(&status(&socket, &["--json"]).success(), ".clients[0].wanted_bytes") == 0 {
        raw.send(Request::Bytes(65_000));
        wait::pause(Duration::from_millis(100));
    }
    raw.send(Request::Bye);
    wait::until_true("the end is told", || {
        let json = status(&socket, &["--json"]).success();
        jq(&json, ".clients[0].last_end, .server.sessions_ended[\"peer-bye\"]") == "peer-bye\n1"
    });
}

#[test]
fn a_client_tells_of_upstream_and_sink() {
    let site = Site::with_fifo("fifo");
    let feed = Feed::new(&site.path("fifo"), Mood::Good);
    let server = site.start_server();
    let alice = site.enroll("alice");
    server.signal(libc::SIGHUP);
    let client = site.start_client(&alice);
    client.wait_for_bytes(20_000);
    feed.give_only(0);
    let fed = wait::until_settled("all is fed", Duration::from_millis(700), || client.stdout_len());
    let socket = site.path("alice.sock");
    let json = status(&socket, &["--json"]).success();
    assert_eq!(number(&json, ".sink.fed_bytes"), fed as u64);
    assert_eq!(number(&json, ".upstreams[0].received_bytes"), fed as u64);
    assert_eq!(
        jq(&json, ".role, .sink.type, .sink.state, .upstreams[0].up"),
        "client\nstdout\nhungry\ntrue"
    );
    let given = status(&site.path("server.sock"), &["--json"]).success();
    assert_eq!(number(&given, ".clients[0].given_bytes"), fed as u64);
    let by_config = finish(netrng(&["status", "--json", "-c"]).arg(site.path("alice.toml")));
    assert_eq!(number(&by_config.success(), ".sink.fed_bytes"), fed as u64);
    drop(server);
    wait::until_true("the loss is told", || {
        let json = status(&socket, &["--json"]).success();
        jq(&json, ".sink.ready, .upstreams[0].up") == "false\nfalse"
            && jq(&json, ".upstreams[0].last_error") != "null"
    });
}

#[test]
fn both_halves_figures_are_in_one_answer() {
    let site = Site::with_fifo("fifo").top("user = \"nobody\"");
    let feed = Feed::new(&site.path("fifo"), Mood::Good);
    let alice = site.enroll("alice").preceded_by("user = \"nobody\"");
    let _server = site.start_server();
    let sink = site.path("sink");
    let config = format!("type = \"fifo\"\npath = {:?}", sink.display().to_string());
    let _client = Process::start(&mut site.client_command(&alice, &config));
    wait::until_true("the sink is made", || sink.exists());
    let mut cat = Process::start(command("cat").arg(&sink));
    cat.wait_for_bytes(10_000);
    feed.give_only(0);
    let fed = wait::until_settled("all is fed", Duration::from_millis(700), || cat.stdout_len());
    for (socket, filter) in
        [("server.sock", ".clients[0].given_bytes"), ("alice.sock", ".sink.fed_bytes")]
    {
        let socket = site.path(socket);
        let found = fs::metadata(&socket).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!((found.mode() & 0o777, (found.uid(), found.gid())), (0o660, ROOT_AND_NOBODY));
        assert_eq!(number(&status(&socket, &["--json"]).success(), filter), fed as u64);
    }
    let json = status(&site.path("alice.sock"), &["--json"]).success();
    assert_eq!(number(&json, ".upstreams[0].received_bytes"), fed as u64);
    cat.kill();
}

#[test]
fn who_is_not_there_or_may_not_be_asked_is_one_sentence() {
    let site = Site::new("/dev/urandom");
    let nobody = status(&site.path("server.sock"), &[]);
    assert_eq!(nobody.code, Some(9), "{nobody:?}");
    assert!(nobody.stderr.contains("no netrng runs here, at "), "{nobody:?}");
    // Whoever may ask need not be one who may read keys.
    let keyless = site.path("keyless.toml");
    let socket = site.path("nobody.sock");
    let lines = format!("private-key-file = \"/nonexistent\"\nstatus-socket = {socket:?}\n");
    fs::write(&keyless, format!("mode = \"server\"\n[server]\n{lines}")).unwrap();
    let nobody = finish(netrng(&["status", "-c"]).arg(&keyless));
    assert_eq!(nobody.code, Some(9), "{nobody:?}");
    assert!(nobody.stderr.contains("nobody.sock"), "{nobody:?}");
    let off = site.server("status-socket = \"none\"");
    let refused = finish(netrng(&["status", "-c"]).arg(off.path("server.toml")));
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("status-socket is \"none\""), "{refused:?}");

    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), open).unwrap();
    let socket = folder.path().join("server.sock");
    let site = Site::new("/dev/urandom")
        .server(&format!("status-socket = {:?}", socket.display().to_string()));
    let mut server = site.start_server();
    let netrng = folder.path().join("netrng");
    fs::copy(support::process::binary(), &netrng).unwrap();
    let mut stranger = command("setpriv");
    stranger.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    let refused = finish(stranger.arg(&netrng).args(["status", "--socket"]).arg(&socket));
    assert_eq!(refused.code, Some(10), "{refused:?}");
    assert!(refused.stderr.contains("this user may not ask netrng at "), "{refused:?}");
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!socket.exists(), "removed at the end");
}

#[test]
fn ready_says_whether_and_why_not() {
    let (site, feed, address) = site_with_page();
    feed.set(Mood::Silent);
    let server = site.spawn_server();
    server.wait_for("for http");
    let (code, why) = get(&address, "/ready");
    assert_eq!((code, &*why), (503, "the source has not passed its start-up test yet\n"));
    feed.set(Mood::Good);
    server.wait_for(support::site::READY);
    assert_eq!(get(&address, "/ready"), (200, "ready\n".to_owned()));
    let alice = site.enroll("alice");
    server.signal(libc::SIGHUP);
    server.wait_for("reloaded");
    let mut raw = RawClient::open(&site, &alice);
    feed.set(Mood::Stuck(0));
    raw.send(Request::Bytes(60_000));
    wait::until_true("the failure is told", || get(&address, "/ready").0 == 503);
    let why = get(&address, "/ready").1;
    assert!(why.starts_with("the source failed (repetition-count): "), "{why}");
    let json = get(&address, "/status.json").1;
    assert_eq!(jq(&json, ".source.health, .source.up"), "repetition-count\nfalse");
    assert!(number(&json, ".source.failures[\"repetition-count\"]") > 0);
    feed.set(Mood::Good);
    wait::until_true("it is good again", || get(&address, "/ready").0 == 200);
}

/// Metric names in a text, whatever it is.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("netrng_"));
    words.map(str::to_owned).collect()
}

#[test]
fn promtool_finds_no_fault_and_every_name_that_is_used_exists() {
    let (site, _feed, address) = site_with_page();
    let alice = site.enroll("alice");
    let _server = site.start_server();
    let client = site.start_client(&alice);
    client.wait_for_bytes(4096);
    let served = get(&address, "/metrics").1;
    let told = status(&site.path("alice.sock"), &["--prometheus"]).success();
    for text in [&served, &told] {
        let checked = promtool(&["check", "metrics"], text);
        // Entropy is counted in bits by everybody, promtool's taste notwithstanding.
        let taste = "netrng_sink_credited_bits_total use base unit \"bytes\" instead of \"bits\"";
        let said: Vec<_> = checked.stderr.lines().filter(|line| *line != taste).collect();
        assert!(said.is_empty() && matches!(checked.code, Some(0 | 3)), "{checked:?}");
        assert!(metrics(text).len() > 10);
    }
    let both = served + &told;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let exist: BTreeSet<String> = names_in(&both);
    for (file, least) in [("grafana.json", 10), ("alerts.yml", 5)] {
        let used = names_in(&fs::read_to_string(docs.join(file)).unwrap());
        assert!(used.len() >= least, "{file} uses {used:?}");
        let unknown: Vec<_> = used.difference(&exist).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
    let documented = names_in(&fs::read_to_string(docs.join("status.md")).unwrap());
    let families = both.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let missing: Vec<_> = families.filter(|name| !documented.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/status.md does not explain {missing:?}");
    let rules = docs.join("alerts.yml").display().to_string();
    promtool(&["check", "rules", &rules], "").success();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerts_test.yml");
    let tested = promtool(&["test", "rules", &cases.display().to_string()], "");
    assert!(tested.success().contains("SUCCESS"));
    jq(&fs::read_to_string(docs.join("grafana.json")).unwrap(), ".panels[0]");
}

#[test]
fn only_well_meant_requests_see_a_page() {
    let (site, _feed, address) = site_with_page();
    let _server = site.start_server();
    let with_host = |host: &str| format!("GET /ready HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (request, code) in [
        (with_host("evil.example"), 421),
        (with_host("rng.test:80"), 200),
        (with_host("localhost"), 200),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b".into(), 405),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".into(), 404),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("\u{1}\u{2}\u{3}\r\n\r\n".into(), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(9000)), 431),
        // The second is not heard: one a connection.
        (with_host("a") + &with_host("evil.example"), 200),
    ] {
        let (found, answer) = http(&address, request.as_bytes());
        assert_eq!(found, code, "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        for header in ["Cache-Control: no-store", "Content-Security-Policy: default-src 'none'"] {
            assert!(answer.contains(header), "{answer}");
        }
    }
    let (_, whole) = http(&address, b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, head) = http(&address, b"HEAD /ready HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(whole.strip_suffix("ready\n"), Some(&*head));
}

#[test]
fn whoever_means_harm_is_not_noticed_by_clients() {
    let (site, _feed, address) = site_with_page();
    let alice = site.enroll("alice");
    let server = site.start_server();
    let mut raw = RawClient::open(&site, &alice);
    // A hundred that say nothing, and one more byte now and then.
    let mut slow: Vec<TcpStream> = (0..100).map(|_| connect(&address)).collect();
    for round in 0..20 {
        for stream in &mut slow {
            // Most are sent away soon.
            let _ = stream.write_all(b"G");
        }
        let mut flood = connect(&address);
        let garbage = vec![b'x'; 1 << 20];
        let _ = flood.write_all(if round % 2 == 0 { &garbage } else { b"\x16\x03\x01\x02\x00" });
        let _ = flood.shutdown(Shutdown::Write);
        assert_eq!(raw.draw(2048).len(), 2048, "in round {round}");
    }
    assert_eq!(get(&address, "/ready").0, 200, "and pages are still shown");
    // Newcomers with keys are none of the crowd.
    let mut second = RawClient::open(&site, &alice);
    assert_eq!(second.draw(2048).len(), 2048);
    let json = get(&address, "/status.json").1;
    assert_eq!(number(&json, ".clients[0].given_bytes"), 21 * 2048);
    assert_eq!(jq(&json, ".server.sessions_ended"), r#"{"replaced":1}"#, "{}", server.log_text());
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(open < 60, "{open} descriptors are open");
}

/// Times that a process's threads were woken.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let texts = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let lines = texts.flat_map(|text| {
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>()
    });
    lines.sum()
}

#[test]
fn an_idle_daemon_sleeps_however_often_it_was_asked() {
    let (site, _feed, address) = site_with_page();
    let alice = site.enroll("alice");
    let server = site.start_server();
    let client = site.start_blocked_client(&alice);
    let _ = get(&address, "/");
    wait::until_true("the client is full", || {
        let asked = status(&site.path("alice.sock"), &["--json"]);
        asked.code == Some(0) && jq(&asked.stdout, ".sink.state") == "full"
    });
    for pid in [server.pid(), client.pid()] {
        let rest = Duration::from_millis(1500);
        let before = wait::until_settled("it is at rest", rest, || switches(pid));
        wait::pause(Duration::from_secs(6));
        assert_eq!(switches(pid), before, "process {pid} was woken");
    }
}

#[test]
fn the_default_sockets_are_asked_where_nothing_is_said() {
    let site = Site::new("/dev/urandom");
    site.enroll("alice");
    let _server = site.start_server();
    let mut namespace: Command = command("unshare");
    let run = format!(
        "mount -t tmpfs none /run && mkdir /run/netrng && ln -s {} /run/netrng/server.sock && exec {} status",
        site.path("server.sock").display(),
        PathBuf::from(support::process::binary()).display()
    );
    let table = finish(namespace.args(["-m", "sh", "-c", &run])).success();
    assert!(table.starts_with("netrng ") && table.contains("\nalice "), "{table}");
}
