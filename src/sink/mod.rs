//! Where bytes go on the client: rngd, the kernel's pool, a FIFO, stdout.
//!
//! Owns the feed thread and what it writes to. It does not know where bytes come from.

use std::path::PathBuf;

/// Which sink, and what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// A supervised `rngd`; `command` overrides how it is started.
    Rngd {
        /// Program and arguments; reads random bytes from its stdin.
        command: Option<Vec<String>>,
    },
    /// A named pipe that another program reads.
    Fifo {
        /// Where; made with mode 0600 if missing.
        path: PathBuf,
    },
    /// Standard output.
    Stdout,
}
