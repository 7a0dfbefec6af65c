//! The log: to stderr, in the form that whoever reads stderr understands, or to syslog.

use crate::config::LogTo;
use crate::sys::syslog::Syslog;
use ::log::{Level, LevelFilter, Log, Metadata, Record};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// Whose lines are logged: libraries have nothing to say to an admin.
const OUR_TARGET: &str = "netrng";

static LOGGER: Logger = Logger(Mutex::new(Output::Stderr));

struct Logger(Mutex<Output>);

enum Output {
    Stderr,
    /// Each line with its priority, sd-daemon(3).
    Journal,
    /// To stderr while there is no syslogd.
    Syslog(Syslog),
}

/// Starts logging to stderr. Under journald each line carries its priority; elsewhere what is no
/// plain notice says so. `RUST_LOG` overrides the level: `debug`, or `netrng=debug`.
pub fn start(level: LevelFilter) {
    let named = std::env::var("RUST_LOG").ok();
    let named = named.as_deref().map(|text| text.rsplit('=').next().unwrap_or(text));
    let level = named.and_then(|text| text.parse().ok()).unwrap_or(level);
    LOGGER.set(for_stderr());
    // A second start in one process changes nothing.
    if ::log::set_logger(&LOGGER).is_ok() {
        ::log::set_max_level(level);
    }
}

/// From now on logs to where a daemon's log is wanted.
pub fn direct(to: LogTo) {
    // Where stderr leads nowhere, as under start-stop-daemon, nobody would learn of anything.
    let to_syslog = to == LogTo::Syslog || to == LogTo::Auto && is_null();
    LOGGER.set(if to_syslog { Output::Syslog(Syslog::default()) } else { for_stderr() });
}

fn for_stderr() -> Output {
    if is_journal() { Output::Journal } else { Output::Stderr }
}

impl Logger {
    fn set(&self, output: Output) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = output;
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(OUR_TARGET)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (priority, word) = match record.level() {
            Level::Error => (3, "error: "),
            Level::Warn => (4, "warning: "),
            Level::Info => (6, ""),
            Level::Debug | Level::Trace => (7, "debug: "),
        };
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = match &mut *output {
            Output::Journal => format!("<{priority}>{}\n", record.args()),
            Output::Stderr => format!("netrng: {word}{}\n", record.args()),
            Output::Syslog(syslog) => {
                let message = record.args().to_string();
                if syslog.send(priority, &message) {
                    return;
                }
                format!("netrng: {word}{message}\n")
            }
        };
        // Whoever closed our stderr does not want to know.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Whether stderr goes to the journal: systemd.exec(5), `$JOURNAL_STREAM`.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Some((device, inode)) = stream.split_once(':') else { return false };
    crate::sys::process::device_and_inode(std::io::stderr().as_fd())
        .is_some_and(|(d, i)| device.parse() == Ok(d) && inode.parse() == Ok(i))
}

/// Whether stderr goes to /dev/null.
fn is_null() -> bool {
    let place = crate::sys::process::device_and_inode;
    let null = File::open("/dev/null").ok().and_then(|null| place(null.as_fd()));
    null.is_some() && null == place(std::io::stderr().as_fd())
}
