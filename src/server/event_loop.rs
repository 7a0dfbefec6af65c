//! The event loop: the one thread that owns sockets, and with them the only user of mio.
//!
//! Brings the pure core what it has none of: connections, time, the stock and signals. It
//! decides nothing about who is served. Readiness is edge-triggered: what is readable or
//! writable stays marked so until the kernel says `WouldBlock`.

use super::core::{Server, SourceState};
use super::guests::ListenerRule;
use super::session::{EndReason, Peer, SessionId};
use super::sockets::{Listener, Listening, Stream, drain};
use super::{ClientRule, Limits};
use crate::moment::Moment;
use crate::sample::Sample;
use crate::status::{self, Snapshot, SourceHealth, SourceStatus, Value};
use crate::stock::Stock;
use crate::sys;
use crate::wire::Protocol;
use log::{debug, info, warn};
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const WAKER: Token = Token(0);
const STOP: Token = Token(1);
const RELOAD: Token = Token(2);
const FIRST_LISTENER: usize = 3;
/// Addresses to listen on, at most.
pub const LISTENERS_MAX: usize = 64;
const FIRST_SESSION: usize = FIRST_LISTENER + LISTENERS_MAX;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Connections accepted a turn and listener, so that a flood does not keep the loop from its
/// sessions.
const ACCEPTS_MAX: usize = 32;
/// Connections without a proved key that are heard a turn: a handshake takes 75 ms of a small
/// board, and those that are served do not wait for a crowd at the door.
const HANDSHAKES_MAX: usize = 4;
/// Bytes read from one session a turn: some 150 requests.
const READ_LEN: usize = 4096;
/// Reads of what a peer still had to say when it got its BYE.
const DRAIN_READS_MAX: usize = 16;
/// Rounds of serving and sending a turn, before the kernel is asked again.
const ROUNDS_MAX: usize = 8;
/// Out of descriptors or memory, accepting rests this long: trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How often it is said that nobody can be accepted.
const WARN_SPAN: Duration = Duration::from_secs(60);
/// How long sessions may take to hear BYE when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What SIGHUP brings: the rules read again, or `None` if the files are broken.
pub type Reload = Box<dyn FnMut() -> Option<(Vec<ClientRule>, Limits)> + Send>;

/// What the loop is made of.
pub struct Setup {
    /// Bound and listening; at most [`LISTENERS_MAX`].
    pub listeners: Vec<Listening>,
    /// Tested samples.
    pub stock: Arc<Stock>,
    /// What the reader reports.
    pub source: Arc<SourceStatus>,
    /// A read that gives nothing for this long is a failure.
    pub stall_timeout: Duration,
    /// A byte here stops the loop.
    pub stop: std::os::unix::net::UnixStream,
    /// A byte here reloads.
    pub reload: std::os::unix::net::UnixStream,
    /// Reads the files again.
    pub on_reload: Reload,
    /// Called when the first sample has passed, and from then on every `beat`.
    pub on_ready: Box<dyn FnMut() + Send>,
    /// How often somebody wants to hear that the loop still turns. `None`: an idle loop sleeps.
    pub beat: Option<Duration>,
    /// Makes ephemeral keys from tested bytes, if the kernel's generator is not initialised.
    /// Until then nobody is let in: a key made from nothing would be worth nothing.
    pub seed: Option<Box<dyn FnOnce(Sample) + Send>>,
}

struct Connection {
    socket: Stream,
    readable: bool,
    writable: bool,
    /// The peer will send no more: read on to the end.
    hung_up: bool,
    /// Stands in the work list, or among those at the door.
    queued: bool,
}

/// The shell around [`Server`].
pub struct EventLoop {
    poll: Poll,
    server: Server,
    listeners: Vec<Listener>,
    connections: Vec<Option<Connection>>,
    /// Sessions to be read or written to.
    work: Vec<SessionId>,
    /// The same of those that have not proved a key, first come first.
    at_the_door: VecDeque<SessionId>,
    setup: Setup,
    stop: UnixStream,
    reload: UnixStream,
    accept_paused_until: Option<Moment>,
    accept_warned_at: Option<Moment>,
    /// Since when the stock wants more, so that the reader is expected to get somewhere.
    expecting_since: Option<Moment>,
    seen_changes: Option<u64>,
    seen_read: (u64, Duration),
    is_ready: bool,
    started: Moment,
    next_beat: Option<Moment>,
    stopping_until: Option<Moment>,
}

