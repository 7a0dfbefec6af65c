//! The doors to status while a crowd stands before them: whoever means well is heard all the
//! same, and root's own door is none of theirs.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use socket2::{Domain, Socket, Type};
use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::process::{Process, finish, netrng};
use support::site::{Site, free_port};
use support::wait;

/// Connections that each of a crowd has open.
const OPEN: usize = 32;

/// So many that a page of them all does not fit into what the kernel holds of an answer.
const CLIENTS: usize = 600;

/// When one of a crowd makes room for its next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    AtOnce,
    WhenSentAway,
}

/// Whether the server closes this connection within a moment.
fn is_closed(mut socket: &Socket) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    match socket.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Threads that do harm until the end of the test.
struct Crowd {
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Two that do this over and over, each with [`OPEN`] sockets, which they close again, or
    /// leave to the server to close. Returns when all are open.
    fn start(
        leaves: Leaves,
        open: impl Fn() -> io::Result<Socket> + Copy + Send + 'static,
    ) -> Self {
        let (is_over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let member = |_| {
            let (is_over, done) = (Arc::clone(&is_over), Arc::clone(&done));
            thread::spawn(move || {
                let mut sockets = VecDeque::new();
                while !is_over.load(Ordering::Relaxed) {
                    if sockets.len() < OPEN {
                        sockets.extend(open());
                        done.fetch_add(1, Ordering::Relaxed);
                    } else if leaves == Leaves::AtOnce || is_closed(&sockets[0]) {
                        sockets.pop_front();
                    }
                }
            })
        };
        let threads = (0..2).map(member).collect();
        let crowd = Crowd { is_over, done, threads };
        wait::until_true("the crowd stands at the door", || crowd.done() >= 2 * OPEN as u64);
        crowd
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

/// A server with a page, and many clients on it.
fn start() -> (Site, Process, SocketAddr) {
    let address = format!("127.0.0.1:{}", free_port());
    let site = Site::new("/dev/urandom")
        .listener(&format!("protocol = \"http\"\naddress = \"{address}\""));
    let client = |number| format!("[[client]]\nname = \"client-{number}\"\nuser = \"root\"\n");
    site.write_secret("clients.toml", &(0..CLIENTS).map(client).collect::<String>());
    let server = site.start_server();
    (site, server, address.parse().unwrap())
}

/// The first line of the answer to who asks for this.
fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(wait::PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// Asks as a load balancer does and as root does, while the crowd goes on.
fn assert_heard(site: &Site, address: SocketAddr, crowd: &Crowd) {
    for round in 0..10 {
        let before = crowd.done();
        let answer = ask(address, "/ready");
        assert_eq!(answer.ok().as_deref(), Some("HTTP/1.1 200 OK"), "in round {round}");
        let table = finish(netrng(&["status", "--socket"]).arg(site.path("server.sock")));
        assert!(table.success().contains("client-0 "), "in round {round}");
        wait::until_true("the crowd is still there", || crowd.done() > before);
    }
}

#[test]
fn a_crowd_that_only_connects_shuts_nobody_out() {
    let (site, server, address) = start();
    let crowd = Crowd::start(Leaves::AtOnce, move || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let _ = socket.connect(&address.into());
        Ok(socket)
    });
    assert_heard(&site, address, &crowd);
    drop(crowd);
    let open = || fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    wait::until_true("all of them are gone", || open() < 20);
}

#[test]
fn a_crowd_that_does_not_take_its_pages_shuts_nobody_out() {
    let (site, _server, address) = start();
    let crowd = Crowd::start(Leaves::AtOnce, move || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(2048)?;
        socket.connect_timeout(&address.into(), Duration::from_secs(1))?;
        socket.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        Ok(socket)
    });
    assert_heard(&site, address, &crowd);
}

#[test]
fn a_crowd_that_holds_on_in_silence_shuts_nobody_out() {
    let (site, _server, address) = start();
    let crowd = Crowd::start(Leaves::WhenSentAway, move || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.connect_timeout(&address.into(), Duration::from_secs(1))?;
        socket.send(b"G")?;
        Ok(socket)
    });
    assert_heard(&site, address, &crowd);
}
