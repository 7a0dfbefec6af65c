//! How much that is no sample a server may send.
//!
//! Pure. Owns the bound that keeps a flood of WAIT, PONG or unknown messages from spinning
//! the client; it does not know what the messages are.

use crate::moment::Moment;
use std::time::Duration;

/// Reads and messages in a window that may bring no sample. An honest server says WAIT when
/// something changes and PONG every 15 s; a sample in small segments takes tens of reads.
const BARREN_MAX: u32 = 1000;
/// The window.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts what brings nothing.
#[derive(Debug)]
pub(super) struct Patience {
    since: Moment,
    barren: u32,
}

impl Patience {
    pub(super) fn new(now: Moment) -> Self {
        Patience { since: now, barren: 0 }
    }

    /// A read or a message without a sample; answers whether that was one too many.
    pub(super) fn handle_barren(&mut self, now: Moment) -> bool {
        if now.since(self.since) >= WINDOW {
            *self = Patience::new(now);
        }
        self.barren += 1;
        self.barren > BARREN_MAX
    }

    /// Bytes came: what was between them is forgiven.
    pub(super) fn handle_sample(&mut self) {
        self.barren = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barren_for(patience: &mut Patience, every: Duration, count: u32) -> bool {
        let mut now = Moment::ZERO;
        (0..count).any(|_| {
            now = now + every;
            patience.handle_barren(now)
        })
    }

    #[test]
    fn a_flood_is_too_much_and_a_pong_every_second_for_ever_is_not() {
        let mut patience = Patience::new(Moment::ZERO);
        assert!(barren_for(&mut patience, Duration::from_millis(1), BARREN_MAX + 1));
        let mut patience = Patience::new(Moment::ZERO);
        assert!(!barren_for(&mut patience, Duration::from_secs(1), 1_000_000));
    }

    #[test]
    fn a_sample_forgives() {
        let mut patience = Patience::new(Moment::ZERO);
        for _ in 0..10 {
            assert!(!barren_for(&mut patience, Duration::ZERO, BARREN_MAX));
            patience.handle_sample();
        }
    }
}
