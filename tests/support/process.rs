//! Child processes whose words are kept and that never outlive their test.
#![allow(unsafe_code, reason = "prctl and kill: the guard must hold even if the test is killed")]
#![allow(clippy::print_stderr, reason = "a failed test shows the logs of its processes")]

use super::wait::{self, PATIENCE};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The binary under test: cargo's own, unless `NETRNG_BINARY` names another, such as the
/// release build.
pub fn binary() -> OsString {
    std::env::var_os("NETRNG_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_netrng").into())
}

/// A command that dies with the thread that starts it, even if that is killed.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command
}

/// `netrng` with these arguments.
pub fn netrng(arguments: &[&str]) -> Command {
    let mut command = command(binary());
    // What a peer does wrong is logged at `debug`; the tests want to see it.
    command.args(arguments).env("RUST_LOG", "netrng=debug");
    command
}

/// Lets a command open no more than so many descriptors.
pub fn limit_descriptors(command: &mut Command, most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: setrlimit is async-signal-safe and reads one struct.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

/// Runs to the end, no input.
///
/// # Panics
/// If the program cannot be started.
pub fn finish(command: &mut Command) -> Finished {
    finish_with_input(command, b"")
}

/// Runs to the end with `input` on stdin.
///
/// # Panics
/// If the program cannot be started or does not end.
pub fn finish_with_input(command: &mut Command, input: &[u8]) -> Finished {
    use std::io::Write;
    let mut process = Process::start_with(command, Stdio::piped(), Stdout::Keep);
    let mut stdin = process.child.stdin.take().expect("stdin was asked for");
    // A program that does not read its input has its reasons.
    let _ = stdin.write_all(input);
    drop(stdin);
    let status = process.wait(PATIENCE);
    Finished {
        code: status.code(),
        stdout: String::from_utf8_lossy(&process.stdout_at_end()).into_owned(),
        stderr: process.log_at_end(),
    }
}

/// What a program that ran to its end left.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
}

impl Finished {
    /// Its stdout, if it ended well.
    ///
    /// # Panics
    /// With its words, if it did not.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }
}

/// What becomes of a child's stdout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// Read as it comes and kept.
    Keep,
    /// A pipe that nobody reads: the child blocks once it is full.
    Blocked,
}

/// A running child. Killed and reaped on drop; its log is printed if the test fails.
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Lines>,
    stdout: Arc<Mutex<Vec<u8>>>,
    /// Holds the read end of a stdout that nobody reads.
    _unread: Option<std::process::ChildStdout>,
    readers: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

#[derive(Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Process {
    /// Starts `command`; its stdin is empty, its stdout kept.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::null(), Stdout::Keep)
    }

    /// Starts `command` with this stdin and stdout.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start_with(command: &mut Command, stdin: Stdio, stdout: Stdout) -> Self {
        let name = format!("{command:?}");
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));

        let log = Arc::new(Lines::default());
        let stderr = child.stderr.take().expect("stderr was asked for");
        let mut readers = vec![keep_lines(stderr, Arc::clone(&log))];

        let kept = Arc::new(Mutex::new(Vec::new()));
        let pipe = child.stdout.take().expect("stdout was asked for");
        let unread = match stdout {
            Stdout::Keep => {
                readers.push(keep_bytes(pipe, Arc::clone(&kept)));
                None
            }
            Stdout::Blocked => Some(pipe),
        };
        Process { name, child, log, stdout: kept, _unread: unread, readers, ended: None }
    }

    /// Writes to its stdin, which must be a pipe.
    ///
    /// # Panics
    /// If it takes nothing.
    pub fn write(&mut self, bytes: &[u8]) {
        use std::io::Write;
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(bytes).expect("it listens");
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has written to stdout so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.lock().expect("no reader panics").clone()
    }

    /// How many bytes it has written to stdout so far.
    pub fn stdout_len(&self) -> usize {
        self.stdout.lock().expect("no reader panics").len()
    }

    /// All it wrote to stdout, once it has ended.
    pub fn stdout_at_end(&mut self) -> Vec<u8> {
        self.join_readers();
        std::mem::take(&mut self.stdout.lock().expect("no reader panics"))
    }

    /// All it wrote to stderr, once it has ended.
    pub fn log_at_end(&mut self) -> String {
        self.join_readers();
        self.log_text()
    }

    /// Its stderr so far.
    pub fn log_text(&self) -> String {
        self.log.lines.lock().expect("no reader panics").join("\n")
    }

    /// Where its log stands now; see [`Process::wait_for_after`].
    pub fn mark(&self) -> usize {
        self.log.lines.lock().expect("no reader panics").len()
    }

    /// Waits until a line of its log holds `text`, and returns the line.
    ///
    /// # Panics
    /// If none comes or the process ends before.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_after(0, text)
    }

    /// The same for lines after `mark`.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn wait_for_after(&self, mark: usize, text: &str) -> String {
        let found = |lines: &Vec<String>| lines[mark..].iter().find(|l| l.contains(text)).cloned();
        let lines = self.log.lines.lock().expect("no reader panics");
        let (lines, _) = self
            .log
            .changed
            .wait_timeout_while(lines, PATIENCE, |lines| found(lines).is_none())
            .expect("no reader panics");
        let line = found(&lines);
        drop(lines);
        line.unwrap_or_else(|| panic!("no line {text:?} from {}", self.name))
    }

    /// Waits until it has written `count` more bytes to stdout than it has now.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    pub fn wait_for_bytes(&self, count: usize) {
        let target = self.stdout_len() + count;
        let what = format!("{count} bytes from {}", self.name);
        wait::until_true(&what, || self.stdout_len() >= target);
    }

    /// Processor time it has used, user and system.
    ///
    /// # Panics
    /// If it has ended.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("alive");
        // proc_pid_stat(5): the 14th and 15th field; the name before them may hold anything.
        let (_, rest) = stat.rsplit_once(") ").expect("a name");
        let ticks: u64 =
            rest.split(' ').skip(11).take(2).map(|t| t.parse::<u64>().unwrap_or(0)).sum();
        // SAFETY: a plain question.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        Duration::from_millis(ticks * 1000 / u64::try_from(per_second).unwrap_or(100))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        assert!(self.ended.is_none(), "{} has ended: its pid is not ours any more", self.name);
        let pid = i32::try_from(self.pid()).expect("a pid");
        // SAFETY: not reaped yet, so the pid is ours.
        unsafe { libc::kill(pid, signal) };
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(libc::SIGKILL);
        self.wait(PATIENCE)
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// If it does not come, or it cannot end its own children.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        let status = self.wait(PATIENCE);
        assert!(!self.log_text().contains("does not end even by SIGKILL"), "{}", self.name);
        status
    }

    /// Its exit status, if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it is still there after `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait::until(&what, limit, || self.try_wait())
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panics");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() && self.mark() > 0 {
            eprintln!("--- {}\n{}\n---", self.name, self.log_text());
        }
    }
}

fn keep_lines(stderr: impl Read + Send + 'static, log: Arc<Lines>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            log.lines.lock().expect("no reader panics").push(text);
            log.changed.notify_all();
            line.clear();
        }
    })
}

fn keep_bytes(mut stdout: impl Read + Send + 'static, kept: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = stdout.read(&mut buffer) {
            if count == 0 {
                break;
            }
            kept.lock().expect("no reader panics").extend_from_slice(&buffer[..count]);
        }
    })
}
