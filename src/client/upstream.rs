//! What an upstream is: where bytes come from, and what is asked of them.
//!
//! Owns the types that `config` fills. It opens nothing.

use crate::keys::{PrivateKey, Psk, PublicKey};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is claimed of a netrng server's bytes, bits per byte. Its source has been tested there,
/// with what is known of it; this is to catch a server that lies or is broken, and too low for
/// an honest one ever to fail it.
const SERVER_MIN_ENTROPY: f64 = 1.0;

/// Of a fingerprint, in the name of an upstream that was given none: enough to tell servers apart.
#[cfg(feature = "mdns")]
const NAME_DIGITS: usize = 8;

/// Where bytes come from.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// How the log and status call it; [`Kind::default_name`] unless it was given one.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Claimed min-entropy, bits per byte, for the health tests on our side; `None`: what suits
    /// its kind. 0 switches all alarms off.
    pub min_entropy: Option<f64>,
}

/// The kinds of upstreams.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A netrng server, over TCP.
    Address(Address),
    /// A server of the original NetRNG, 0.2, over TCP.
    Netrng02(Netrng02),
    /// A host that is reached by OpenSSH.
    Ssh(Ssh),
    /// A program whose stdout is random bytes.
    Command(Command),
}

/// A netrng server over TCP: the native protocol.
#[derive(Debug, Clone)]
pub struct Address {
    /// Where it is; looked up again at each attempt.
    pub location: Location,
    /// The server must prove that it holds this key.
    pub server_key: PublicKey,
    /// Our own key.
    pub private_key: PrivateKey,
    /// Shared with the server; all zeros on the wire when absent.
    pub psk: Option<Psk>,
}

/// A server of the original NetRNG, 0.2, over TCP: no keys, and in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netrng02 {
    /// Name or address; resolved again at each attempt.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Netrng02 {
    /// Whether the bytes may leave this machine on their way: only an address that never does, or
    /// the name that stands for it, says that they do not.
    pub fn is_exposed(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host != "localhost" && !address.is_ok_and(|it| it.to_canonical().is_loopback())
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// At a name or address, and a TCP port.
    At(String, u16),
    /// Wherever in the local network its key is announced.
    #[cfg(feature = "mdns")]
    Discovered,
}

/// A program whose stdout is random bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; at least the program.
    pub argv: Vec<String>,
    /// It counts as dead when we want bytes and it gives none for so long.
    pub stall_timeout: Duration,
}

/// A host that is reached by OpenSSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// As ssh takes it: `user@host`, or a name from its configuration.
    pub destination: String,
    /// TCP port; `None`: as ssh's configuration says.
    pub port: Option<u16>,
    /// Our private key; `None`: as ssh's configuration says.
    pub identity_file: Option<PathBuf>,
    /// Where the host's key is; `None`: as ssh's configuration says.
    pub known_hosts_file: Option<PathBuf>,
    /// OpenSSH's client, a name or a path.
    pub program: String,
    /// What runs on the host.
    pub remote: Remote,
}

/// What runs on a host that is reached by ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// `netrng tap`: the native frames, so nothing is taken ahead of need.
    Tap,
    /// Any command whose stdout is random bytes.
    Raw {
        /// For the host's shell.
        command: String,
        /// As for [`Command::stall_timeout`].
        stall_timeout: Duration,
    },
}

impl Upstream {
    /// What the health tests on our side claim, bits per byte.
    pub(super) fn claimed_min_entropy(&self) -> f64 {
        self.min_entropy.unwrap_or(match &self.kind {
            Kind::Address(_) | Kind::Ssh(Ssh { remote: Remote::Tap, .. }) => SERVER_MIN_ENTROPY,
            Kind::Netrng02(_) | Kind::Ssh(_) | Kind::Command(_) => {
                crate::source::health::default_min_entropy(None)
            }
        })
    }

    /// Whether a child process of ours stands between.
    pub(super) fn has_child(&self) -> bool {
        !matches!(self.kind, Kind::Address(_) | Kind::Netrng02(_))
    }
}

impl Kind {
    /// What an upstream is called that was given no name.
    pub fn default_name(&self) -> String {
        match self {
            Kind::Address(Address { location: Location::At(host, port), .. })
            | Kind::Netrng02(Netrng02 { host, port }) => show_address(host, *port),
            #[cfg(feature = "mdns")]
            Kind::Address(Address { server_key, .. }) => {
                format!("mdns-{}", &server_key.fingerprint()[..NAME_DIGITS])
            }
            Kind::Ssh(Ssh { destination, port: Some(port), .. }) => format!("{destination}:{port}"),
            Kind::Ssh(Ssh { destination, .. }) => destination.clone(),
            Kind::Command(Command { argv, .. }) => {
                let program = argv.first().map_or("", String::as_str);
                let name = Path::new(program).file_name();
                name.map_or_else(|| program.to_owned(), |name| name.to_string_lossy().into_owned())
            }
        }
    }
}

/// Host and port as they are written; IPv6 in brackets.
pub fn show_address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
