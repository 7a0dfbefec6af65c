//! Network namespaces: machines of our own, as far as the network goes. Needs root.
#![allow(unsafe_code, reason = "setns: a socket in a namespace")]

use super::process::{Process, command, finish};
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

/// `ip` with these arguments.
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn ip(arguments: &[&str]) {
    finish(command("ip").args(arguments)).success();
}

/// A namespace with its loopback up; removed on drop.
pub struct Namespace {
    /// As `ip netns` calls it.
    pub name: String,
}

impl Namespace {
    /// Makes one. `tag` tells it from others of this process.
    pub fn new(tag: &str) -> Self {
        let namespace = Namespace { name: format!("nr{}{tag}", std::process::id()) };
        ip(&["netns", "add", &namespace.name]);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// `ip` inside of it.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }

    /// Starts `inner` in it.
    pub fn start(&self, inner: &Command) -> Process {
        Process::start(&mut self.command(inner))
    }

    /// `inner` in it. `ip netns exec` becomes it, so the pid stays.
    pub fn command(&self, inner: &Command) -> Command {
        let mut outer = command("ip");
        outer.args(["netns", "exec", &self.name]);
        outer.arg(inner.get_program()).args(inner.get_args());
        for (key, value) in inner.get_envs() {
            outer.env(key, value.unwrap_or_default());
        }
        outer
    }

    /// A listener of our own in it.
    ///
    /// # Panics
    /// If it cannot be had.
    pub fn listen(&self, address: &str) -> TcpListener {
        let address = address.to_owned();
        self.make(move || TcpListener::bind(address))
    }

    /// A socket of our own in it, for datagrams.
    ///
    /// # Panics
    /// If it cannot be had.
    pub fn datagrams(&self, address: &str) -> UdpSocket {
        let address = address.to_owned();
        self.make(move || UdpSocket::bind(address))
    }

    fn make<T: Send + 'static>(
        &self,
        socket: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> T {
        let space = File::open(PathBuf::from("/run/netns").join(&self.name)).expect("it is there");
        // A thread of its own goes there; sockets stay where they were made.
        let work = move || {
            // SAFETY: takes integers only, and moves this thread alone.
            let went = unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(went, 0, "root may");
            socket().expect("the address is free")
        };
        thread::spawn(work).join().expect("it can be had")
    }

    /// Puts a file of this text in the place of /etc's for all that is started from now on.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn etc(&self, name: &str, text: &str) {
        let folder = self.etc_folder();
        fs::create_dir_all(&folder).expect("root may");
        fs::write(folder.join(name), text).expect("root may");
    }

    fn etc_folder(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        finish(command("ip").args(["netns", "delete", &self.name]));
        let _ = fs::remove_dir_all(self.etc_folder());
    }
}
