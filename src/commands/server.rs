//! `server`: the reader thread and the event loop, from the configuration to the last BYE.

#[cfg(feature = "mdns")]
use super::announce::Announcement;
use super::client_status;
use super::halves::{self, Half, NeedsRoot};
use super::socket_file::SocketFile;
use super::{Exit, Failure};
use crate::config::{Config, ListenConfig, Place, ServerConfig};
use crate::keys::PrivateKey;
use crate::sample::Sample;
use crate::server::core::{MakeCodec, Server};
use crate::server::event_loop::{EventLoop, LISTENERS_MAX, Reload, Setup};
use crate::server::guests::ListenerRule;
use crate::server::sockets::{Bound, Listening};
use crate::server::{ClientRule, Identity};
use crate::source::reader::Reader;
use crate::status::SourceStatus;
use crate::sys::privilege::NOBODY_UID;
use crate::sys::{self, doors};
use crate::wire::Protocol;
use crate::wire::egd::EgdServer;
use crate::wire::hedge::Hedge;
use crate::wire::http::HttpServer;
use crate::wire::native::{Responder, SharedHedge, public_key};
use crate::wire::netrng02::Netrng02Server;
use crate::wire::plain::PlainServer;
use ::log::{error, info, warn};
use mio::Poll;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

/// Descriptors that are no clients': listeners, device, log, epoll, signals, and visits to the
/// status socket and a page.
const DESCRIPTORS_OF_OUR_OWN: u64 = 64;
/// Anybody may ask: who is served says the clients file.
const TAP_SOCKET_MODE: u32 = 0o666;
/// Connections that wait to be accepted, per address.
const BACKLOG: i32 = 1024;

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// A sentence and a code: what cannot be listened on, what the system refuses.
pub fn run(mut config: ServerConfig, path: &Path) -> Result<(), Failure> {
    // Before anything is said to be listening.
    let user = config.user.as_deref().map(halves::look_up).transpose()?;
    let mut listeners = Vec::new();
    for listener in listen_all(&config.listen)? {
        info!("listening on {}", listener.local_addr()?);
        listeners.push(native(listener));
    }
    // They live as long as the server does.
    let mut socket_files = Vec::new();
    for listener in &config.listeners {
        listeners.push(open(listener, &mut socket_files)?);
    }
    let _tap_socket = config.tap_socket.as_deref().and_then(|path| open_tap(path, &mut listeners));
    let status = config.status_socket.as_deref();
    let status = status.and_then(|path| client_status::open(path, user.as_ref()));
    let _status_socket = status.map(|(socket, listener)| {
        let rule = Arc::new(ListenerRule::new(Protocol::Http));
        listeners.push(Listening { socket: Bound::Unix(listener), rule });
        socket
    });
    info!("public key {}", public_key(&config.private_key));
    if let Some(missing) = &config.clients.missing {
        warn!("no clients yet: {missing}");
    }
    warn_of_nobody(&config.clients.rules);
    let limits = &config.limits;
    let wanted = (limits.max_clients + limits.max_waiting + limits.max_handshakes) as u64
        + DESCRIPTORS_OF_OUR_OWN;
    let descriptors = sys::harden::raise_descriptor_limit();
    if descriptors < wanted {
        warn!(
            "the system allows {descriptors} open files, max-clients, max-waiting and \
             max-handshakes may need {wanted}: lower them, or raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
    let origin = &config.source.origin;
    if origin.is_exposed() {
        warn_exposed(format_args!("source {origin}"));
    }
    if let Some((door, path)) = origin.path() {
        doors::note(door, path);
    }
    let Some(part) = halves::part(user.as_ref(), NeedsRoot::Files)? else { return Ok(()) };
    match part.half {
        Half::Root(links) => {
            drop((config, listeners));
            return Ok(halves::open_for_the_other(links, &part.stop)?);
        }
        Half::Network(links) => doors::close(Some(links)),
        Half::Whole => doors::close(None),
    }
    let mut on_reload = reload_from(path.to_owned(), &config);
    if part.is_restarted {
        if let Some((rules, limits)) = on_reload() {
            (config.clients.rules, config.limits) = (rules, limits);
        }
    }
    let parts = Parts {
        stop: part.stop,
        reload: part.reload,
        on_reload,
        on_ready: Box::new(|| sys::notify::notify(sys::notify::WELL)),
    };
    #[cfg(feature = "mdns")]
    let _announcement = match config.announce {
        true => Announcement::publish(&listeners, &public_key(&config.private_key)),
        false => None,
    };
    let (event_loop, reader, _) = assemble(config, listeners, parts)?;
    sys::thread::spawn("reader", Box::new(move || reader.run()))?;
    event_loop.run()?;
    info!("stopped");
    Ok(())
}

/// What differs between a server and the demo.
pub(super) struct Parts {
    pub stop: std::os::unix::net::UnixStream,
    pub reload: std::os::unix::net::UnixStream,
    pub on_reload: Reload,
    pub on_ready: Box<dyn FnMut() + Send>,
}

/// Puts server, loop and reader together.
pub(super) fn assemble(
    config: ServerConfig,
    listeners: Vec<Listening>,
    parts: Parts,
) -> io::Result<(EventLoop, Reader, Arc<SourceStatus>)> {
    let poll = Poll::new()?;
    let waker = EventLoop::waker(&poll)?;
    let source = Arc::new(SourceStatus::default());
    let wake = Box::new(move || {
        if let Err(error) = waker.wake() {
            error!("cannot wake the event loop: {error}");
        }
    });
    let stall_timeout = config.source.stall_timeout;
    let (reader, stock) = Reader::new(config.source, Arc::clone(&source), wake);
    let hedge = Hedge::new(config.private_key.clone(), sys::random::gather);
    let hedge: SharedHedge = Arc::new(Mutex::new(hedge));
    let make_codec = codecs(config.private_key, Arc::clone(&hedge));
    let server = Server::new(config.limits, config.clients.rules, make_codec);
    let setup = Setup {
        listeners,
        stock,
        source: Arc::clone(&source),
        stall_timeout,
        stop: parts.stop,
        reload: parts.reload,
        on_reload: parts.on_reload,
        on_ready: parts.on_ready,
        beat: sys::notify::watchdog_span(),
        seed: seed(hedge),
    };
    Ok((EventLoop::new(server, poll, setup)?, reader, source))
}

fn codecs(private_key: PrivateKey, hedge: SharedHedge) -> MakeCodec {
    Box::new(move |rule: &ListenerRule| match rule.protocol {
        Protocol::Native => Box::new(Responder::new(&private_key, Arc::clone(&hedge))),
        Protocol::Plain => Box::new(PlainServer::default()),
        Protocol::Http => Box::new(HttpServer::new(Arc::clone(&rule.names))),
        Protocol::Netrng02 => Box::new(Netrng02Server::default()),
        Protocol::Egd => Box::new(EgdServer::new(rule.greet_len, std::process::id())),
    })
}

/// What to do before the first handshake on a machine whose kernel cannot make keys yet.
fn seed(hedge: SharedHedge) -> Option<Box<dyn FnOnce(Sample) + Send>> {
    if sys::random::kernel_is_seeded() {
        return None;
    }
    info!(
        "the kernel's generator is not initialised: the first tested sample goes into our own keys"
    );
    Some(Box::new(move |sample| {
        hedge.lock().unwrap_or_else(PoisonError::into_inner).absorb(sample.as_bytes());
    }))
}

/// SIGHUP: clients and limits anew. Broken files change nothing, and the log says why.
fn reload_from(path: PathBuf, started: &ServerConfig) -> Reload {
    let fixed = |config: &ServerConfig| {
        let sockets = (config.tap_socket.clone(), config.status_socket.clone());
        let addresses = (config.listen.clone(), config.listeners.clone(), sockets);
        (addresses, config.announce, config.source.clone(), public_key(&config.private_key))
    };
    let started = fixed(started);
    Box::new(move || match Config::load(&path) {
        Ok(Config::Server(config)) => {
            if fixed(&config) != started {
                warn!(
                    "{}: listen, announce, [[listen]], tap-socket, status-socket, [source] and the server's key take effect with a restart only",
                    path.display()
                );
            }
            if let Some(missing) = &config.clients.missing {
                error!("{missing}; nothing is reloaded");
                return None;
            }
            warn_of_nobody(&config.clients.rules);
            Some((config.clients.rules, config.limits))
        }
        Ok(Config::Client(_)) => {
            error!("{} is a client's now; nothing is reloaded", path.display());
            None
        }
        Err(error) => {
            error!("{error}; nothing is reloaded");
            None
        }
    })
}

fn warn_of_nobody(rules: &[ClientRule]) {
    let is_nobody =
        |rule: &&ClientRule| matches!(rule.identity, Identity::User { uid: NOBODY_UID, .. });
    if let Some(rule) = rules.iter().find(is_nobody) {
        let name = &rule.name;
        warn!(
            "client {name}: other services run as its user too, and may draw as {name}; give it its own"
        );
    }
}

/// A TCP listener, which speaks the native protocol.
pub(super) fn native(listener: TcpListener) -> Listening {
    let rule = Arc::new(ListenerRule::new(Protocol::Native));
    Listening { socket: Bound::Tcp(listener), rule }
}

/// Listens for `netrng tap` as well. Without that socket all others are still served.
fn open_tap(path: &Path, listeners: &mut Vec<Listening>) -> Option<SocketFile> {
    match SocketFile::make(path, TAP_SOCKET_MODE, None) {
        Ok((tap_socket, listener)) => {
            info!("listening on {}", path.display());
            let socket = Bound::Unix(listener);
            let rule = Arc::new(ListenerRule::new(Protocol::Plain));
            listeners.push(Listening { socket, rule });
            Some(tap_socket)
        }
        Err(error) => {
            let path = path.display();
            warn!(
                "`netrng tap` will find no server at {path}: {error} (tap-socket; \"none\": off)"
            );
            None
        }
    }
}

fn warn_exposed(what: fmt::Arguments<'_>) {
    warn!(
        "{what} is not encrypted: whoever is on the way can read and change what is sent \
         (allow-plaintext)"
    );
}

/// Listens as a `[[listen]]` says.
fn open(listener: &ListenConfig, files: &mut Vec<SocketFile>) -> Result<Listening, Failure> {
    let rule = &listener.rule;
    let socket = match &listener.place {
        Place::Tcp(address) => {
            let socket = listen(*address).map_err(|error| bind_failure(*address, &error))?;
            info!("listening on {} for {}", socket.local_addr()?, rule.protocol);
            if listener.is_exposed {
                warn_exposed(format_args!("{} on {address}", rule.protocol));
            }
            Bound::Tcp(socket)
        }
        Place::Unix(path, mode) => {
            let (file, socket) = SocketFile::make(path, *mode, None).map_err(|error| {
                Failure::new(
                    Exit::Bind,
                    format_args!("cannot listen on {}: {error}", path.display()),
                )
            })?;
            info!("listening on {} for {}", path.display(), rule.protocol);
            files.push(file);
            Bound::Unix(socket)
        }
    };
    Ok(Listening { socket, rule: Arc::new(rule.clone()) })
}

/// Listens on every address. A family that this machine does not have is passed over, as
/// long as another is left.
fn listen_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    // Two are for the unix sockets.
    if addresses.len() > LISTENERS_MAX - 2 {
        let most = LISTENERS_MAX - 2;
        return Err(Failure::new(
            Exit::Config,
            format_args!("listen: {} addresses, at most {most}", addresses.len()),
        ));
    }
    let mut listeners = Vec::new();
    let mut unsupported = None;
    for &address in addresses {
        match listen(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                warn!("not listening on {address}: this machine has no such addresses");
                unsupported = Some(address);
            }
            Err(error) => return Err(bind_failure(address, &error)),
        }
    }
    match (listeners.is_empty(), unsupported) {
        (true, Some(address)) => {
            Err(bind_failure(address, &io::Error::from_raw_os_error(libc::EAFNOSUPPORT)))
        }
        _ => Ok(listeners),
    }
}

fn bind_failure(address: SocketAddr, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there, perhaps netrng itself (`netrng status`); stop it or \
             change `listen`"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need root; change `listen`",
        _ => "change `listen` in [server]",
    };
    Failure::new(Exit::Bind, format_args!("cannot listen on {address}: {error}: {advice}"))
}

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that [::] and 0.0.0.0 can stand side by side.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
