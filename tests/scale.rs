//! Many clients, several servers: HAProxy in front of them, and names with several addresses.
//! Needs root, haproxy and dnsmasq; plain `cargo test` leaves it out, `tests/run scale` runs it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;
use support::feed::{Feed, Mood};
use support::netns::{Namespace, ip};
use support::process::{Process, command};
use support::site::{Enrolled, READY, Site};
use support::wait;

const BALANCER: &str = "192.0.2.10";
/// What each client gets before it counts as fed.
const PLENTY: usize = 16 * 1024;
/// Of each source, bytes per second: enough, and not too much to keep.
const PACE: u64 = 200_000;
/// From a fault to its end: checks every two seconds, backoff, a busy machine.
const LONG: Duration = Duration::from_secs(90);
const CLIENT: &str = "type = \"stdout\"";

/// Clients that proved who they are to this server, each with the address it came from.
fn seen(server: &Process, mark: usize) -> BTreeSet<(String, String)> {
    let log = server.log_text();
    let lines = log.lines().skip(mark);
    let parts = lines.filter_map(|line| line.split_once(" proved who it is from "));
    let names = parts.map(|(start, from)| {
        let name = start.rsplit(' ').next().unwrap();
        let address = from.rsplit_once(':').unwrap().0;
        (name.to_owned(), address.to_owned())
    });
    names.collect()
}

/// The names in [`seen`].
fn names(server: &Process, mark: usize) -> BTreeSet<String> {
    seen(server, mark).into_iter().map(|(name, _)| name).collect()
}

/// The milliseconds that a client waited, from its log.
fn delays(client: &Process, mark: usize) -> Vec<String> {
    let log = client.log_text();
    let delays = log.lines().skip(mark).filter_map(|line| line.split("next attempt in ").nth(1));
    delays.map(str::to_owned).collect()
}

/// A server of its own that trusts as the first one does, and that clients take for it.
fn twin(of: &Site, site: Site) -> Site {
    for name in ["server.key", "clients.toml"] {
        fs::copy(of.path(name), site.path(name)).unwrap();
    }
    site
}

/// The machines that docs/haproxy.cfg tells of, and two networks of clients.
struct Network {
    balancer: Namespace,
    one: Namespace,
    two: Namespace,
    east: Namespace,
    west: Namespace,
}

impl Network {
    fn new() -> Self {
        let balancer = Namespace::new("b");
        balancer.ip(&["address", "add", &format!("{BALANCER}/32"), "dev", "lo"]);
        let join = |tag: &str, address: &str| {
            let namespace = Namespace::new(tag);
            let (b, n) = (balancer.name.as_str(), namespace.name.as_str());
            ip(&[
                "link", "add", "name", tag, "netns", b, "type", "veth", "peer", "name", "uplink",
                "netns", n,
            ]);
            namespace.ip(&["address", "add", &format!("{address}/32"), "dev", "uplink"]);
            namespace.ip(&["link", "set", "uplink", "up"]);
            namespace.ip(&["route", "add", BALANCER, "dev", "uplink", "scope", "link"]);
            balancer.ip(&["link", "set", "dev", tag, "up"]);
            balancer.ip(&["route", "add", address, "dev", tag, "src", BALANCER]);
            namespace
        };
        let one = join("one", "192.0.2.11");
        let two = join("two", "192.0.2.12");
        let east = join("east", "198.51.100.1");
        let west = join("west", "203.0.113.1");
        Network { balancer, one, two, east, west }
    }
}

/// A server behind the balancer, as docs/scale.md has it.
fn board(address: &str) -> (Site, Feed) {
    let mut site = Site::at("127.0.0.1:8989", "/nowhere")
        .listener(&format!(
            "protocol = \"netrng\"\naddress = \"{address}:8989\"\nbalancers = [\"{BALANCER}\"]\n\
             allowed = [\"198.51.100.0/24\", \"203.0.113.0/24\"]"
        ))
        .listener(&format!(
            "protocol = \"http\"\naddress = \"{address}:8990\"\nallow-plaintext = true\n\
             allowed = [\"{BALANCER}\"]"
        ));
    let feed = Feed::new(&site.path("source"), Mood::Good);
    feed.set_pace(PACE);
    site.set_device(feed.path());
    (site, feed)
}

fn ready(namespace: &Namespace, site: &Site) -> Process {
    let server = namespace.start(&site.server_command());
    server.wait_for(READY);
    server
}

#[track_caller]
fn all_are_fed(clients: &[Process]) {
    let targets: Vec<usize> = clients.iter().map(|c| c.stdout_len() + PLENTY).collect();
    wait::until("all clients are fed", LONG, || {
        let mut both = clients.iter().zip(&targets);
        both.all(|(client, &target)| client.stdout_len() >= target).then_some(())
    });
}