impl EventLoop {
    /// Registers everything with the kernel. The waker is for the reader thread.
    ///
    /// # Errors
    /// What epoll or kqueue report; in practice, out of descriptors.
    pub fn new(server: Server, poll: Poll, mut setup: Setup) -> io::Result<Self> {
        let registry = poll.registry();
        let mut listeners = Vec::new();
        for (index, bound) in std::mem::take(&mut setup.listeners).into_iter().enumerate() {
            listeners.push(Listener::register(bound, registry, Token(FIRST_LISTENER + index))?);
        }
        let pipe = |stream: &std::os::unix::net::UnixStream, token| -> io::Result<UnixStream> {
            let stream = stream.try_clone()?;
            stream.set_nonblocking(true)?;
            let mut stream = UnixStream::from_std(stream);
            registry.register(&mut stream, token, Interest::READABLE)?;
            Ok(stream)
        };
        let (stop, reload) = (pipe(&setup.stop, STOP)?, pipe(&setup.reload, RELOAD)?);
        Ok(EventLoop {
            poll,
            server,
            listeners,
            connections: Vec::new(),
            work: Vec::new(),
            at_the_door: VecDeque::new(),
            setup,
            stop,
            reload,
            accept_paused_until: None,
            accept_warned_at: None,
            expecting_since: None,
            seen_changes: None,
            seen_read: (0, Duration::ZERO),
            is_ready: false,
            started: sys::now(),
            next_beat: None,
            stopping_until: None,
        })
    }

    /// A waker for [`EventLoop::new`]'s poll.
    ///
    /// # Errors
    /// What the kernel reports; in practice, out of descriptors.
    pub fn waker(poll: &Poll) -> io::Result<Waker> {
        Waker::new(poll.registry(), WAKER)
    }

