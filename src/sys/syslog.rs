//! The local syslog daemon: `syslog(3)`, without its library.
//!
//! Owns the socket and the form of a line (RFC 3164). It never waits: what syslogd has no room
//! for is dropped and counted. Whether a line goes here at all is not for it to say.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Linux has the first, the BSDs have the second.
const SOCKETS: [&str; 2] = ["/dev/log", "/var/run/log"];
/// LOG_DAEMON, shifted as `syslog.h` does it.
const FACILITY_DAEMON: u8 = 3 << 3;
/// LOG_WARNING.
const WARNING: u8 = 4;
/// The longest datagram, RFC 3164 §4.1: what is longer, syslogd may cut or refuse.
const DATAGRAM_MAX: usize = 1024;

/// A connection to syslogd, made when it is needed and made again when syslogd was restarted.
#[derive(Debug)]
pub struct Syslog {
    paths: Vec<PathBuf>,
    socket: Option<UnixDatagram>,
    dropped: u64,
}

impl Default for Syslog {
    /// At the usual places.
    fn default() -> Self {
        Syslog::at(SOCKETS.map(PathBuf::from).to_vec())
    }
}

impl Syslog {
    fn at(paths: Vec<PathBuf>) -> Self {
        Syslog { paths, socket: None, dropped: 0 }
    }

    /// Hands a line over, with a priority of `syslog.h` (0 to 7). `false` if there is no
    /// syslogd; a line that it has no room for counts as handed over.
    pub fn send(&mut self, priority: u8, line: &str) -> bool {
        if self.dropped > 0 {
            let said = format!("{} lines were lost: syslogd did not keep up", self.dropped);
            if self.post(WARNING, &said).is_ok() {
                self.dropped = 0;
            }
        }
        match self.post(priority, line) {
            Ok(()) => true,
            Err(error) if has_no_room(&error) => {
                self.dropped += 1;
                true
            }
            Err(_) => false,
        }
    }

    fn post(&mut self, priority: u8, line: &str) -> io::Result<()> {
        // Without a date: syslogd writes its own, and boards have no clock.
        let pid = std::process::id();
        let mut datagram = format!("<{}>netrng[{pid}]: {line}", FACILITY_DAEMON | priority);
        if datagram.len() > DATAGRAM_MAX {
            let whole = |end: &usize| datagram.is_char_boundary(*end);
            datagram.truncate((0..=DATAGRAM_MAX).rev().find(whole).unwrap_or(0));
        }
        if let Some(socket) = &self.socket {
            match socket.send(datagram.as_bytes()) {
                Err(error) if !has_no_room(&error) => {}
                sent => return sent.map(drop),
            }
        }
        // None yet, or the syslogd behind it has gone.
        self.socket = None;
        let socket = self.connect()?;
        let sent = socket.send(datagram.as_bytes());
        self.socket = Some(socket);
        sent.map(drop)
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let found = self.paths.iter().any(|path| socket.connect(Path::new(path)).is_ok());
        if found { Ok(socket) } else { Err(ErrorKind::NotFound.into()) }
    }
}

/// Linux says the first, the BSDs the second.
fn has_no_room(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(syslogd: &UnixDatagram) -> String {
        let mut buffer = [0; 2 * DATAGRAM_MAX];
        syslogd.set_nonblocking(true).unwrap();
        let count = syslogd.recv(&mut buffer).unwrap();
        std::str::from_utf8(&buffer[..count]).unwrap().to_owned()
    }

    /// A folder, a path in it, and a sender that looks for it second.
    fn place() -> (tempfile::TempDir, PathBuf, Syslog) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let syslog = Syslog::at(vec![folder.path().join("none"), path.clone()]);
        (folder, path, syslog)
    }

    #[test]
    fn a_line_says_facility_priority_name_and_process() {
        let (_folder, path, mut syslog) = place();
        let syslogd = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(6, "ready"));
        assert_eq!(take(&syslogd), format!("<30>netrng[{}]: ready", std::process::id()));
        assert!(syslog.send(3, &"ä".repeat(DATAGRAM_MAX)));
        let long = take(&syslogd);
        assert!(long.starts_with("<27>netrng[") && long.ends_with('ä'), "{long}");
        assert!((DATAGRAM_MAX - 1..=DATAGRAM_MAX).contains(&long.len()), "{}", long.len());
    }

    #[test]
    fn a_syslogd_that_comes_late_or_again_gets_the_next_line() {
        let (_folder, path, mut syslog) = place();
        assert!(!syslog.send(6, "nobody"));
        let first = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(6, "one"));
        assert!(take(&first).ends_with(": one"));
        drop(first);
        assert!(!syslog.send(6, "gone"));
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(6, "two"));
        assert!(take(&second).ends_with(": two"));
    }

    #[test]
    fn a_syslogd_that_does_not_read_stops_nobody() {
        const LINES: u64 = 2000;
        let (_folder, path, mut syslog) = place();
        let syslogd = UnixDatagram::bind(&path).unwrap();
        for _ in 0..LINES {
            assert!(syslog.send(6, "again"));
        }
        let dropped = syslog.dropped;
        assert!(dropped > 0, "all of {LINES} lines found room");
        for _ in dropped..LINES {
            assert!(take(&syslogd).ends_with(": again"));
        }
        assert!(syslog.send(6, "after"));
        let lost = format!(": {dropped} lines were lost: syslogd did not keep up");
        assert!(take(&syslogd).ends_with(&lost));
        assert!(take(&syslogd).ends_with(": after"));
    }
}
