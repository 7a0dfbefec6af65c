//! The server's part of its status.
//!
//! Owns the figures' way out of the core; how they are shown is `status`'s.

use super::admission::promisable;
use super::core::{Server, SourceState};
use super::roster::Client;
use super::session::{Session, State};
use crate::moment::Moment;
use crate::status::windows::WINDOW;
use crate::status::{Row, Value};
use std::time::Duration;

impl Server {
    /// The figures of the server as a whole. `unready`: why it gives no bytes; empty: it does.
    pub fn report(&self, uptime: Duration, unready: &str) -> Row {
        let (counters, limits) = (&self.counters, &self.limits);
        let capacity = self.capacity.bytes_per_s();
        let promised = self.promised();
        let keeps =
            self.source == SourceState::Good && capacity.is_none_or(|most| promised <= most);
        let connected = self.roster.iter().filter(|client| !client.sessions.is_empty()).count();
        let mut row = Row::default();
        row.put_daemon(uptime, unready);
        row.count("given_bytes", counters.given_bytes);
        row.count("given_samples", counters.given_samples);
        row.count("offered_bytes", counters.offered_bytes);
        row.gauge("promised_bytes_per_second", promised);
        let most = capacity.map(|bytes| promisable(bytes, limits.headroom));
        row.put("promisable_bytes_per_second", Value::Gauge(most));
        row.flag("guarantees_kept", promised == 0 || keeps);
        row.gauge("clients_known", self.roster.iter().count() as u64);
        row.gauge("clients_connected", connected as u64);
        row.gauge("places", self.served as u64);
        row.gauge("places_max", limits.max_clients as u64);
        row.gauge("waiting", self.line.len() as u64);
        row.gauge("waiting_max", limits.max_waiting as u64);
        row.gauge("parked", self.parked as u64);
        row.gauge("handshaking", self.handshaking.len() as u64);
        row.gauge("handshaking_max", limits.max_handshakes as u64);
        row.count("handshakes", counters.handshakes);
        row.count("sessions_proved", counters.proved);
        row.put("sessions_ended", Value::Counts("reason", self.ended_by_name()));
        row.count("places_given_up", counters.parked);
        row.count("status_answers", counters.pages);
        row
    }

    /// Some reasons go by one name.
    fn ended_by_name(&self) -> Vec<(String, u64)> {
        let mut ended: Vec<(String, u64)> = Vec::new();
        for (reason, count) in &self.counters.ended {
            let name = reason.to_string();
            match ended.iter_mut().find(|(other, _)| *other == name) {
                Some((_, sum)) => *sum += count,
                None => ended.push((name, *count)),
            }
        }
        ended
    }

    /// The figures of each client, in the order of the clients file.
    pub fn report_clients(&self, now: Moment) -> Vec<Row> {
        self.roster.iter().map(|client| self.report_client(client, now)).collect()
    }

    fn report_client(&self, client: &Client, now: Moment) -> Row {
        let mut sessions: Vec<&Session> = Vec::new();
        for id in &client.sessions {
            sessions.extend(self.sessions.get(id.0).and_then(Option::as_ref));
        }
        let has = |state| sessions.iter().any(|session| session.state == state);
        let state = match sessions.last() {
            None => "absent",
            Some(_) if has(State::Served) => "served",
            Some(_) if has(State::InLine) => "in-line",
            Some(_) => "parked",
        };
        let share = client.given_bytes.saturating_mul(1000) / self.counters.given_bytes.max(1);
        let wanted = sessions.iter().map(|session| u64::from(session.outstanding)).sum();
        let newest = sessions.last().map_or(String::new(), |newest| newest.peer.to_string());
        let mut row = Row::default();
        row.note("name", &client.rule.name);
        row.word("state", state);
        row.note("address", &newest);
        row.age("connected_seconds", sessions.first().map(|first| now.since(first.proved_at)));
        row.gauge("sessions", client.sessions.len() as u64);
        row.count("given_bytes", client.given_bytes);
        row.count("given_samples", client.given_samples);
        row.age("last_given_age_seconds", client.given_at.map(|at| now.since(at)));
        row.gauge("rate_bytes_per_second", client.recent.bytes_per_s(now));
        row.put("share", Value::Permille(share));
        row.gauge("wanted_bytes", wanted);
        row.gauge("weight", client.rule.weight.into());
        row.gauge("guarantee_bytes_per_second", client.rule.guarantee_bytes_per_s);
        row.flag("guarantee_kept", !self.misses_guarantee(client, now));
        row.put("limit_bytes_per_second", Value::Gauge(client.rule.limit_bytes_per_s));
        let end = client.last_end.map_or(String::new(), |reason| reason.to_string());
        row.note("last_end", &end);
        row
    }

    /// Whether a client that has a place wants bytes and is given less than its guarantee. Bytes
    /// come by samples: one more or less in a window says nothing, nor does who has just begun.
    fn misses_guarantee(&self, client: &Client, now: Moment) -> bool {
        let guarantee = client.rule.guarantee_bytes_per_s;
        let Some(since) = self.scheduler.wants_since(client.flow, now) else { return false };
        let sample = self.limits.sample_size as u64;
        let least = guarantee.saturating_sub(sample / WINDOW.as_secs());
        now.since(since) > 2 * WINDOW && client.recent.bytes_per_s(now) < least
    }
}
