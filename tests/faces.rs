//! What people look at: the page in a real browser, and `netrng status --watch` in terminals,
//! of a server with clients of every kind. Needs root and what `tests/run status` installs; plain
//! `cargo test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::Request;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::asking::{jq, number, status};
use support::feed::{Feed, Mood};
use support::process::{Process, Stdout, command, finish, netrng};
use support::raw::RawClient;
use support::site::{Site, free_port};
use support::wait;

/// As long as a name may be.
const LONG: &str = "backup-machine-of-the-second-cellar-behind-the-boiler-room-no-17";
/// As long as an address may be.
const ADDRESS: &str = "[2001:db8:1234:5678:9abc:def0:1234:5678]:54321";

/// By a balancer, in the name of [`ADDRESS`].
fn header() -> Vec<u8> {
    let words: [u16; 8] = [0x2001, 0xdb8, 0x1234, 0x5678, 0x9abc, 0xdef0, 0x1234, 0x5678];
    let from: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
    let ports = [0xD4, 0x31, 0x23, 0x1D];
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24", &*from, &from, &ports].concat()
}

/// A server with three places on a source of 60 kB/s: `alice` has a guarantee, `carol` a quarter
/// of her limit, one has a long name and address, `eve` is in line, `frank` is not there.
struct Scene {
    site: Site,
    feed: Feed,
    address: String,
    _server: Process,
    _clients: [Process; 2],
    _raw: [RawClient; 2],
}

impl Scene {
    fn new() -> Self {
        let (port, address) = (free_port(), format!("127.0.0.1:{}", free_port()));
        let proxied = format!(
            "protocol = \"netrng\"\naddress = \"127.0.0.1:{port}\"\nbalancers = [\"127.0.0.1\"]"
        );
        let site = Site::with_fifo("fifo")
            .server("max-clients = 3")
            .server("idle-timeout = \"1 h\"")
            .listener(&proxied)
            .listener(&format!("protocol = \"http\"\naddress = \"{address}\""));
        let feed = Feed::new(&site.path("fifo"), Mood::Good);
        feed.set_pace(60_000);
        let clients = ["alice", "carol", LONG, "eve", "frank"].map(|name| site.enroll(name));
        site.set_rule("alice", &["guarantee = \"8 kB/s\"", "limit = \"16 kB/s\""]);
        site.set_rule("carol", &["limit = \"4 kB/s\""]);
        let server = site.start_server();
        let real = [site.start_client(&clients[0]), site.start_client(&clients[1])];
        real.iter().for_each(|client| client.wait_for_bytes(2048));
        let mut far = RawClient::new(&site, &clients[2]);
        far.stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let hello = far.hello();
        far.send_raw(&[header(), hello].concat());
        far.answer();
        assert_eq!(far.draw(100).len(), 100);
        let mut eve = RawClient::open(&site, &clients[3]);
        eve.send(Request::Bytes(64));
        eve.answer();
        let _raw = [far, eve];
        Scene { site, feed, address, _server: server, _clients: real, _raw }
    }

    fn ask(&self, arguments: &[&str]) -> String {
        status(&self.site.path("server.sock"), arguments).success()
    }

    /// What `jq` finds in the figures of this client.
    fn of(&self, name: &str, filter: &str) -> String {
        jq(&self.ask(&["--json"]), &format!(".clients[] | select(.name == \"{name}\") | {filter}"))
    }

    /// The source slows down, and the guarantee is not kept.
    fn slow_down(&self) {
        self.feed.set_pace(4_000);
        wait::until_true("the guarantee is missed", || {
            let json = self.ask(&["--json"]);
            jq(&json, ".server.guarantees_kept, .clients[0].guarantee_kept") == "false\nfalse"
        });
    }
}

