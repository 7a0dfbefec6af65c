//! What the tests of the real binary share: processes that end with their test, a source
//! whose every byte says where it stands, sites with keys and configs, and a ledger that
//! proves no byte reached two clients.
//!
//! Nothing here waits a fixed time: everything waits for an event, with a deadline that only
//! a failure reaches.
#![allow(dead_code, reason = "each test target uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of several crates")]

pub mod asking;
pub mod assessment;
pub mod board;
pub mod deal;
pub mod debian;
pub mod entropy_key;
pub mod feed;
pub mod ledger;
pub mod machine;
pub mod netns;
pub mod numbered;
pub mod original;
pub mod process;
pub mod puller;
pub mod raw;
pub mod rngd;
pub mod scene;
pub mod site;
pub mod skein;
pub mod ssh;
pub mod trace;
pub mod wait;
