//! The operating system: clock, kernel randomness, pipes, processes, privileges, peers, service
//! manager, syslog. The only place for `unsafe`.
//!
//! Owns every call that the standard library does not offer, each behind a safe function
//! that says what it needs. It decides nothing. What differs between systems is in `platform`.
#![allow(unsafe_code)]

#[cfg(feature = "mdns")]
pub mod addresses;
pub mod clock;
pub mod doors;
pub mod harden;
pub mod latch;
pub mod lock;
pub mod notify;
pub mod pipe;
pub mod platform;
pub mod pool;
pub mod privilege;
pub mod process;
pub mod random;
pub mod syslog;
pub mod terminal;
pub mod thread;
pub mod users;

pub use clock::now;
