//! `Hedge`: randomness for ephemeral keys and jitter on machines whose pool may be empty.
//!
//! Owns the mixing. It is handed fresh material by its caller and never waits for any: netrng
//! runs where the kernel's generator is not initialised yet, and a `getrandom` that blocks
//! there would wait for the very bytes netrng is to bring.
//!
//! The idea is RFC 8937's: output depends on a long-lived secret as well as on whatever
//! the system gives, so a cloned snapshot or an empty pool yields keys that are still
//! unpredictable to anybody without that secret. It is not meant for keys that last.

use crate::keys::PrivateKey;
use blake2::Blake2sMac256;
use blake2::digest::Mac;
use zeroize::Zeroize;

/// Fresh material per call: kernel output, clock, process id.
pub const FRESH_LEN: usize = 64;

/// Fills its argument with whatever differs from call to call and from machine to machine,
/// without ever blocking.
pub type Gather = fn(&mut [u8; FRESH_LEN]);

/// A hedged generator: BLAKE2s (RFC 7693) keyed with a secret, over fresh material, the
/// generator's own state and a counter.
pub struct Hedge {
    secret: PrivateKey,
    state: [u8; 32],
    counter: u64,
    gather: Gather,
}

impl Hedge {
    /// A generator keyed with a long-lived secret of this machine.
    pub fn new(secret: PrivateKey, gather: Gather) -> Self {
        Hedge { secret, state: [0; 32], counter: 0, gather }
    }

    /// Mixes in more, such as bytes of a tested source; they must reach nobody else.
    pub fn absorb(&mut self, more: &[u8]) {
        let mut mac = self.mac(b"absorb");
        mac.update(more);
        self.state = mac.finalize().into_bytes().into();
    }

    /// The next 32 bytes.
    pub fn draw(&mut self) -> [u8; 32] {
        let mut fresh = [0; FRESH_LEN];
        (self.gather)(&mut fresh);
        self.absorb(&fresh);
        fresh.zeroize();
        self.counter = self.counter.wrapping_add(1);
        let output = self.mac(b"output").finalize().into_bytes().into();
        // What made this output is gone with it: whoever reads this memory later cannot make
        // the same ephemeral key again, and with it the session's.
        self.state = self.mac(b"onward").finalize().into_bytes().into();
        output
    }

    /// The next 64 bits, for jitter.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.draw();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Fills `target` completely.
    pub fn fill(&mut self, target: &mut [u8]) {
        for chunk in target.chunks_mut(32) {
            let mut block = self.draw();
            chunk.copy_from_slice(&block[..chunk.len()]);
            block.zeroize();
        }
    }

    fn mac(&self, purpose: &[u8; 6]) -> Blake2sMac256 {
        let mut mac = <Blake2sMac256 as Mac>::new(self.secret.as_bytes().into());
        mac.update(b"netrng/1 hedge ");
        mac.update(purpose);
        mac.update(&self.state);
        mac.update(&self.counter.to_le_bytes());
        mac
    }
}

impl Drop for Hedge {
    fn drop(&mut self) {
        self.state.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &mut [u8; FRESH_LEN]) {}

    fn hedge(secret: u8) -> Hedge {
        Hedge::new(PrivateKey::new([secret; 32]), nothing)
    }

    #[test]
    fn without_any_fresh_material_outputs_still_differ() {
        let mut one = hedge(1);
        let outputs: std::collections::BTreeSet<_> = (0..1000).map(|_| one.draw()).collect();
        assert_eq!(outputs.len(), 1000);
    }

    #[test]
    fn two_machines_with_equal_pools_differ_by_their_secret() {
        assert_ne!(hedge(1).draw(), hedge(2).draw());
    }

    #[test]
    fn the_state_that_made_an_output_is_gone_with_it() {
        let mut one = hedge(1);
        let output = one.draw();
        let mut replayed = Hedge::new(PrivateKey::new([1; 32]), nothing);
        replayed.state = one.state;
        replayed.counter = 0;
        assert_ne!(replayed.draw(), output);
        assert_ne!(replayed.mac(b"output").finalize().into_bytes().as_slice(), output);
    }

    #[test]
    fn what_is_absorbed_changes_all_that_follows() {
        let (mut one, mut two) = (hedge(1), hedge(1));
        two.absorb(b"32 bytes from the tested source.");
        assert_ne!(one.draw(), two.draw());
        assert_ne!(one.draw(), two.draw());
    }
}
