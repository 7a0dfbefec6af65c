//! Sockets of both families: what is listened on, and what was accepted.
//!
//! Owns what differs between TCP and unix sockets, so that the event loop need not know. It
//! decides nothing.

use super::guests::ListenerRule;
use super::session::Peer;
use crate::moment::Moment;
use crate::sys;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// What the kernel holds of our answers for one peer, bytes: bytes there are lost if the peer
/// does not take them, and cannot be wiped. Linux doubles it for its own needs.
const SEND_BUFFER_LEN: usize = 32 * 1024;
/// How long newcomers on a unix socket wait after a batch of which none was let in. There they
/// wait in a queue of the kernel and none is lost; and one local user can make more connections
/// than there is time to refuse.
const UNWELCOME_PAUSE: Duration = Duration::from_millis(50);
/// A peer that vanished while nothing was due to it is noticed after 60 s + 3 × 10 s. The kernel
/// asks; the daemon sleeps.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// An address that is bound and listened on, and what peers may be there.
pub struct Listening {
    /// Where.
    pub socket: Bound,
    /// What.
    pub rule: Arc<ListenerRule>,
}

/// A socket that listens.
pub enum Bound {
    /// An address of a network.
    Tcp(std::net::TcpListener),
    /// A path of this machine.
    Unix(std::os::unix::net::UnixListener),
}

/// A [`Listening`] that the kernel tells us about.
pub(super) struct Listener {
    socket: Door,
    pub rule: Arc<ListenerRule>,
    /// Somebody may wait there.
    pub ready: bool,
    /// Whoever waits there waits on until then.
    pub paused_until: Option<Moment>,
}

enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection's socket.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub fn register(bound: Listening, registry: &Registry, token: Token) -> io::Result<Self> {
        let socket = match bound.socket {
            Bound::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                let mut socket = TcpListener::from_std(socket);
                registry.register(&mut socket, token, Interest::READABLE)?;
                Door::Tcp(socket)
            }
            Bound::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let mut socket = UnixListener::from_std(socket);
                registry.register(&mut socket, token, Interest::READABLE)?;
                Door::Unix(socket)
            }
        };
        Ok(Listener { socket, rule: bound.rule, ready: true, paused_until: None })
    }

    /// A whole batch was accepted here, and none of it let in.
    pub fn handle_unwelcome(&mut self, now: Moment) {
        // A network's listener cannot wait: what does not fit into its queue is lost.
        if let Door::Unix(_) = self.socket {
            self.paused_until = Some(now + UNWELCOME_PAUSE);
        }
    }

    pub fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            Door::Tcp(socket) => {
                let (stream, address) = socket.accept()?;
                let (address, port) = (address.ip().to_canonical(), address.port());
                Ok((Stream::Tcp(stream), Peer::Remote { address, port }))
            }
            Door::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                // One that is gone already may have no user any more.
                let uid = sys::users::peer_uid(stream.as_fd());
                let uid = uid.map_err(|_| io::ErrorKind::ConnectionAborted)?;
                Ok((Stream::Unix(stream), Peer::Local { uid }))
            }
        }
    }
}

impl Stream {
    /// Sets what every connection needs, and has the kernel tell of it under `token`.
    pub fn prepare(
        &mut self,
        write_timeout: Duration,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Stream::Tcp(socket) => {
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE_IDLE)
                    .with_interval(KEEPALIVE_INTERVAL)
                    .with_retries(KEEPALIVE_PROBES);
                socket.set_nodelay(true)?;
                let raw = SockRef::from(&*socket);
                raw.set_tcp_keepalive(&keepalive)?;
                raw.set_send_buffer_size(SEND_BUFFER_LEN)?;
                sys::platform::user_timeout(&raw, write_timeout)?;
                socket
            }
            Stream::Unix(socket) => {
                SockRef::from(&*socket).set_send_buffer_size(SEND_BUFFER_LEN)?;
                socket
            }
        };
        registry.register(source, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Says that nothing more will come.
    pub fn shutdown_write(&self) {
        let how = std::net::Shutdown::Write;
        let _ = match self {
            Stream::Tcp(socket) => socket.shutdown(how),
            Stream::Unix(socket) => socket.shutdown(how),
        };
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(socket) => socket.read(buffer),
            Stream::Unix(socket) => socket.read(buffer),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(socket) => socket.write(bytes),
            Stream::Unix(socket) => socket.write(bytes),
        }
    }
}

/// Empties a signal pipe; whether anything was in it.
pub(super) fn drain(pipe: &mut UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut any = false;
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => any = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return any,
        }
    }
}