#[track_caller]
fn haproxy_says(haproxy: &Process, mark: usize, words: &str) {
    wait::until(words, LONG, || {
        haproxy.log_text().lines().skip(mark).any(|line| line.contains(words)).then_some(())
    });
}

#[test]
fn behind_haproxy_clients_spread_move_and_keep_their_address() {
    let network = Network::new();
    let ((one, _feed_one), (two, feed_two)) = (board("192.0.2.11"), board("192.0.2.12"));
    let enroll = |number: usize| one.enroll_at(&format!("c{number}"), &format!("{BALANCER}:8989"));
    let enrolled: Vec<Enrolled> = (0..14).map(enroll).collect();
    let two = twin(&one, two);
    let mut server_one = ready(&network.one, &one);
    let server_two = ready(&network.two, &two);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/haproxy.cfg");
    let haproxy = network.balancer.start(command("haproxy").arg("-db").arg("-f").arg(config));
    let start = |number: usize| {
        let side = if number.is_multiple_of(2) { &network.east } else { &network.west };
        side.start(&one.client_command(&enrolled[number], CLIENT))
    };

    // All are fed, spread, and known by their own addresses.
    let mut clients: Vec<Process> = (0..12).map(start).collect();
    all_are_fed(&clients);
    let (at_one, at_two) = (seen(&server_one, 0), seen(&server_two, 0));
    assert!(at_one.len() >= 4 && at_two.len() >= 4, "{at_one:?} {at_two:?}");
    for (name, address) in at_one.union(&at_two) {
        let is_east = name[1..].parse::<usize>().unwrap().is_multiple_of(2);
        let own = if is_east { "198.51.100.1" } else { "203.0.113.1" };
        assert_eq!(address, own, "{name}");
    }

    // Two's source breaks: it says so at /ready, is taken out, and its clients move.
    let marks: Vec<usize> = clients.iter().map(Process::mark).collect();
    let mark_one = server_one.mark();
    feed_two.set(Mood::Stuck(0));
    haproxy_says(&haproxy, 0, "Server boards/two is DOWN");
    let moved: BTreeSet<String> = at_two.into_iter().map(|(name, _)| name).collect();
    wait::until("all of two's clients are at one", LONG, || {
        names(&server_one, mark_one).is_superset(&moved).then_some(())
    });
    all_are_fed(&clients);
    let waited = clients.iter().zip(&marks).flat_map(|(client, &mark)| delays(client, mark));
    let waited: BTreeSet<String> = waited.collect();
    assert!(waited.len() >= moved.len() / 2, "they come back at once, not in turn: {waited:?}");

    // It is well again, and one is stopped.
    let mark = haproxy.mark();
    let mark_two = server_two.mark();
    feed_two.set(Mood::Good);
    haproxy_says(&haproxy, mark, "Server boards/two is UP");
    server_one.terminate();
    wait::until("all clients are at two", LONG, || {
        (names(&server_two, mark_two).len() == clients.len()).then_some(())
    });
    all_are_fed(&clients);
    haproxy_says(&haproxy, mark, "Server boards/one is DOWN");

    // One is back: whoever comes now goes there.
    let mark = haproxy.mark();
    let server_one = ready(&network.one, &one);
    haproxy_says(&haproxy, mark, "Server boards/one is UP");
    clients.extend((12..14).map(start));
    all_are_fed(&clients);
    assert_eq!(names(&server_one, 0), ["c12".to_owned(), "c13".to_owned()].into());
    for server in [&server_one, &server_two] {
        let log = server.log_text();
        assert!(!log.contains(&format!("from {BALANCER}")), "a client without its address");
        assert!(!log.contains("send-proxy-v2"), "{log}");
    }
}

/// Servers at 127.0.0.1 to 3 of one namespace, and a DNS server that names them.
struct Names {
    namespace: Namespace,
    sites: Vec<Site>,
    servers: Vec<Process>,
    dns: Process,
    clients: usize,
}

const NAME: &str = "boards.test";
/// Packets to it get lost.
const DEAD: &str = "192.0.2.77";