#[test]
fn state_and_guarantee_of_each_client_stand_in_every_form() {
    let scene = Scene::new();
    let row = |name: &str| {
        let table = scene.ask(&[]);
        let line = table.lines().find(|line| line.starts_with(name)).unwrap_or(&table).to_owned();
        line.split("  ").filter(|cell| !cell.is_empty()).map(|c| c.trim().to_owned()).collect()
    };
    let cells = |name: &str| -> Vec<String> { row(name) };
    wait::until_true("all is well", || scene.of("alice", ".guarantee_kept") == "true");
    assert_eq!(cells("alice")[2..4], ["served", "8.0 kB/s"]);
    assert_eq!(cells("eve")[2..4], ["in-line", "-"]);
    assert_eq!(cells("frank")[2..4], ["absent", "-"]);
    assert_eq!(cells(LONG)[8], ADDRESS);
    let json = scene.ask(&["--json"]);
    assert_eq!(
        jq(&json, ".server | .places, .places_max, .waiting, .clients_known, .clients_connected"),
        "3\n3\n1\n5\n4"
    );
    assert_eq!(number(&json, ".server.promised_bytes_per_second"), 8_000);
    let shares = jq(&json, "[.clients[].share] | add");
    assert!((0.996..=1.0).contains(&shares.parse::<f64>().unwrap()), "{shares}");
    assert!(number(&json, ".clients[0].given_bytes") > number(&json, ".clients[1].given_bytes"));
    assert!(jq(&json, ".clients[0].share > .clients[1].share") == "true", "{json}");
    let part = number(&json, ".source.capacity_bytes_per_second");
    assert!((50_000..80_000).contains(&part), "60 kB/s, and not {part}");

    scene.slow_down();
    assert_eq!(cells("alice")[2..4], ["served", "below 8.0 kB/s"]);
    let table = scene.ask(&[]);
    assert!(table.contains(": not kept, the source gives too little\n"), "{table}");
    let metrics = scene.ask(&["--prometheus"]);
    for sample in [
        "netrng_server_guarantees_kept 0",
        "netrng_client_guarantee_kept{client=\"alice\"} 0",
        "netrng_client_guarantee_kept{client=\"carol\"} 1",
        "netrng_client_state_info{client=\"eve\",state=\"in-line\"} 1",
    ] {
        assert!(metrics.lines().any(|line| line == sample), "no {sample} in {metrics}");
    }

    scene.feed.set(Mood::Stuck(0));
    wait::until_true("the source failed", || !scene.ask(&[]).contains(": good\n"));
    let table = scene.ask(&[]);
    for part in [
        ": not ready: the source failed (repetition-count): ",
        "fifo: failed: repetition-count\n",
        "promised  8.0 kB/s: not kept, the source gives nothing\n",
    ] {
        assert!(table.contains(part), "no {part:?} in {table}");
    }
}

#[test]
fn json_has_no_key_that_nothing_explains() {
    let scene = Scene::new();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status.md");
    let docs = fs::read_to_string(docs).unwrap();
    let told = status(&scene.site.path("alice.sock"), &["--json"]).success();
    let mut count = 0;
    for (json, rows) in [
        (scene.ask(&["--json"]), ["server", "source", "clients[0]"].as_slice()),
        (told, &["sink", "upstreams[0]"]),
    ] {
        for row in rows {
            let section = row.trim_end_matches("s[0]");
            for key in jq(&json, &format!(".{row} | keys[]")).lines() {
                let metric = format!("`netrng_{section}_{key}");
                let is_explained = docs.contains(&metric) || docs.contains(&format!("`{key}`"));
                assert!(is_explained, "docs/status.md does not explain {section}'s {key}");
                count += 1;
            }
        }
    }
    assert!(count > 60, "{count} keys were looked at");
}

// ---- a real browser ---------------------------------------------------------------------

/// What is asked of the page where it is shown: lengths in CSS pixels.
const LOOK: &str = r#"(() => {
    const all = words => [...document.querySelectorAll(words)];
    const before = words => all(words).map(e => getComputedStyle(e, "::before").backgroundColor);
    const box = words => document.querySelector(words).getBoundingClientRect();
    const steps = box(".c"), drawing = box("figure svg"), units = {B: 1, kB: 1e3, MB: 1e6};
    const rate = text => parseFloat(text) * units[text.split(/\s/)[1].split("/")[0]];
    const line = document.querySelector(".c").getAttribute("d").match(/[ML]-\d+ \d+/g);
    const x = line[line.length - 1].match(/-\d+/)[0], y = line[0].match(/\d+$/)[0];
    return {
        wide: document.documentElement.scrollWidth, window: innerWidth,
        cut: all("b, td, dd, small, p, li").filter(e => e.scrollWidth > e.clientWidth + 1
            && getComputedStyle(e).display != "inline").length,
        crossed: all("tr").filter(e => e.querySelector("td b")).filter(e => {
            const a = e.querySelector("b").getBoundingClientRect();
            const b = e.querySelector(".q").getBoundingClientRect();
            return a.right > b.left && b.right > a.left && a.bottom > b.top && b.bottom > a.top;
        }).length,
        bars: all(".q").map(e => e.querySelector("rect").getBoundingClientRect().width
            / e.querySelector("svg").getBoundingClientRect().width),
        fills: all(".q rect").map(e => getComputedStyle(e).fill),
        lamps: before("li b"), dots: before("td b"),
        steps: line.length, oldest: Number(x),
        is_filled: document.querySelector(".f").getAttribute("d") ==
            document.querySelector(".c").getAttribute("d") + "V1000H0",
        ends: steps.right - drawing.right,
        begins: (steps.left - drawing.left) / drawing.width,
        off: 1 - y / 1000 - rate(document.querySelector(".g").innerText)
            / rate(document.querySelector("figure i").innerText),
        focus: document.activeElement.tagName,
    };
})()"#;

