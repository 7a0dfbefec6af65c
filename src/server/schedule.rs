//! Whose turn it is: start-time fair queueing with guarantees and limits.
//!
//! Owns virtual time and nothing else: no sessions, no bytes, no clock. A flow is a client;
//! it wants bytes, is picked, and is charged for what it got.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996) keeps for each flow a tag: the
//! bytes it was served, divided by its weight, in a virtual time that all flows share. The
//! flow with the lowest tag is next, so two flows that want bytes all along never differ by
//! more than one slice of the larger, whatever the sizes of their requests. A flow that comes
//! back from idle starts at the present virtual time: no claim, no penalty.
//!
//! Guarantees use a second clock a flow, in real time: it advances by bytes ÷ guarantee with
//! every service, and a flow whose clock is not ahead of the time has not had its due, so it
//! goes first, the one furthest behind foremost. If the source cannot keep all the promises,
//! all these clocks fall behind together, which shares what there is in proportion to the
//! guarantees; the time they are measured against then waits for them, so that no debt grows
//! beyond [`DEBT_MAX`].

use crate::moment::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How far guarantees may fall behind and still be made good.
pub const DEBT_MAX: Duration = Duration::from_secs(1);
/// A limit lets through this much at once, if that is more than one sample.
pub const LIMIT_BURST: Duration = Duration::from_millis(100);
/// Samples that a flow may be ahead of its share by its guarantee, and still has to make up
/// for: more would punish it long after the guarantee mattered.
const AHEAD_MAX_SAMPLES: u128 = 4;
/// Virtual time of one byte at weight 1. Rounding errs by less than a millionth of a byte.
const BYTE: u128 = 1 << 20;
const NANOS_PER_S: u128 = 1_000_000_000;

/// A client, to the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u32);

/// What a flow may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowRule {
    /// Its part against the others' weights; at least 1.
    pub weight: u32,
    /// Bytes per second it always gets while it wants them; 0 for none.
    pub guarantee_bytes_per_s: u64,
    /// Bytes per second it never exceeds.
    pub limit_bytes_per_s: Option<u64>,
}

impl Default for FlowRule {
    fn default() -> Self {
        FlowRule { weight: 1, guarantee_bytes_per_s: 0, limit_bytes_per_s: None }
    }
}

/// Who is next, and how much it may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The flow.
    pub flow: FlowId,
    /// Bytes: at least 1.
    pub at_most: usize,
}

#[derive(Debug)]
struct Flow {
    rule: FlowRule,
    /// Bytes wanted and not served.
    want: u64,
    /// Virtual start tag.
    tag: u128,
    /// Up to when the guarantee is kept, on the guarantees' clock, nanoseconds.
    kept_until: u128,
    /// When the limit's bucket was, or will be, empty, nanoseconds.
    limit_empty_at: u128,
    place: Place,
}

/// Where a flow stands. One enum, so that it is in exactly the sets that belong to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Idle,
    /// In `by_tag`, and with a guarantee in `by_due`; the order breaks ties, first come.
    Queued(u64),
    /// In `paused`, until its limit lets it go on.
    Paused(Moment),
}

/// The scheduler. All operations cost O(log n) in the flows that want bytes.
#[derive(Debug)]
pub struct Scheduler {
    sample_size: u64,
    flows: BTreeMap<FlowId, Flow>,
    by_tag: BTreeSet<(u128, u64, FlowId)>,
    by_due: BTreeSet<(u128, u64, FlowId)>,
    paused: BTreeSet<(Moment, FlowId)>,
    /// The lowest tag of those that wanted bytes when somebody was last served.
    virtual_now: u128,
    /// Real time the guarantees' clock has stood still, nanoseconds.
    held_back: u128,
    order: u64,
}

impl Scheduler {
    /// A scheduler for samples of at most `sample_size` bytes.
    pub fn new(sample_size: usize) -> Self {
        Scheduler {
            sample_size: sample_size as u64,
            flows: BTreeMap::new(),
            by_tag: BTreeSet::new(),
            by_due: BTreeSet::new(),
            paused: BTreeSet::new(),
            virtual_now: 0,
            held_back: 0,
            order: 0,
        }
    }

