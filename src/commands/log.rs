//! The log: to stderr, in the form that whoever reads stderr understands.

use ::log::{Level, LevelFilter};
use std::io::Write;
use std::os::fd::AsFd;

/// Starts logging. Under journald each line carries its priority (sd-daemon(3)); elsewhere
/// what is no plain notice says so. `RUST_LOG` overrides the level.
pub fn start(level: LevelFilter) {
    let under_journald = is_journal();
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    builder.parse_default_env();
    builder.format(move |out, record| {
        let message = record.args();
        if under_journald {
            let priority = match record.level() {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 6,
                Level::Debug | Level::Trace => 7,
            };
            return writeln!(out, "<{priority}>{message}");
        }
        match record.level() {
            Level::Error => writeln!(out, "netrng: error: {message}"),
            Level::Warn => writeln!(out, "netrng: warning: {message}"),
            Level::Info => writeln!(out, "netrng: {message}"),
            Level::Debug | Level::Trace => writeln!(out, "netrng: debug: {message}"),
        }
    });
    // A second start in one process changes nothing.
    let _ = builder.try_init();
}

/// Whether stderr goes to the journal: systemd.exec(5), `$JOURNAL_STREAM`.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Some((device, inode)) = stream.split_once(':') else { return false };
    crate::sys::process::device_and_inode(std::io::stderr().as_fd())
        .is_some_and(|(d, i)| device.parse() == Ok(d) && inode.parse() == Ok(i))
}
