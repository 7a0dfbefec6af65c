//! EGD against the real binary, by hand: every command to the byte, fair shares, what is spare.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::site::{Site, free_port};
use support::wait;

fn ask(socket: &mut (impl Read + Write), request: &[u8], len: usize) -> Vec<u8> {
    socket.write_all(request).unwrap();
    let mut answer = vec![0; len];
    socket.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn each_command_is_answered_to_the_byte() {
    let port = free_port();
    let site = Site::with_fifo("source")
        .listener(&format!("protocol = \"egd\"\naddress = \"127.0.0.1:{port}\""))
        .listener("protocol = \"egd\"\npath = \"egd.sock\"\nmode = \"0600\"\ngreet = 64");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let server = site.start_server();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let first = ask(&mut tcp, &[2, 255], 255);
    let level = ask(&mut tcp, &[0], 4);
    assert!(u32::from_be_bytes(level.try_into().unwrap()) % 8 == 0, "whole bytes");
    let pid = server.pid().to_string();
    assert_eq!(ask(&mut tcp, &[4], 1 + pid.len())[1..], *pid.as_bytes());
    // Dropped, and what follows is heard.
    let spare = ask(&mut tcp, &[3, 0, 8, 1, 77, 1, 9], 10);
    assert_eq!(spare[0], 9, "all that was asked: nobody waits");
    let mut unix = UnixStream::connect(site.path("egd.sock")).unwrap();
    unix.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let greeting = ask(&mut unix, &[], 64);
    let second = ask(&mut unix, &[2, 64], 64);
    // An unknown command ends it.
    tcp.write_all(&[5]).unwrap();
    assert_eq!(tcp.read(&mut [0; 1]).unwrap(), 0);
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    for (owner, bytes) in [("first", first), ("greeting", greeting), ("second", second)] {
        ledger.enter(owner, &bytes).unwrap();
    }
}
