//! The roster: the clients the server knows, and the sessions each has.
//!
//! Owns the rules from the clients file and what each client got. It does not decide who is
//! served.

use super::gate::Origin;
use super::schedule::{FlowId, FlowRule};
use super::session::{EndReason, Peer, SessionId};
use super::{AddressRange, ClientRule, Identity};
use crate::keys::PublicKey;
use crate::moment::Moment;
use crate::status::windows::Windows;
use crate::wire::ByeReason;
use log::Level;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// One client of the clients file.
#[derive(Debug)]
pub struct Client {
    /// What the file says of it.
    pub rule: ClientRule,
    /// Its name to the scheduler, for as long as its key stays in the file.
    pub flow: FlowId,
    /// Its proved sessions, oldest first.
    pub sessions: VecDeque<SessionId>,
    /// How many of them have a place.
    pub places: usize,
    /// Bytes given to it since the server started.
    pub given_bytes: u64,
    /// Answers given; its sessions take turns.
    pub given_samples: u64,
    /// When the last was given.
    pub given_at: Option<Moment>,
    /// What was given of late.
    pub recent: Windows,
    /// Why its last session ended.
    pub last_end: Option<EndReason>,
    /// Whether it was logged already that it, or a guest's session too many, was refused.
    pub refusal_logged: bool,
    /// Whether it was said that two machines seem to share its key.
    pub shared_key_logged: bool,
    /// Lines that the log may still hold of it, and since when they fill up again.
    log_lines: u32,
    log_lines_at: Moment,
}

/// Lines of one client that the log takes at once ...
const LOG_LINES_MAX: u32 = 20;
/// ... and how long one more takes to earn. What is beyond that is told only to `-v`.
const LOG_LINE_SPAN: Duration = Duration::from_secs(30);

impl Client {
    /// What the scheduler needs to know of the rule.
    pub fn flow_rule(&self) -> FlowRule {
        FlowRule {
            weight: self.rule.weight.max(1),
            guarantee_bytes_per_s: self.rule.guarantee_bytes_per_s,
            limit_bytes_per_s: self.rule.limit_bytes_per_s,
        }
    }

    /// Whether it has no key and stands in no file.
    pub fn is_guest(&self) -> bool {
        matches!(self.rule.identity, Identity::Guest { .. })
    }

    /// At which level the log is to hear of its coming or going.
    pub fn log_level(&mut self, now: Moment) -> Level {
        let earned = now.since(self.log_lines_at).as_secs() / LOG_LINE_SPAN.as_secs();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(LOG_LINES_MAX);
            self.log_lines = self.log_lines.saturating_add(earned).min(LOG_LINES_MAX);
            self.log_lines_at = now;
        }
        match self.log_lines.checked_sub(1) {
            Some(left) => {
                self.log_lines = left;
                Level::Info
            }
            None => Level::Debug,
        }
    }

    /// The oldest sessions above `max_sessions`, oldest first.
    pub fn surplus_sessions(&self) -> Vec<SessionId> {
        let most = self.rule.max_sessions.max(1) as usize;
        let surplus = self.sessions.len().saturating_sub(most);
        self.sessions.iter().copied().take(surplus).collect()
    }
}

/// Whose sessions a new clients file ends.
#[derive(Debug, Default)]
pub struct Replaced {
    /// Sessions whose client has another pre-shared key now.
    pub new_psk: Vec<SessionId>,
    /// Clients that are gone, with their sessions.
    pub gone: Vec<(FlowId, Vec<SessionId>)>,
}

/// What a client is found by. As long as it stays the same, so does the client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Key(PublicKey),
    User(u32, String),
    Guest(String, Origin),
}

/// Guests remembered at once: whoever comes again finds its account as it left it, and gains
/// nothing by leaving.
const GUESTS_MAX: usize = 1024;

/// All clients.
#[derive(Debug, Default)]
pub struct Roster {
    clients: BTreeMap<FlowId, Client>,
    by_mark: BTreeMap<Mark, FlowId>,
    next_flow: u32,
    guests: usize,
    /// Guarantees of the clients that have a place.
    promised_bytes_per_s: u64,
}

