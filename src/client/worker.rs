//! A child that bytes come from: ssh, or any command. Started, and asked why it ended.
//!
//! Owns the child and what is made of its words. What comes through its pipes is read by `raw`
//! and `session`.

use super::FetchError;
use super::ssh::{self, Heard, Runner, SshFault};
use super::upstream::Ssh;
use crate::child::Child;
use crate::sys::privilege::own_user;
use crate::sys::users::own_uid;
use log::{Level, log};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// From the end of its output to its own end.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// What to start.
pub(super) enum Program<'a> {
    Command(&'a [String]),
    Ssh(&'a Ssh),
}

/// A running child; dropping it ends it.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    ssh: Option<(Ssh, Arc<Mutex<Heard>>)>,
    /// Open for as long as the host is to run what gives raw bytes: see [`ssh`].
    _leash: Option<File>,
}

impl Program<'_> {
    /// Starts it; answers also what it writes. `name` and `level`: how its words are logged.
    pub(super) fn start_writer(
        &self,
        name: &str,
        level: Level,
    ) -> Result<(Worker, File), FetchError> {
        let heard = Arc::default();
        let (words, on_line) = (self.words(), self.listener(name, level, &heard));
        let started = match self {
            Program::Command(_) => {
                Child::start_writer(&words, on_line).map(|(child, output)| (child, None, output))
            }
            Program::Ssh(_) => Child::start_peer(&words, on_line)
                .map(|(child, leash, output)| (child, Some(leash), output)),
        };
        let (child, leash, output) = started.map_err(|error| self.start_failed(error))?;
        Ok((self.worker(child, heard, leash), output))
    }

    /// Starts it; answers also what it reads and what it writes.
    pub(super) fn start_peer(
        &self,
        name: &str,
        level: Level,
    ) -> Result<(Worker, File, File), FetchError> {
        let heard = Arc::default();
        let started = Child::start_peer(&self.words(), self.listener(name, level, &heard));
        let (child, input, output) = started.map_err(|error| self.start_failed(error))?;
        Ok((self.worker(child, heard, None), input, output))
    }

    fn words(&self) -> Vec<OsString> {
        match self {
            Program::Command(argv) => argv.iter().map(OsString::from).collect(),
            Program::Ssh(ssh) => ssh::command_line(ssh),
        }
    }

    fn worker(&self, child: Child, heard: Arc<Mutex<Heard>>, leash: Option<File>) -> Worker {
        let ssh = match self {
            Program::Command(_) => None,
            Program::Ssh(ssh) => Some(((*ssh).clone(), heard)),
        };
        Worker { child, ssh, _leash: leash }
    }

    /// For each line that it says. Of ssh's words a sentence is made, so they are not said
    /// aloud as well.
    fn listener(
        &self,
        name: &str,
        level: Level,
        heard: &Arc<Mutex<Heard>>,
    ) -> impl FnMut(&str) + Send + 'static {
        let level = if let Program::Ssh(_) = self { Level::Debug } else { level };
        let (name, heard) = (name.to_owned(), Arc::clone(heard));
        move |line| {
            log!(level, "{name}: {line}");
            heard.lock().unwrap_or_else(PoisonError::into_inner).handle_line(line);
        }
    }

    fn start_failed(&self, error: io::Error) -> FetchError {
        match self {
            Program::Ssh(ssh) if error.kind() == io::ErrorKind::NotFound => {
                SshFault::Missing.on(ssh, &Runner::default(), "")
            }
            Program::Ssh(ssh) => FetchError::Start(ssh.program.clone(), error),
            Program::Command(argv) => {
                FetchError::Start(argv.first().cloned().unwrap_or_default(), error)
            }
        }
    }
}

impl Worker {
    /// Why it has ended, after its output did.
    pub(super) fn why(&self) -> FetchError {
        let Some(exit) = self.child.wait(EXIT_PATIENCE) else {
            return FetchError::Ended("closed its output and lives on".into());
        };
        match &self.ssh {
            None => FetchError::Ended(exit.to_string()),
            Some((ssh, heard)) => {
                let code = exit.status.and_then(|status| status.code());
                let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.why(code, &exit.to_string(), ssh, &runner())
            }
        }
    }

    /// Why what it gives makes no sense.
    pub(super) fn why_garbled(&self, error: FetchError) -> FetchError {
        match &self.ssh {
            Some((ssh, _)) => SshFault::NotNetrng.on(ssh, &Runner::default(), &error.to_string()),
            None => error,
        }
    }

    pub(super) fn end(self) {
        self.child.end();
    }
}

/// Who we are, as ssh looks it up.
fn runner() -> Runner {
    match own_user() {
        Ok(Some(user)) => Runner { name: user.to_string(), home: user.home() },
        _ => Runner { name: format!("uid {}", own_uid()), home: None },
    }
}
