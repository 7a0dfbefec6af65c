//! One child process: its stdin, its words, its end.
//!
//! Owns the process and everything in its group, from start to reaping; two small threads
//! wait for its output and for its end, so that nothing polls and no zombie stays. It does
//! not restart anything.

use super::lines::Lines;
use crate::sys::latch::{self, Latch};
use crate::sys::process::{self, Ending};
use crate::sys::{now, pipe};
use crossbeam_channel::{Receiver, Sender, bounded};
use log::warn;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
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
pub(super) struct Exit {
    /// `None`: the system could not say.
    pub(super) status: Option<ExitStatus>,
    /// The last line that it said.
    pub(super) last_line: Option<String>,
}

/// A child that reads from a pipe. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Child {
    pid: u32,
    /// Our end of its stdin: one page, and writes do not wait.
    stdin: File,
    /// Released when it has ended and been reaped.
    gone: Latch,
    exit: Receiver<Exit>,
    is_reaped: Arc<Mutex<bool>>,
}

impl Child {
    /// Starts `program`, and gives each line that it says to `on_line`. It dies with the
    /// calling thread, so that has to live as long.
    pub(super) fn start(
        program: &[OsString],
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<Child> {
        let (name, arguments) = program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (output, child_output) = pipe::pipe()?;
        let mut command = Command::new(name);
        command
            .args(arguments)
            // We read what it says: no translations.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(child_output.try_clone()?)
            .stderr(child_output);
        process::lead_own_group(&mut command);
        process::die_with_parent(&mut command);
        let (trigger, gone) = latch::latch()?;
        let (exit_sender, exit) = bounded(1);
        let (last_sender, last_line) = bounded(1);
        let (process_sender, process) = bounded::<std::process::Child>(1);
        let is_reaped = Arc::new(Mutex::new(false));
        let reaped = Arc::clone(&is_reaped);
        // Before the process: what has started must not stay because a thread cannot.
        spawn("child output", move || listen(File::from(output), on_line, &last_sender))?;
        spawn("child end", move || {
            let Ok(process) = process.recv() else { return };
            let status = reap(process, &reaped);
            let last_line = last_line.recv_timeout(LAST_WORDS_PATIENCE).ok().flatten();
            // Nobody may be listening any more.
            let _ = exit_sender.send(Exit { status, last_line });
            drop(trigger);
        })?;

        let mut process = command.spawn()?;
        // The child's ends of the pipes live in `command`: while it has them, so have we.
        drop(command);
        let (pid, stdin) = (process.id(), process.stdin.take());
        // The receiver waits for exactly this.
        let _ = process_sender.send(process);
        let stdin = stdin.map(OwnedFd::from).ok_or(io::ErrorKind::BrokenPipe)?;
        let child = Child { pid, stdin: File::from(stdin), gone, exit, is_reaped };
        pipe::set_nonblocking(child.stdin.as_fd())?;
        if let Err(error) = pipe::shrink(child.stdin.as_fd()) {
            log::debug!("the pipe to {} keeps its size: {error}", name.to_string_lossy());
        }
        Ok(child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn stdin(&self) -> &File {
        &self.stdin
    }

    pub(super) fn gone(&self) -> &Latch {
        &self.gone
    }

    /// Waits for its end, `patience` at most.
    pub(super) fn wait(&self, patience: Duration) -> Option<Exit> {
        self.exit.recv_timeout(patience).ok()
    }

    /// Ends it: SIGTERM, and SIGKILL if that is not enough.
    pub(super) fn end(self) -> Option<Exit> {
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

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
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

fn listen(mut output: File, mut on_line: impl FnMut(&str), last: &Sender<Option<String>>) {
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
    let _ = last.send(lines.into_last());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe::Interest;
    use std::io::Write;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str) -> (Child, Receiver<String>) {
        let (sender, lines) = crossbeam_channel::unbounded();
        let program = ["/bin/sh", "-c", script].map(OsString::from);
        let child = Child::start(&program, move |line| sender.send(line.into()).unwrap()).unwrap();
        (child, lines)
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
        let (child, lines) = shell("read word; echo got $word; echo bad >&2; exit 7");
        child.stdin().write_all(b"this\n").unwrap();
        let exit = child.wait(Duration::from_secs(5)).unwrap();
        assert_eq!(exit.status.and_then(|status| status.code()), Some(7));
        assert_eq!(exit.last_line.as_deref(), Some("bad"));
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["got this", "bad"]);
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
    #[cfg(target_os = "linux")]
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
        let error = Child::start(&["/no/such/program".into()], |_| {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
