//! `user`: netrng as two halves, one with root's rights and one with the network.
//!
//! Owns the process that starts both, watches over them and starts them again. It is the one
//! that was started, and does nothing else: it has one thread, so it can make copies of itself
//! at any time, and they need not be told the configuration. What a half does is `client`'s and
//! `server`'s.
//!
//! A half that a signal ended is started again, and the other one with it: a link that broke in
//! the middle of a sample is no link. A half that ended by itself with a code had its reason,
//! and all ends with that code, as it does where there is one process only.

use super::signals::{self, Watch};
use super::{Exit, Failure};
use crate::child;
use crate::retry::Backoff;
use crate::sys::pipe::{self, Interest};
use crate::sys::privilege::{User, find_user};
use crate::sys::{self, doors, process};
use ::log::{info, warn};
use signal_hook::consts::{SIGHUP, SIGKILL, SIGTERM};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Halves that lived so long were well: their end is a new failure.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// From SIGTERM to SIGKILL: longer than a half takes to end its children, and then itself.
const END_PATIENCE: Duration = Duration::from_secs(12);

/// The links between two halves; the client uses the first only.
pub type Links = [UnixStream; 2];

/// What this process is.
#[derive(Debug)]
pub enum Half {
    /// All of it: there is no other.
    Whole,
    /// Has root's rights and no network.
    Root(Links),
    /// Has the network and no rights.
    Network(Links),
}

/// This process, after [`part`].
#[derive(Debug)]
pub struct Part {
    /// Which it is.
    pub half: Half,
    /// See [`signals::stop`].
    pub stop: UnixStream,
    /// See [`signals::reload`].
    pub reload: UnixStream,
    /// Whether an earlier one has ended: what was read at the start may be old.
    pub is_restarted: bool,
}

/// Parts this process in two, if the configuration names a `user` to whom it is not reduced
/// yet. Where `needs_root` is false it becomes that user as a whole. `None`: this was the
/// process that watched over two halves, and all has ended.
///
/// To be called before there is any other thread.
///
/// # Errors
/// A sentence and a code: there is no such user, we may not become it, a half's own failure.
pub fn part(name: Option<&str>, needs_root: bool) -> Result<Option<Part>, Failure> {
    if let Some(name) = name {
        let user = look_up(name)?;
        if !user.is_us() && needs_root {
            return watch_over_halves(&user);
        }
        if !user.is_us() {
            assume(&user)?;
        }
    }
    let (stop, reload) = (signals::stop()?, signals::reload()?);
    Ok(Some(Part { half: Half::Whole, stop, reload, is_restarted: false }))
}

/// The user of that name, if it is one that can be become.
///
/// # Errors
/// A sentence: there is no such user, it is root, or we may not become it.
pub(super) fn look_up(name: &str) -> Result<User, Failure> {
    let user = find(name)?;
    if !user.is_us() && !sys::harden::is_root() {
        return Err(wrong(
            name,
            "only root can become another user; start netrng as root or as that user, or \
             remove the key",
        ));
    }
    Ok(user)
}

/// The user of that name, whoever asks.
///
/// # Errors
/// A sentence: there is no such user, or it is root.
pub(super) fn find(name: &str) -> Result<User, Failure> {
    let user =
        find_user(name).map_err(|error| wrong(name, &error.to_string()))?.ok_or_else(|| {
            let said =
                "this machine has no such user; `useradd --system` makes one, or name another";
            wrong(name, said)
        })?;
    match user.is_root() {
        true => Err(wrong(name, "has all of root's rights; name another user, or remove the key")),
        false => Ok(user),
    }
}

fn wrong(name: &str, said: &str) -> Failure {
    Failure::new(Exit::Config, format_args!("user = \"{name}\": {said}"))
}

fn assume(user: &User) -> Result<(), Failure> {
    user.assume().map_err(|error| {
        Failure::new(Exit::System, format_args!("cannot become the user {user}: {error}"))
    })
}

/// A half, seen from the process that watches over it.
struct Running {
    pid: u32,
    /// At its end when the half has ended.
    life: File,
}

/// Where a half comes from.
#[derive(Clone, Copy)]
struct Origin {
    parent: u32,
    is_restarted: bool,
}

/// How a half ended.
struct Ended {
    status: ExitStatus,
    /// It did not end in time.
    was_killed: bool,
}

/// Why watching ended.
#[derive(PartialEq)]
enum Cause {
    Stop,
    Root,
    Network,
}

