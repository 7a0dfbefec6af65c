//! The stock: samples read and tested, and not yet given to anybody.
//!
//! Owns the bounded queue between the reader thread and the event loop, and which of the two
//! waits for the other. It neither reads nor serves.
//!
//! A full stock sends the reader to rest until half of it is gone, or until whoever serves
//! has nothing to do: so the two threads hand over the processor once for many samples, not
//! once for each, and in quiet times the stock is full.

use crate::sample::Sample;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Samples, oldest first. Shared by the reader and whoever serves.
#[derive(Debug)]
pub struct Stock {
    /// Samples, at least 1.
    capacity: usize,
    inside: Mutex<Inside>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    samples: VecDeque<Sample>,
    /// The reader waits for room.
    reader_rests: bool,
    /// Whoever serves found nothing and wants to be woken by the next sample.
    hungry: bool,
}

impl Stock {
    /// An empty stock for so many samples, and for 1 at least.
    pub fn new(capacity: usize) -> Self {
        Stock { capacity: capacity.max(1), inside: Mutex::default(), room: Condvar::new() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a sample; there is room after [`Stock::wait_for_room`]. Whether somebody asked to
    /// be woken by it.
    #[must_use = "whoever asked sleeps until woken"]
    pub fn put(&self, sample: Sample) -> bool {
        let mut inside = self.inside();
        inside.samples.push_back(sample);
        std::mem::take(&mut inside.hungry)
    }

    /// Waits while the stock is full, and then until half of it is gone or
    /// [`Stock::top_up`] is called.
    pub fn wait_for_room(&self) {
        let mut inside = self.inside();
        inside.reader_rests = inside.samples.len() >= self.capacity;
        while inside.reader_rests {
            inside = self.room.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the oldest sample.
    pub fn take(&self) -> Option<Sample> {
        let mut inside = self.inside();
        let sample = inside.samples.pop_front();
        self.rouse(&mut inside, self.capacity / 2);
        sample
    }

    /// Whoever serves has nothing to do: a reader at rest fills what room there is.
    pub fn top_up(&self) {
        self.rouse(&mut self.inside(), self.capacity - 1);
    }

    /// Wipes all of it: the source cannot be trusted.
    pub fn wipe(&self) {
        let mut inside = self.inside();
        inside.samples.clear();
        self.rouse(&mut inside, 0);
    }

    fn rouse(&self, inside: &mut Inside, at_most: usize) {
        if inside.reader_rests && inside.samples.len() <= at_most {
            inside.reader_rests = false;
            self.room.notify_one();
        }
    }

    /// Asks to be woken by the next sample; `false` if one is there already.
    pub fn ask(&self) -> bool {
        let mut inside = self.inside();
        inside.hungry = inside.samples.is_empty();
        inside.hungry
    }

    /// Asks to be woken by the next sample, however many are there; `false` if none will come
    /// before somebody takes some.
    pub fn ask_for_more(&self) -> bool {
        let mut inside = self.inside();
        inside.hungry = !inside.reader_rests && inside.samples.len() < self.capacity;
        inside.hungry
    }

    /// Samples in it, and most of them.
    pub fn level(&self) -> [u64; 2] {
        [self.inside().samples.len() as u64, self.capacity as u64]
    }

    /// Bytes in it.
    pub fn bytes(&self) -> usize {
        self.inside().samples.iter().map(Sample::len).sum()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.inside().samples.is_empty()
    }

    /// Whether the reader is expected to bring more.
    pub fn wants_more(&self) -> bool {
        let inside = self.inside();
        !inside.reader_rests && inside.samples.len() < self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{TryRecvError, channel};

    fn put(stock: &Stock, byte: u8) -> bool {
        stock.put(Sample::new(vec![byte]))
    }

    #[test]
    fn samples_leave_in_the_order_they_came() {
        let stock = Stock::new(3);
        (0..3).for_each(|byte| assert!(!put(&stock, byte)));
        for byte in 0..3 {
            assert_eq!(stock.take().unwrap().as_bytes(), [byte]);
        }
        assert!(stock.take().is_none());
    }

    #[test]
    fn a_full_stock_rests_the_reader_until_half_is_gone() {
        let stock = Arc::new(Stock::new(4));
        (0..4).for_each(|byte| assert!(!put(&stock, byte)));
        assert!(!stock.wants_more());
        let (done, rested) = channel();
        let reader = Arc::clone(&stock);
        let thread = std::thread::spawn(move || {
            reader.wait_for_room();
            done.send(()).unwrap();
        });
        while !stock.inside().reader_rests {
            std::thread::yield_now();
        }
        assert!(stock.take().is_some());
        assert!(!stock.wants_more(), "it rests, though there is room for one");
        assert_eq!(rested.try_recv(), Err(TryRecvError::Empty));
        assert!(stock.take().is_some());
        assert!(stock.wants_more());
        rested.recv().unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn in_quiet_times_it_is_filled_up() {
        let stock = Stock::new(4);
        (0..4).for_each(|byte| assert!(!put(&stock, byte)));
        stock.inside().reader_rests = true;
        stock.top_up();
        assert!(stock.inside().reader_rests, "it is full");
        assert!(stock.take().is_some());
        stock.top_up();
        assert!(!stock.inside().reader_rests);
    }

    #[test]
    fn hunger_is_told_once_and_only_while_there_is_nothing() {
        let stock = Stock::new(4);
        assert!(stock.ask());
        assert!(put(&stock, 1));
        assert!(!put(&stock, 2));
        assert!(!stock.ask(), "two are there");
        stock.wipe();
        assert!(stock.is_empty());
        assert!(!put(&stock, 3), "nobody asked since");
    }

    #[test]
    fn whoever_wants_to_see_it_fill_is_woken_until_it_is_full() {
        let stock = Stock::new(2);
        assert!(!put(&stock, 1));
        assert!(stock.ask_for_more());
        assert!(put(&stock, 2), "though one was there");
        assert!(!stock.ask_for_more(), "it is full");
    }

    #[test]
    fn the_smallest_stock_works() {
        let stock = Stock::new(0);
        stock.wait_for_room();
        assert!(!put(&stock, 1));
        assert!(stock.take().is_some());
        stock.wait_for_room();
    }
}
