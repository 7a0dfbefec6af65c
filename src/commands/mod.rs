//! The commands: each wires the parts it needs together, and says in one sentence what went
//! wrong.
//!
//! Owns exit codes, signals and the log. The parts do not know each other; this is where they
//! meet.

#[cfg(feature = "mdns")]
mod announce;
pub mod assess;
pub mod check;
pub mod client;
mod client_status;
pub mod demo;
pub mod enroll;
pub mod halves;
pub mod keys;
pub mod log;
pub mod server;
pub mod setup;
pub mod signals;
mod socket_file;
pub mod status;
pub mod tap;

use crate::config::ConfigError;
use crate::sink::SinkError;
use crate::source::draw::DrawError;
use std::fmt;
use std::process::ExitCode;

/// How the process ends. The numbers are part of the interface: `netrng --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// Something that none of the others names: the system is out of threads, say.
    System = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Config = 3,
    /// The source cannot be read, or failed its tests.
    Source = 4,
    /// The sink cannot be had: rngd is not installed, the FIFO is none.
    Sink = 5,
    /// An address cannot be listened on.
    Bind = 6,
    /// The kernel's generator is not initialised: no key can be made, or the wait was ended.
    NotSeeded = 7,
    /// The demo's verdict is bad.
    Verdict = 8,
    /// There is no server on this machine to tap, or no daemon to ask for its status.
    NoServer = 9,
    /// The daemon of this machine does not serve this user.
    Refused = 10,
}

impl Exit {
    /// What another netrng's code means.
    pub fn from_code(code: i32) -> Exit {
        use Exit::{
            Bind, Config, NoServer, NotSeeded, Ok, Refused, Sink, Source, System, Usage, Verdict,
        };
        let all =
            [Ok, System, Usage, Config, Source, Sink, Bind, NotSeeded, Verdict, NoServer, Refused];
        all.into_iter().find(|exit| *exit as i32 == code).unwrap_or(System)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command ended before its time: a code and a sentence.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, where, and what to do.
    pub text: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(exit: Exit, text: impl fmt::Display) -> Self {
        Failure { exit, text: text.to_string() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::new(Exit::Config, error)
    }
}

impl From<DrawError> for Failure {
    fn from(error: DrawError) -> Self {
        Failure::new(Exit::Source, error)
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Failure::new(Exit::Sink, error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            // Whoever read our output has seen enough.
            return Failure::new(Exit::Ok, "");
        }
        Failure::new(Exit::System, format_args!("the system refuses: {error}"))
    }
}
