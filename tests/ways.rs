//! Files by ways that `user`, or whoever owns a folder, can change: root opens and makes nothing
//! there. Needs root and strace; plain `cargo test` leaves it out, `tests/run privilege` runs it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use support::process::{Process, command, finish};
use support::site::{READY, Site};
use support::ssh::client;
use support::trace::traced;
use support::wait;

const NOBODY: u32 = 65534;
const URANDOM: &str = "[[upstream]]\ncommand = [\"cat\", \"/dev/urandom\"]\n";

#[test]
fn no_file_is_opened_by_a_way_that_the_user_can_change() {
    let site = Site::new("/dev/urandom").top("user = \"nobody\"");
    let folder = site.path("lent");
    fs::create_dir(&folder).unwrap();
    let clients = folder.join("clients.toml");
    fs::write(&clients, "").unwrap();
    fs::remove_file(site.path("clients.toml")).unwrap();
    symlink(&clients, site.path("clients.toml")).unwrap();
    // By a symlink of root's own it may go.
    let mut main = site.start_server();
    let mark = main.mark();
    main.signal(libc::SIGHUP);
    main.wait_for_after(mark, "reloaded: 0 clients");
    // What was safe at the start is looked at again.
    chown(&folder, Some(NOBODY), None).unwrap();
    main.signal(libc::SIGHUP);
    let line = main.wait_for_after(mark, "clients.toml is not opened again");
    assert!(line.contains(&format!("`user` can change {},", folder.display())), "{line}");
    main.wait_for_after(mark, "nothing is reloaded");
    assert_eq!(main.terminate().code(), Some(0));
    let refused = finish(&mut site.server_command());
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let sentence = format!(
        "`user` can change {}, which is on the way to {}",
        folder.display(),
        site.path("clients.toml").display()
    );
    assert!(refused.stderr.contains(&sentence), "{refused:?}");
    chown(&folder, Some(0), None).unwrap();
    assert_eq!(site.start_server().terminate().code(), Some(0));
}

#[test]
fn nothing_is_made_by_a_way_that_the_user_can_change() {
    let site = Site::new("/dev/urandom").top("user = \"nobody\"");
    let folder = site.path("lent");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(NOBODY), None).unwrap();
    let weak = format!("`user` can change {}, which is on the way to", folder.display());
    let path = folder.join("socket");
    let site = site.server(&format!("tap-socket = {path:?}"));
    let site = site.server(&format!("status-socket = {path:?}"));
    // All others are still served.
    let mut main = site.start_server();
    for part in ["`netrng tap` will find no server at", "`netrng status` will find nobody at"] {
        let line = main.wait_for(part);
        assert!(line.contains(&weak), "{line}");
    }
    assert_eq!(main.terminate().code(), Some(0));
    let egd = folder.join("egd");
    let site = site.listener(&format!("protocol = \"egd\"\npath = {egd:?}"));
    let refused = finish(&mut site.server_command());
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(refused.stderr.contains(&weak), "{refused:?}");

    let fifo = format!("type = \"fifo\"\npath = {path:?}");
    let upstream = format!("user = \"nobody\"\n{URANDOM}");
    let refused = finish(&mut client(&site.path(""), &upstream, &fifo));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains(&weak), "{refused:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

/// Whoever owns the folder, `user` or not: the socket has its rights from its first moment, and
/// what is put in its place gets none.
#[test]
fn a_symlink_in_the_place_of_a_socket_changes_no_other_file() {
    let site = Site::new("/dev/urandom");
    let victim = site.write_secret("victim", "root's");
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    let tap = site.path("tap.sock");
    // Between bind(2) and what follows there is time for whoever looks.
    let options = ["-e", "trace=bind", "-e", "inject=bind:delay_exit=300000"];
    let log = site.path("trace");
    let server = Process::start(&mut traced(&site.server_command(), &options, &log));
    wait::until_true("the socket", || tap.exists());
    assert_eq!(mode(&tap), 0o666, "before anything else was done");
    symlink(&victim, site.path("link")).unwrap();
    fs::rename(site.path("link"), &tap).unwrap();
    server.wait_for(READY);
    assert!(fs::symlink_metadata(&tap).unwrap().is_symlink());
    assert_eq!(mode(&victim), 0o600);
}

#[test]
fn a_fifo_that_somebody_else_has_made_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    finish(command("mkfifo").args(["-m", "600"]).arg(&path)).success();
    chown(&path, Some(NOBODY), None).unwrap();
    let fifo = format!("type = \"fifo\"\npath = {path:?}");
    let refused = finish(&mut client(dir.path(), URANDOM, &fifo));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("it is another user's"), "{refused:?}");
}