/// What the browser shows, and what it shows when the page has renewed itself.
struct Seen {
    first: String,
    second: String,
    /// [`LOOK`], then.
    look: String,
}

fn browse(address: &str, picture: &Path, [width, height, scheme, scripts]: [&str; 4]) -> Seen {
    let browse = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browse");
    let mut browse = command(browse);
    browse.arg(format!("http://{address}/")).arg(picture);
    let text = finish(browse.args([width, height, scheme, scripts, LOOK])).success();
    let parts: Vec<&str> = text.split("--------\n").map(str::trim).collect();
    let [first, second, look] = parts[..] else { panic!("{text}") };
    Seen { first: first.to_owned(), second: second.to_owned(), look: look.to_owned() }
}

/// Colours of a picture, and the one in its upper left corner.
fn colours(picture: &Path) -> (usize, String) {
    let convert = "pngtopnm \"$1\" | ppmhist -noheader -hexcolor";
    let count = finish(command("sh").args(["-c", convert, "sh"]).arg(picture)).success();
    let corner =
        "pngtopnm \"$1\" | pamcut -left 0 -top 0 -width 1 -height 1 | tail -c 3 | od -An -tx1";
    let corner = finish(command("sh").args(["-c", corner, "sh"]).arg(picture)).success();
    (count.lines().count(), corner.replace(char::is_whitespace, ""))
}

const GREEN: &str = "rgb(43, 125, 89)";
const AMBER: &str = "rgb(168, 106, 0)";
const RED: &str = "rgb(194, 51, 37)";
const NONE: &str = "rgba(0, 0, 0, 0)";

#[test]
fn a_browser_shows_it_by_day_and_night_and_on_a_phone() {
    let scene = Scene::new();
    wait::until_true("there is some history", || {
        number(&scene.ask(&["--json"]), ".source.rate_history | length") >= 2
    });
    let folder = tempfile::tempdir().unwrap();
    // The corner's colour shows that the style was applied, and what is seen second whether the
    // script ran: so their hashes in the policy are right.
    for (view, background) in [
        (["1200", "1300", "light", "on"], "f4f6f4"),
        (["800", "1500", "dark", "off"], "111513"),
        (["375", "2000", "light", "off"], "f4f6f4"),
        (["320", "2000", "dark", "on"], "111513"),
    ] {
        let picture = folder.path().join("picture.png");
        let Seen { first, second, look } = browse(&scene.address, &picture, view);
        for dom in [&first, &second] {
            for part in ["<h1>netrng</h1>", ">alice<", LONG, ADDRESS, "</b>good", "in-line"] {
                assert!(dom.contains(part), "no {part} in {dom}");
            }
            assert!(!dom.contains("class=\"old\"") && !dom.contains("<%"), "{dom}");
            assert!(!dom.contains("Not ready"), "{dom}");
        }
        assert_ne!(first, second, "{view:?}: it has not renewed itself");
        assert_eq!(jq(&look, ".wide, .window"), [view[0]; 2].join("\n"), "{look}");
        assert_eq!(jq(&look, ".cut, .crossed"), "0\n0", "{view:?}: {look}");
        // The highest rate fills its bar; carol has a quarter of alice's.
        assert_eq!(jq(&look, ".bars | .[0], .[3], .[4]"), "1\n0\n0", "{look}");
        assert_eq!(jq(&look, ".bars[1] | . > 0.15 and . < 0.4"), "true", "{look}");
        let span = "-.oldest == .steps - 1 and .steps > 2 and .steps < 60 and .is_filled";
        assert_eq!(jq(&look, span), "true", "{look}");
        let begin = "(.begins - (60 + .oldest) / 60 | fabs) < 0.01";
        assert_eq!(jq(&look, begin), "true", "there is nothing before the start: {look}");
        assert_eq!(jq(&look, "(.ends | fabs) < 2 and (.off | fabs) < 0.02"), "true", "{look}");
        if view[2] == "light" {
            let dots = [GREEN, GREEN, GREEN, AMBER, NONE].join("\n");
            assert_eq!(jq(&look, ".dots[]"), dots, "{look}");
            assert_eq!(jq(&look, ".lamps[]"), [GREEN, GREEN, GREEN, AMBER].join("\n"), "{look}");
        }
        if view[3] == "on" {
            assert_eq!(jq(&look, ".focus"), "A", "the keyboard's focus is lost");
        }
        let (count, corner) = colours(&picture);
        assert!(count > 50, "{view:?} has {count} colours");
        assert_eq!(corner, background, "{view:?}");
    }
}