fn watch_over_halves(user: &User) -> Result<Option<Part>, Failure> {
    let watch = Watch::start()?;
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    let mut origin = Origin { parent: std::process::id(), is_restarted: false };
    loop {
        let ((a, b), (c, d)) = (UnixStream::pair()?, UnixStream::pair()?);
        let root = match start()? {
            Started::Here(running) => running,
            Started::Copy(life) => {
                drop((b, d));
                return begin(watch, Half::Root([a, c]), user, life, origin).map(Some);
            }
        };
        let network = match start()? {
            Started::Here(running) => running,
            Started::Copy(life) => {
                drop((a, c, root));
                return begin(watch, Half::Network([b, d]), user, life, origin).map(Some);
            }
        };
        drop((a, b, c, d));
        let since = sys::now();
        let cause = wait_for_cause(&watch, &root, &network)?;
        let ended = end([root, network])?;
        if let Some(failure) = ended.iter().find_map(failure) {
            return Err(failure);
        }
        let was_signal = |ended: &Ended| ended.status.signal().is_some() && !ended.was_killed;
        let is_orderly = cause == Cause::Root && !ended.iter().any(was_signal);
        if cause == Cause::Stop || is_orderly {
            return Ok(None);
        }
        if sys::now() - since >= WELL_AFTER {
            backoff.reset();
        }
        let delay = backoff.next_delay(sys::random::jitter());
        tell(&cause, &ended, delay);
        if pipe::wait([(watch.stop.as_fd(), Interest::Readable)], Some(sys::now() + delay))?[0] {
            return Ok(None);
        }
        origin.is_restarted = true;
    }
}

enum Started {
    Here(Running),
    /// We are the copy; to be kept until our end.
    Copy(File),
}

fn start() -> io::Result<Started> {
    let (life, end) = pipe::pipe()?;
    Ok(match process::fork()? {
        Some(pid) => Started::Here(Running { pid, life: File::from(life) }),
        None => Started::Copy(File::from(end)),
    })
}

/// The first steps of a half.
fn begin(
    watch: Watch,
    half: Half,
    user: &User,
    life: File,
    origin: Origin,
) -> Result<Part, Failure> {
    let (stop, reload) = (signals::stop()?, signals::reload()?);
    drop(watch);
    if let Half::Network(_) = half {
        assume(user)?;
    }
    process::die_with(origin.parent)?;
    // Open until our end, which it tells.
    sys::notify::relay_through(life);
    Ok(Part { half, stop, reload, is_restarted: origin.is_restarted })
}

/// Passes SIGHUP, and what the network half says of itself, on until there is a reason to end.
fn wait_for_cause(watch: &Watch, root: &Running, network: &Running) -> io::Result<Cause> {
    loop {
        let fds =
            [watch.stop.as_fd(), root.life.as_fd(), network.life.as_fd(), watch.reload.as_fd()];
        match pipe::wait(fds.map(|fd| (fd, Interest::Readable)), None)? {
            [true, ..] => {
                info!("stopping");
                return Ok(Cause::Stop);
            }
            [_, true, ..] if has_ended(&root.life)? => return Ok(Cause::Root),
            [_, true, ..] => {}
            [_, _, true, _] if has_ended(&network.life)? => return Ok(Cause::Network),
            [_, _, true, _] => sys::notify::notify(sys::notify::WELL),
            _ => {
                signals::wait(&watch.reload);
                process::signal(network.pid, SIGHUP);
            }
        }
    }
}

/// Reads what a half says of itself, which is there already.
fn has_ended(mut life: &File) -> io::Result<bool> {
    Ok(life.read(&mut [0; 16])? == 0)
}

/// Ends both halves, and with them all that they started.
fn end(halves: [Running; 2]) -> io::Result<[Ended; 2]> {
    halves.iter().for_each(|half| process::signal(half.pid, SIGTERM));
    let deadline = sys::now() + END_PATIENCE;
    let finish = |half: &Running| {
        let mut was_killed = false;
        loop {
            // Whatever it goes on saying: its time is up.
            let is_late = sys::now() >= deadline;
            let life = (half.life.as_fd(), Interest::Readable);
            if is_late || !pipe::wait([life], Some(deadline))?[0] {
                process::signal(half.pid, SIGKILL);
                was_killed = true;
                break;
            }
            if has_ended(&half.life)? {
                break;
            }
        }
        Ok::<_, io::Error>(Ended { status: process::reap(half.pid)?, was_killed })
    };
    let [root, network] = &halves;
    Ok([finish(root)?, finish(network)?])
}

/// A half's own reason to end; it has said it.
fn failure(ended: &Ended) -> Option<Failure> {
    let code = ended.status.code().filter(|code| *code != 0)?;
    Some(Failure::new(Exit::from_code(code), ""))
}

fn tell(cause: &Cause, [root, network]: &[Ended; 2], delay: Duration) {
    let (name, ended) = match cause {
        Cause::Network => ("network", network),
        Cause::Root | Cause::Stop => ("root", root),
    };
    let exit = child::Exit { status: Some(ended.status), last_line: None };
    warn!("the {name} half {exit}; both halves start again in {} ms", delay.as_millis());
}

/// What the root half of a server does: it opens the files that the other one may not.
///
/// # Errors
/// When the system has no thread left.
pub fn open_for_the_other(links: Links, stop: &UnixStream) -> io::Result<()> {
    for link in links {
        sys::thread::spawn("doors", Box::new(move || drop(doors::serve(&link))))?;
    }
    signals::wait(stop);
    Ok(())
}
