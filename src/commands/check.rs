//! `check`: reads the configuration as `run` would, and prints what it comes to.

use super::Failure;
use super::keys::print_line;
use crate::client::Kind;
use crate::config::Config;
use crate::wire::native::public_key;
use std::path::Path;

/// Prints the effective configuration; secrets are masked.
///
/// # Errors
/// What is wrong with the configuration.
pub fn check(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let mut text = format!("# {}: no mistakes found. In effect:\n{config}", path.display());
    match &config {
        Config::Server(server) => {
            text += &format!("\n# The server's public key: {}\n", public_key(&server.private_key));
            if !server.source.path.exists() {
                let device = server.source.path.display();
                text += &format!("# {device} does not exist now; a server waits for it.\n");
            }
            if let Some(missing) = &server.clients.missing {
                text += &format!("# No clients yet: {missing}\n");
            }
        }
        Config::Client(client) => {
            for upstream in &client.upstreams {
                let Kind::Address(address) = &upstream.kind else { continue };
                let key = public_key(&address.private_key);
                text += &format!("\n# Our public key for {}: {key}\n", upstream.name);
            }
        }
    }
    print_line(text.trim_end())
}
