//! Whose turn it is: start-time fair queueing with guarantees and limits.
//!
//! Owns virtual time and nothing else: no sessions, no bytes, no clock. A flow is a client;
//! it wants bytes, is picked, and is charged for what it got.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996) keeps for each flow a tag: the
//! bytes it was served, divided by its weight, in a virtual time that all flows share. The
//! flow with the lowest tag is next, so two flows that want bytes all along never differ by
//! more than one slice of the larger, whatever the sizes of their requests. A flow that comes
//! back from idle starts at the present virtual time: no claim, no penalty. The gap between an
//! answer and the next request of a client that asks for one at a time is not idleness: what it
//! missed in it, up to one sample, stays its due. Else whoever asks for more at a time would get
//! more. Nor is it idle while it was told to ask again before its turn came: else it would come
//! back behind all others, and where a round takes long, its turn might never come.
//!
//! Guarantees add two things a flow. A clock in real time advances by bytes ÷ guarantee with
//! every service: while it is behind the time of some flow, a guarantee is due, and flows with
//! guarantees go before all others. Which of them goes is decided by a second tag, bytes divided
//! by the guarantee. So every promise that fits is kept, and when the source cannot keep them
//! all, what there is is shared in proportion to the guarantees. Flows with equal rules have
//! equal tags of both kinds, so guarantees do not weaken the bound above.

use crate::moment::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What of a guarantee was not kept is made good for at most this long.
pub const DEBT_MAX: Duration = Duration::from_secs(1);
/// A limit lets through this much at once, if that is more than one sample.
pub const LIMIT_BURST: Duration = Duration::from_millis(100);
/// Samples that a flow may be ahead of its share by its guarantee, and still has to make up
/// for: more would punish it long after the guarantee mattered.
const AHEAD_MAX_SAMPLES: u128 = 4;
/// From an answer to the next request of a client that asks for one at a time: longer than any
/// network's round trip. Whoever wants nothing for longer is idle.
pub const GAP_MAX: Duration = Duration::from_millis(250);
/// The same for one that was told to ask again before its turn came: the original NetRNG's clients
/// do so after 1 s, and late if their machine is busy.
pub const PUT_OFF_MAX: Duration = Duration::from_millis(2500);
/// Virtual time of one byte at weight 1: fine enough that rounding errs by less than a
/// millionth for whole samples and guarantees of up to 1 GB/s.
const BYTE: u128 = 1 << 40;
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
    /// Bytes by weight.
    tag: u128,
    /// Bytes by guarantee.
    guarantee_tag: u128,
    /// Up to when the guarantee is kept, nanoseconds.
    kept_until: u128,
    /// Since when it has wanted bytes, but for gaps.
    wants_since: Moment,
    /// When it last stopped wanting bytes, nanoseconds.
    idle_at: u128,
    /// Up to when that may be a gap between two requests, nanoseconds.
    gap_until: u128,
    /// When the limit's bucket was, or will be, empty, nanoseconds.
    limit_empty_at: u128,
    place: Place,
}

/// Where a flow stands. One enum, so that it is in exactly the sets that belong to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Idle,
    /// In `by_tag`, and with a guarantee in the other two sets; the order breaks ties, first
    /// come.
    Queued(u64),
    /// In `paused`, until its limit lets it go on.
    Paused(Moment),
}

/// The flows that want bytes.
#[derive(Debug, Default)]
struct Queues {
    by_tag: BTreeSet<(u128, u64, FlowId)>,
    by_guarantee_tag: BTreeSet<(u128, u64, FlowId)>,
    by_due: BTreeSet<(u128, FlowId)>,
    paused: BTreeSet<(Moment, FlowId)>,
    order: u64,
}

/// The two virtual times.
#[derive(Debug, Default, Clone, Copy)]
struct VirtualNow {
    /// The lowest tag of those that wanted bytes when somebody was last served.
    tag: u128,
    /// The same of the tags by guarantee.
    guarantee_tag: u128,
}

/// The scheduler. All operations cost O(log n) in the flows.
#[derive(Debug)]
pub struct Scheduler {
    sample_size: u64,
    flows: BTreeMap<FlowId, Flow>,
    queues: Queues,
    virtual_now: VirtualNow,
}

