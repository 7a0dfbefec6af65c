//! Child processes: started with pipes of one page, heard, ended, reaped.
//!
//! Owns a process and everything in its group, from start to reaping; two small threads wait
//! for its words and for its end, so that nothing polls and no zombie stays. It restarts
//! nothing and does not know what the bytes in the pipes are: `sink` feeds a child, `client`
//! draws from one.

mod lines;

use crate::handover::{Giver, Taker, handover};
use crate::sys::latch::{self, Latch};
use crate::sys::process::{self, Ending};
use crate::sys::{now, pipe};
use lines::Lines;
use log::warn;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// From SIGTERM to SIGKILL.
const TERMINATE_PATIENCE: Duration = Duration::from_secs(2);
/// From SIGKILL to giving up on a process that hangs in the kernel.
const KILL_PATIENCE: Duration = Duration::from_secs(2);
/// For the last words of a process that has ended; a stranger may still hold its output.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(200);
const THREAD_STACK_LEN: usize = 128 * 1024;

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// `None`: the system could not say.
    pub status: Option<ExitStatus>,
    /// The last line that it said.
    pub last_line: Option<String>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => write!(f, "exited with code {code}")?,
            Some((_, Some(signal))) => write!(f, "was ended by signal {signal}")?,
            _ => f.write_str("ended")?,
        }
        match &self.last_line {
            Some(line) => write!(f, "; it last said {line:?}"),
            None => Ok(()),
        }
    }
}

/// A child. Dropping it ends it.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    /// Released when it has ended and been reaped.
    gone: Latch,
    exit: Taker<Exit>,
    is_reaped: Arc<Mutex<bool>>,
}