#[test]
fn a_browser_shows_in_red_what_is_wrong() {
    let scene = Scene::new();
    scene.slow_down();
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("picture.png");
    let view = ["375", "2000", "light", "on"];
    let Seen { second, look, .. } = browse(&scene.address, &picture, view);
    assert!(second.contains("<small>of 8.0&nbsp;kB/s</small>"), "{second}");
    assert_eq!(jq(&look, ".dots[]"), [RED, GREEN, GREEN, AMBER, NONE].join("\n"), "{look}");
    assert_eq!(jq(&look, ".fills[:2][]"), [RED, GREEN].join("\n"), "{look}");
    assert_eq!(jq(&look, ".lamps[]"), [GREEN, GREEN, RED, AMBER].join("\n"), "{look}");

    scene.feed.set(Mood::Stuck(0));
    wait::until_true("the source failed", || !scene.ask(&[]).contains(": good\n"));
    let Seen { second, look, .. } = browse(&scene.address, &picture, view);
    let why = "<b>Not ready:</b> the source failed (repetition-count): ";
    assert!(second.contains(why) && second.contains("</b>failed: repetition-count"), "{second}");
    assert_eq!(jq(&look, ".lamps[]"), [RED, GREEN, RED, AMBER].join("\n"), "{look}");
    assert_eq!(jq(&look, ".wide, .cut, .crossed"), "375\n0\n0", "{look}");
}

// ---- terminals --------------------------------------------------------------------------

/// `netrng status --watch`, in a terminal of this kind and size.
fn in_terminal(site: &Site, [term, locale]: [&str; 2], columns: usize, rows: usize) -> Process {
    let inner = format!(
        "stty rows {rows} cols {columns}; exec {} status --watch --socket {}",
        PathBuf::from(support::process::binary()).display(),
        site.path("server.sock").display()
    );
    let mut script = command("script");
    script.args(["-qefc", &inner, "/dev/null"]);
    script.env("LC_ALL", locale).env("TERM", term).env("SHELL", "/bin/sh");
    Process::start_with(&mut script, Stdio::piped(), Stdout::Keep)
}

/// The lines of the last whole picture.
fn last_picture(watch: &Process) -> Vec<String> {
    let text = String::from_utf8_lossy(&watch.stdout()).into_owned();
    let Some((text, _)) = text.rsplit_once("\u{1b}[J") else { return Vec::new() };
    let picture = text.rsplit("\u{1b}[H").next().unwrap();
    picture.lines().map(|line| line.trim_end_matches("\u{1b}[K").to_owned()).collect()
}

/// The place of `part` in a line, letters.
fn place(line: &str, part: &str) -> usize {
    let at = line.find(part).unwrap_or_else(|| panic!("no {part:?} in {line:?}"));
    line[..at].chars().count()
}

#[test]
fn watching_fits_the_terminal_and_ends_by_ctrl_c() {
    let scene = Scene::new();
    for (locale, full, mark, columns, last) in [
        ("C.UTF-8", '█', '…', 60, "state"),
        ("C", '#', '~', 80, "share"),
        ("C.UTF-8", '█', '…', 120, "since"),
        // Too narrow for a graph.
        ("C", '#', '~', 32, "rate"),
    ] {
        let mut watch = in_terminal(&scene.site, ["xterm", locale], columns, 40);
        let has_graph = last != "rate";
        wait::until_true("a graph", || {
            let lines = last_picture(&watch);
            let alice = lines.iter().find(|line| line.starts_with("alice"));
            alice.is_some_and(|line| line.matches(full).count() >= 2 || !has_graph)
        });
        let lines = last_picture(&watch);
        let text = lines.join("\n");
        assert_eq!(text.is_ascii(), locale == "C", "{text}");
        for line in &lines {
            assert!(line.chars().count() <= columns, "{line:?} is wider than {columns}");
        }
        let found = |start: &str| lines.iter().find(|line| line.starts_with(start)).unwrap();
        let (heading, alice) = (found("client "), found("alice "));
        assert!(heading.ends_with(last), "{heading:?}");
        assert_eq!(text.contains(full), has_graph, "{text}");
        if has_graph {
            let newest = alice.chars().rev().position(|letter| letter == full).unwrap();
            let end = alice.chars().count() - newest;
            assert_eq!(place(heading, "now") + 3, end, "{heading}\n{alice}");
            assert_eq!(place(heading, "state"), place(alice, "served"), "{heading}\n{alice}");
        }
        assert!(found(&LONG[..3]).contains(mark), "{text}");
        watch.write(b"\x03");
        assert_eq!(watch.wait(wait::PATIENCE).code(), Some(0));
    }
}