impl Scheduler {
    /// A scheduler for samples of at most `sample_size` bytes.
    pub fn new(sample_size: usize) -> Self {
        Scheduler {
            sample_size: sample_size as u64,
            flows: BTreeMap::new(),
            queues: Queues::default(),
            virtual_now: VirtualNow::default(),
        }
    }

    /// Takes a flow in, or changes what it may have; what it wants stays.
    pub fn set_rule(&mut self, id: FlowId, rule: FlowRule, now: Moment) {
        let want = self.flows.get(&id).map_or(0, |flow| flow.want);
        self.set_want(id, 0, now);
        let flow = self.flows.entry(id).or_insert(Flow {
            rule,
            want: 0,
            tag: 0,
            guarantee_tag: 0,
            kept_until: nanos(now),
            wants_since: now,
            // As if idle since ever.
            idle_at: 0,
            gap_until: 0,
            limit_empty_at: 0,
            place: Place::Idle,
        });
        if flow.rule.guarantee_bytes_per_s != rule.guarantee_bytes_per_s {
            // A promise holds from when it is made.
            flow.kept_until = nanos(now);
        }
        flow.rule = rule;
        self.set_want(id, want, now);
    }

    /// Forgets a flow.
    pub fn remove(&mut self, id: FlowId) {
        let Some(mut flow) = self.flows.remove(&id) else { return };
        self.queues.remove(id, &mut flow);
    }

    /// Says how many bytes a flow wants in all; 0 makes it idle. Unknown flows are ignored.
    pub fn set_want(&mut self, id: FlowId, want: u64, now: Moment) {
        self.change_want(id, want, GAP_MAX, now);
    }

    /// The same of a flow that was told to ask again although it wants bytes.
    pub fn put_off(&mut self, id: FlowId, want: u64, now: Moment) {
        self.change_want(id, want, PUT_OFF_MAX, now);
    }