    /// Serves until told to stop, then says BYE to all. Returns the core, for its counters.
    ///
    /// # Errors
    /// What epoll or kqueue report. No peer can cause one.
    pub fn run(mut self) -> io::Result<Server> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let timeout = self.timeout(sys::now());
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = sys::now();
            for event in &events {
                self.note(event, now);
            }
            self.turn(now);
            if self.is_drained(now) {
                return Ok(self.server);
            }
        }
    }

    fn turn(&mut self, now: Moment) {
        self.look_at_source(now);
        // First, so that nobody makes room whose question has come.
        self.read_all(now);
        self.accept(now);
        self.server.handle_timeout(now);
        self.show_pages(now);
        self.close_ended();
        for _ in 0..ROUNDS_MAX {
            let stock = &self.setup.stock;
            self.server.handle_stocked(stock.bytes());
            let given = self.server.serve(&mut || stock.take(), now);
            self.flush(now);
            if given == 0 && !self.server.is_asked() {
                break;
            }
        }
        self.close_ended();
        if self.next_beat.is_some_and(|at| at <= now) {
            self.say_well(now);
        }
    }

    fn say_well(&mut self, now: Moment) {
        (self.setup.on_ready)();
        self.next_beat = self.setup.beat.map(|span| now + span);
    }

    /// How long to sleep: until the nearest deadline, not at all if there is work left, for
    /// ever if there is neither.
    fn timeout(&mut self, now: Moment) -> Option<Duration> {
        let accept_at = self.listeners.iter().filter_map(|l| self.accept_at(l)).min();
        let work_pending =
            !self.work.is_empty() || !self.at_the_door.is_empty() || self.server.is_asked();
        if work_pending || accept_at.is_some_and(|at| at <= now) {
            return Some(Duration::ZERO);
        }
        if self.server.is_hungry(now) || !self.is_ready {
            // The reader may have stocked a sample meanwhile.
            if !self.setup.stock.ask() {
                return Some(Duration::ZERO);
            }
        } else if self.server.is_calibrating() && !self.setup.stock.ask_for_more() {
            return Some(Duration::ZERO);
        }
        self.setup.stock.top_up();
        let deadlines = [
            self.server.poll_timeout(),
            accept_at,
            self.stall_deadline(now),
            self.stopping_until,
            self.next_beat,
        ];
        deadlines.into_iter().flatten().min().map(|at| at.since(now))
    }

    fn note(&mut self, event: &mio::event::Event, now: Moment) {
        match event.token() {
            WAKER => {}
            STOP => {
                if drain(&mut self.stop) {
                    self.shut_down(now);
                }
            }
            RELOAD => {
                if drain(&mut self.reload) {
                    self.reload(now);
                }
            }
            Token(index) if index < FIRST_SESSION => {
                // Stopping closes them, and the kernel may have told of both at once.
                if let Some(listener) = self.listeners.get_mut(index - FIRST_LISTENER) {
                    listener.ready = true;
                }
            }
            Token(index) => {
                let id = SessionId(index - FIRST_SESSION);
                let Some(connection) = self.connections.get_mut(id.0).and_then(Option::as_mut)
                else {
                    return;
                };
                connection.readable |= event.is_readable() || event.is_read_closed();
                connection.hung_up |= event.is_read_closed() || event.is_error();
                connection.writable |= event.is_writable();
                self.enqueue(id);
            }
        }
    }

    fn enqueue(&mut self, id: SessionId) {
        if let Some(connection) = self.connections.get_mut(id.0).and_then(Option::as_mut) {
            if !std::mem::replace(&mut connection.queued, true) {
                if self.server.is_handshaking(id) {
                    self.at_the_door.push_back(id);
                } else {
                    self.work.push(id);
                }
            }
        }
    }

    // ---- connections --------------------------------------------------------------------

    /// When whoever may wait there is to be accepted; status needs no keys. `None`: not before
    /// something else happens.
    fn accept_at(&self, listener: &Listener) -> Option<Moment> {
        let has_keys = self.setup.seed.is_none() || listener.rule.protocol == Protocol::Http;
        let is_open = listener.ready && has_keys && self.stopping_until.is_none();
        let pauses = [listener.paused_until, self.accept_paused_until].into_iter().flatten();
        is_open.then(|| pauses.fold(self.server.room_at(&listener.rule), Moment::max))
    }

    fn is_due(&self, index: usize, now: Moment) -> bool {
        self.accept_at(&self.listeners[index]).is_some_and(|at| at <= now)
    }

    fn accept(&mut self, now: Moment) {
        for index in 0..self.listeners.len() {
            if !self.is_due(index, now) {
                continue;
            }
            let mut is_anybody_in = false;
            for _ in 0..ACCEPTS_MAX {
                if !self.is_due(index, now) {
                    break;
                }
                let listener = &self.listeners[index];
                match listener.accept() {
                    Ok((socket, peer)) => {
                        let rule = Arc::clone(&listener.rule);
                        is_anybody_in |= self.admit(socket, peer, &rule, now);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.listeners[index].ready = false;
                        break;
                    }
                    // One connection went away before it was accepted.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        if self.accept_warned_at.is_none_or(|at| now.since(at) >= WARN_SPAN) {
                            self.accept_warned_at = Some(now);
                            warn!("cannot accept connections for now: {error}");
                        }
                        self.accept_paused_until = Some(now + ACCEPT_PAUSE);
                        return;
                    }
                }
            }
            if self.listeners[index].ready && !is_anybody_in {
                self.listeners[index].handle_unwelcome(now);
            }
        }
    }

    /// Whether it was let in.
    fn admit(
        &mut self,
        mut socket: Stream,
        peer: Peer,
        rule: &Arc<ListenerRule>,
        now: Moment,
    ) -> bool {
        let Some(id) = self.server.handle_accept(peer, rule, now) else { return false };
        // Ended sessions' places are given out again: close theirs before this one moves in.
        self.close_ended();
        let token = Token(FIRST_SESSION + id.0);
        let write_timeout = self.server.write_timeout();
        if let Err(error) = socket.prepare(write_timeout, self.poll.registry(), token) {
            debug!("{peer}: {error}");
            self.server.handle_closed(id, EndReason::Io, now);
            return false;
        }
        if self.connections.len() <= id.0 {
            self.connections.resize_with(id.0 + 1, || None);
        }
        self.connections[id.0] = Some(Connection {
            socket,
            readable: true,
            writable: true,
            hung_up: false,
            queued: false,
        });
        self.enqueue(id);
        true
    }

    fn read_all(&mut self, now: Moment) {
        let heard = self.at_the_door.len().min(HANDSHAKES_MAX);
        let mut work = std::mem::take(&mut self.work);
        work.extend(self.at_the_door.drain(..heard));
        for id in work {
            let Some(connection) = self.connections.get_mut(id.0).and_then(Option::as_mut) else {
                continue;
            };
            connection.queued = false;
            if connection.writable && !self.server.output(id).is_empty() {
                self.send(id, now);
            }
            self.read(id, now);
        }
    }

    fn read(&mut self, id: SessionId, now: Moment) {
        let Some(connection) = self.connections.get_mut(id.0).and_then(Option::as_mut) else {
            return;
        };
        if !connection.readable || !self.server.accepts_input(id) {
            return;
        }
        let mut buffer = [0; READ_LEN];
        match connection.socket.read(&mut buffer) {
            Ok(0) => self.server.handle_closed(id, EndReason::PeerClosed, now),
            Ok(count) => {
                // A short read has emptied the socket, unless its end is still to be read.
                connection.readable = count == buffer.len() || connection.hung_up;
                let again = connection.readable;
                self.server.handle_bytes(id, &buffer[..count], now);
                if again {
                    self.enqueue(id);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.enqueue(id),
            Err(_) => self.server.handle_closed(id, EndReason::Io, now),
        }
    }

    fn flush(&mut self, now: Moment) {
        while let Some(id) = self.server.poll_flush() {
            self.send(id, now);
            let readable = self.connections.get(id.0).and_then(Option::as_ref);
            if readable.is_some_and(|connection| connection.readable) {
                self.enqueue(id);
            }
        }
    }

    fn send(&mut self, id: SessionId, now: Moment) {
        let Some(connection) = self.connections.get_mut(id.0).and_then(Option::as_mut) else {
            return;
        };
        let output = self.server.output(id);
        if output.is_empty() {
            return;
        }
        let len = output.len();
        let sent = match connection.writable.then(|| connection.socket.write(output)) {
            None => 0,
            Some(Ok(count)) => count,
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // Cannot happen to a socket that does not block; if it does, the deadline holds.
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => 0,
            Some(Err(_)) => return self.server.handle_closed(id, EndReason::Io, now),
        };
        // A short write has filled the socket.
        connection.writable &= sent == len;
        self.server.handle_sent(id, sent, now);
    }

    fn close_ended(&mut self) {
        while let Some((id, reason)) = self.server.poll_ended() {
            let Some(mut connection) = self.connections.get_mut(id.0).and_then(Option::take) else {
                continue;
            };
            if matches!(reason, EndReason::Bye(_) | EndReason::Shown) {
                // Unread input would make the kernel reset the connection, and the peer lose
                // what we said last.
                connection.socket.shutdown_write();
                let mut rest = [0; READ_LEN];
                for _ in 0..DRAIN_READS_MAX {
                    if !matches!(connection.socket.read(&mut rest), Ok(READ_LEN)) {
                        break;
                    }
                }
            }
            // Closing frees a descriptor: accepting may go on.
            self.accept_paused_until = None;
        }
    }

    /// Writes the pages that were asked for, each once.
    fn show_pages(&mut self, now: Moment) {
        let Some(mut page) = self.server.poll_page() else { return };
        let snapshot = self.snapshot(now);
        loop {
            self.server.handle_page(page, &status::answer(page, &snapshot), now);
            let Some(next) = self.server.poll_page() else { return };
            page = next;
        }
    }

    fn snapshot(&self, now: Moment) -> Snapshot {
        let mut source = self.setup.source.report(now);
        let [samples, most] = self.setup.stock.level();
        source.gauge("stock_samples", samples);
        source.gauge("stock_samples_max", most);
        source.gauge("stock_bytes", self.setup.stock.bytes() as u64);
        let capacity = self.server.capacity_bytes_per_s();
        source.put("capacity_bytes_per_second", Value::Gauge(capacity));
        let unready = match self.setup.source.health() {
            SourceHealth::Failed { kind, text } => {
                ["the source failed (", kind, "): ", &text].concat()
            }
            SourceHealth::Good if self.is_ready => String::new(),
            _ => "the source has not passed its start-up test yet".to_owned(),
        };
        let server = self.server.report(now.since(self.started), &unready);
        Snapshot::of_server(server, source, self.server.report_clients(now))
    }

    // ---- source, signals ----------------------------------------------------------------

    fn look_at_source(&mut self, now: Moment) {
        let source = &self.setup.source;
        let changes = source.changes();
        if self.seen_changes != Some(changes) {
            self.seen_changes = Some(changes);
            let state = match source.health() {
                SourceHealth::Starting => SourceState::Starting,
                SourceHealth::Good => SourceState::Good,
                SourceHealth::Failed { .. } => SourceState::Failed,
            };
            self.server.handle_source(state, now);
        }
        let (bytes, span) = source.read_so_far();
        let (bytes_before, span_before) = std::mem::replace(&mut self.seen_read, (bytes, span));
        if bytes != bytes_before {
            self.server.handle_reading(bytes - bytes_before, span - span_before, now);
        }
        if !self.setup.stock.wants_more() {
            self.server.handle_stock_full(now);
        }
        if self.setup.seed.is_some() && sys::random::kernel_is_seeded() {
            // The kernel was faster.
            self.setup.seed = None;
        }
        if !self.is_ready && !self.setup.stock.is_empty() {
            self.is_ready = true;
            if let Some(seed) = self.setup.seed.take() {
                match self.setup.stock.take() {
                    Some(sample) => seed(sample),
                    None => {
                        // The source failed at this very moment: the next sample will do.
                        self.setup.seed = Some(seed);
                        self.is_ready = false;
                        return;
                    }
                }
            }
            info!("ready: source {} gives bytes", source.description());
            self.say_well(now);
        }
        self.watch(now);
    }

    /// Reports the source as stalled if it should have given something long ago.
    fn watch(&mut self, now: Moment) {
        if self.stall_deadline(now).is_none_or(|at| at > now) {
            return;
        }
        let seconds = self.setup.stall_timeout.as_secs_f32();
        let text = format!("no bytes for {seconds} s");
        if self.setup.source.set_failed("stalled", &text, now) {
            warn!("source {} failed (stalled): {text}", self.setup.source.description());
        }
        self.setup.stock.wipe();
        self.server.handle_source(SourceState::Failed, now);
        self.expecting_since = None;
    }

    fn stall_deadline(&mut self, now: Moment) -> Option<Moment> {
        if !self.setup.stock.wants_more() || self.setup.source.has_failed() {
            self.expecting_since = None;
            return None;
        }
        let expecting_since = *self.expecting_since.get_or_insert(now);
        Some(expecting_since.max(self.setup.source.progress_at()) + self.setup.stall_timeout)
    }

    fn reload(&mut self, now: Moment) {
        if let Some((clients, limits)) = (self.setup.on_reload)() {
            info!("reloaded: {} clients", clients.len());
            self.server.handle_clients(clients, now);
            self.server.handle_limits(limits, now);
        }
    }

    fn shut_down(&mut self, now: Moment) {
        if self.stopping_until.is_none() {
            info!("stopping");
            sys::notify::notify("STOPPING=1");
            self.stopping_until = Some(now + DRAIN_TIMEOUT);
            self.listeners.clear();
            self.server.handle_shutdown(now);
        }
    }

    fn is_drained(&self, now: Moment) -> bool {
        let all_gone = self.connections.iter().all(Option::is_none);
        self.stopping_until.is_some_and(|until| all_gone || until <= now)
    }
}
