//! Where bytes come from on the server: the reader thread, the devices and the health tests.
//!
//! Owns the way from the device to the stock. It does not know who will get the bytes.

pub mod device;
pub mod draw;
mod egd;
pub mod fips;
pub mod health;
pub mod origin;
pub mod reader;

use origin::Origin;
use std::time::Duration;

/// What the reader thread needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Device, FIFO, file or EGD server.
    pub origin: Origin,
    /// Claimed min-entropy, bits per byte; `None`: as the kernel says of its device, else the
    /// default. 0 switches all alarms off.
    pub min_entropy: Option<f64>,
    /// Largest sample, bytes.
    pub sample_size: usize,
    /// Samples read, tested and not yet given to anybody, at most.
    pub stock: usize,
    /// A read that gives nothing for this long is a failure.
    pub stall_timeout: Duration,
}