    /// `gap`: for how long it is not idle if it wants nothing now.
    fn change_want(&mut self, id: FlowId, want: u64, gap: Duration, now: Moment) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let was_idle = flow.place == Place::Idle;
        let smaller = want < flow.want;
        flow.want = want;
        if want == 0 {
            if !was_idle {
                flow.rest(gap, now);
            }
            self.queues.remove(id, flow);
        } else if was_idle {
            if !flow.is_in_gap(now) {
                flow.wants_since = now;
            }
            flow.wake(self.virtual_now, self.sample_size, now);
            self.queues.add(id, flow, self.sample_size, now);
        } else if smaller && matches!(flow.place, Place::Paused(_)) {
            // Less may fit into the bucket at once.
            self.queues.remove(id, flow);
            self.queues.add(id, flow, self.sample_size, now);
        }
    }

    /// Since when a flow has wanted bytes, but for gaps between two requests; `None`: it does not.
    pub fn wants_since(&self, id: FlowId, now: Moment) -> Option<Moment> {
        let flow = self.flows.get(&id)?;
        let wants = flow.place != Place::Idle || flow.is_in_gap(now);
        wants.then_some(flow.wants_since)
    }

    /// Flows that want bytes, limited ones included.
    pub fn waiting(&self) -> usize {
        self.queues.by_tag.len() + self.queues.paused.len()
    }

    /// Whether somebody could be served at `now`.
    pub fn has_turn(&mut self, now: Moment) -> bool {
        self.resume(now);
        !self.queues.by_tag.is_empty()
    }

    /// Who is next for at most `slice` bytes. Asking changes nothing: [`Scheduler::charge`] does.
    pub fn poll_turn(&mut self, slice: usize, now: Moment) -> Option<Turn> {
        self.resume(now);
        let id = self.queues.due(now).or_else(|| Some(self.queues.by_tag.first()?.2))?;
        let flow = self.flows.get(&id)?;
        let at_most = flow.want.min(slice as u64).min(flow.bucket(self.sample_size, now)).max(1);
        Some(Turn { flow: id, at_most: usize::try_from(at_most).unwrap_or(slice) })
    }

    /// Charges a flow for bytes it was given, and queues it again if it wants more.
    pub fn charge(&mut self, id: FlowId, bytes: usize, now: Moment) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        self.queues.remove(id, flow);
        let (sample_size, bytes) = (self.sample_size, bytes as u64);
        let lowest = |set: &BTreeSet<(u128, u64, FlowId)>| set.first().map_or(u128::MAX, |t| t.0);
        let virtual_now = &mut self.virtual_now;
        virtual_now.tag = virtual_now.tag.max(flow.tag.min(lowest(&self.queues.by_tag)));
        flow.tag += virtual_span(bytes, flow.rule.weight.into());
        flow.tag = flow.tag.min(flow.tag_max(virtual_now.tag, sample_size));
        if flow.rule.guarantee_bytes_per_s > 0 {
            let guarantee = flow.rule.guarantee_bytes_per_s;
            let lowest = flow.guarantee_tag.min(lowest(&self.queues.by_guarantee_tag));
            virtual_now.guarantee_tag = virtual_now.guarantee_tag.max(lowest);
            flow.guarantee_tag += virtual_span(bytes, guarantee);
            let most = flow.guarantee_tag_max(virtual_now.guarantee_tag, sample_size);
            flow.guarantee_tag = flow.guarantee_tag.min(most);
            let span = nanos_for(bytes, guarantee);
            let ahead = nanos_for(sample_size, guarantee).max(span);
            let debt_end = nanos(now).saturating_sub(DEBT_MAX.as_nanos());
            flow.kept_until = (flow.kept_until.max(debt_end) + span).min(nanos(now) + ahead);
        }
        if let Some(limit) = flow.rule.limit_bytes_per_s {
            flow.limit_empty_at = flow.limit_start(sample_size, now) + nanos_for(bytes, limit);
        }
        flow.want = flow.want.saturating_sub(bytes);
        flow.rest(GAP_MAX, now);
        if flow.want > 0 {
            self.queues.add(id, flow, sample_size, now);
        }
    }

    /// How many bytes one flow of weight 1 is ahead of another in what it was charged.
    #[cfg(test)]
    pub fn lead_bytes(&self, flow: FlowId, other: FlowId) -> i128 {
        let tag = |id| i128::try_from(self.flows[&id].tag).unwrap_or(i128::MAX);
        (tag(flow) - tag(other)) / (1 << 40)
    }

    /// When a limited flow may go on, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.queues.paused.first().map(|&(at, _)| at)
    }

    /// Lets flows go on whose limit allows it again, as if back from idle.
    fn resume(&mut self, now: Moment) {
        while let Some(&(at, id)) = self.queues.paused.first() {
            if at > now {
                return;
            }
            let flow = self.flows.get_mut(&id).expect("paused flows exist");
            self.queues.remove(id, flow);
            flow.wake(self.virtual_now, self.sample_size, now);
            self.queues.add(id, flow, self.sample_size, now);
        }
    }
}

impl Queues {
    /// Whom guarantees put first, if one is due.
    fn due(&self, now: Moment) -> Option<FlowId> {
        let &(kept_until, _) = self.by_due.first()?;
        if kept_until > nanos(now) {
            return None;
        }
        Some(self.by_guarantee_tag.first()?.2)
    }

    /// Puts a flow that stands nowhere where it belongs.
    fn add(&mut self, id: FlowId, flow: &mut Flow, sample_size: u64, now: Moment) {
        self.order += 1;
        let order = self.order;
        if let Some(at) = flow.limited_until(sample_size, now) {
            flow.rest(GAP_MAX, now);
            flow.place = Place::Paused(at);
            self.paused.insert((at, id));
            return;
        }
        flow.place = Place::Queued(order);
        self.by_tag.insert((flow.tag, order, id));
        if flow.rule.guarantee_bytes_per_s > 0 {
            self.by_guarantee_tag.insert((flow.guarantee_tag, order, id));
            self.by_due.insert((flow.kept_until, id));
        }
    }

    /// Takes a flow out; its tags and its rule are those it was added with.
    fn remove(&mut self, id: FlowId, flow: &mut Flow) {
        match std::mem::replace(&mut flow.place, Place::Idle) {
            Place::Idle => {}
            Place::Queued(order) => {
                self.by_tag.remove(&(flow.tag, order, id));
                if flow.rule.guarantee_bytes_per_s > 0 {
                    self.by_guarantee_tag.remove(&(flow.guarantee_tag, order, id));
                    self.by_due.remove(&(flow.kept_until, id));
                }
            }
            Place::Paused(at) => {
                self.paused.remove(&(at, id));
            }
        }
    }
}