#[test]
fn what_is_beyond_the_last_line_is_counted() {
    let scene = Scene::new();
    let watch = in_terminal(&scene.site, ["xterm", "C"], 80, 13);
    wait::until_true("the fastest comes first", || {
        let lines = last_picture(&watch);
        lines.len() == 12 && lines[9].starts_with("alice") && lines[9].contains('#')
    });
    let lines = last_picture(&watch);
    assert!(lines[10].starts_with("carol") && lines[11] == "~ 3 more", "{lines:?}");
}

#[test]
fn without_a_clever_terminal_watching_writes_lines() {
    let scene = Scene::new();
    let check = |text: &str| {
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("alice  ")).collect();
        assert!(lines[0].ends_with(" bytes  -"), "not known yet: {lines:?}");
        assert!(lines[1..].iter().all(|line| line.ends_with("B/s")), "{lines:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    };
    let enough = |watch: &Process| {
        let text = String::from_utf8_lossy(&watch.stdout()).into_owned();
        (text.matches("\nalice  ").count() >= 3).then_some(text)
    };
    let mut plain = netrng(&["status", "--watch", "--socket"]);
    let mut plain = Process::start(plain.arg(scene.site.path("server.sock")));
    check(&wait::until("plain lines", wait::PATIENCE, || enough(&plain)));
    plain.signal(libc::SIGINT);
    assert_eq!(plain.wait(wait::PATIENCE).code(), Some(0));
    let dumb = in_terminal(&scene.site, ["dumb", "C"], 80, 24);
    check(&wait::until("plain lines", wait::PATIENCE, || enough(&dumb)).replace('\r', ""));
}

/// A daemon that hears and does not answer: its socket, and whoever asked.
fn mute(folder: &Path) -> (PathBuf, UnixListener) {
    let socket = folder.join("mute.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    (socket, listener)
}

fn asked(listener: &UnixListener) -> UnixStream {
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    stream
}

#[test]
fn ctrl_c_ends_watching_while_a_daemon_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, listener) = mute(folder.path());
    let start = || {
        let mut watch = netrng(&["status", "--watch", "--socket"]);
        Process::start(watch.arg(&socket))
    };
    let mut watch = start();
    let stream = asked(&listener);
    watch.signal(libc::SIGINT);
    // Whoever waits for the answer first ends with code 9.
    assert_eq!(watch.wait(wait::PATIENCE).code(), Some(0));
    drop(stream);

    // One that hangs later is told of, and comes back.
    let mut watch = start();
    let answer = b"HTTP/1.0 200 OK\r\n\r\na\t7\ta\t1\t2\n";
    asked(&listener).write_all(answer).unwrap();
    asked(&listener).write_all(answer).unwrap();
    let stream = asked(&listener);
    let told = format!("\n{}: no answer within 5 s", socket.display());
    wait::until_true("the silence is told", || {
        String::from_utf8_lossy(&watch.stdout()).contains(&told)
    });
    let count = |text: &[u8]| String::from_utf8_lossy(text).matches("a  7 bytes").count();
    let before = count(&watch.stdout());
    drop(stream);
    asked(&listener).write_all(answer).unwrap();
    wait::until_true("it is back", || count(&watch.stdout()) > before);
    watch.signal(libc::SIGTERM);
    assert_eq!(watch.wait(wait::PATIENCE).code(), Some(0));
}

#[test]
fn a_daemon_that_hangs_is_told_of_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, listener) = mute(folder.path());
    let mut asking = netrng(&["status", "--socket"]);
    let mut asking = Process::start(asking.arg(&socket));
    let _stream = asked(&listener);
    assert_eq!(asking.wait(wait::PATIENCE).code(), Some(9));
    let said = asking.log_at_end();
    let sentence = format!("{}: no answer within 5 s: it hangs, or is stopped", socket.display());
    assert!(said.contains(&sentence) && said.lines().count() == 1, "{said}");
}
