//! `user`: netrng as two halves, one with root's rights and one with the network.
//!
//! Owns the process that starts both, watches over them and starts them again. It is the one
//! that was started, and does nothing else: it has one thread, so it can make copies of itself
//! at any time, and they need not be told the configuration. What a half does is `client`'s and
//! `server`'s.
//!
//! A half that a signal ended is started again, and the other one with it: a link that broke in
//! the middle of a sample is no link. So is one that took SIGTERM from somebody else and ended as
//! if we had told it to, with code 0. The root half that ended by itself with another code had its
//! reason, and all ends with that code, as it does where there is one process only. The network
//! half is not believed: whoever took it over could end netrng for good, by a code after which
//! service managers start nothing again. If it was well once, it is started again whatever its
//! code; if it never was, all ends with the code that says least.

use super::signals::{self, Watch};
use super::{Exit, Failure};
use crate::child;
use crate::moment::Moment;
use crate::retry::Backoff;
use crate::sys::pipe::{self, Interest};
use crate::sys::privilege::{NOBODY_UID, User, find_user};
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
/// Once a half has said something, it is not listened to for so long: it has little to say, and
/// one that talks on costs no more than this allows.
const DEAF_FOR: Duration = Duration::from_millis(100);
/// From SIGTERM to SIGKILL: longer than a half takes to end its children, and then itself.
const END_PATIENCE: Duration = Duration::from_secs(12);
/// Between two looks whether a half that has closed its end of the pipe has ended: it closes that
/// as it ends, so one look or two are enough.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The links between two halves. A client's: samples, and the sink's figures.
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

/// What root's rights are needed for after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeedsRoot {
    /// For nothing: what is open already stays so.
    Never,
    /// For the sink.
    Sink,
    /// For the sink, until the kernel's generator is initialised: that half ends by itself then.
    SinkUntilSeeded,
    /// For files that are opened again, as the other half asks.
    Files,
}

/// Parts this process in two, if there is a user (see `look_up`) to whom it is not reduced yet.
/// Where root's rights are not needed any more it becomes that user as a whole. `None`: this was
/// the process that watched over two halves, and all has ended.
///
/// To be called before there is any other thread.
///
/// # Errors
/// A sentence and a code: the user could lead root to another file, a half's own failure.
pub fn part(user: Option<&User>, needs: NeedsRoot) -> Result<Option<Part>, Failure> {
    if let Some(user) = user {
        if user.uid() == NOBODY_UID {
            warn!("user = \"{user}\": other services run as that user too; give netrng its own");
        }
        if !user.is_us() && needs != NeedsRoot::Never {
            if needs == NeedsRoot::Files {
                doors::check_noted().map_err(|weak| Failure::new(Exit::Config, weak))?;
            }
            return watch_over_halves(user, needs);
        }
        if !user.is_us() {
            assume(user)?;
        }
    }
    let (stop, reload) = (signals::stop()?, signals::reload()?);
    Ok(Some(Part { half: Half::Whole, stop, reload, is_restarted: false }))
}

