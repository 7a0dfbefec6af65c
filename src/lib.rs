//! netrng links the hardware random number generator of one machine to the random pools of
//! many. It moves random bytes; it never makes, mixes or whitens them.

pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod keys;
pub mod moment;
pub mod retry;
pub mod sample;
pub mod server;
pub mod sink;
pub mod source;
pub mod status;
pub mod sys;
pub mod wire;