impl Roster {
    /// Takes a new clients file. A client whose key, or user and name, stay keeps its flow; see [`Replaced`] for
    /// who does not keep its sessions.
    pub fn replace(&mut self, rules: Vec<ClientRule>) -> Replaced {
        let mut new_psk = Vec::new();
        // Guests stand in no file.
        let is_guest = |(mark, _): &(Mark, FlowId)| matches!(mark, Mark::Guest(..));
        let all = std::mem::take(&mut self.by_mark).into_iter();
        let (guests, mut gone): (_, BTreeMap<_, _>) = all.partition(is_guest);
        self.by_mark = guests;
        for rule in rules {
            let mark = rule.mark();
            match gone.remove(&mark) {
                Some(flow) => {
                    self.by_mark.insert(mark, flow);
                    if let Some(client) = self.clients.get_mut(&flow) {
                        if client.rule.identity != rule.identity {
                            new_psk.extend(client.sessions.iter().copied());
                        }
                        client.rule = rule;
                    }
                }
                None => self.insert(rule),
            }
        }
        let gone = gone.into_values().filter_map(|flow| self.clients.remove(&flow));
        let gone = gone.map(|client| (client.flow, client.sessions.into_iter().collect()));
        let gone = gone.collect();
        let seated = self.clients.values().filter(|client| client.places > 0);
        self.promised_bytes_per_s = seated.map(|client| client.rule.guarantee_bytes_per_s).sum();
        Replaced { new_psk, gone }
    }

    fn insert(&mut self, rule: ClientRule) {
        let flow = FlowId(self.next_flow);
        self.next_flow += 1;
        self.by_mark.insert(rule.mark(), flow);
        let client = Client {
            rule,
            flow,
            sessions: VecDeque::new(),
            places: 0,
            given_bytes: 0,
            given_samples: 0,
            given_at: None,
            recent: Windows::new(2),
            last_end: None,
            refusal_logged: false,
            shared_key_logged: false,
            log_lines: LOG_LINES_MAX,
            log_lines_at: Moment::ZERO,
        };
        self.clients.insert(flow, client);
    }

    /// The client that a guest is, made if it is new; and the one that was forgotten for it.
    ///
    /// # Errors
    /// The client that has as many sessions as it may, or `None` if there are too many guests.
    pub fn guest(
        &mut self,
        rule: ClientRule,
        now: Moment,
    ) -> Result<(FlowId, Option<FlowId>), Option<FlowId>> {
        let mark = rule.mark();
        if let Some(&flow) = self.by_mark.get(&mark) {
            let sessions = self.clients.get(&flow).map_or(0, |client| client.sessions.len());
            let is_crowded = sessions >= rule.max_sessions as usize;
            return if is_crowded { Err(Some(flow)) } else { Ok((flow, None)) };
        }
        let forgotten = match self.guests >= GUESTS_MAX {
            true => Some(self.forget_guest().ok_or(None)?),
            false => None,
        };
        self.guests += 1;
        self.insert(rule);
        let flow = self.by_mark.get(&mark).copied().ok_or(None)?;
        if let Some(client) = self.clients.get_mut(&flow).filter(|_| forgotten.is_some()) {
            // In such a crowd nobody is news.
            client.log_lines = 0;
            client.log_lines_at = now;
        }
        Ok((flow, forgotten))
    }

    /// Forgets the first guest that has no session.
    fn forget_guest(&mut self) -> Option<FlowId> {
        let is_gone = |client: &&Client| client.is_guest() && client.sessions.is_empty();
        let client = self.clients.values().find(is_gone)?;
        let (flow, mark) = (client.flow, client.rule.mark());
        self.by_mark.remove(&mark);
        self.clients.remove(&flow);
        self.guests -= 1;
        Some(flow)
    }

    /// All clients, in the order they came into the file.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// The client with this key.
    pub fn by_key(&self, key: &PublicKey) -> Option<&Client> {
        self.clients.get(self.by_mark.get(&Mark::Key(*key))?)
    }

