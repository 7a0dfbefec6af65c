//! Visits: sessions that want to see a page and no bytes.
//!
//! Owns who is shown what, and how many at once. They take no place, no share and no part of
//! what strangers may cost at the gate, so however many come, clients do not notice. What
//! stands on a page is written by whoever has the source and the stock.

use super::core::Server;
use super::gate::Refusal;
use super::session::{EndReason, SessionId, State};
use crate::moment::Moment;
use crate::status::{Answer, Page};
use crate::wire::Reply;
use std::collections::VecDeque;

/// Visits at once: a monitor, a load balancer and some browsers, each for moments.
const VISITS_MAX: usize = 16;

/// The visits.
#[derive(Debug, Default)]
pub(super) struct Visits {
    /// All of them, oldest first.
    pub open: VecDeque<SessionId>,
    /// Who has asked for what, and was not answered yet.
    asked: VecDeque<(SessionId, Page)>,
}

impl Server {
    /// The oldest that has not even asked goes, if there are too many.
    pub(super) fn make_room_for_visit(&mut self, now: Moment) -> Result<(), Refusal> {
        if self.visits.open.len() < VISITS_MAX {
            return Ok(());
        }
        let is_silent = |id: &&SessionId| {
            let session = self.sessions.get(id.0).and_then(Option::as_ref);
            session.is_some_and(|session| !session.is_ending())
        };
        let oldest = self.visits.open.iter().find(is_silent).copied();
        self.end(oldest.ok_or(Refusal::Crowded)?, EndReason::Crowded, now);
        Ok(())
    }

    pub(super) fn handle_page_request(&mut self, id: SessionId, page: Page, now: Moment) {
        self.set_state(id, State::Shown { deadline: now + self.limits.write_timeout });
        self.visits.asked.push_back((id, page));
    }

    /// Who is to be shown what, by [`Server::handle_page`] before anything else happens.
    pub fn poll_page(&mut self) -> Option<(SessionId, Page)> {
        self.visits.asked.pop_front()
    }

    /// What a session asked to see.
    pub fn handle_page(&mut self, id: SessionId, answer: Answer, now: Moment) {
        self.counters.pages += 1;
        self.reply(id, Reply::Page(answer), now);
    }
}
