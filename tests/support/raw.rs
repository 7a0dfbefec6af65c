//! A client made by hand, from the crate's own codec: it can misbehave where `netrng client`
//! cannot.

use super::site::{Enrolled, Site};
use super::wait::{self, PATIENCE};
use netrng::keys::{PrivateKey, Psk, PublicKey};
use netrng::sample::Sample;
use netrng::wire::hedge::Hedge;
use netrng::wire::native::Initiator;
use netrng::wire::{Answer, ByeReason, ClientCodec, Request, WaitReason, Welcome};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A TCP connection to the server, with nothing said.
///
/// # Panics
/// If it cannot be made.
pub fn connect(site: &Site) -> TcpStream {
    let stream = TcpStream::connect(&site.address).expect("the server listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// Waits until the server ends this connection, whatever it says before; returns what it
/// said.
///
/// # Panics
/// If it does not end it.
#[track_caller]
pub fn until_closed(mut stream: &TcpStream) -> Vec<u8> {
    stream.set_nonblocking(true).expect("a TCP socket");
    let mut said = Vec::new();
    wait::until("the server ends the connection", PATIENCE, || {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => Some(()),
            Ok(count) => {
                said.extend_from_slice(&buffer[..count]);
                None
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(()),
        }
    });
    said
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deafness {
    /// The server ended the connection.
    Ended,
    /// Nothing came in time.
    Silence,
}

/// A session by hand.
pub struct RawClient {
    /// The connection.
    pub stream: TcpStream,
    codec: Initiator,
    input: Vec<u8>,
}

impl RawClient {
    /// Connected, with the codec ready but nothing said yet.
    pub fn new(site: &Site, client: &Enrolled) -> Self {
        let private = PrivateKey::from_text(&client.text("private-key")).expect("a key");
        let server = PublicKey::from_text(&client.text("public-key")).expect("a key");
        let psk = Psk::from_text(&client.text("psk")).expect("a key");
        Self::with_keys(site, &private, &server, Some(&psk))
    }

    /// The same with these keys.
    pub fn with_keys(
        site: &Site,
        private: &PrivateKey,
        server: &PublicKey,
        psk: Option<&Psk>,
    ) -> Self {
        let hedge = Hedge::new(private.clone(), |fresh| {
            assert!(netrng::sys::random::try_random(fresh), "the kernel's generator is ready");
        });
        let codec = Initiator::new(private, server, psk, Arc::new(Mutex::new(hedge)));
        RawClient { stream: connect(site), codec, input: Vec::new() }
    }

    /// Connected and welcomed.
    pub fn open(site: &Site, client: &Enrolled) -> Self {
        let mut raw = Self::new(site, client);
        raw.handshake();
        raw
    }

    /// [`RawClient::open`] by a client that tries again when it is turned away, as the real
    /// one does: after a crowd from this address the server takes no newcomers for a while.
    ///
    /// # Panics
    /// If it is turned away for ever.
    #[track_caller]
    pub fn open_in_the_end(site: &Site, client: &Enrolled) -> Self {
        wait::until("the server takes a newcomer", PATIENCE, || {
            let mut raw = Self::new(site, client);
            let hello = raw.hello();
            // Turned away, the connection may be gone before we have spoken.
            raw.stream.write_all(&hello).ok()?;
            matches!(raw.try_answer(), Some(Answer::Welcome(_))).then_some(raw)
        })
    }

    /// The first message, not sent.
    pub fn hello(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        self.codec.start(&mut output).expect("an ephemeral key");
        output
    }

    /// Says hello and waits for the welcome.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn handshake(&mut self) -> Welcome {
        let hello = self.hello();
        self.send_raw(&hello);
        match self.answer() {
            Answer::Welcome(welcome) => welcome,
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// The wire form of a request, encrypted, not sent.
    pub fn sealed(&mut self, request: Request) -> Vec<u8> {
        let mut output = Vec::new();
        self.codec.encode(request, &mut output).expect("the handshake is complete");
        output
    }

    /// Sends a request.
    pub fn send(&mut self, request: Request) {
        let sealed = self.sealed(request);
        self.send_raw(&sealed);
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the server has closed the connection.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection stands");
    }

    /// The server's next answer.
    ///
    /// # Panics
    /// If none comes, or one that does not decrypt.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap_or_else(|| panic!("the server ended the session without a word"))
    }

    /// The server's next answer, or `None` if it ends the connection instead.
    ///
    /// # Panics
    /// If neither comes.
    #[track_caller]
    pub fn try_answer(&mut self) -> Option<Answer> {
        match self.hear(PATIENCE) {
            Ok(answer) => Some(answer),
            Err(Deafness::Ended) => None,
            Err(Deafness::Silence) => panic!("no answer within {PATIENCE:?}"),
        }
    }

    /// The server's next answer, or why there is none.
    ///
    /// # Errors
    /// [`Deafness`].
    ///
    /// # Panics
    /// If the answer does not decrypt.
    #[track_caller]
    pub fn hear(&mut self, limit: Duration) -> Result<Answer, Deafness> {
        self.stream.set_read_timeout(Some(limit)).expect("a TCP socket");
        loop {
            if let Some(answer) = self.codec.decode(&mut self.input).expect("the server is honest")
            {
                return Ok(answer);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Deafness::Ended),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(Deafness::Silence),
                Err(_) => return Err(Deafness::Ended),
            }
        }
    }

    /// Asks for bytes and waits for a sample, passing over WAITs.
    ///
    /// # Panics
    /// If another answer comes.
    #[track_caller]
    pub fn draw(&mut self, count: u32) -> Sample {
        self.send(Request::Bytes(count));
        loop {
            match self.answer() {
                Answer::Sample(sample) => return sample,
                Answer::Wait(..) => {}
                other => panic!("no sample: {other:?}"),
            }
        }
    }

    /// Asks for bytes again and again until it is told to wait for this reason; what it got.
    ///
    /// # Panics
    /// If another answer comes than samples and WAITs.
    #[track_caller]
    pub fn draw_until(&mut self, expected: WaitReason) -> Vec<u8> {
        let mut got = Vec::new();
        loop {
            self.send(Request::Bytes(2048));
            loop {
                match self.answer() {
                    Answer::Sample(sample) => {
                        got.extend_from_slice(sample.as_bytes());
                        break;
                    }
                    Answer::Wait(reason, _) if reason == expected => return got,
                    Answer::Wait(..) => {}
                    other => panic!("neither sample nor WAIT: {other:?}"),
                }
            }
        }
    }

    /// Waits for the BYE, passing over samples and WAITs.
    ///
    /// # Panics
    /// If the connection ends without one.
    #[track_caller]
    pub fn until_bye(&mut self) -> (ByeReason, Duration) {
        loop {
            if let Answer::Bye(reason, span) = self.answer() {
                return (reason, span);
            }
        }
    }
}
