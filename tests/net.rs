//! Server and client in network namespaces of their own, joined by a cable that is pulled.
//! Needs root; plain `cargo test` leaves it out, `tests/run net` runs it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::netns::{Namespace, ip};
use support::site::{READY, Site};
use support::wait;

const SERVER_ADDRESS: &str = "192.0.2.1";
const CLIENT_ADDRESS: &str = "192.0.2.2";
const PLENTY: usize = 256 * 1024;

/// Two namespaces and a cable between them.
struct Cable {
    server: Namespace,
    client: Namespace,
}

impl Cable {
    fn new(tag: &str) -> Self {
        let [server, client] = ["s", "c"].map(|end| Namespace::new(&format!("{end}{tag}")));
        let (s, c) = (server.name.as_str(), client.name.as_str());
        ip(&[
            "link", "add", "cable", "netns", s, "type", "veth", "peer", "name", "cable", "netns", c,
        ]);
        for (end, address) in [(&server, SERVER_ADDRESS), (&client, CLIENT_ADDRESS)] {
            end.ip(&["address", "add", &format!("{address}/24"), "dev", "cable"]);
            end.ip(&["link", "set", "cable", "up"]);
        }
        Cable { server, client }
    }

    /// Takes the server's end down.
    fn pull(&self) {
        self.server.ip(&["link", "set", "cable", "down"]);
    }

    fn plug(&self) {
        self.server.ip(&["link", "set", "cable", "up"]);
    }
}

#[test]
fn the_flow_resumes_when_the_link_comes_back() {
    let cable = Cable::new("a");
    // Namespaces have ports of their own.
    let mut site = Site::at(&format!("{SERVER_ADDRESS}:8989"), "/nowhere");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    site.set_device(feed.path());
    let alice = site.enroll("alice");
    let server = cable.server.start(&site.server_command());
    server.wait_for(READY);
    let mut client = cable.client.start(&site.client_command(&alice, "type = \"stdout\""));
    client.wait_for_bytes(PLENTY);

    // A glitch that TCP itself heals.
    cable.pull();
    wait::until_settled("the flow stops", Duration::from_millis(500), || client.stdout_len());
    cable.plug();
    client.wait_for_bytes(PLENTY);

    // So long that the client gives the session up.
    cable.pull();
    let mark = client.mark();
    wait::until("the client gives up", Duration::from_secs(90), || {
        client.log_text().lines().skip(mark).any(|line| line.contains("says nothing")).then_some(())
    });
    cable.plug();
    wait::until("the flow resumes", Duration::from_secs(90), || {
        let before = client.stdout_len();
        wait::pause(Duration::from_millis(50));
        (client.stdout_len() > before).then_some(())
    });
    client.wait_for_bytes(PLENTY);

    client.terminate();
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    ledger.enter("alice", &client.stdout_at_end()).unwrap();
}

/// A client that is there before its network, as at boot.
#[test]
fn a_client_that_starts_before_its_network_gets_there() {
    let cable = Cable::new("b");
    cable.pull();
    let site = Site::at(&format!("{SERVER_ADDRESS}:8989"), "/dev/urandom");
    let alice = site.enroll("alice");
    let server = cable.server.start(&site.server_command());
    server.wait_for(READY);
    let client = cable.client.start(&site.client_command(&alice, "type = \"stdout\""));
    wait::until_true("the client has tried", || !client.log_text().is_empty());
    cable.plug();
    wait::until("the flow starts", Duration::from_secs(90), || {
        (client.stdout_len() > PLENTY).then_some(())
    });
}
