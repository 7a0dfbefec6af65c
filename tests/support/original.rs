//! The original NetRNG, 0.2, as it was published, by `tests/netrng02/original`.

use super::process::{Process, command};
use super::rngd::Rngd;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a client of the original says when it has been given bytes.
pub const RECEIVED: &str = "byte sample";
/// What it says when it has been told that there are none yet, or that we are still here.
pub const HEARTBEAT: &str = "NetRNG client: received heartbeat response";

fn original(arguments: &[&str]) -> Command {
    let python = std::env::var_os("NETRNG_ORIGINAL_PYTHON")
        .expect("NETRNG_ORIGINAL_PYTHON is not set: run `tests/run netrng02`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netrng02/original");
    let mut words = command(python);
    words.arg(script).args(arguments);
    words
}

/// A server that reads `device`, listening.
pub fn start_server(port: u16, device: &Path, max_clients: usize) -> Process {
    let (port, most) = (port.to_string(), max_clients.to_string());
    let device = device.display().to_string();
    let server = Process::start(&mut original(&["server", &port, &device, &most]));
    server.wait_for("NetRNG server: serving up to");
    server
}

/// A client whose rngd is the first in `search_path`.
pub fn start_client(port: u16, search_path: &str) -> Process {
    let mut client = original(&["client", &port.to_string()]);
    Process::start(client.env("PATH", search_path))
}

/// How often the client's log, or the server's, has such a line.
pub fn count(process: &Process, text: &str) -> usize {
    process.log_text().matches(text).count()
}

/// Puts an rngd into `dir` that dies with the client that started it, which does not end it;
/// answers a search path with it. Watched, its kernel always wants entropy.
pub fn install(rngd: &Rngd, dir: &Path, is_watched: bool) -> (super::rngd::Watched, String) {
    let watched = if is_watched { rngd.install_watched(dir) } else { rngd.install(dir) };
    let program: PathBuf = dir.join("rngd");
    let script = fs::read_to_string(&program).expect("it was just written");
    let leashed = script.replace("exec ", "exec setpriv --pdeathsig KILL ");
    fs::write(&program, leashed).expect("can write to the site");
    let path = watched.search_path();
    (watched, path)
}