/// The user of that name, if it is one that can be become. From now on nothing is opened or made
/// by a way that this user can change.
///
/// # Errors
/// A sentence: there is no such user, it is root, or we may not become it.
pub(super) fn look_up(name: &str) -> Result<User, Failure> {
    let user = find(name)?;
    if user.is_us() {
        return Ok(user);
    }
    if !sys::harden::is_root() {
        return Err(wrong(
            name,
            "only root can become another user; start netrng as root or as that user, or \
             remove the key",
        ));
    }
    doors::guard_against(&user);
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

impl Ended {
    /// A signal of somebody else ended it.
    fn was_signal(&self) -> bool {
        self.status.signal().is_some() && !self.was_killed
    }
}

/// Why watching ended.
#[derive(Clone, Copy, PartialEq)]
enum Cause {
    Stop,
    Root,
    Network,
}

/// What follows from the end of both halves.
#[derive(Debug, PartialEq)]
enum Next {
    /// All has ended as it should.
    End,
    /// All ends with this code; the half has said why.
    Fail(Exit),
    Again,
}

fn watch_over_halves(user: &User, needs: NeedsRoot) -> Result<Option<Part>, Failure> {
    let watch = Watch::start()?;
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    let mut origin = Origin { parent: std::process::id(), is_restarted: false };
    loop {
        let ((a, b), (c, d)) = (UnixStream::pair()?, UnixStream::pair()?);
        // Until each has its own handlers: in a copy ours would take a signal for itself.
        let held = process::hold_signals();
        let root = match start()? {
            Started::Here(running) => running,
            Started::Copy(life) => {
                drop((b, d));
                return begin((watch, held), Half::Root([a, c]), user, life, origin).map(Some);
            }
        };
        let network = match start()? {
            Started::Here(running) => running,
            Started::Copy(life) => {
                drop((a, c, root));
                return begin((watch, held), Half::Network([b, d]), user, life, origin).map(Some);
            }
        };
        drop((a, b, c, d, held));
        let since = sys::now();
        let (cause, was_well) = wait_for_cause(&watch, &root, &network)?;
        let ended = end([root, network])?;
        match what_next(cause, &ended, was_well, needs) {
            Next::End if cause == Cause::Stop => return stopped(needs),
            Next::End => return Ok(None),
            Next::Fail(exit) => return Err(Failure::new(exit, "")),
            Next::Again => {}
        }
        if sys::now() - since >= WELL_AFTER {
            backoff.reset();
        }
        let delay = backoff.next_delay(sys::random::jitter());
        tell(cause, &ended, delay);
        if pipe::wait([(watch.stop.as_fd(), Interest::Readable)], Some(sys::now() + delay))?[0] {
            return stopped(needs);
        }
        origin.is_restarted = true;
    }
}

/// All has ended as we were told.
fn stopped(needs: NeedsRoot) -> Result<Option<Part>, Failure> {
    if needs == NeedsRoot::SinkUntilSeeded {
        check_seeded()?;
    }
    Ok(None)
}

/// For the end of who waits for the kernel's generator.
///
/// # Errors
/// It comes too early.
pub(super) fn check_seeded() -> Result<(), Failure> {
    if sys::random::kernel_is_seeded() {
        return Ok(());
    }
    let text = "stopped before the kernel's generator was initialised";
    Err(Failure::new(Exit::NotSeeded, text))
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
    (watch, held): (Watch, process::HeldSignals),
    half: Half,
    user: &User,
    life: File,
    origin: Origin,
) -> Result<Part, Failure> {
    let (stop, reload) = (signals::stop()?, signals::reload()?);
    drop(watch);
    drop(held);
    if let Half::Network(_) = half {
        assume(user)?;
    }
    process::die_with(origin.parent)?;
    // Open until our end, which it tells.
    sys::notify::relay_through(life);
    Ok(Part { half, stop, reload, is_restarted: origin.is_restarted })
}

/// Passes SIGHUP, and what the network half says of itself, on until there is a reason to end;
/// answers also whether that half was well.
fn wait_for_cause(watch: &Watch, root: &Running, network: &Running) -> io::Result<(Cause, bool)> {
    let mut was_well = false;
    loop {
        let fds =
            [watch.stop.as_fd(), root.life.as_fd(), network.life.as_fd(), watch.reload.as_fd()];
        let [stop, root_said, network_said, reload] =
            pipe::wait(fds.map(|fd| (fd, Interest::Readable)), None)?;
        if stop {
            info!("stopping");
            return Ok((Cause::Stop, was_well));
        }
        if reload {
            signals::wait(&watch.reload);
            process::signal(network.pid, SIGHUP);
        }
        if root_said && has_ended(&root.life)? {
            return Ok((Cause::Root, was_well));
        }
        if network_said {
            if has_ended(&network.life)? {
                return Ok((Cause::Network, was_well));
            }
            was_well = true;
            sys::notify::notify(sys::notify::WELL);
        }
        if root_said || network_said {
            let stop = (watch.stop.as_fd(), Interest::Readable);
            pipe::wait([stop], Some(sys::now() + DEAF_FOR))?;
        }
    }
}

/// Reads what a half says of itself, which is there already.
fn has_ended(mut life: &File) -> io::Result<bool> {
    Ok(life.read(&mut [0; 4096])? == 0)
}

/// Ends both halves, and with them all that they started.
fn end(halves: [Running; 2]) -> io::Result<[Ended; 2]> {
    halves.iter().for_each(|half| process::signal(half.pid, SIGTERM));
    let deadline = sys::now() + END_PATIENCE;
    let [root, network] = &halves;
    Ok([finish(root, deadline)?, finish(network, deadline)?])
}

/// Waits until a half has ended, kills it if that takes too long, and reaps it.
fn finish(half: &Running, deadline: Moment) -> io::Result<Ended> {
    // Whatever it goes on saying: its time is up then.
    let life = (half.life.as_fd(), Interest::Readable);
    while sys::now() < deadline && pipe::wait([life], Some(deadline))?[0] && !has_ended(&half.life)?
    {
    }
    // That it is silent proves nothing: whoever took it over can close its end and live on.
    let mut is_over = process::has_ended(half.pid)?;
    while !is_over && sys::now() < deadline {
        pipe::wait([], Some(deadline.min(sys::now() + LOOK_EVERY)))?;
        is_over = process::has_ended(half.pid)?;
    }
    if !is_over {
        process::signal(half.pid, SIGKILL);
    }
    Ok(Ended { status: process::reap(half.pid)?, was_killed: !is_over })
}

/// `was_well`: the network half was useful once. `needs`: what the root half is there for.
fn what_next(cause: Cause, [root, network]: &[Ended; 2], was_well: bool, needs: NeedsRoot) -> Next {
    let own_code = |ended: &Ended| ended.status.code().filter(|code| *code != 0);
    match own_code(root).map(Exit::from_code) {
        // It waited for the kernel's generator, and not we told it to end.
        Some(Exit::NotSeeded) if cause != Cause::Stop => {}
        Some(exit) => return Next::Fail(exit),
        None => {}
    }
    let has_seeded = cause == Cause::Root && needs == NeedsRoot::SinkUntilSeeded;
    if cause == Cause::Stop || has_seeded && root.status.success() {
        return Next::End;
    }
    let was_signal = root.was_signal() || network.was_signal();
    if cause == Cause::Network && !was_well && !was_signal && own_code(network).is_some() {
        return Next::Fail(Exit::System);
    }
    Next::Again
}

fn tell(cause: Cause, [root, network]: &[Ended; 2], delay: Duration) {
    let (name, ended) = match cause {
        Cause::Network => ("network", network),
        _ => ("root", root),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A half that has closed its end of the pipe already.
    fn silent(script: &str) -> (Child, Running) {
        let child = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        let (life, _) = pipe::pipe().unwrap();
        let half = Running { pid: child.id(), life: File::from(life) };
        (child, half)
    }

    #[test]
    fn a_half_that_closes_its_end_and_lives_on_is_killed_in_time() {
        let (mut child, half) = silent("exec sleep 1000");
        let ended = finish(&half, sys::now() + Duration::from_millis(200)).unwrap();
        assert_eq!(ended.status.signal(), Some(SIGKILL));
        assert!(ended.was_killed);
        assert!(child.wait().is_err(), "it was not reaped");
    }

    #[test]
    fn a_half_that_ends_after_its_end_of_the_pipe_was_closed_is_not_killed() {
        let ended = finish(&silent("exit 3").1, sys::now() + END_PATIENCE).unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert!(!ended.was_killed);
        // The other half took all the time there was.
        let (_, half) = silent("exit 3");
        process::wait_without_reaping(half.pid).unwrap();
        let ended = finish(&half, sys::now()).unwrap();
        assert_eq!((ended.status.code(), ended.was_killed), (Some(3), false));
    }

    /// A status as wait(2) has it: by a code, or by a signal.
    fn ended([code, signal]: [i32; 2]) -> Ended {
        Ended { status: ExitStatus::from_raw(code << 8 | signal), was_killed: false }
    }

    #[test]
    fn the_network_half_chooses_no_code_and_a_signal_starts_both_again() {
        let well = [0, 0];
        for (cause, root, network, was_well, next) in [
            (Cause::Stop, well, well, true, Next::End),
            // Somebody else's SIGTERM.
            (Cause::Root, well, well, true, Next::Again),
            (Cause::Root, well, well, false, Next::Again),
            (Cause::Root, [5, 0], well, true, Next::Fail(Exit::Sink)),
            (Cause::Root, [0, SIGKILL], well, true, Next::Again),
            (Cause::Network, well, [0, SIGKILL], true, Next::Again),
            (Cause::Network, well, [0, SIGKILL], false, Next::Again),
            (Cause::Network, well, [3, 0], true, Next::Again),
            (Cause::Network, well, [3, 0], false, Next::Fail(Exit::System)),
            (Cause::Network, well, well, false, Next::Again),
            (Cause::Network, [0, SIGKILL], [1, 0], false, Next::Again),
            (Cause::Network, [5, 0], well, true, Next::Fail(Exit::Sink)),
            // --wait-seeded: stopped by us, by somebody else, and because the other half fell.
            (Cause::Stop, [7, 0], well, true, Next::Fail(Exit::NotSeeded)),
            (Cause::Root, [7, 0], well, true, Next::Again),
            (Cause::Network, [7, 0], [0, SIGKILL], true, Next::Again),
            // Told to end, it may say what it likes.
            (Cause::Stop, well, [3, 0], true, Next::End),
        ] {
            let ended = [root, network].map(ended);
            let found = what_next(cause, &ended, was_well, NeedsRoot::Sink);
            assert_eq!(found, next, "root {root:?}, network {network:?}, well {was_well}");
        }
    }
    #[test]
    fn a_root_half_that_has_seeded_the_kernel_ends_all_whatever_the_other_says() {
        for (root, network, next) in [
            ([0, 0], [0, 0], Next::End),
            ([0, 0], [3, 0], Next::End),
            ([0, SIGKILL], [0, 0], Next::Again),
        ] {
            let ended = [root, network].map(ended);
            let found = what_next(Cause::Root, &ended, true, NeedsRoot::SinkUntilSeeded);
            assert_eq!(found, next, "root {root:?}, network {network:?}");
        }
    }
}
