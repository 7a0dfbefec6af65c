//! Where a source's bytes come from, as the configuration and `netrng assess` name it.
//!
//! Owns the names and their meaning. It opens nothing.

use crate::sys::doors::Door;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the name of an EGD server begins with.
const EGD: &str = "egd:";
/// What an EGD server's name looks like.
pub const EGD_NAMES: &str =
    "\"egd:127.0.0.1:8888\", \"egd:[::1]:8888\" or a socket's path, \"egd:/run/egd.sock\"";

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A device, FIFO or file.
    Path(PathBuf),
    /// An EGD server at an address.
    EgdTcp(SocketAddr),
    /// An EGD server at a unix socket.
    EgdUnix(PathBuf),
}

impl Origin {
    /// What `name` means; `None` if neither an address with its port nor a path stands behind
    /// `egd:`. A file of such a name is `./egd:…`.
    pub fn parse(name: &Path) -> Option<Origin> {
        let Some(place) = name.to_str().and_then(|name| name.strip_prefix(EGD)) else {
            return Some(Origin::Path(name.to_owned()));
        };
        if place.contains('/') {
            return Some(Origin::EgdUnix(place.into()));
        }
        place.parse().ok().filter(|address: &SocketAddr| address.port() > 0).map(Origin::EgdTcp)
    }

    /// What root opens for it, if it stands in the file system.
    pub fn path(&self) -> Option<(Door, &Path)> {
        match self {
            Origin::Path(path) => Some((Door::Source, path)),
            Origin::EgdUnix(path) => Some((Door::Socket, path)),
            Origin::EgdTcp(_) => None,
        }
    }

    /// Whether its bytes travel in clear over a network.
    pub fn is_exposed(&self) -> bool {
        matches!(self, Origin::EgdTcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Path(path) => path.display().fmt(f),
            Origin::EgdTcp(address) => write!(f, "{EGD}{address}"),
            Origin::EgdUnix(path) => write!(f, "{EGD}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_path_an_address_or_a_socket_and_reads_back() {
        for (name, origin, is_exposed) in [
            ("/dev/hwrng", Origin::Path("/dev/hwrng".into()), false),
            ("./egd:1", Origin::Path("./egd:1".into()), false),
            ("egd:127.0.0.1:8888", Origin::EgdTcp(([127, 0, 0, 1], 8888).into()), false),
            ("egd:[::1]:8888", Origin::EgdTcp("[::1]:8888".parse().unwrap()), false),
            ("egd:192.0.2.1:1", Origin::EgdTcp(([192, 0, 2, 1], 1).into()), true),
            ("egd:0.0.0.0:1", Origin::EgdTcp(([0, 0, 0, 0], 1).into()), true),
            ("egd:/run/egd.sock", Origin::EgdUnix("/run/egd.sock".into()), false),
            ("egd:./127.0.0.1:1", Origin::EgdUnix("./127.0.0.1:1".into()), false),
        ] {
            assert_eq!(Origin::parse(Path::new(name)), Some(origin.clone()));
            assert_eq!(origin.to_string(), name);
            assert_eq!(origin.is_exposed(), is_exposed, "{name}");
        }
        for name in ["egd:", "egd:8888", "egd:localhost:8888", "egd:127.0.0.1:0", "egd:127.0.0.1"] {
            assert_eq!(Origin::parse(Path::new(name)), None, "{name}");
        }
    }
}