    /// The client of this local user with this name; without a name, the user's only client.
    ///
    /// # Errors
    /// [`ByeReason::NotAllowed`], or [`ByeReason::NameNeeded`] if there are several.
    pub fn by_user(&self, uid: u32, name: &str) -> Result<FlowId, ByeReason> {
        let first = Mark::User(uid, name.to_owned());
        if !name.is_empty() {
            return self.by_mark.get(&first).copied().ok_or(ByeReason::NotAllowed);
        }
        let of_user = |(mark, _): &(&Mark, &FlowId)| matches!(mark, Mark::User(u, _) if *u == uid);
        let mut own = self.by_mark.range(first..).take_while(of_user);
        let (_, &flow) = own.next().ok_or(ByeReason::NotAllowed)?;
        own.next().map_or(Ok(flow), |_| Err(ByeReason::NameNeeded))
    }

    /// The client of this flow.
    pub fn by_flow(&self, flow: FlowId) -> Option<&Client> {
        self.clients.get(&flow)
    }

    /// The client of this flow, to be changed.
    pub fn by_flow_mut(&mut self, flow: FlowId) -> Option<&mut Client> {
        self.clients.get_mut(&flow)
    }

    /// The next of the flow's sessions that can take bytes; they take turns.
    pub fn next_session(
        &self,
        flow: FlowId,
        can_take: impl Fn(SessionId) -> bool,
    ) -> Option<SessionId> {
        let client = self.clients.get(&flow)?;
        let count = client.sessions.len();
        let start = usize::try_from(client.given_samples).unwrap_or(0) % count.max(1);
        (0..count).map(|step| client.sessions[(start + step) % count]).find(|&id| can_take(id))
    }

    /// Bytes per second promised to clients that have a place.
    pub fn promised_bytes_per_s(&self) -> u64 {
        self.promised_bytes_per_s
    }

    /// A session of the flow got a place.
    pub fn take_place(&mut self, flow: FlowId) {
        let Some(client) = self.clients.get_mut(&flow) else { return };
        client.places += 1;
        if client.places == 1 {
            self.promised_bytes_per_s += client.rule.guarantee_bytes_per_s;
        }
    }

    /// A session of the flow left its place.
    pub fn leave_place(&mut self, flow: FlowId) {
        let Some(client) = self.clients.get_mut(&flow) else { return };
        client.places -= 1;
        if client.places == 0 {
            self.promised_bytes_per_s -= client.rule.guarantee_bytes_per_s;
        }
    }

    /// A session ended.
    pub fn forget_session(&mut self, flow: FlowId, id: SessionId) {
        if let Some(client) = self.clients.get_mut(&flow) {
            client.sessions.retain(|&other| other != id);
        }
    }

    /// Why a session ended.
    pub fn record_end(&mut self, flow: FlowId, reason: EndReason) {
        if let Some(client) = self.clients.get_mut(&flow) {
            client.last_end = Some(reason);
        }
    }

    /// Bytes were given to the client.
    pub fn record_given(&mut self, flow: FlowId, bytes: u64, now: Moment) {
        if let Some(client) = self.clients.get_mut(&flow).filter(|_| bytes > 0) {
            client.given_bytes += bytes;
            client.given_samples += 1;
            client.given_at = Some(now);
            client.recent.add(bytes, now);
        }
    }
}

impl ClientRule {
    fn mark(&self) -> Mark {
        match self.identity {
            Identity::Key { key, .. } => Mark::Key(key),
            Identity::User { uid, .. } => Mark::User(uid, self.name.clone()),
            Identity::Guest { ref listener, origin } => Mark::Guest(listener.clone(), origin),
        }
    }

    /// Whether the client may come from there.
    pub fn allows(&self, peer: Peer) -> bool {
        match peer {
            Peer::Remote { address, .. } => {
                self.allowed.is_empty() || self.allowed.iter().any(|range| range.contains(address))
            }
            Peer::Local { .. } => true,
        }
    }
}

