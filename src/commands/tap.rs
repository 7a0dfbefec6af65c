//! `tap`: joins stdin and stdout to the server of this machine, for clients that come by SSH.
//!
//! Owns the way between the two, and no byte longer than that takes: what comes from the server
//! is written before more is read. It runs as a forced command of an unprivileged user and reads
//! no configuration. When stdin ends, what the server still has to say of it is waited for: who
//! is refused hears so, however little was asked.

use super::{Exit, Failure};
use crate::sys::pipe::{self, Interest};
use crate::sys::privilege::find_user;
use crate::sys::{self, users};
use crate::wire::frame::is_client_name;
use crate::wire::plain::PlainClient;
use crate::wire::{Answer, ByeReason, ClientCodec, Request};
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// Bytes taken from either side at once.
const CHUNK_LEN: usize = 4096;
/// A BYE with its length: the last that a server says.
const BYE_LEN: usize = 8;
/// From the end of stdin to ours, where a server does not react to it.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(2);

/// Copies until either side ends. `name`: which of this user's clients it is; empty for the
/// only one.
///
/// # Errors
/// A terminal, no server, no way to it, or a server that refuses us.
pub fn tap(name: &str, socket: &Path) -> Result<(), Failure> {
    if !name.is_empty() && !is_client_name(name) {
        let rule = crate::config::CLIENT_NAME_RULE;
        return Err(Failure::new(Exit::Usage, format_args!("--name: {name:?} is none: {rule}")));
    }
    if io::stdout().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "standard output is a terminal, and random bytes would garble it: `netrng tap` is what \
             a client runs here by ssh",
        ));
    }
    let mut server = UnixStream::connect(socket).map_err(|error| no_server(socket, &error))?;
    let mut hello = Vec::new();
    PlainClient
        .encode(Request::Name(name.to_owned()), &mut hello)
        .expect("the plain protocol has a frame for it");
    // Before anything from the far side: it must not choose a name. A server that has ended the
    // connection is heard below.
    let is_heard = server.write_all(&hello).is_ok();
    match join(&mut server)? {
        Last::OurSide | Last::Bye => Ok(()),
        Last::Refusal(reason) => Err(refused(name, reason)),
        Last::Reset => Err(turned_away()),
        Last::End if !is_heard => Err(turned_away()),
        Last::End => Err(Failure::new(
            Exit::NoServer,
            "the netrng server ended the connection without a word: see its log",
        )),
    }
}

fn turned_away() -> Failure {
    let text = "the netrng server is too busy for newcomers: try again in a second";
    Failure::new(Exit::NoServer, text)
}

/// What came last.
#[derive(Debug, PartialEq)]
enum Last {
    /// The end of stdin, and nothing against us.
    OurSide,
    /// The server says that it does not serve us.
    Refusal(ByeReason),
    /// The server said goodbye.
    Bye,
    /// It did not listen to our first words.
    Reset,
    /// It ended in any other way.
    End,
}

fn join(server: &mut UnixStream) -> Result<Last, Failure> {
    // Without the standard library's own buffers.
    let unbuffered = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let (mut input, mut output) =
        (unbuffered(io::stdin().as_fd())?, unbuffered(io::stdout().as_fd())?);
    let mut chunk = Zeroizing::new(vec![0; CHUNK_LEN]);
    let mut tail = Zeroizing::new(Vec::with_capacity(CHUNK_LEN + BYE_LEN));
    // Set when stdin has ended.
    let mut until = None;
    loop {
        let theirs = (server.as_fd(), Interest::Readable);
        // The server first: it may have said why it listens no more.
        let is_theirs = match until {
            None => pipe::wait([theirs, (input.as_fd(), Interest::Readable)], None)?[0],
            Some(_) => match pipe::wait([theirs], until)? {
                [true] => true,
                [false] => return Ok(Last::OurSide),
            },
        };
        if is_theirs {
            match read(server, &mut chunk) {
                Ok(count @ 1..) => {
                    output.write_all(&chunk[..count])?;
                    tail.extend_from_slice(&chunk[..count]);
                    let surplus = tail.len().saturating_sub(BYE_LEN);
                    tail.drain(..surplus);
                }
                ended => return Ok(last(&mut tail, ended.is_err(), until.is_some())),
            }
            continue;
        }
        match read(&mut input, &mut chunk)? {
            0 => {
                until = Some(sys::now() + LAST_WORDS_PATIENCE);
                // If it fails the server has ended, which the next turn sees.
                let _ = server.shutdown(Shutdown::Write);
            }
            count => drop(server.write_all(&chunk[..count])),
        }
    }
}

fn read(from: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn last(tail: &mut Vec<u8>, is_reset: bool, is_our_side: bool) -> Last {
    let is_silent = tail.is_empty();
    match PlainClient.decode(tail) {
        Ok(Some(Answer::Bye(reason @ (ByeReason::NotAllowed | ByeReason::NameNeeded), _))) => {
            Last::Refusal(reason)
        }
        _ if is_reset && is_silent => Last::Reset,
        Ok(Some(Answer::Bye(..))) => Last::Bye,
        _ if is_our_side => Last::OurSide,
        _ => Last::End,
    }
}

fn no_server(socket: &Path, error: &io::Error) -> Failure {
    let socket = socket.display();
    let text = match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => format!(
            "no netrng server listens at {socket}: start it, or if its tap-socket is another, \
             say --socket"
        ),
        ErrorKind::PermissionDenied => format!(
            "this user may not get to {socket}: its folders must let everybody pass, and its \
             mode be 0666, as the server makes it"
        ),
        _ => format!("cannot connect to the netrng server at {socket}: {error}"),
    };
    Failure::new(Exit::NoServer, text)
}

fn refused(name: &str, reason: ByeReason) -> Failure {
    let uid = users::own_uid();
    // The name only if it is ours: it is to be copied into the file.
    let is_ours = |user: &String| matches!(find_user(user), Ok(Some(found)) if found.is_us());
    let user = std::env::var("USER").ok().filter(is_ours).unwrap_or_else(|| uid.to_string());
    let text = match (reason, name) {
        (ByeReason::NameNeeded, _) => format!(
            "the netrng server has several clients with user = {user:?}: say which by --name, as \
             its clients file calls it"
        ),
        (_, "") => format!(
            "the netrng server has no client with user = {user:?}: add one to its clients file"
        ),
        (_, name) => format!(
            "the netrng server has no client with name = {name:?} and user = {user:?}: add it to \
             its clients file"
        ),
    };
    Failure::new(Exit::Refused, text)
}
