//! The load: many clients in one process, over the real protocol or the floor's.
//!
//! Owns the clients' side of every bench. It runs in a process of its own, so that the
//! server's CPU time is the server's alone; it keeps a window of bytes outstanding for each
//! client and takes whatever comes.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use netrng::keys::{PrivateKey, Psk, PublicKey};
use netrng::moment::Moment;
use netrng::sys;
use netrng::wire::hedge::Hedge;
use netrng::wire::native::{Initiator, SharedHedge};
use netrng::wire::{Answer, ClientCodec, Request};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes of one sample, here as in every config of the benches.
pub const SAMPLE: u32 = 2048;
/// How often a load that has nothing to do looks whether it is told to stop.
const TICK: Duration = Duration::from_millis(20);

/// What a load process is to do; travels on its command line.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Its key; `None`: the floor's protocol, 4 bytes for a sample.
    pub server_key: Option<PublicKey>,
    /// Number of the first client: its keys follow from it.
    pub first: u32,
    /// Sessions.
    pub count: u32,
    /// Clients whose keys they share, in turn.
    pub keys: u32,
    /// Bytes that each keeps outstanding.
    pub window: u32,
    /// Connections begun and not served yet, at most.
    pub connecting_max: usize,
    /// What follows when all were served once.
    pub then: Then,
}

/// See [`Plan::then`].
#[derive(Debug, Clone, Copy)]
pub enum Then {
    /// Warm up, measure for so long and at least so many bytes, report, end.
    Measure {
        /// Before measuring.
        warm_up: Duration,
        /// Measured.
        span: Duration,
        /// Measured at least.
        bytes_min: u64,
    },
    /// Ask for nothing more and keep the connections, until stdin ends.
    Rest,
    /// Draw on until stdin ends.
    Draw,
}

impl Plan {
    /// The command line of a load process.
    pub fn to_args(&self) -> Vec<String> {
        let then = match self.then {
            Then::Rest => "rest".to_owned(),
            Then::Draw => "draw".to_owned(),
            Then::Measure { warm_up, span, bytes_min } => {
                format!("{},{},{bytes_min}", warm_up.as_millis(), span.as_millis())
            }
        };
        vec![
            "load".to_owned(),
            self.address.to_string(),
            self.server_key.map_or("plain".to_owned(), |key| key.to_string()),
            self.first.to_string(),
            self.count.to_string(),
            self.keys.to_string(),
            self.window.to_string(),
            self.connecting_max.to_string(),
            then,
        ]
    }

    /// Reads what [`Plan::to_args`] wrote, without its first word.
    pub fn from_args(args: &[String]) -> Option<Self> {
        let [address, key, first, count, keys, window, connecting_max, then] = args else {
            return None;
        };
        let then = match then.as_str() {
            "rest" => Then::Rest,
            "draw" => Then::Draw,
            spans => {
                let numbers: Vec<u64> = spans.split(',').filter_map(|n| n.parse().ok()).collect();
                let [warm_up, span, bytes_min] = numbers[..] else { return None };
                Then::Measure {
                    warm_up: Duration::from_millis(warm_up),
                    span: Duration::from_millis(span),
                    bytes_min,
                }
            }
        };
        Some(Plan {
            address: address.parse().ok()?,
            server_key: PublicKey::from_text(key).ok(),
            first: first.parse().ok()?,
            count: count.parse().ok()?,
            keys: keys.parse().ok()?,
            window: window.parse().ok()?,
            connecting_max: connecting_max.parse().ok()?,
            then,
        })
    }
}

/// The private key of client `number`, and the pre-shared key that goes with it.
pub fn client_keys(number: u32) -> (PrivateKey, Psk) {
    let mut bytes = [0x5a; 32];
    // Not at the ends: X25519 ignores some bits there (RFC 7748 §5).
    bytes[8..12].copy_from_slice(&number.to_le_bytes());
    (PrivateKey::new(bytes), Psk::new(bytes.map(|byte| !byte)))
}

/// Runs a load process; stdin says when to connect and, by its end, when to stop. Says on
/// stdout: `armed`, `served SECONDS`, then `begin` and `end BYTES NANOS JAIN CLOSED`.
pub fn run(plan: &Plan) {
    let mut load = Load::new(plan);
    println!("armed");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent lives");
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::spawn(move || {
        while matches!(std::io::stdin().read_line(&mut String::new()), Ok(count) if count > 0) {}
        told.store(true, Ordering::Relaxed);
    });
    let started = sys::now();
    let all = plan.count as usize;
    load.run_until(|load, _| load.served + load.closed >= all || stop.load(Ordering::Relaxed));
    println!("served {:.6}", (sys::now() - started).as_secs_f64());
    let bytes_min = match plan.then {
        Then::Measure { warm_up, bytes_min, .. } => {
            let warm_at = sys::now() + warm_up;
            load.run_until(|_, now| now >= warm_at);
            bytes_min
        }
        Then::Rest | Then::Draw => 0,
    };
    let before: Vec<u64> = load.clients.iter().map(|client| client.received).collect();
    let begun = sys::now();
    println!("begin");
    load.run_until(|load, now| match plan.then {
        Then::Rest | Then::Draw => stop.load(Ordering::Relaxed),
        Then::Measure { span, .. } => {
            now - begun >= span
                && (load.received_since(&before) >= bytes_min || now - begun >= 4 * span)
        }
    });
    let nanos = (sys::now() - begun).as_nanos();
    let each = load.clients.iter().zip(&before).map(|(client, before)| client.received - before);
    let jain = jain(&each.collect::<Vec<_>>());
    println!("end {} {nanos} {jain:.6} {}", load.received_since(&before), load.closed);
}

