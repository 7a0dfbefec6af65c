//! A server of few words for tests of the client: a protocol without encryption, and a
//! server that does as its script says and counts what it is asked for.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crossbeam_channel::{Receiver, bounded};
use netrng::client::{self, Address, Demand, Fetchers, Kind, Location, Upstream};
use netrng::keys::{PrivateKey, PublicKey};
use netrng::sample::Sample;
use netrng::sys::latch::{Trigger, latch};
use netrng::wire::{Answer, ByeReason, ClientCodec, CodecError, Request, WaitReason, Welcome};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

pub const HELLO: u8 = b'H';
pub const WELCOME: u8 = b'W';
pub const REQUEST: u8 = b'R';
pub const PING: u8 = b'P';
pub const BYE: u8 = b'B';
pub const SAMPLE: u8 = b'S';
pub const WAIT: u8 = b'Z';

/// What the fetch threads ask for at a time.
pub const SAMPLE_LEN: u32 = 2048;
/// Until a sample must have come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fetch threads, and the end of the channel that a sink would have.
pub struct Running {
    pub fetchers: Fetchers,
    pub samples: Receiver<Sample>,
    pub stop: Trigger,
}

/// Fetches from `upstreams` with [`TestCodec`] where a server is asked.
pub fn fetch(upstreams: Vec<Upstream>) -> Running {
    let (sender, samples) = bounded(0);
    let (stop, latch) = latch().unwrap();
    let demand = Demand { request_size: SAMPLE_LEN, is_even: false };
    let fetchers =
        client::start(upstreams, demand, &sender, &latch, |_| Ok(TestCodec), little_jitter)
            .unwrap();
    Running { fetchers, samples, stop }
}

impl Running {
    pub fn sample(&self) -> Sample {
        self.samples.recv_timeout(PATIENCE).expect("a sample")
    }
}

/// Frames: type, u16 length, body. The client speaks first.
pub struct TestCodec;

pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

impl ClientCodec for TestCodec {
    fn start(&mut self, output: &mut Vec<u8>) -> Result<(), CodecError> {
        output.extend(frame(HELLO, &[]));
        Ok(())
    }

    fn decode(&mut self, input: &mut Vec<u8>) -> Result<Option<Answer>, CodecError> {
        if input.len() < 3 {
            return Ok(None);
        }
        let len = usize::from(u16::from_be_bytes([input[1], input[2]]));
        if input.len() < 3 + len {
            return Ok(None);
        }
        let kind = input[0];
        let body: Vec<u8> = input.drain(..3 + len).skip(3).collect();
        match kind {
            WELCOME => Ok(Some(Answer::Welcome(Welcome::default()))),
            SAMPLE => Ok(Some(Answer::Sample(Sample::new(body)))),
            PING => Ok(Some(Answer::Pong(0))),
            WAIT => Ok(Some(Answer::Wait(WaitReason::SourceStarting, Duration::ZERO))),
            BYE => Ok(Some(Answer::Bye(
                ByeReason::from_code(body[0]),
                Duration::from_millis(u64::from(body[1]) * 100),
            ))),
            _ => Err(CodecError::BadMessage),
        }
    }

    fn encode(&mut self, request: Request, output: &mut Vec<u8>) -> Result<(), CodecError> {
        output.extend(match request {
            Request::Bytes(count) => frame(REQUEST, &count.to_be_bytes()),
            Request::Ping(token) => frame(PING, &token.to_be_bytes()),
            Request::Bye => frame(BYE, &[]),
            _ => return Err(CodecError::OutOfOrder),
        });
        Ok(())
    }
}

pub fn upstream(address: SocketAddr) -> Upstream {
    Upstream {
        name: format!("test:{}", address.port()),
        kind: Kind::Address(Address {
            location: Location::At(address.ip().to_string(), address.port()),
            server_key: PublicKey([0; 32]),
            private_key: PrivateKey::new([0; 32]),
            psk: None,
        }),
        // The servers here fill their samples with one byte.
        min_entropy: Some(0.0),
    }
}

/// One accepted connection.
pub struct Peer {
    pub stream: TcpStream,
    /// Which connection this is, from 0.
    pub number: usize,
    pub asked: Arc<AtomicU64>,
}

impl Peer {
    /// The next message; `None` at the end of the connection.
    pub fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 3];
        self.stream.read_exact(&mut head).ok()?;
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        self.stream.read_exact(&mut body).ok()?;
        if head[0] == REQUEST {
            let count = u32::from_be_bytes(body[..].try_into().unwrap());
            self.asked.fetch_add(u64::from(count), SeqCst);
        }
        Some((head[0], body))
    }

    pub fn send(&mut self, kind: u8, body: &[u8]) -> bool {
        self.stream.write_all(&frame(kind, body)).is_ok()
    }

    /// Takes the hello and welcomes.
    pub fn greet(&mut self) {
        assert_eq!(self.read().map(|(kind, _)| kind), Some(HELLO));
        self.send(WELCOME, &[]);
    }

    /// Answers every request in samples of at most 2048 bytes `fill`, until the client ends.
    pub fn serve(&mut self, fill: u8) {
        while let Some((kind, body)) = self.read() {
            if kind != REQUEST {
                continue;
            }
            let mut count = u32::from_be_bytes(body[..].try_into().unwrap()) as usize;
            while count > 0 {
                let slice = count.min(2048);
                self.send(SAMPLE, &vec![fill; slice]);
                count -= slice;
            }
        }
    }
}

/// A listening server; its script runs for each connection, one thread each.
pub struct TestServer {
    pub address: SocketAddr,
    /// Bytes asked for, all connections together.
    pub asked: Arc<AtomicU64>,
}

impl TestServer {
    pub fn start(script: impl Fn(Peer) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&asked);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let peer = Peer { stream: stream.unwrap(), number, asked: Arc::clone(&counter) };
                let script = script.clone();
                std::thread::spawn(move || script(peer));
            }
        });
        TestServer { address, asked }
    }

    /// One that greets and serves `fill` to all.
    pub fn honest(fill: u8) -> Self {
        Self::start(move |mut peer| {
            peer.greet();
            peer.serve(fill);
        })
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }
}

/// Not random: short delays (50 ms after a first failure), so that tests are quick.
pub fn little_jitter() -> u64 {
    u64::MAX / 20
}

/// Looks at `condition` until it holds, ten seconds at most.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        pause(Duration::from_millis(10));
    }
    panic!("never happened: {what}");
}

/// Lets `span` pass.
pub fn pause(span: Duration) {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    let _ = receiver.recv_timeout(span);
}