impl Child {
    /// Starts `program`, which reads from the pipe answered: one page, and writes do not wait.
    /// What it says on stdout and stderr goes to `on_line`, line by line.
    ///
    /// Like all children it dies with the calling thread, so that has to live as long.
    ///
    /// # Errors
    /// When there is no such program, or the system has no process, thread or descriptor left.
    pub fn start_reader(
        program: &[OsString],
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<(Child, File)> {
        let (theirs, ours) = input()?;
        Ok((start(program, theirs, None, Box::new(on_line))?, ours))
    }

    /// Starts `program`, which writes into the pipe answered: one page, so that much it can be
    /// ahead of us. Its stdin is empty; what it says on stderr goes to `on_line`.
    ///
    /// # Errors
    /// As for [`Child::start_reader`].
    pub fn start_writer(
        program: &[OsString],
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<(Child, File)> {
        let (ours, theirs) = output()?;
        Ok((start(program, Stdio::null(), Some(theirs), Box::new(on_line))?, ours))
    }

    /// Starts `program` and answers both pipes: what we write to the first, and what we read
    /// from the second. What it says on stderr goes to `on_line`.
    ///
    /// # Errors
    /// As for [`Child::start_reader`].
    pub fn start_peer(
        program: &[OsString],
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<(Child, File, File)> {
        let (their_input, our_output) = input()?;
        let (our_input, their_output) = output()?;
        let child = start(program, their_input, Some(their_output), Box::new(on_line))?;
        Ok((child, our_output, our_input))
    }

    /// Its process number; while it is not reaped, nobody else's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Released when it has ended.
    pub fn gone(&self) -> &Latch {
        &self.gone
    }

    /// Waits for its end, `patience` at most.
    pub fn wait(&self, patience: Duration) -> Option<Exit> {
        self.exit.wait(patience)
    }

    /// Ends it and all that it started: SIGTERM, and SIGKILL if that is not enough.
    pub fn end(self) -> Option<Exit> {
        self.finish()
    }

    fn finish(&self) -> Option<Exit> {
        self.signal(Ending::Terminate);
        if let Some(exit) = self.wait(TERMINATE_PATIENCE) {
            return Some(exit);
        }
        self.signal(Ending::Kill);
        let exit = self.wait(KILL_PATIENCE);
        if exit.is_none() && !self.gone.is_released() {
            warn!("process {} does not end even by SIGKILL", self.pid);
        }
        exit
    }

    fn signal(&self, ending: Ending) {
        let is_reaped = self.is_reaped.lock().unwrap_or_else(PoisonError::into_inner);
        // Its number may belong to a stranger once it is reaped.
        if !*is_reaped {
            process::end_group(self.pid, ending);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.gone.is_released() {
            self.finish();
        }
    }
}

/// A child's stdin and our end of it.
fn input() -> io::Result<(Stdio, File)> {
    let (theirs, ours) = pipe::pipe()?;
    pipe::set_nonblocking(ours.as_fd())?;
    shrink(&ours);
    Ok((theirs.into(), File::from(ours)))
}

/// Our end of a child's stdout, and the child's.
fn output() -> io::Result<(File, OwnedFd)> {
    let (ours, theirs) = pipe::pipe()?;
    shrink(&ours);
    Ok((File::from(ours), theirs))
}

fn shrink(pipe: &OwnedFd) {
    if let Err(error) = pipe::shrink(pipe.as_fd()) {
        log::debug!("a child's pipe keeps its size: {error}");
    }
}

/// What to do with each line that a child says.
type OnLine = Box<dyn FnMut(&str) + Send>;

/// `stdout`: where bytes go; `None`: it says words there, as on stderr.
fn start(
    program: &[OsString],
    stdin: Stdio,
    stdout: Option<OwnedFd>,
    on_line: OnLine,
) -> io::Result<Child> {
    let (name, arguments) = program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (words, child_words) = pipe::pipe()?;
    let stdout = stdout.map_or_else(|| child_words.try_clone(), Ok)?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        // We read what it says: no translations.
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(child_words);
    process::lead_own_group(&mut command);
    process::die_with_parent(&mut command);
    let (trigger, gone) = latch::latch()?;
    let (exit_giver, exit) = handover();
    let (last_giver, last_line) = handover();
    let (process_giver, process) = handover::<std::process::Child>();
    let is_reaped = Arc::new(Mutex::new(false));
    let reaped = Arc::clone(&is_reaped);
    // Before the process: what has started must not stay because a thread cannot.
    spawn("child output", Box::new(move || listen(File::from(words), on_line, last_giver)))?;
    let wait = move || {
        // Until it is started, or cannot be.
        let Some(process) = process.wait(Duration::MAX) else { return };
        let status = reap(process, &reaped);
        let last_line = last_line.wait(LAST_WORDS_PATIENCE).flatten();
        // Before the exit: whoever has that would find the child not gone, and end it once more.
        drop(trigger);
        exit_giver.give(Exit { status, last_line });
    };
    spawn("child end", Box::new(wait))?;

    let process = command.spawn()?;
    // The child's ends of the pipes live in `command`: while it has them, so have we.
    drop(command);
    let pid = process.id();
    process_giver.give(process);
    Ok(Child { pid, gone, exit, is_reaped })
}

fn spawn(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let builder = std::thread::Builder::new().name(name.into()).stack_size(THREAD_STACK_LEN);
    builder.spawn(work).map(drop)
}

/// Waits for the process, ends what it left behind in its group, reaps it.
fn reap(mut process: std::process::Child, is_reaped: &Mutex<bool>) -> Option<ExitStatus> {
    let known = process::wait_without_reaping(process.id());
    let mut is_reaped = is_reaped.lock().unwrap_or_else(PoisonError::into_inner);
    if known.is_ok() {
        process::end_group(process.id(), Ending::Kill);
    }
    *is_reaped = true;
    process.wait().ok()
}

fn listen(mut output: File, mut on_line: OnLine, last: Giver<Option<String>>) {
    let mut lines = Lines::default();
    let mut chunk = [0; 1024];
    loop {
        match output.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                lines.handle_bytes(&chunk[..count], now()).iter().for_each(|line| on_line(line));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines.handle_end(now()).iter().for_each(|line| on_line(line));
    last.give(lines.into_last());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe::Interest;
    use crossbeam_channel::{Receiver, bounded};
    use std::io::Write;

    fn shell(script: &str) -> (Child, Receiver<String>) {
        let (child, _, lines) = shell_with_stdin(script);
        (child, lines)
    }

    fn shell_with_stdin(script: &str) -> (Child, File, Receiver<String>) {
        let (sender, lines) = crossbeam_channel::unbounded();
        let program = ["/bin/sh", "-c", script].map(OsString::from);
        let started = Child::start_reader(&program, move |line| sender.send(line.into()).unwrap());
        let (child, stdin) = started.unwrap();
        (child, stdin, lines)
    }

    fn is_running(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Whether a process that was killed is gone after a while: the kernel takes its time.
    fn vanishes(pid: &str) -> bool {
        let never = crossbeam_channel::never::<()>();
        (0..500).any(|_| {
            let _ = never.recv_timeout(Duration::from_millis(10));
            !is_running(pid)
        })
    }

    #[test]
    fn bytes_reach_sh_and_its_words_and_its_end_reach_us() {
        let (child, mut stdin, lines) =
            shell_with_stdin("read word; echo got $word; echo bad >&2; exit 7");
        stdin.write_all(b"this\n").unwrap();
        let exit = child.wait(Duration::from_secs(5)).unwrap();
        assert_eq!(exit.status.and_then(|status| status.code()), Some(7));
        assert_eq!(exit.to_string(), "exited with code 7; it last said \"bad\"");
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["got this", "bad"]);
    }

    #[test]
    fn a_writer_gets_one_page_ahead_and_no_further() {
        let program = ["/bin/sh", "-c", "echo started >&2; exec cat /dev/zero"].map(OsString::from);
        let (sender, lines) = bounded(1);
        let (child, stdout) =
            Child::start_writer(&program, move |line| sender.send(line.to_owned()).unwrap())
                .unwrap();
        assert_eq!(lines.recv_timeout(Duration::from_secs(5)).unwrap(), "started");
        let deadline = Some(now() + Duration::from_secs(5));
        pipe::wait([(stdout.as_fd(), Interest::Readable)], deadline).unwrap();
        drop(child);
        let mut written = Vec::new();
        (&stdout).read_to_end(&mut written).unwrap();
        assert!((1..=pipe::SHRUNK_PIPE_LEN).contains(&written.len()), "{}", written.len());
    }

    #[test]
    fn a_peer_is_talked_to_and_its_words_are_no_bytes() {
        let program = ["/bin/sh", "-c", "echo hello >&2; exec cat"].map(OsString::from);
        let (sender, lines) = bounded(1);
        let (child, mut to, mut from) =
            Child::start_peer(&program, move |line| sender.send(line.to_owned()).unwrap()).unwrap();
        to.write_all(b"question").unwrap();
        let mut answer = [0; 8];
        from.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"question");
        drop(to);
        assert_eq!(from.read(&mut answer).unwrap(), 0);
        assert_eq!(lines.recv_timeout(Duration::from_secs(5)).unwrap(), "hello");
        let exit = child.wait(Duration::from_secs(5)).unwrap();
        assert_eq!(exit.status.and_then(|status| status.code()), Some(0));
    }

    #[test]
    fn an_end_wakes_those_who_poll_and_leaves_no_zombie() {
        let (child, _lines) = shell("exit 0");
        let pid = child.pid().to_string();
        let deadline = Some(now() + Duration::from_secs(5));
        assert_eq!(
            pipe::wait([(child.gone().as_fd(), Interest::Readable)], deadline).unwrap(),
            [true]
        );
        assert!(std::fs::metadata(format!("/proc/{pid}")).is_err(), "a zombie remains");
    }

    #[test]
    fn sh_that_ignores_sigterm_is_killed_after_two_seconds_with_all_it_started() {
        let (child, lines) = shell("trap '' TERM; sleep 1000 & echo $!; while :; do wait; done");
        let grandchild = lines.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(is_running(&grandchild));
        let start = now();
        let exit = child.end().unwrap();
        let took = now() - start;
        assert!(took >= TERMINATE_PATIENCE, "killed before its time: {took:?}");
        assert_eq!(exit.status.and_then(|status| status.signal()), Some(libc::SIGKILL));
        assert!(vanishes(&grandchild), "{grandchild} runs on");
    }

    #[test]
    fn whose_exit_is_known_is_gone() {
        for _ in 0..100 {
            let (child, _lines) = shell("exit 0");
            assert!(child.wait(Duration::from_secs(5)).is_some());
            assert!(child.gone().is_released(), "dropping it would end it once more");
        }
    }

    #[test]
    fn what_sh_leaves_behind_ends_with_it() {
        let (child, lines) = shell("sleep 1000 & echo $!");
        let grandchild = lines.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(child.wait(Duration::from_secs(5)).is_some());
        assert!(vanishes(&grandchild), "{grandchild} runs on");
    }

    #[test]
    fn dropping_a_child_ends_it() {
        let (child, _lines) = shell("sleep 1000");
        let pid = child.pid().to_string();
        drop(child);
        assert!(std::fs::metadata(format!("/proc/{pid}")).is_err());
    }

    #[test]
    fn a_child_has_sigpipe_and_all_other_signals_as_usual() {
        let (child, lines) = shell("exec grep -E '^Sig(Ign|Blk)' /proc/self/status");
        child.wait(Duration::from_secs(5)).unwrap();
        let bit = 1u64 << (libc::SIGPIPE - 1) | 1 << (libc::SIGTERM - 1);
        assert_eq!(lines.len(), 2);
        for line in lines.try_iter() {
            let mask = line.split_whitespace().nth(1).unwrap();
            assert_eq!(u64::from_str_radix(mask, 16).unwrap() & bit, 0, "{line}");
        }
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        let error = Child::start_reader(&["/no/such/program".into()], |_| {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
