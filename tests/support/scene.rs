//! A server on a paced source, and clients that want more than it gives.

use super::deal::Deal;
use super::feed::{Feed, Mood};
use super::ledger::Numbered;
use super::process::Process;
use super::puller::{self, Habit, Puller};
use super::raw::RawClient;
use super::site::{Enrolled, READY, Site};
use super::wait;
use std::process::Command;

/// A client of which the clients file says nothing.
pub const PLAIN: &[&str] = &[];

/// A server on a paced source, whose rate it has measured, and its clients.
pub struct Scene {
    /// Its directory.
    pub site: Site,
    /// Its source.
    pub feed: Feed,
    /// The server itself.
    pub server: Process,
    /// One for each rule.
    pub clients: Vec<Enrolled>,
}

impl Scene {
    /// One client for each rule.
    pub fn new(bytes_per_s: u64, rules: &[&[&str]]) -> Self {
        Self::with(|site| site, bytes_per_s, rules)
    }

    /// The same with changes to the site's config.
    pub fn with(change: impl FnOnce(Site) -> Site, bytes_per_s: u64, rules: &[&[&str]]) -> Self {
        Self::with_command(change, |_| {}, bytes_per_s, rules)
    }

    /// The same with changes to the server's command as well.
    pub fn with_command(
        change: impl FnOnce(Site) -> Site,
        change_command: impl FnOnce(&mut Command),
        bytes_per_s: u64,
        rules: &[&[&str]],
    ) -> Self {
        // All come from one address. And the first samples go out faster than clients can ask
        // again: let there be few.
        let site = Site::with_fifo("source")
            .server("max-handshakes-per-address = 64")
            .server("handshakes-per-s-per-address = 1000")
            .source("stock = 2");
        let site = change(site);
        let feed = Feed::new(&site.path("source"), Mood::Good);
        feed.set_pace(bytes_per_s);
        let enroll = |(number, rule): (usize, &&[&str])| {
            let client = site.enroll(&format!("client-{number}"));
            site.set_rule(&client.name, rule);
            client
        };
        let clients = rules.iter().enumerate().map(enroll).collect();
        let mut command = site.server_command();
        change_command(&mut command);
        let server = Process::start(&mut command);
        server.wait_for(READY);
        // With a full stock behind it, the server has measured the source.
        feed.taken_at_rest();
        Scene { site, feed, server, clients }
    }

    /// A session of a client.
    pub fn open(&self, client: usize) -> RawClient {
        RawClient::open(&self.site, &self.clients[client])
    }

    /// One puller for each client; all are connected before the first asks.
    pub fn pull(&self, habits: &[Habit]) -> Vec<Puller> {
        let sessions: Vec<RawClient> = (0..habits.len()).map(|client| self.open(client)).collect();
        sessions.into_iter().zip(habits).map(|(raw, habit)| Puller::start(raw, *habit)).collect()
    }

    /// Waits until this many more bytes of the source are given to the pullers, all together.
    #[track_caller]
    pub fn wait_for_given<'a>(
        &self,
        pullers: impl IntoIterator<Item = &'a Puller> + Clone,
        bytes: u64,
    ) {
        let given = || pullers.clone().into_iter().map(Puller::bytes).sum::<u64>();
        let target = given() + bytes;
        wait::until_true("the clients get their bytes", || given() >= target);
    }

    /// Where the source stands: what is given from now on comes after this, up to what lies in the
    /// pipe and the stock.
    pub fn position(&self) -> u64 {
        self.feed.fed()
    }

    /// Reads the clients file again, and waits until its rules hold.
    pub fn reload(&self) {
        let mark = self.server.mark();
        self.server.signal(libc::SIGHUP);
        self.server.wait_for_after(mark, "reloaded");
    }

    /// Stops the server, so that everybody wants bytes to the very end.
    ///
    /// # Panics
    /// If a client failed, or bytes were given twice.
    pub fn end(mut self, pullers: impl IntoIterator<Item = Puller>) -> Deal {
        assert_eq!(self.server.terminate().code(), Some(0));
        puller::deal(&Numbered { len: self.feed.fed() }, pullers)
    }
}
