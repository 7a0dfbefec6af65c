//! What the service manager hears: that netrng is ready, once it is, and that it is alive, if
//! it asked to be told.

#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use support::feed::{Feed, Mood};
use support::process::{Process, netrng};
use support::site::{READY, Site};
use support::wait::PATIENCE;

const WELL: &str = "READY=1\nWATCHDOG=1";
/// The watchdog's time in these tests; netrng is to speak twice in it.
const WATCHDOG: Duration = Duration::from_millis(400);

/// A manager that listens at `notify` in the site's folder.
fn manager(site: &Site) -> UnixDatagram {
    let socket = UnixDatagram::bind(site.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next word; `None` if none comes within the socket's time.
fn word(manager: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 100];
    let count = manager.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

#[test]
fn a_server_is_ready_with_its_source_and_says_so_once() {
    let site = Site::with_fifo("source");
    let manager = manager(&site);
    let mut command = site.server_command();
    let mut server = Process::start(command.env("NOTIFY_SOCKET", site.path("notify")));
    server.wait_for("listening on");
    manager.set_nonblocking(true).unwrap();
    assert_eq!(word(&manager), None, "ready without a byte");
    manager.set_nonblocking(false).unwrap();
    let _feed = Feed::new(&site.path("source"), Mood::Good);
    assert_eq!(word(&manager).as_deref(), Some(WELL));
    server.wait_for(READY);
    manager.set_read_timeout(Some(2 * WATCHDOG)).unwrap();
    assert_eq!(word(&manager), None, "nobody asked");
    assert!(server.terminate().success());
    assert_eq!(word(&manager).as_deref(), Some("STOPPING=1"));
}

#[test]
fn the_watchdog_is_answered_by_a_server_and_by_a_client() {
    let site = Site::new("/dev/urandom");
    let alice = site.enroll("alice");
    let manager = manager(&site);
    let watched = |command: &mut std::process::Command| {
        command.env("NOTIFY_SOCKET", site.path("notify"));
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        let mut process = Process::start(command);
        for _ in 0..4 {
            assert_eq!(word(&manager).as_deref(), Some(WELL));
        }
        assert!(process.terminate().success());
        // What it said until it ended, and of its end.
        manager.set_nonblocking(true).unwrap();
        while word(&manager).is_some() {}
        manager.set_nonblocking(false).unwrap();
    };
    watched(&mut site.server_command());
    let config = site.client_config(&alice, "type = \"stdout\"");
    watched(netrng(&["client", "-c"]).arg(config));
}
