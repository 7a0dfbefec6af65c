//! The client's side: one fetch thread an upstream, backoff between attempts.
//!
//! Owns connections to servers and the asking. It does not know where the bytes go.

use crate::keys::{PrivateKey, Psk, PublicKey};

/// One server to draw from, over the native protocol.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// How the log and status call it: by default `host:port`.
    pub name: String,
    /// Name or address; resolved again at each attempt.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The server must prove that it holds this key.
    pub server_key: PublicKey,
    /// Our own key.
    pub private_key: PrivateKey,
    /// Shared with the server; all zeros on the wire when absent.
    pub psk: Option<Psk>,
}
