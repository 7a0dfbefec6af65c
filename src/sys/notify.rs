//! The service manager: `sd_notify(3)`, without its library.
//!
//! Owns the datagrams, and what the manager's watchdog expects. Does nothing where no manager
//! asked for it.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::time::Duration;

/// Ready, and alive: what to say first when we are useful, and again every [`watchdog_span`].
pub const WELL: &str = "READY=1\nWATCHDOG=1";

/// To the process that the manager started, where that is not this one.
static RELAY: OnceLock<File> = OnceLock::new();

/// From now on [`notify`] writes a byte here: the manager believes the process that it started
/// and no other. Whoever reads it says what there is to say.
pub fn relay_through(pipe: File) {
    let _ = RELAY.set(pipe);
}

/// Tells the service manager a state, as `READY=1`. Silent where `NOTIFY_SOCKET` is not set,
/// and where the manager does not listen: there is nobody to complain to.
pub fn notify(state: &str) {
    if let Some(mut relay) = RELAY.get() {
        let _ = relay.write(&[1]);
        return;
    }
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    let Ok(address) = super::platform::notify_address(&path) else { return };
    let _ = socket.send_to_addr(state.as_bytes(), &address);
}

/// How often the manager's watchdog is to hear from us: twice in the time that it allows
/// (`sd_watchdog_enabled(3)`); `None` if there is no watchdog, and then nothing wakes us.
pub fn watchdog_span() -> Option<Duration> {
    half_of(&std::env::var("WATCHDOG_USEC").ok()?)
}

fn half_of(watchdog_usec: &str) -> Option<Duration> {
    let allowed = watchdog_usec.parse().ok().filter(|allowed| *allowed > 1)?;
    Some(Duration::from_micros(allowed) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_hears_twice_in_its_time() {
        assert_eq!(half_of("300000000"), Some(Duration::from_secs(150)));
        for none in ["", "0", "1", "-5", "5s"] {
            assert_eq!(half_of(none), None, "{none}");
        }
    }
}
