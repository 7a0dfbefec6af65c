//! A seeded simulation of the whole pure server: thousands of random steps, every invariant
//! checked at every step.
//!
//! `NETRNG_SIM_STEPS` sets the steps (default 20,000 a seed, four seeds), `NETRNG_SIM_SEED`
//! replays one seed; a failing run prints its own.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]

pub(super) mod script;

use super::core::{INPUT_MAX, MakeCodec, OUTPUT_MAX, OUTSTANDING_MAX, Server, SourceState};
use super::guests::ListenerRule;
use super::schedule::{FlowId, LIMIT_BURST};
use super::session::{EndReason, MESSAGES_BURST, Peer, SessionId, State};
use super::{ClientRule, Limits};
use crate::moment::Moment;
use crate::sample::Sample;
use crate::wire::egd::EgdServer;
use crate::wire::netrng02::Netrng02Server;
use crate::wire::{ByeReason, CodecError, Protocol, ServerCodec};
use script::{
    BYE, Dice, Given, GuestCodec, HELLO, Log, NAME, PING, PROVE, ScriptCodec, WANT, listeners,
    name, origin, rules,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SAMPLE: usize = 512;
const CLIENTS: u8 = 12;
const STOCK: usize = 16;
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses, and then users, that peers come from.
const ORIGINS: u8 = 5;
/// The first of those whose number is no client's: guests, by listener and origin.
const GUESTS: u8 = CLIENTS;
/// The first of those who speak NetRNG 0.2.
const OLD: u8 = GUESTS + 2 * ORIGINS;
const ALL: u8 = OLD + ORIGINS;

struct World {
    dice: Dice,
    now: Moment,
    server: Server,
    listeners: [Arc<ListenerRule>; 4],
    limits: Limits,
    log: Log,
    logged: usize,
    /// Serial number of its codec (0 before its first byte) and client of every live session.
    live: BTreeMap<SessionId, (u64, Option<u8>)>,
    /// Sessions that never take what is sent to them.
    deaf: BTreeSet<SessionId>,
    /// Rules were changed in this step: promises may be broken by that.
    reloaded: bool,
    /// The largest estimate in this step: a promise may have been made before the next reading.
    most_capacity: Option<u64>,
    by_serial: BTreeMap<u64, SessionId>,
    serials: Arc<Mutex<u64>>,
    rules: Vec<ClientRule>,
    stock: VecDeque<Vec<u8>>,
    /// Handed to the server and not yet seen to leave.
    expected: VecDeque<u8>,
    source: SourceState,
    rate: u64,
    next_byte: u64,
    /// Fill of each client's limit bucket, bytes, and when it was looked at.
    buckets: BTreeMap<u8, (f64, Moment)>,
    given: BTreeMap<u8, u64>,
    /// Answers with what nobody waited for.
    spared: u64,
    /// Answers that there is nothing yet.
    put_off: u64,
    /// For each pair of clients that want bytes together: what one had more when they began,
    /// but for what it was ahead of its share then.
    pairs: BTreeMap<(u8, u8), (i128, u128)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let limits = Limits {
            sample_size: SAMPLE,
            max_clients: 6,
            max_waiting: 5,
            max_handshakes: 8,
            max_handshakes_per_address: 4,
            handshakes_per_s_per_address: 50,
            write_timeout: WRITE_TIMEOUT,
            ..Limits::default()
        };
        let (log, serials) = (Log::default(), Arc::new(Mutex::new(0)));
        let codec_log = Arc::clone(&log);
        let codec_serials = Arc::clone(&serials);
        let make_codec: MakeCodec = Box::new(move |rule| {
            let mut serial = codec_serials.lock().unwrap();
            *serial += 1;
            let (serial, log) = (*serial, Arc::clone(&codec_log));
            let codec: Box<dyn ServerCodec + Send> = match rule.protocol {
                Protocol::Egd => Box::new(EgdServer::new(rule.greet_len, 4711)),
                Protocol::Netrng02 => Box::new(Netrng02Server::default()),
                _ => return Box::new(ScriptCodec { serial, proved: false, log }),
            };
            Box::new(GuestCodec { serial, codec, log, pending: None })
        });
        let mut dice = Dice(seed);
        let rules = rules(&mut dice);
        World {
            server: Server::new(limits.clone(), rules.clone(), make_codec),
            listeners: listeners(),
            dice,
            now: Moment::from_nanos(1),
            limits,
            log,
            logged: 0,
            live: BTreeMap::new(),
            deaf: BTreeSet::new(),
            reloaded: false,
            most_capacity: None,
            by_serial: BTreeMap::new(),
            serials,
            rules,
            stock: VecDeque::new(),
            expected: VecDeque::new(),
            source: SourceState::Starting,
            rate: 20_000,
            next_byte: 0,
            buckets: BTreeMap::new(),
            given: BTreeMap::new(),
            spared: 0,
            put_off: 0,
            pairs: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        let promised = self.server.promised();
        self.most_capacity = self.server.capacity_bytes_per_s();
        self.reloaded = false;
        match self.dice.below(100) {
            0..8 => self.connect(),
            8..60 => self.speak(),
            60..64 => self.close(),
            64..84 => self.flush(),
            84..96 => self.pass_time(),
            96..98 => self.toggle_source(),
            98 => self.change_rate(),
            _ => self.reload(),
        }
        self.serve();
        self.collect();
        self.check(promised);
    }

    fn connect(&mut self) {
        let number = self.dice.below(ORIGINS.into()) as u8;
        let kind = self.dice.below(8).saturating_sub(4) as u8;
        let listener = Arc::clone(&self.listeners[usize::from(kind)]);
        let before = *self.serials.lock().unwrap();
        let accepted = self.server.handle_accept(origin(number), &listener, self.now);
        self.collect();
        let Some(id) = accepted else { return };
        let guest = kind.checked_sub(1).map(|kind| GUESTS + kind * ORIGINS + number);
        let serial = *self.serials.lock().unwrap();
        assert_eq!(serial - before, u64::from(guest.is_some()), "guests speak at once");
        self.live.insert(id, (if guest.is_some() { serial } else { 0 }, guest));
        if guest.is_some() {
            self.by_serial.insert(serial, id);
        }
        if self.dice.below(40) == 0 {
            self.deaf.insert(id);
        }
    }

    /// A guest says something: mostly what its protocol knows, in pieces or many at once.
    fn speak_as_guest(&mut self, id: SessionId) {
        let is_egd = self.server.session(id).is_some_and(|s| s.rule.protocol == Protocol::Egd);
        let message = match is_egd {
            true => script::egd_words(&mut self.dice),
            false => script::netrng02_words(&mut self.dice),
        };
        let cut = self.dice.below(message.len() as u64 + 1) as usize;
        let (front, back) = message.split_at(cut);
        self.say(id, front);
        if self.server.accepts_input(id) {
            self.say(id, back);
        }
        if is_egd && self.dice.below(3000) == 0 {
            // As much as may wait to be heard, and each of it an answer longer than itself.
            self.say(id, &[4; INPUT_MAX]);
        }
    }

    /// What the log calls a client or guest.
    fn title(&self, number: u8) -> String {
        let Some(guest) = number.checked_sub(GUESTS) else { return name(number) };
        let listener = &self.listeners[usize::from(1 + guest / ORIGINS)];
        format!("{} {}", listener.name, origin(guest % ORIGINS).origin())
    }

    fn say(&mut self, id: SessionId, message: &[u8]) {
        let before = *self.serials.lock().unwrap();
        self.server.handle_bytes(id, message, self.now);
        let serial = *self.serials.lock().unwrap();
        if serial != before {
            self.live.get_mut(&id).unwrap().0 = serial;
            self.by_serial.insert(serial, id);
        }
    }

    fn pick(&mut self) -> Option<SessionId> {
        let count = self.live.len() as u64;
        if count == 0 {
            return None;
        }
        let index = self.dice.below(count) as usize;
        self.live.keys().nth(index).copied()
    }

    /// A random session says something: mostly what is in order, sometimes not.
    fn speak(&mut self) {
        let Some(id) = self.pick() else { return };
        if !self.server.accepts_input(id) {
            return;
        }
        let known = self.live[&id].1;
        if known.is_some_and(|number| number >= GUESTS) {
            return self.speak_as_guest(id);
        }
        let proved = self.server.session(id).is_some_and(|session| session.is_proved());
        let peer = self.server.session(id).map(|session| session.peer);
        let message = match (self.dice.below(100), known) {
            (0, _) => vec![99, 0],
            (1, _) => vec![BYE, 0],
            (roll, None) if roll == 2 || matches!(peer, Some(Peer::Local { .. })) => {
                let client = 2 + 3 * self.dice.below(4) as u8;
                self.live.get_mut(&id).unwrap().1 = Some(client);
                vec![NAME, client]
            }
            (_, None) => {
                let client = self.dice.below(u64::from(CLIENTS) + 1) as u8;
                // A local user's client has no key: seldom tried.
                let has_key = client % 3 < 2 || self.dice.below(8) == 0;
                let client = if has_key { client } else { client - 1 };
                self.live.get_mut(&id).unwrap().1 = Some(client);
                vec![HELLO, client]
            }
            (_, Some(_)) if !proved => vec![PROVE, 0],
            (2..10, _) => vec![PING, 1],
            _ => vec![WANT, self.dice.below(60) as u8],
        };
        self.say(id, &message);
        if self.dice.below(3000) == 0 {
            for _ in 0..=MESSAGES_BURST + MESSAGES_BURST / 10 {
                self.say(id, &[PING, 1]);
                self.server.handle_sent(id, usize::MAX, self.now);
            }
        }
    }

    fn close(&mut self) {
        if let Some(id) = self.pick() {
            self.server.handle_closed(id, EndReason::PeerClosed, self.now);
        }
    }

    /// Sends what stands in the outputs; some sockets are full, some stay so.
    fn flush(&mut self) {
        while let Some(id) = self.server.poll_flush() {
            let len = self.server.output(id).len();
            let sent = match self.dice.below(10) {
                _ if self.deaf.contains(&id) => 0,
                0 => 0,
                1 => len / 2,
                _ => len,
            };
            self.server.handle_sent(id, sent, self.now);
        }
        if let Some(id) = self.pick().filter(|id| !self.deaf.contains(id)) {
            let len = self.server.output(id).len();
            self.server.handle_sent(id, len, self.now);
        }
    }

    fn pass_time(&mut self) {
        let mut span = Duration::from_millis(1 << self.dice.below(12));
        if let Some(at) = self.server.poll_timeout() {
            assert!(at > self.now, "a deadline in the past");
            span = span.min(at - self.now).max(Duration::from_nanos(1));
        }
        self.now = self.now + span;
        self.server.handle_timeout(self.now);
        if self.source == SourceState::Good {
            self.read(span);
        }
    }

    /// As the reader does: until the time is up or the stock is full.
    fn read(&mut self, span: Duration) {
        let sample_span = Duration::from_nanos(SAMPLE as u64 * 1_000_000_000 / self.rate);
        let mut left = span;
        while self.stock.len() < STOCK {
            self.server.handle_reading(SAMPLE as u64, sample_span, self.now);
            self.most_capacity = self.most_capacity.max(self.server.capacity_bytes_per_s());
            let sample = (0..SAMPLE).map(|_| {
                self.next_byte += 1;
                (self.next_byte.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
            });
            self.stock.push_back(sample.collect());
            match left.checked_sub(sample_span) {
                Some(rest) => left = rest,
                None => return,
            }
        }
        self.server.handle_stock_full(self.now);
        self.most_capacity = self.most_capacity.max(self.server.capacity_bytes_per_s());
    }

    fn toggle_source(&mut self) {
        self.source = match self.source {
            SourceState::Good if self.dice.below(3) == 0 => SourceState::Failed,
            _ => SourceState::Good,
        };
        if self.source == SourceState::Failed {
            self.stock.clear();
            self.expected.clear();
            self.pairs.clear();
        }
        self.server.handle_source(self.source, self.now);
        if self.source == SourceState::Failed {
            assert_eq!(self.server.capacity_bytes_per_s(), None, "it may come back as another");
        }
    }

    fn change_rate(&mut self) {
        self.rate = 500 << self.dice.below(12);
    }

    fn reload(&mut self) {
        if self.dice.below(4) > 0 {
            return;
        }
        self.reloaded = true;
        self.rules = rules(&mut self.dice);
        if self.dice.below(2) == 0 {
            let gone = self.dice.below(CLIENTS.into()) as usize;
            self.rules.remove(gone);
        }
        self.server.handle_clients(self.rules.clone(), self.now);
        self.buckets.clear();
        self.pairs.clear();
    }

    fn serve(&mut self) {
        let (stock, expected) = (&mut self.stock, &mut self.expected);
        let mut take = || {
            let bytes = stock.pop_front()?;
            expected.extend(&bytes);
            Some(Sample::new(bytes))
        };
        self.server.serve(&mut take, self.now);
        assert!(!self.server.is_asked(), "somebody is still to be told that there is nothing");
        if self.server.is_hungry(self.now) {
            assert!(self.stock.is_empty(), "somebody wants bytes, and there are some");
            let log = self.log.lock().unwrap();
            let took = log[self.logged..].iter().any(|given| given.is_spare);
            assert!(!took, "taken although somebody waited");
        }
    }

    /// Books what left and who ended.
    fn collect(&mut self) {
        let log = Arc::clone(&self.log);
        let log = log.lock().unwrap();
        for Given { serial, bytes, is_spare } in &log[self.logged..] {
            if !is_spare && bytes.is_empty() {
                self.put_off += 1;
                continue;
            }
            self.spared += u64::from(*is_spare);
            assert_eq!(self.source, SourceState::Good, "bytes from a source that failed");
            for byte in bytes {
                assert_eq!(self.expected.pop_front(), Some(*byte), "given twice, or out of order");
            }
            let id = self.by_serial[serial];
            let client = self.live[&id].1.expect("served sessions have said hello");
            *self.given.entry(client).or_default() += bytes.len() as u64;
            self.charge_bucket(client, bytes.len());
        }
        self.logged = log.len();
        drop(log);
        while let Some((id, _)) = self.server.poll_ended() {
            let (serial, _) = self.live.remove(&id).expect("a session ends once");
            self.by_serial.remove(&serial);
            self.deaf.remove(&id);
        }
    }

    fn charge_bucket(&mut self, client: u8, bytes: usize) {
        let title = self.title(client);
        let client_rule = self.server.clients().find(|known| known.rule.name == title);
        let Some(limit) = client_rule.and_then(|known| known.rule.limit_bytes_per_s) else {
            return;
        };
        let burst = (SAMPLE as f64).max(limit as f64 * LIMIT_BURST.as_secs_f64());
        let (fill, at) = self.buckets.entry(client).or_insert((2.0 * burst, self.now));
        let earned = (self.now - *at).as_secs_f64() * limit as f64;
        *fill = (*fill + earned).min(2.0 * burst) - bytes as f64;
        *at = self.now;
        assert!(*fill >= -1.0, "client {client} is over its limit of {limit} bytes/s");
    }

    fn check(&mut self, promised_before: u64) {
        let server = &self.server;
        assert!(server.served_sessions() <= self.limits.max_clients);
        assert!(server.waiting_sessions() <= self.limits.max_waiting);
        assert!(server.handshaking_sessions() <= self.limits.max_handshakes);
        let mut counts = [0; 3];
        let mut per_client: BTreeMap<_, u32> = BTreeMap::new();
        for (_, session) in server.iter() {
            assert!(session.outstanding <= OUTSTANDING_MAX);
            let is_old = session.rule.protocol == Protocol::Netrng02;
            assert_eq!(session.answer_by.is_some(), is_old && session.outstanding > 0);
            let stuck = session.stuck_since.is_some_and(|at| at + WRITE_TIMEOUT < self.now);
            assert!(!stuck, "a session outlived its write timeout");
            assert!(session.output.len() <= OUTPUT_MAX + SAMPLE + 64);
            match session.state {
                State::Served => counts[0] += 1,
                State::InLine => counts[1] += 1,
                State::Handshaking { .. } => counts[2] += 1,
                _ => {}
            }
            if matches!(session.state, State::Served | State::InLine | State::Parked) {
                *per_client.entry(session.flow).or_default() += 1;
            }
        }
        let counted =
            [server.served_sessions(), server.waiting_sessions(), server.handshaking_sessions()];
        assert_eq!(counts, counted);
        for client in server.clients() {
            let count = per_client.get(&Some(client.flow)).copied().unwrap_or(0);
            assert!(count <= client.rule.max_sessions, "{}", client.rule.name);
        }
        let seated =
            |flow| server.iter().any(|(_, s)| s.state == State::Served && s.flow == Some(flow));
        let seated = server.clients().filter(|client| seated(client.flow));
        let summed: u64 = seated.map(|client| client.rule.guarantee_bytes_per_s).sum();
        let promised = server.promised();
        assert_eq!(promised, summed, "what is promised is summed up wrongly");
        if promised > promised_before && !self.reloaded {
            let capacity = self.most_capacity.unwrap_or(0);
            let most = super::admission::promisable(capacity, self.limits.headroom);
            assert!(promised <= most, "{promised} promised, {most} may be");
        }
        if self.server.poll_timeout().is_some_and(|at| at <= self.now) {
            self.handle_due();
        }
        self.check_pairs();
        self.check_line();
    }

    /// A deadline may be set for this very moment; it must be gone once it is handled.
    fn handle_due(&mut self) {
        self.server.handle_timeout(self.now);
        self.server.is_hungry(self.now);
        self.collect();
        assert!(self.server.poll_timeout().is_none_or(|at| at > self.now), "a stale deadline");
        let late = |at| at <= self.now;
        assert!(!self.server.iter().any(|(_, s)| s.answer_by.is_some_and(late)), "kept waiting");
    }

    /// Nobody waits in line while there is a place for it.
    fn check_line(&mut self) {
        let known = self.server.capacity_bytes_per_s().is_some();
        let free = self.server.served_sessions() < self.limits.max_clients;
        assert!(
            self.server.waiting_sessions() == 0 || !free || !known,
            "{} wait although there is a place and the source is known",
            self.server.waiting_sessions()
        );
        let guest_seated =
            self.server.iter().any(|(_, s)| s.is_guest() && s.state == State::Served);
        let mut seen_guest = false;
        for session in self.server.line.iter().map(|id| self.server.sessions[id.0].as_ref()) {
            let session = session.expect("who waits is there");
            let client = self.server.clients().find(|client| Some(client.flow) == session.flow);
            let promised = client.is_some_and(|client| client.rule.guarantee_bytes_per_s > 0);
            assert!(!free || promised, "waits for a capacity that it does not need");
            let in_the_way = !session.is_guest() && !promised && (guest_seated || seen_guest);
            assert!(!in_the_way, "has a key, and a guest is before it");
            seen_guest |= session.is_guest();
        }
    }

    /// Equal clients that want bytes together: at most one sample apart, counting what one of
    /// them was ahead when they began. If that was more, for what one missed in the gap before
    /// its request, never further apart than then.
    fn check_pairs(&mut self) {
        let wanting: Vec<(u8, FlowId)> = (0..ALL)
            .filter_map(|client| {
                let title = self.title(client);
                let known = self.server.clients().find(|known| known.rule.name == title)?;
                let rule = &known.rule;
                let equal = rule.limit_bytes_per_s.is_none()
                    && rule.guarantee_bytes_per_s == 0
                    && rule.weight == 1;
                let wants = known.sessions.iter().any(|&id| self.server.can_take(id));
                (equal && wants).then_some((client, known.flow))
            })
            .collect();
        let wants = |client: u8| wanting.iter().any(|&(other, _)| other == client);
        self.pairs.retain(|&(a, b), _| wants(a) && wants(b));
        let got = |client: u8| i128::from(self.given.get(&client).copied().unwrap_or(0));
        for (index, &(a, flow_a)) in wanting.iter().enumerate() {
            for &(b, flow_b) in &wanting[index + 1..] {
                let lead = got(a) - got(b);
                let scheduler = &self.server.scheduler;
                let ahead = scheduler.lead_bytes(flow_a, flow_b);
                let sample = SAMPLE as u128;
                let began = (lead - ahead, ahead.unsigned_abs().max(sample));
                let (offset, most) = *self.pairs.entry((a, b)).or_insert(began);
                assert!(most <= 2 * sample, "clients {a} and {b} begin {most} bytes apart");
                let apart = (lead - offset).unsigned_abs();
                assert!(apart <= most, "clients {a} and {b} are {apart} bytes apart");
            }
        }
    }
}

fn run(seed: u64, steps: u64) -> World {
    struct Tell(u64, u64);
    impl Drop for Tell {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("replay: NETRNG_SIM_SEED={} (failed at step {})", self.0, self.1);
            }
        }
    }
    let mut tell = Tell(seed, 0);
    let mut world = World::new(seed);
    for step in 0..steps {
        tell.1 = step;
        world.step();
        if step % 4096 == 0 {
            world.log.lock().unwrap().clear();
            world.logged = 0;
        }
    }
    world
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_invariant_holds_at_every_step() {
    let steps = number("NETRNG_SIM_STEPS").unwrap_or(20_000);
    let seeds: Vec<u64> = match number("NETRNG_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (1..=4).collect(),
    };
    let mut ended: BTreeMap<EndReason, u64> = BTreeMap::new();
    let (mut given, mut guests, mut old, mut spared, mut put_off) = (0, 0, 0, 0, 0);
    for seed in seeds {
        let world = run(seed, steps);
        given += world.given.values().sum::<u64>();
        guests += world.given.range(GUESTS..).map(|(_, bytes)| bytes).sum::<u64>();
        old += world.given.range(OLD..).map(|(_, bytes)| bytes).sum::<u64>();
        spared += world.spared;
        put_off += world.put_off;
        for (reason, count) in &world.server.counters().ended {
            *ended.entry(*reason).or_default() += count;
        }
    }
    println!(
        "{given} bytes given, {guests} to guests, {old} of them to NetRNG 0.2, with {put_off} \
         heartbeats; {spared} answers to spare; sessions ended: {ended:?}"
    );
    // A simulation in which nothing happens shows nothing.
    assert!(given > steps * 10, "only {given} bytes were given");
    assert!(guests > steps && spared > steps / 100, "guests got {guests} bytes, {spared} to spare");
    assert!(old > steps && put_off > steps / 100, "{old} bytes, {put_off} heartbeats");
    for reason in [
        EndReason::PeerClosed,
        EndReason::UnknownKey,
        EndReason::TooManyGuests,
        EndReason::Codec(CodecError::BadMessage),
        EndReason::Codec(CodecError::OutOfOrder),
        EndReason::HandshakeTimeout,
        EndReason::WriteTimeout,
        EndReason::Flood,
        EndReason::Crowded,
        EndReason::Bye(ByeReason::Full),
        EndReason::Bye(ByeReason::Replaced),
        EndReason::Bye(ByeReason::NoCapacity),
        EndReason::Bye(ByeReason::NotAllowed),
    ] {
        assert!(ended.contains_key(&reason), "{reason} never happened: {ended:?}");
    }
}
