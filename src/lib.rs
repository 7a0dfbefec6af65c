//! netrng links the hardware random number generator of one machine to the random pools of
//! many. It moves random bytes; it never makes, mixes or whitens them.
//!
//! ```text
//! source ──▶ server ──▶ wire ══ network ══▶ client ──▶ sink
//! device     who gets   how it              who asks   rngd, kernel pool,
//! + health   the bytes  travels             for more   FIFO, stdout
//! ```
//!
//! The folders under `src/` are these five stages. What each module owns:
//!
//! | module | owns |
//! |---|---|
//! | [`sample`], [`moment`], [`keys`] | the values that travel: move-only bytes, monotonic time, keys |
//! | [`source`] | the reader thread: device, health tests, FIPS counters, recovery |
//! | [`assess`] | what a source's bytes tell of it: counts, estimates, a verdict, a picture |
//! | [`server`] | who is served: the pure core (schedule, admission, places, sessions), the event loop around it and its sockets |
//! | [`wire`] | protocols as state machines: frames, Noise, the plain form |
//! | [`client`] | one fetch thread an upstream: asking, backoff |
//! | [`sink`] | the feed thread and what it writes to, rngd's supervision |
//! | [`stock`] | tested samples between the reader and the event loop, and who waits for whom |
//! | [`status`] | what threads tell each other about the source; all figures and their faces: JSON, Prometheus, table, page |
//! | [`handover`] | one value from one thread to another |
//! | [`retry`] | backoff and "say it once", for whoever tries again |
//! | [`child`] | child processes and their pipes: rngd on one side, ssh and commands on the other |
//! | [`hop`] | samples from one process of ours to the other, where the client is two |
//! | [`sys`] | clock, pipes, processes, privileges, peers, kernel randomness: the only `unsafe` |
//! | [`config`], [`cli`] | files and command lines into checked values |
//! | [`commands`] | wires all of it together, owns exit codes |
//!
//! **Imports run one way.** `sample`, `moment`, `keys`, `status`, `stock` ← `wire`, `source::health`,
//! `assess`, `server::{schedule, admission, gate}` ← `server::core` ← the shells (`source::reader`,
//! `server::event_loop`, `client`, `sink`, all on `child` and `sys`) ← `config`, `cli` ← `commands`. Pure modules
//! name no socket, file, thread, process, clock or configuration; shells do not know each
//! other, only each other's pure parts. `tests/architecture.rs` holds to that.
//!
//! # Invariants
//!
//! 1. **Unique.** A byte read from a source reaches at most one client, once.
//!    [`sample::Sample`] cannot be cloned; giving it away consumes it; splitting it moves bytes.
//!    What a dying session had not sent is wiped, never queued again.
//! 2. **Tested.** No byte leaves before its source passed the start-up test, whose bytes are
//!    thrown away, and none is served from a source in failure.
//! 3. **Fair.** Clients that want bytes get them by weight; equal clients never differ by more
//!    than one sample, whatever the sizes of their requests. Idle time earns nothing.
//! 4. **Bounded.** Every queue, buffer, count and length has a named limit; beyond it there is
//!    an answer with a reason.
//! 5. **Authenticated before it costs.** No device byte and no place is spent on a peer that
//!    has not proved who it is: by its key, or on the local socket by the kernel's word.
//! 6. **Never wait for randomness to get randomness.** Nothing in the client can block on the
//!    kernel's generator.
//! 7. **Nothing secret outlives its use.** Samples and keys are wiped, core dumps forbidden,
//!    and neither is ever logged.
//! 8. **Monotonic time only.** Boards have no clock that keeps time: no decision uses one.

pub mod assess;
pub mod child;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod handover;
pub mod hop;
pub mod keys;
pub mod moment;
pub mod retry;
pub mod sample;
pub mod server;
pub mod sink;
pub mod source;
pub mod status;
pub mod stock;
pub mod sys;
pub mod wire;
