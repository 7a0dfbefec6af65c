//! A client's answers to `netrng status`, and the sockets that it is asked through.
//!
//! Owns one thread, which sleeps in `accept`: one question at a time, each with its deadline. In
//! a client of two halves the one with the network answers, and asks the other for the sink's
//! figures when it is asked itself.

use super::socket_file::SocketFile;
use crate::client::FetchStatus;
use crate::moment::Moment;
use crate::sink::{self, FeedStatus, Figures};
use crate::status::{self, Row, Snapshot, Value};
use crate::sys;
use crate::sys::privilege::User;
use crate::sys::thread::spawn;
use crate::wire::http::HttpServer;
use crate::wire::{Reply, Request, ServerCodec};
use ::log::{debug, info};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// For a question, and again for what a part of the answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the other half tells of the last error, bytes, blanks at its end.
const ERROR_LEN: usize = 512;
/// Bytes of a question read at once.
const READ_LEN: usize = 1024;

/// Makes the socket where `netrng status` asks. Without it the daemon does its work as well.
pub(super) fn open(path: &Path, user: Option<&User>) -> Option<(SocketFile, UnixListener)> {
    match SocketFile::make(path, 0o660, user) {
        Ok(made) => {
            info!("listening on {} (status)", path.display());
            Some(made)
        }
        Err(error) => {
            let path = path.display();
            info!(
                "`netrng status` will find nobody at {path}: {error} (status-socket; \"none\": off)"
            );
            None
        }
    }
}

/// Where the sink's figures are.
pub(super) enum SinkView {
    /// In this process.
    Here(Arc<FeedStatus>),
    /// In the other half, at the end of this link.
    There(UnixStream),
    /// In a half that does not answer.
    Lost,
}

/// What a client can tell of itself.
pub(super) struct Told {
    pub started: Moment,
    pub sink_kind: &'static str,
    pub sink: SinkView,
    pub upstreams: Vec<Arc<FetchStatus>>,
}

/// Answers until the process ends.
///
/// # Errors
/// When the system has no thread left.
pub(super) fn answer(listener: UnixListener, mut told: Told) -> io::Result<()> {
    let work = move || {
        for stream in listener.incoming() {
            let answered = stream.and_then(|stream| answer_one(&stream, &mut told));
            if let Err(error) = answered {
                debug!("status: {error}");
            }
        }
    };
    spawn("status", Box::new(work))
}

fn answer_one(mut stream: &UnixStream, told: &mut Told) -> io::Result<()> {
    let deadline = sys::now() + PATIENCE;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut codec = HttpServer::new(Arc::from([]));
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let page = loop {
        let mut chunk = [0; READ_LEN];
        let count = stream.read(&mut chunk)?;
        input.extend_from_slice(&chunk[..count]);
        match codec.decode(&mut input, &mut output).map_err(io::Error::other)? {
            Some(Request::Page(page)) => break page,
            _ if count == 0 || sys::now() >= deadline => return Ok(()),
            _ => {}
        }
    };
    let answer = status::answer(page, &snapshot(told));
    codec.encode(Reply::Page(answer), &mut output).map_err(io::Error::other)?;
    stream.write_all(&output)?;
    stream.shutdown(Shutdown::Write)
}

fn snapshot(told: &mut Told) -> Snapshot {
    let now = sys::now();
    let figures = match &mut told.sink {
        SinkView::Here(status) => Some(status.figures(now)),
        SinkView::There(link) => ask(link).ok(),
        SinkView::Lost => None,
    };
    if figures.is_none() {
        // What it may say later belongs to no question any more.
        told.sink = SinkView::Lost;
    }
    let upstreams: Vec<Row> = told.upstreams.iter().map(|status| status.report(now)).collect();
    let is_up = upstreams.iter().any(|row| row.get("up") == Some(&Value::Flag(true)));
    let unready = if is_up { "" } else { "no upstream is connected" };
    let mut sink = Row::default();
    sink.put_daemon(now.since(told.started), unready);
    sink.word("type", told.sink_kind);
    sink::put_figures(figures, &mut sink);
    Snapshot::of_client(sink, upstreams)
}

/// The figures of the half with the sink: numbers and a text.
fn ask(link: &mut UnixStream) -> io::Result<Figures> {
    link.set_read_timeout(Some(PATIENCE))?;
    link.write_all(&[1])?;
    let mut numbers = [0; 7];
    for number in &mut numbers {
        let mut bytes = [0; 8];
        link.read_exact(&mut bytes)?;
        *number = u64::from_ne_bytes(bytes);
    }
    let mut text = [0; ERROR_LEN];
    link.read_exact(&mut text)?;
    Ok((numbers, String::from_utf8_lossy(&text).trim_end().to_owned()))
}

/// The other side of [`ask`], in a thread of its own.
///
/// # Errors
/// When the system has no thread left.
pub(super) fn tell_the_other(mut link: UnixStream, status: Arc<FeedStatus>) -> io::Result<()> {
    let work = move || {
        while link.read_exact(&mut [0]).is_ok() {
            let (numbers, error) = status.figures(sys::now());
            let mut answer = Vec::new();
            for number in numbers {
                answer.extend_from_slice(&number.to_ne_bytes());
            }
            let end = answer.len() + ERROR_LEN;
            answer.extend_from_slice(error.as_bytes());
            answer.resize(end, b' ');
            if link.write_all(&answer).is_err() {
                break;
            }
        }
    };
    spawn("figures", Box::new(work))
}
