//! All figures of a moment: rows of facts, each with a name and a kind.
//!
//! A fact has the same name in JSON and, after `netrng_` and its section, among Prometheus's
//! metrics; units stand in it. Whoever counts fills rows; how they are shown is the faces'.

use super::words::clean;
use std::time::Duration;

/// A figure by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Only grows.
    Count(u64),
    /// Goes up and down; `None` if it is not known or not set.
    Gauge(Option<u64>),
    /// Yes or no.
    Flag(bool),
    /// A time that has passed since something; `None` if that never happened.
    Age(Option<Duration>),
    /// Thousandths. No metric.
    Permille(u64),
    /// One of a few words; empty if there is none.
    Word(String),
    /// Any text; empty if there is none. No metric.
    Note(String),
    /// Counters by a label.
    Counts(&'static str, Vec<(String, u64)>),
    /// Numbers in a row. No metric.
    List(Vec<u64>),
}

/// Facts that belong together.
#[derive(Debug, Default)]
pub struct Row(pub Vec<(&'static str, Value)>);

impl Row {
    /// Adds a fact.
    #[inline(never)]
    pub fn put(&mut self, key: &'static str, value: Value) {
        self.0.push((key, value));
    }

    /// Adds a [`Value::Count`].
    #[inline(never)]
    pub fn count(&mut self, key: &'static str, count: u64) {
        self.put(key, Value::Count(count));
    }

    /// Adds a [`Value::Gauge`] that is known.
    #[inline(never)]
    pub fn gauge(&mut self, key: &'static str, number: u64) {
        self.put(key, Value::Gauge(Some(number)));
    }

    /// Adds a [`Value::Flag`].
    #[inline(never)]
    pub fn flag(&mut self, key: &'static str, flag: bool) {
        self.put(key, Value::Flag(flag));
    }

    /// Adds a [`Value::Age`].
    #[inline(never)]
    pub fn age(&mut self, key: &'static str, age: Option<Duration>) {
        self.put(key, Value::Age(age));
    }

    /// Adds a [`Value::Word`].
    #[inline(never)]
    pub fn word(&mut self, key: &'static str, word: &str) {
        self.put(key, Value::Word(clean(word)));
    }

    /// Adds a [`Value::Note`].
    #[inline(never)]
    pub fn note(&mut self, key: &'static str, text: &str) {
        self.put(key, Value::Note(clean(text)));
    }

    /// The fact of this name.
    #[inline(never)]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Adds what is common to all daemons. `unready`: why no bytes are to be had; empty: they
    /// are.
    pub fn put_daemon(&mut self, uptime: Duration, unready: &str) {
        self.word("version", env!("CARGO_PKG_VERSION"));
        self.age("uptime_seconds", Some(uptime));
        self.flag("ready", unready.is_empty());
        self.note("unready_reason", unready);
    }
}

/// The rows of one kind.
#[derive(Debug)]
pub struct Section {
    /// In metrics, and as their label if there are several.
    pub name: &'static str,
    /// In JSON.
    pub key: &'static str,
    /// One, or if `name` and `key` differ any number, each of which begins with its name.
    pub rows: Vec<Row>,
}

/// All that there is to tell. The first section is the daemon's own.
#[derive(Debug)]
pub struct Snapshot {
    /// `server` or `client`.
    pub role: &'static str,
    /// All of it.
    pub sections: Vec<Section>,
}

impl Snapshot {
    /// Of a server.
    pub fn of_server(server: Row, source: Row, clients: Vec<Row>) -> Self {
        let sections = vec![
            Section { name: "server", key: "server", rows: vec![server] },
            Section { name: "source", key: "source", rows: vec![source] },
            Section { name: "client", key: "clients", rows: clients },
        ];
        Snapshot { role: "server", sections }
    }

    /// Of a client.
    pub fn of_client(sink: Row, upstreams: Vec<Row>) -> Self {
        let sections = vec![
            Section { name: "sink", key: "sink", rows: vec![sink] },
            Section { name: "upstream", key: "upstreams", rows: upstreams },
        ];
        Snapshot { role: "client", sections }
    }

    /// The fact of this name that is not one of several's.
    #[inline(never)]
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let single = self.sections.iter().filter(|section| section.name == section.key);
        single.flat_map(|section| &section.rows).find_map(|row| row.get(key))
    }

    /// Why no bytes are to be had; empty: they are.
    pub(super) fn unready(&self) -> &str {
        match self.get("unready_reason") {
            Some(Value::Note(why)) => why,
            _ => "",
        }
    }
}
