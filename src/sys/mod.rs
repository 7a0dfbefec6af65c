//! The operating system: clock, kernel randomness, pipes, processes, service manager, syslog. The
//! only place for `unsafe`.
//!
//! Owns every call that the standard library does not offer, each behind a safe function
//! that says what it needs. It decides nothing.
#![allow(unsafe_code)]

pub mod clock;
pub mod harden;
pub mod latch;
pub mod lock;
pub mod notify;
pub mod pipe;
pub mod pool;
pub mod process;
pub mod random;
pub mod syslog;

pub use clock::now;