    /// Takes a flow in, or changes what it may have; what it wants stays.
    pub fn set_rule(&mut self, id: FlowId, rule: FlowRule, now: Moment) {
        let want = self.flows.get(&id).map_or(0, |flow| flow.want);
        self.set_want(id, 0, now);
        let (tag, due) = (self.virtual_now, self.guarantee_clock(now));
        let flow = self.flows.entry(id).or_insert(Flow {
            rule,
            want: 0,
            tag,
            kept_until: due,
            limit_empty_at: 0,
            place: Place::Idle,
        });
        flow.rule = rule;
        self.set_want(id, want, now);
    }

    /// Forgets a flow.
    pub fn remove(&mut self, id: FlowId) {
        self.unqueue(id);
        self.flows.remove(&id);
    }

    /// Says how many bytes a flow wants in all; 0 makes it idle. Unknown flows are ignored.
    pub fn set_want(&mut self, id: FlowId, want: u64, now: Moment) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let was_idle = flow.place == Place::Idle;
        let smaller = want < flow.want;
        flow.want = want;
        if want == 0 {
            self.unqueue(id);
        } else if was_idle {
            self.wake(id, now);
            self.queue(id, now);
        } else if smaller && matches!(flow.place, Place::Paused(_)) {
            // Less may fit into the bucket at once.
            self.unqueue(id);
            self.queue(id, now);
        }
    }

    /// Flows that want bytes, limited ones included.
    pub fn waiting(&self) -> usize {
        self.by_tag.len() + self.paused.len()
    }

    /// Whether somebody could be served at `now`.
    pub fn has_turn(&mut self, now: Moment) -> bool {
        self.resume(now);
        !self.by_tag.is_empty()
    }

    /// Who is next for at most `slice` bytes. Asking changes nothing: [`Scheduler::charge`] does.
    pub fn poll_turn(&mut self, slice: usize, now: Moment) -> Option<Turn> {
        self.resume(now);
        let id = self.due(now).or_else(|| Some(self.by_tag.first()?.2))?;
        let flow = self.flows.get(&id)?;
        let at_most = flow.want.min(slice as u64).min(flow.bucket(self.sample_size, now)).max(1);
        Some(Turn { flow: id, at_most: usize::try_from(at_most).unwrap_or(slice) })
    }

    /// Charges a flow for bytes it was given, and queues it again if it wants more.
    pub fn charge(&mut self, id: FlowId, bytes: usize, now: Moment) {
        self.unqueue(id);
        let clock = self.guarantee_clock(now);
        let sample_size = self.sample_size;
        let others_lowest = self.by_tag.first().map_or(u128::MAX, |&(tag, ..)| tag);
        let Some(flow) = self.flows.get_mut(&id) else { return };
        self.virtual_now = self.virtual_now.max(flow.tag.min(others_lowest));
        let bytes = bytes as u64;
        let weight = u128::from(flow.rule.weight.max(1));
        flow.tag += u128::from(bytes) * BYTE / weight;
        flow.tag = flow.tag.min(flow.tag_max(self.virtual_now, sample_size));
        if let Some(span) = nanos_for(bytes, flow.rule.guarantee_bytes_per_s) {
            let ahead = nanos_for(sample_size, flow.rule.guarantee_bytes_per_s).unwrap_or(0);
            flow.kept_until = (flow.kept_until + span).min(clock + ahead.max(span));
        }
        if let Some(span) = flow.rule.limit_bytes_per_s.and_then(|limit| nanos_for(bytes, limit)) {
            flow.limit_empty_at = flow.limit_start(sample_size, now) + span;
        }
        flow.want = flow.want.saturating_sub(bytes);
        if flow.want > 0 {
            self.queue(id, now);
        }
    }

    /// When a limited flow may go on, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.paused.first().map(|&(at, _)| at)
    }

    /// The flow whose guarantee is due, furthest behind first. Holds the clock back if even
    /// that one is further behind than [`DEBT_MAX`].
    fn due(&mut self, now: Moment) -> Option<FlowId> {
        let &(kept_until, _, id) = self.by_due.first()?;
        let clock = self.guarantee_clock(now);
        let debt = clock.checked_sub(kept_until)?;
        self.held_back += debt.saturating_sub(DEBT_MAX.as_nanos());
        Some(id)
    }

    fn guarantee_clock(&self, now: Moment) -> u128 {
        u128::from(now.as_nanos()).saturating_sub(self.held_back)
    }

    /// Back from idle: at the present of both clocks, neither owed nor owing.
    fn wake(&mut self, id: FlowId, now: Moment) {
        let clock = self.guarantee_clock(now);
        let (virtual_now, sample_size) = (self.virtual_now, self.sample_size);
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.tag = flow.tag.clamp(virtual_now, flow.tag_max(virtual_now, sample_size));
        flow.kept_until = flow.kept_until.max(clock);
    }

    fn queue(&mut self, id: FlowId, now: Moment) {
        self.order += 1;
        let order = self.order;
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if let Some(at) = flow.limited_until(self.sample_size, now) {
            flow.place = Place::Paused(at);
            self.paused.insert((at, id));
            return;
        }
        flow.place = Place::Queued(order);
        self.by_tag.insert((flow.tag, order, id));
        if flow.rule.guarantee_bytes_per_s > 0 {
            self.by_due.insert((flow.kept_until, order, id));
        }
    }

    fn unqueue(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        match std::mem::replace(&mut flow.place, Place::Idle) {
            Place::Idle => {}
            Place::Queued(order) => {
                self.by_tag.remove(&(flow.tag, order, id));
                self.by_due.remove(&(flow.kept_until, order, id));
            }
            Place::Paused(at) => {
                self.paused.remove(&(at, id));
            }
        }
    }

    /// Lets flows go on whose limit allows it again, as if back from idle.
    fn resume(&mut self, now: Moment) {
        while let Some(&(at, id)) = self.paused.first() {
            if at > now {
                return;
            }
            self.unqueue(id);
            self.wake(id, now);
            self.queue(id, now);
        }
    }
}