/// Jain's index of fairness: (Σx)² ÷ (n·Σx²), 1 for all alike, 1/n for all to one.
#[expect(clippy::cast_precision_loss, reason = "an index of six digits")]
fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|&x| x as f64).sum();
    let squares: f64 = shares.iter().map(|&x| (x as f64).powi(2)).sum();
    sum * sum / (shares.len() as f64 * squares).max(f64::MIN_POSITIVE)
}

struct Load {
    plan: Plan,
    poll: Poll,
    clients: Vec<Client>,
    /// Not connected yet.
    waiting: VecDeque<usize>,
    connecting: usize,
    served: usize,
    closed: usize,
    buffer: Vec<u8>,
}

struct Client {
    /// `None` before it connects and after the connection ended.
    socket: Option<TcpStream>,
    /// `None`: the floor's protocol.
    codec: Option<Initiator>,
    welcomed: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    outstanding: u32,
    received: u64,
}

impl Load {
    fn new(plan: &Plan) -> Self {
        let hedge = Hedge::new(PrivateKey::new([7; 32]), sys::random::gather);
        let hedge: SharedHedge = Arc::new(Mutex::new(hedge));
        let client = |number: u32| {
            let (private, psk) = client_keys(plan.first + number % plan.keys);
            let codec = |server| Initiator::new(&private, server, Some(&psk), Arc::clone(&hedge));
            Client {
                socket: None,
                codec: plan.server_key.as_ref().map(codec),
                welcomed: false,
                input: Vec::new(),
                output: Vec::new(),
                outstanding: 0,
                received: 0,
            }
        };
        Load {
            clients: (0..plan.count).map(client).collect(),
            plan: plan.clone(),
            poll: Poll::new().expect("descriptors are left"),
            waiting: (0..plan.count as usize).collect(),
            connecting: 0,
            served: 0,
            closed: 0,
            buffer: vec![0; 64 * 1024],
        }
    }

    fn received_since(&self, before: &[u64]) -> u64 {
        self.clients.iter().zip(before).map(|(client, before)| client.received - before).sum()
    }

    fn run_until(&mut self, mut done: impl FnMut(&Self, Moment) -> bool) {
        let mut events = Events::with_capacity(1024);
        while !done(self, sys::now()) {
            self.connect();
            self.poll.poll(&mut events, Some(TICK)).expect("epoll works");
            for event in &events {
                self.step(event.token().0);
            }
        }
    }

    fn connect(&mut self) {
        while self.connecting < self.plan.connecting_max {
            let Some(index) = self.waiting.pop_front() else { return };
            let mut socket = TcpStream::connect(self.plan.address).expect("ports are left");
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(index), both).expect("epoll works");
            self.clients[index].socket = Some(socket);
            self.clients[index].start();
            self.connecting += 1;
        }
    }

    fn step(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let was_served = client.received > 0;
        let rests = matches!(self.plan.then, Then::Rest);
        let lives = client.flush() && client.receive(&mut self.buffer, self.plan.window, rests);
        if !was_served && (client.received > 0 || !lives && client.socket.is_some()) {
            self.connecting -= 1;
        }
        self.served += usize::from(!was_served && client.received > 0);
        if !lives && client.socket.take().is_some() {
            self.closed += 1;
        }
    }
}

impl Client {
    fn start(&mut self) {
        if let Some(codec) = &mut self.codec {
            codec.start(&mut self.output).expect("the hedge gives keys");
        } else {
            self.welcomed = true;
            self.ask(0, false);
        }
    }

    /// Keeps `window` bytes outstanding: asks again when half of them have come.
    fn ask(&mut self, window: u32, rests: bool) {
        let window = window.max(SAMPLE);
        let done = rests && (self.outstanding > 0 || self.received > 0);
        if !self.welcomed || done || self.outstanding > window / 2 {
            return;
        }
        let more = window - self.outstanding;
        match &mut self.codec {
            Some(codec) => {
                codec.encode(Request::Bytes(more), &mut self.output).expect("the session is open");
                self.outstanding += more;
            }
            None => {
                self.output.extend_from_slice(&SAMPLE.to_be_bytes());
                self.outstanding = SAMPLE;
            }
        }
    }

    /// Whether the connection lives on.
    fn flush(&mut self) -> bool {
        let Some(socket) = &mut self.socket else { return true };
        if self.output.is_empty() {
            return true;
        }
        match socket.write(&self.output) {
            Ok(count) => drop(self.output.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            Err(_) => return false,
        }
        true
    }

    fn receive(&mut self, buffer: &mut [u8], window: u32, rests: bool) -> bool {
        loop {
            let Some(socket) = &mut self.socket else { return true };
            let count = match socket.read(buffer) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::NotConnected => return true,
                Err(_) => return false,
            };
            if !self.take(&buffer[..count]) {
                return false;
            }
            self.ask(window, rests);
            if !self.flush() {
                return false;
            }
            // A short read has emptied the socket.
            if count < buffer.len() {
                return true;
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        let Some(codec) = &mut self.codec else {
            self.received += bytes.len() as u64;
            self.outstanding -= bytes.len() as u32;
            return true;
        };
        self.input.extend_from_slice(bytes);
        loop {
            match codec.decode(&mut self.input).expect("the server keeps to the protocol") {
                None => return true,
                Some(Answer::Welcome(_)) => self.welcomed = true,
                Some(Answer::Sample(sample)) => {
                    self.received += sample.len() as u64;
                    self.outstanding -= sample.len() as u32;
                }
                Some(Answer::Bye(..)) => return false,
                Some(Answer::Pong(_) | Answer::Wait(..)) => {}
            }
        }
    }
}
