//! `status`: what the daemons of this machine tell about themselves.
//!
//! Owns where they are looked for and what is said if none is found. The figures and their forms
//! are the daemon's: another version of netrng shows what that one has to tell.

mod watch;

use super::{Exit, Failure};
use crate::cli::{Form, Status};
use crate::config::{Config, DEFAULT_CLIENT_STATUS, DEFAULT_PATH, DEFAULT_SERVER_STATUS};
use crate::status::words::{cut, until};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a daemon to answer: far longer than one takes that is well ...
const PATIENCE: Duration = Duration::from_secs(5);
/// ... and what is said of one that takes longer.
const NO_ANSWER: &str = "no answer within 5 s: it hangs, or is stopped";
/// Longest answer, bytes: more than that of 65,536 clients.
const ANSWER_LEN_MAX: u64 = 64 * 1024 * 1024;

/// Prints it, once or until Ctrl-C.
///
/// # Errors
/// No daemon answers, or we may not ask.
pub fn status(asked: &Status) -> Result<(), Failure> {
    let sockets = find(asked)?;
    let page = match asked.form {
        Form::Table => "/status",
        Form::Json => "/status.json",
        Form::Prometheus => "/metrics",
        Form::Watch => return watch::watch(sockets),
    };
    let answers = ask_all(&sockets, page)?;
    let between = if asked.form == Form::Table { "\n" } else { "" };
    let texts: Vec<String> = answers.into_iter().map(|(_, text)| text).collect();
    Ok(io::stdout().write_all(texts.join(between).as_bytes())?)
}

/// Where daemons may be: where we are told, else all places.
fn find(asked: &Status) -> Result<Vec<PathBuf>, Failure> {
    if let Some(socket) = &asked.socket {
        return Ok(vec![socket.clone()]);
    }
    if let Some(path) = &asked.config {
        let config = look_into(path)?;
        let off = || {
            let path = path.display();
            Failure::new(
                Exit::Config,
                format_args!("{path}: status-socket is \"none\": nobody answers"),
            )
        };
        return Ok(vec![config.status_socket().ok_or_else(off)?.to_owned()]);
    }
    // Whoever may not read the configuration may still be allowed to ask.
    let configured = look_into(Path::new(DEFAULT_PATH)).ok();
    let configured = configured.as_ref().and_then(Config::status_socket).map(Path::to_owned);
    let mut sockets: Vec<PathBuf> = configured.into_iter().collect();
    for default in [DEFAULT_SERVER_STATUS, DEFAULT_CLIENT_STATUS].map(PathBuf::from) {
        if !sockets.contains(&default) {
            sockets.push(default);
        }
    }
    Ok(sockets)
}

/// The configuration, without the files that it names: whoever may ask need not read keys.
fn look_into(path: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(path);
    let text =
        text.map_err(|error| Failure::new(Exit::Config, format!("{}: {error}", path.display())))?;
    Ok(Config::draft(&text, path)?)
}

/// The answers of all that answer; at least one.
fn ask_all<'s>(sockets: &'s [PathBuf], page: &str) -> Result<Vec<(&'s Path, String)>, Failure> {
    let mut answers = Vec::new();
    let mut refusal = None;
    for socket in sockets {
        match ask(socket, page) {
            Ok(text) => answers.push((socket.as_path(), text)),
            Err(error) if is_absent(&error) => {}
            Err(error) => refusal = refusal.or(Some((socket, error))),
        }
    }
    match refusal {
        _ if !answers.is_empty() => Ok(answers),
        Some((socket, error)) if error.kind() == ErrorKind::PermissionDenied => {
            let text = format!(
                "this user may not ask netrng at {}: be root, or of the group of the user that \
                 netrng runs as",
                socket.display()
            );
            Err(Failure::new(Exit::Refused, text))
        }
        Some((socket, error)) => {
            let socket = socket.display();
            let text = format!("the netrng at {socket}: {error}");
            Err(Failure::new(Exit::NoServer, text))
        }
        None => {
            let places: Vec<_> = sockets.iter().map(|path| path.display().to_string()).collect();
            let text = format!(
                "no netrng runs here, at {}: start it with `netrng run`, or if its status-socket \
                 is another, say --socket",
                places.join(" or ")
            );
            Err(Failure::new(Exit::NoServer, text))
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// What a daemon says on `page`.
fn ask(socket: &Path, page: &str) -> io::Result<String> {
    let answer = match fetch(socket, page) {
        // So sockets say that the time is over.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(io::Error::other(NO_ANSWER)),
        other => other,
    }?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, content) = cut(&answer, "\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    match until(until(head, " ").1, " ").0 {
        "200" => Ok(content.to_owned()),
        "404" => Err(io::Error::other("it is of another version, and has no such form")),
        _ => Err(io::Error::other(until(head, "\r\n").0.to_owned())),
    }
}

/// The bytes of the answer.
fn fetch(socket: &Path, page: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(["GET ", page, " HTTP/1.0\r\n\r\n"].concat().as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}