impl Names {
    fn new() -> Self {
        let namespace = Namespace::new("d");
        // Whoever is at the other end has another address there.
        namespace.ip(&["link", "add", "name", "hole", "type", "veth", "peer", "name", "end"]);
        for end in ["hole", "end"] {
            namespace.ip(&["link", "set", end, "up"]);
        }
        namespace.ip(&["route", "add", DEAD, "dev", "hole"]);
        let nobody = ["neighbour", "add", DEAD, "lladdr", "02:00:00:00:00:77", "dev", "hole"];
        namespace.ip(&nobody);
        namespace.etc("resolv.conf", "nameserver 127.0.0.1\n");
        let mut sites: Vec<Site> = Vec::new();
        for last in 1..=3 {
            let site = Site::at(&format!("127.0.0.{last}:8989"), "/dev/urandom");
            sites.push(match sites.first() {
                Some(first) => twin(first, site),
                None => site,
            });
        }
        let servers = sites.iter().map(|site| ready(&namespace, site)).collect();
        let hosts = sites[0].path("hosts");
        fs::write(&hosts, "").unwrap();
        let mut dnsmasq = command("dnsmasq");
        dnsmasq.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        dnsmasq.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--user=root"]);
        dnsmasq.args(["--pid-file=", "--log-facility=-", "--local=/test/"]);
        let dns = namespace.start(dnsmasq.arg(format!("--addn-hosts={}", hosts.display())));
        dns.wait_for("hosts - 0 names");
        Names { namespace, sites, servers, dns, clients: 0 }
    }

    /// From now on these are the addresses of [`NAME`].
    fn point_to(&self, addresses: &[&str]) {
        // dnsmasq may be reading: it never sees half a file.
        let text: String = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
        fs::write(self.sites[0].path("hosts.new"), text).unwrap();
        fs::rename(self.sites[0].path("hosts.new"), self.sites[0].path("hosts")).unwrap();
        let mark = self.dns.mark();
        self.dns.signal(libc::SIGHUP);
        self.dns.wait_for_after(mark, &format!("hosts - {} names", addresses.len()));
    }

    /// A new client of [`NAME`], once it has had bytes.
    fn client(&mut self) -> (String, Process) {
        self.clients += 1;
        let name = format!("c{}", self.clients);
        let enrolled = self.sites[0].enroll_at(&name, &format!("{NAME}:8989"));
        self.sites[0].set_rule(&name, &["limit = \"20 kB/s\""]);
        for site in &self.sites[1..] {
            fs::copy(self.sites[0].path("clients.toml"), site.path("clients.toml")).unwrap();
        }
        for server in &self.servers {
            let mark = server.mark();
            server.signal(libc::SIGHUP);
            server.wait_for_after(mark, "reloaded: ");
        }
        let command = self.sites[0].client_command(&enrolled, CLIENT);
        let client = self.namespace.start(&command);
        client.wait_for("gives bytes");
        (name, client)
    }
}

/// Clients that it takes until one has met what it meets with probability 1/3: (2/3)^60 < 1e-10.
const CLIENTS_MAX: usize = 60;

#[test]
fn a_name_with_several_addresses() {
    let mut names_server = Names::new();
    // All addresses are used by whoever comes.
    names_server.point_to(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let mut clients = Vec::new();
    while names_server.servers.iter().any(|server| names(server, 0).is_empty()) {
        assert!(clients.len() < CLIENTS_MAX, "they do not spread");
        clients.push(names_server.client());
    }
    drop(clients);

    // One that is dead costs time, once, and nothing else.
    names_server.point_to(&[DEAD, "127.0.0.1"]);
    let last = loop {
        assert!(names_server.clients < 2 * CLIENTS_MAX, "the dead address is never the first");
        let (name, client) = names_server.client();
        assert_eq!(delays(&client, 0), Vec::<String>::new(), "it gave up before the last address");
        if client.log_text().contains(&format!("{DEAD}:8989: cannot connect")) {
            break (name, client);
        }
    };

    // The name is looked up again: the server that it points to by then is found.
    names_server.point_to(&["127.0.0.2"]);
    let mark = names_server.servers[1].mark();
    names_server.servers[0].terminate();
    wait::until("the client comes to where the name points", LONG, || {
        names(&names_server.servers[1], mark).contains(&last.0).then_some(())
    });
    last.1.wait_for("gives bytes again");
}

/// What docs/kubernetes.yaml leaves to the client is enough to credit, and no more is needed.
#[test]
fn the_rights_that_the_daemon_set_has_are_enough() {
    let site = Site::new("/dev/urandom");
    let alice = site.enroll("alice");
    let _server = site.start_server();
    let client = site.client_command(&alice, "type = \"kernel\"");
    let mut only = command("setpriv");
    only.args(["--bounding-set", "-all,+sys_admin", "--inh-caps", "-all", "--no-new-privs"]);
    only.arg(client.get_program()).args(client.get_args());
    for (key, value) in client.get_envs() {
        only.env(key, value.unwrap_or_default());
    }
    let client = Process::start(&mut only);
    client.wait_for("credited 256 bits");
    let status = fs::read_to_string(format!("/proc/{}/status", client.pid())).unwrap();
    assert!(status.contains("CapEff:\t0000000000200000"), "SYS_ADMIN alone:\n{status}");
}
