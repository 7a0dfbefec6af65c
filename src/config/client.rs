//! What a client's file says: the tables `[client]` and `[sink]`; `[[upstream]]` is `upstream`'s.
//!
//! Owns their keys, defaults and bounds. It starts nothing.

use super::LogTo;
use super::error::ConfigError;
use super::table::{Entry, Table};
use super::upstream::{self, read_command};
use crate::client::Upstream;
use crate::keys::PrivateKey;
use crate::sink::{DEFAULT_CREDIT, Sink};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// The keys of `[client]`.
pub(super) const OWN_KEYS: &[&str] = &["private-key", "private-key-file", "status-socket"];

/// The keys of `[sink]`.
pub(super) const SINK_KEYS: &[&str] = &["type", "rngd-command", "path", "credit", "interval"];

const SINK_TYPES: &[&str] = &["rngd", "kernel", "fifo", "stdout"];

/// Each costs a thread.
const UPSTREAMS_MAX: usize = 16;
/// Bits in a byte.
const CREDIT: RangeInclusive<f64> = 0.0..=8.0;
/// Often enough for any kernel, and seldom enough for none to notice.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// How often a kernel of today reseeds its generator by itself; more than that it does not use.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// A client, checked.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// All of them are drawn from at once; at least one.
    pub upstreams: Vec<Upstream>,
    /// Where the bytes go.
    pub sink: Sink,
    /// Where `netrng status` finds it; `None`: nowhere.
    pub status_socket: Option<PathBuf>,
    /// Whom the half with the network runs as; `None`: all of it as whoever started it.
    pub user: Option<String>,
    /// Where the log goes.
    pub log_to: LogTo,
}

/// Reads the client's tables from the top of the file.
pub(super) fn read(top: &Table<'_>) -> Result<ClientConfig, ConfigError> {
    let (user, log_to) = (super::read_user(top)?, super::read_log_to(top)?);
    let client = top.table("client")?;
    client.allow(OWN_KEYS, super::CLIENT_TABLES)?;
    let own_key = client.secret("private-key", "private-key-file", PrivateKey::from_text)?;
    let tables = top.tables("upstream")?;
    if tables.is_empty() {
        return Err(
            top.missing("upstream", "a client needs at least one [[upstream]] to draw from")
        );
    }
    if tables.len() > UPSTREAMS_MAX {
        let said = format!("{} are given; use at most {UPSTREAMS_MAX}", tables.len());
        return Err(top.missing("upstream", &said));
    }
    let mut upstreams: Vec<Upstream> = Vec::with_capacity(tables.len());
    for table in &tables {
        let upstream = upstream::read(table, own_key.as_ref(), &client, &upstreams)?;
        upstreams.push(upstream);
    }
    let sink = read_sink(&top.table("sink")?)?;
    let status_socket =
        super::server::read_socket(&client, "status-socket", super::DEFAULT_CLIENT_STATUS)?;
    Ok(ClientConfig { upstreams, sink, status_socket, user, log_to })
}

fn read_sink(table: &Table<'_>) -> Result<Sink, ConfigError> {
    let kind = table.entry("type");
    let text = kind.as_ref().map_or(Some("rngd"), Entry::text);
    // First: of a misspelt type all other keys would seem to be wrong.
    match &kind {
        Some(entry) if !text.is_some_and(|text| SINK_TYPES.contains(&text)) => {
            return Err(entry.want("\"rngd\", \"kernel\", \"fifo\" or \"stdout\""));
        }
        _ => table.allow(SINK_KEYS, super::CLIENT_TABLES)?,
    }
    let only_for = |key: &'static str, sink: &str| match table.entry(key) {
        Some(entry) => Err(entry.fail(format!("is only for type = \"{sink}\"; remove it"))),
        None => Ok(()),
    };
    if text != Some("rngd") {
        only_for("rngd-command", "rngd")?;
    }
    if text != Some("fifo") {
        only_for("path", "fifo")?;
    }
    if text != Some("kernel") {
        only_for("credit", "kernel")?;
        only_for("interval", "kernel")?;
    }
    match text {
        Some("fifo") => {
            let advice = "say where the FIFO is, as in path = \"/run/netrng/fifo\"";
            let entry = table.entry("path").ok_or_else(|| table.missing("path", advice))?;
            Ok(Sink::Fifo { path: entry.path()? })
        }
        Some("kernel") => {
            let credit = table.entry("credit");
            let interval = table.entry("interval");
            Ok(Sink::Kernel {
                credit: credit.map_or(Ok(DEFAULT_CREDIT), |entry| entry.number(CREDIT))?,
                interval: interval.map_or(Ok(DEFAULT_INTERVAL), |entry| entry.time(INTERVAL))?,
            })
        }
        Some("stdout") => Ok(Sink::Stdout),
        _ => {
            let entry = table.entry("rngd-command");
            let command = entry.as_ref().map(read_command).transpose()?;
            Ok(Sink::Rngd { command })
        }
    }
}