impl Flow {
    /// How far the tag may be ahead. Without a guarantee no tag ever gets there.
    fn tag_max(&self, virtual_now: u128, sample_size: u64) -> u128 {
        let ahead = AHEAD_MAX_SAMPLES * u128::from(sample_size) * BYTE;
        virtual_now + ahead / u128::from(self.rule.weight.max(1))
    }

    fn limit_burst_bytes(&self, sample_size: u64, limit: u64) -> u64 {
        let burst = u128::from(limit) * LIMIT_BURST.as_nanos() / NANOS_PER_S;
        sample_size.max(u64::try_from(burst).unwrap_or(u64::MAX))
    }

    /// From when the bucket fills, looked at now: it never holds more than the burst.
    fn limit_start(&self, sample_size: u64, now: Moment) -> u128 {
        let Some(limit) = self.rule.limit_bytes_per_s else { return 0 };
        let burst = nanos_for(self.limit_burst_bytes(sample_size, limit), limit).unwrap_or(0);
        self.limit_empty_at.max(u128::from(now.as_nanos()).saturating_sub(burst))
    }

    /// Bytes in the limit's bucket.
    fn bucket(&self, sample_size: u64, now: Moment) -> u64 {
        let Some(limit) = self.rule.limit_bytes_per_s else { return u64::MAX };
        let filled = u128::from(now.as_nanos()).saturating_sub(self.limit_start(sample_size, now));
        u64::try_from(filled * u128::from(limit) / NANOS_PER_S).unwrap_or(u64::MAX)
    }

    /// When the bucket holds what the flow wants, at most one sample; `None` if it does now.
    fn limited_until(&self, sample_size: u64, now: Moment) -> Option<Moment> {
        let limit = self.rule.limit_bytes_per_s?;
        let enough = self.want.min(sample_size);
        if self.bucket(sample_size, now) >= enough {
            return None;
        }
        let span = nanos_for(enough, limit)?;
        let at = self.limit_start(sample_size, now) + span;
        Some(Moment::from_nanos(u64::try_from(at).unwrap_or(u64::MAX)))
    }
}

/// How long `bytes` take at `rate` bytes per second, rounded up; `None` for rate 0.
fn nanos_for(bytes: u64, rate: u64) -> Option<u128> {
    (rate > 0).then(|| (u128::from(bytes) * NANOS_PER_S).div_ceil(u128::from(rate)))
}