impl Flow {
    /// Back from idle: at the present of both virtual times; or from the gap between two
    /// requests, with what it missed in it. What its guarantee had fallen behind melts away
    /// while it wants nothing, so that a gap costs nothing and a long pause leaves no claim.
    fn wake(&mut self, virtual_now: VirtualNow, sample_size: u64, now: Moment) {
        let idle = nanos(now).saturating_sub(self.idle_at);
        let due = match self.is_in_gap(now) {
            true => virtual_span(sample_size, self.rule.weight.into()),
            false => 0,
        };
        let least = virtual_now.tag.saturating_sub(due);
        self.tag = self.tag.clamp(least, self.tag_max(virtual_now.tag, sample_size));
        let most = self.guarantee_tag_max(virtual_now.guarantee_tag, sample_size);
        self.guarantee_tag = self.guarantee_tag.clamp(virtual_now.guarantee_tag, most);
        self.kept_until = self.kept_until.max(nanos(now).min(self.kept_until + 2 * idle));
    }

    /// Is not served from now on; for as long as `gap` it may be between two requests.
    fn rest(&mut self, gap: Duration, now: Moment) {
        self.idle_at = nanos(now);
        self.gap_until = nanos(now) + gap.as_nanos();
    }

    /// Whether one that wants nothing may still be between two requests.
    fn is_in_gap(&self, now: Moment) -> bool {
        nanos(now) <= self.gap_until
    }

    /// How far the tag may be ahead. Without a guarantee no tag ever gets there.
    fn tag_max(&self, virtual_now: u128, sample_size: u64) -> u128 {
        virtual_now + AHEAD_MAX_SAMPLES * virtual_span(sample_size, self.rule.weight.into())
    }

    fn guarantee_tag_max(&self, virtual_now: u128, sample_size: u64) -> u128 {
        let span = virtual_span(sample_size, self.rule.guarantee_bytes_per_s);
        virtual_now + AHEAD_MAX_SAMPLES * span
    }

    fn limit_burst_bytes(&self, sample_size: u64, limit: u64) -> u64 {
        let burst = u128::from(limit) * LIMIT_BURST.as_nanos() / NANOS_PER_S;
        sample_size.max(u64::try_from(burst).unwrap_or(u64::MAX))
    }

    /// From when the bucket fills, looked at now: it never holds more than the burst.
    fn limit_start(&self, sample_size: u64, now: Moment) -> u128 {
        let Some(limit) = self.rule.limit_bytes_per_s else { return 0 };
        let burst = nanos_for(self.limit_burst_bytes(sample_size, limit), limit);
        self.limit_empty_at.max(nanos(now).saturating_sub(burst))
    }

    /// Bytes in the limit's bucket.
    fn bucket(&self, sample_size: u64, now: Moment) -> u64 {
        let Some(limit) = self.rule.limit_bytes_per_s else { return u64::MAX };
        let filled = nanos(now).saturating_sub(self.limit_start(sample_size, now));
        u64::try_from(filled * u128::from(limit) / NANOS_PER_S).unwrap_or(u64::MAX)
    }

    /// When the bucket holds what the flow wants, at most one sample; `None` if it does now.
    fn limited_until(&self, sample_size: u64, now: Moment) -> Option<Moment> {
        let limit = self.rule.limit_bytes_per_s?;
        let enough = self.want.min(sample_size);
        if self.bucket(sample_size, now) >= enough {
            return None;
        }
        let at = self.limit_start(sample_size, now) + nanos_for(enough, limit);
        Some(Moment::from_nanos(u64::try_from(at).unwrap_or(u64::MAX)))
    }
}

/// How long `bytes` take at `rate` bytes per second, rounded up.
fn nanos_for(bytes: u64, rate: u64) -> u128 {
    (u128::from(bytes) * NANOS_PER_S).div_ceil(u128::from(rate.max(1)))
}

/// How far `bytes` move a tag.
fn virtual_span(bytes: u64, weight: u64) -> u128 {
    u128::from(bytes) * BYTE / u128::from(weight.max(1))
}

fn nanos(now: Moment) -> u128 {
    now.as_nanos().into()
}
