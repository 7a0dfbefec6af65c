//! A real server behind a real sshd or dropbear, and an unprivileged user there who can do nothing but tap
//! it. Needs root.

use super::feed::{Feed, Mood};
use super::process::{Process, Stdout, binary};
use super::site::Site;
use super::ssh::{Host, LocalUser, client_at, open_to_all};
use std::fs;

/// A host with a netrng server, and an unprivileged user there whose keys are forced to tap it.
pub struct Board {
    /// Reached by ssh.
    pub host: Host,
    /// Its server's directory.
    pub site: Site,
    /// Its server's source.
    pub feed: Feed,
    user: LocalUser,
}

/// Bytes.
pub const SAMPLE: u64 = 2048;

impl Board {
    /// Behind OpenSSH's sshd; see [`Board::behind`].
    pub fn new(names: &[&str]) -> Self {
        Self::behind(Host::openssh(), names)
    }

    /// One SSH key and one client in the clients file for each name.
    ///
    /// # Panics
    /// If the user cannot be made.
    pub fn behind(host: Host, names: &[&str]) -> Self {
        // Where dropbear looks for keys.
        let user = LocalUser::new(&host.path(""));
        // Slices would shrink below a sample to keep a round of many clients short.
        let site = Site::with_fifo("source").source("stock = 2").server("max-round = \"1 min\"");
        let feed = Feed::new(&site.path("source"), Mood::Good);
        // Where the user finds them, whatever the rights of our own folders.
        fs::copy(binary(), host.path("netrng")).expect("can write");
        open_to_all(&site.path(""), 0o711);
        let keys = names.iter().map(|name| {
            host.make_key(name);
            site.add_local(name, user.name, &[]);
            let (tap, socket) = (host.path("netrng"), site.path("tap.sock"));
            let command =
                format!("{} tap --socket {} --name {name}", tap.display(), socket.display());
            (*name, format!("restrict,command=\"{command}\""))
        });
        host.authorize_all(keys);
        Board { host, site, feed, user }
    }

    /// How the user is called.
    pub fn user_name(&self) -> &'static str {
        self.user.name
    }

    /// A client that comes with this key, and writes to stdout.
    pub fn start(&self, name: &str, stdout: Stdout) -> Process {
        let upstream = self.host.upstream_as(self.user.name, name, "");
        let path = self.host.path(&format!("{name}.toml"));
        let mut command = client_at(&path, &upstream, "type = \"stdout\"");
        Process::start_with(&mut command, std::process::Stdio::null(), stdout)
    }
}
