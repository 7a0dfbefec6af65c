//! `tap`: joins stdin and stdout to the server of this machine, for clients that come by SSH.
//!
//! Owns the way between the two, and no byte longer than that takes: what comes from the server
//! is written before more is read. It runs as a forced command of an unprivileged user and reads
//! no configuration.

use super::{Exit, Failure};
use crate::sys::pipe::{self, Interest};
use crate::sys::privilege::find_user;
use crate::sys::users;
use crate::wire::frame::is_client_name;
use crate::wire::plain::PlainClient;
use crate::wire::{Answer, ByeReason, ClientCodec, Request};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes taken from either side at once.
const CHUNK_LEN: usize = 4096;
/// A BYE with its length: the last that a server says.
const BYE_LEN: usize = 8;

/// Copies until either side ends. `name`: which of this user's clients it is; empty for the
/// only one.
///
/// # Errors
/// No server, no way to it, or a server that refuses us.
pub fn tap(name: &str, socket: &Path) -> Result<(), Failure> {
    if !name.is_empty() && !is_client_name(name) {
        let rule = crate::config::CLIENT_NAME_RULE;
        return Err(Failure::new(Exit::Usage, format_args!("--name: {name:?} is none: {rule}")));
    }
    let mut server = UnixStream::connect(socket).map_err(|error| no_server(socket, &error))?;
    let mut hello = Vec::new();
    PlainClient
        .encode(Request::Name(name.to_owned()), &mut hello)
        .expect("the plain protocol has a frame for it");
    // Before anything from the far side: it must not choose a name. A server that has ended the
    // connection is heard below.
    let _ = server.write_all(&hello);
    match join(&mut server)? {
        Last::OurSide | Last::Answer(Some(Answer::Bye(..))) => Ok(()),
        Last::Refusal => Err(refused(name)),
        Last::Answer(_) => Err(Failure::new(
            Exit::NoServer,
            "the netrng server ended the connection: it was stopped, or is too busy for newcomers",
        )),
    }
}

/// What came last.
enum Last {
    /// The end of stdin.
    OurSide,
    /// The server says that it does not serve us.
    Refusal,
    /// Something else from the server.
    Answer(Option<Answer>),
}

fn join(server: &mut UnixStream) -> Result<Last, Failure> {
    // Without the standard library's own buffers.
    let unbuffered = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let (mut input, mut output) =
        (unbuffered(io::stdin().as_fd())?, unbuffered(io::stdout().as_fd())?);
    let mut chunk = Zeroizing::new(vec![0; CHUNK_LEN]);
    let mut tail = Zeroizing::new(Vec::with_capacity(CHUNK_LEN + BYE_LEN));
    loop {
        let both = [(server.as_fd(), Interest::Readable), (input.as_fd(), Interest::Readable)];
        match pipe::wait(both, None)? {
            // The server first: it may have said why it listens no more.
            [true, _] => {
                // A reset, too, is an end.
                let Some(count @ 1..) = read(server, &mut chunk).ok() else {
                    return Ok(last(&mut tail));
                };
                output.write_all(&chunk[..count])?;
                tail.extend_from_slice(&chunk[..count]);
                let surplus = tail.len().saturating_sub(BYE_LEN);
                tail.drain(..surplus);
            }
            [false, _] => match read(&mut input, &mut chunk)? {
                0 => return Ok(Last::OurSide),
                // If it fails the server has ended, which the next turn sees.
                count => drop(server.write_all(&chunk[..count])),
            },
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

fn last(tail: &mut Vec<u8>) -> Last {
    match PlainClient.decode(tail) {
        Ok(Some(Answer::Bye(ByeReason::NotAllowed, _))) => Last::Refusal,
        Ok(answer) => Last::Answer(answer),
        Err(_) => Last::Answer(None),
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

fn refused(name: &str) -> Failure {
    let uid = users::own_uid();
    // The name only if it is ours: it is to be copied into the file.
    let is_ours = |user: &String| matches!(find_user(user), Ok(Some(found)) if found.is_us());
    let user = std::env::var("USER").ok().filter(is_ours).unwrap_or_else(|| uid.to_string());
    let text = match name {
        "" => format!(
            "the netrng server has no client with user = {user:?}, or several, and then --name \
             says which: see its clients file"
        ),
        name => format!(
            "the netrng server has no client with name = {name:?} and user = {user:?}: add it to \
             its clients file"
        ),
    };
    Failure::new(Exit::Refused, text)
}