impl AddressRange {
    /// Whether the address lies in the block. An IPv4 address that came through an IPv6
    /// socket counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let prefix = u32::from(self.prefix_len);
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
                block.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
                block.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_user_is_its_own_clients_only() {
        let rule = |name: &str, uid| ClientRule {
            name: name.into(),
            identity: Identity::User { uid, user: format!("user-{uid}") },
            weight: 1,
            guarantee_bytes_per_s: 0,
            limit_bytes_per_s: None,
            max_sessions: 1,
            allowed: Vec::new(),
        };
        let mut roster = Roster::default();
        roster.replace(vec![rule("a", 7), rule("b", 8), rule("c", 8), rule("d", 9)]);
        let found = |uid, name| {
            let flow = roster.by_user(uid, name)?;
            Ok(roster.by_flow(flow).unwrap().rule.name.as_str())
        };
        assert_eq!(found(7, ""), Ok("a"));
        assert_eq!(found(7, "a"), Ok("a"));
        assert_eq!(found(8, "c"), Ok("c"));
        assert_eq!(found(9, ""), Ok("d"));
        assert_eq!(found(8, ""), Err(ByeReason::NameNeeded), "which of the two?");
        assert_eq!(found(7, "b"), Err(ByeReason::NotAllowed), "another user's");
        assert_eq!(found(6, ""), Err(ByeReason::NotAllowed));
        assert_eq!(found(6, "a"), Err(ByeReason::NotAllowed));
    }

    #[test]
    fn guests_are_bounded_and_those_who_are_here_are_not_forgotten() {
        let guest = |uid| {
            let origin = Origin::User(uid);
            ClientRule {
                name: format!("egd {origin}"),
                identity: Identity::Guest { listener: "egd".into(), origin },
                weight: 1,
                guarantee_bytes_per_s: 0,
                limit_bytes_per_s: None,
                max_sessions: 1,
                allowed: Vec::new(),
            }
        };
        let mut roster = Roster::default();
        let most = u32::try_from(GUESTS_MAX).unwrap();
        for uid in 0..most {
            let (flow, forgotten) = roster.guest(guest(uid), Moment::ZERO).unwrap();
            assert_eq!((flow, forgotten), (FlowId(uid), None));
        }
        // The first is still here, and may have no second session.
        roster.by_flow_mut(FlowId(0)).unwrap().sessions.push_back(SessionId(0));
        assert_eq!(roster.guest(guest(0), Moment::ZERO), Err(Some(FlowId(0))));
        assert_eq!(roster.guest(guest(7), Moment::ZERO), Ok((FlowId(7), None)), "as it left it");
        let found = roster.guest(guest(most), Moment::ZERO);
        assert_eq!(found, Ok((FlowId(most), Some(FlowId(1)))));
        let newcomer = roster.by_flow_mut(FlowId(most)).unwrap();
        assert_eq!(newcomer.log_level(Moment::ZERO), Level::Debug, "a crowd is no news");
        assert_eq!(roster.iter().count(), GUESTS_MAX);
        // A new clients file is nothing to them; and when all are here, nobody is forgotten.
        roster.replace(Vec::new());
        let all: Vec<_> = roster.iter().map(|client| client.flow).collect();
        for flow in all {
            roster.by_flow_mut(flow).unwrap().sessions.push_back(SessionId(1));
        }
        assert_eq!(roster.guest(guest(most + 1), Moment::ZERO), Err(None));
    }

    #[test]
    fn blocks_contain_what_they_should() {
        let range =
            |text: &str, prefix_len| AddressRange { address: text.parse().unwrap(), prefix_len };
        let cases = [
            (range("192.0.2.0", 24), "192.0.2.255", true),
            (range("192.0.2.0", 24), "192.0.3.0", false),
            (range("192.0.2.0", 24), "::ffff:192.0.2.9", true),
            (range("0.0.0.0", 0), "203.0.113.1", true),
            (range("0.0.0.0", 0), "2001:db8::1", false),
            (range("2001:db8::", 32), "2001:db8:ffff::1", true),
            (range("2001:db8::1", 128), "2001:db8::2", false),
            (range("::", 0), "2001:db8::2", true),
        ];
        for (range, address, inside) in cases {
            assert_eq!(range.contains(address.parse().unwrap()), inside, "{range:?} {address}");
        }
    }
}
