//! Visits: sessions that want to see a page and no bytes.
//!
//! Owns who is shown what, and how many at once. They take no place, no share and no part of
//! what strangers may cost at the gate, so however many come, clients do not notice. Each
//! listener has room of its own; whoever finds it full waits outside, in the kernel's queue, and
//! nobody is sent away unheard. What stands on a page is written by whoever has the source and
//! the stock.

use super::core::Server;
use super::gate::Refusal;
use super::guests::ListenerRule;
use super::session::{EndReason, Peer, SessionId, State};
use crate::moment::Moment;
use crate::status::{Answer, Page};
use crate::wire::Reply;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Visits at once on a listener: a monitor, a load balancer and some browsers, each for moments.
const VISITS_MAX: usize = 16;
/// What a visit has for its question, and again for taking the answer, while somebody waits for
/// its room. Whoever means well has asked by then, and a short answer is gone at once; of those
/// who hold on, 320 a second make room.
const VISIT_SPAN: Duration = Duration::from_millis(50);

/// The visits.
#[derive(Debug, Default)]
pub(super) struct Visits {
    /// All of them, whoever came or asked first in front.
    pub open: VecDeque<SessionId>,
    /// Who has asked for what, and was not answered yet.
    asked: Vec<(SessionId, Page)>,
}

impl Server {
    /// When the next one may be let in there: at once, unless the room is full of visits that are
    /// within their time.
    pub fn room_at(&self, rule: &Arc<ListenerRule>) -> Moment {
        self.longest_visit(rule).map_or(Moment::ZERO, |(_, since)| since + VISIT_SPAN)
    }

    /// The visit that must go before another can come, and since when it waits for its peer.
    fn longest_visit(&self, rule: &Arc<ListenerRule>) -> Option<(SessionId, Moment)> {
        let (mut count, mut longest) = (0, None);
        for &id in &self.visits.open {
            let Some(session) = self.sessions.get(id.0).and_then(Option::as_ref) else { continue };
            if Arc::ptr_eq(&session.rule, rule) {
                count += 1;
                longest = longest.or(Some((id, session.active_at)));
            }
        }
        longest.filter(|_| count >= VISITS_MAX)
    }

    /// Whoever has been there for too long goes, if there is no room.
    pub(super) fn make_room_for_visit(
        &mut self,
        peer: Peer,
        rule: &Arc<ListenerRule>,
        now: Moment,
    ) -> Result<(), Refusal> {
        match self.longest_visit(rule) {
            // It will not stay.
            _ if !rule.allows(peer) => {}
            Some((_, since)) if since + VISIT_SPAN > now => return Err(Refusal::Crowded),
            Some((id, _)) => self.end(id, EndReason::Crowded, now),
            None => {}
        }
        Ok(())
    }

    pub(super) fn handle_page_request(&mut self, id: SessionId, page: Page, now: Moment) {
        if let Some(session) = self.session(id) {
            session.active_at = now;
        }
        self.set_state(id, State::Shown { deadline: now + self.limits.write_timeout });
        self.visits.asked.push((id, page));
    }

    /// What somebody is to be shown, by [`Server::handle_page`] before anything else happens.
    pub fn poll_page(&self) -> Option<Page> {
        self.visits.asked.first().map(|&(_, page)| page)
    }

    /// The answer to all who asked for this page: what a crowd wants at once is made once.
    pub fn handle_page(&mut self, page: Page, answer: &Answer, now: Moment) {
        for index in (0..self.visits.asked.len()).rev() {
            if self.visits.asked[index].1 == page {
                let (id, _) = self.visits.asked.swap_remove(index);
                self.counters.pages += 1;
                let Answer { code, kind, ref text } = *answer;
                self.reply(id, Reply::Page(Answer { code, kind, text: text.clone() }), now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Limits;
    use crate::wire::Protocol;
    use crate::wire::http::HttpServer;

    const LATER: Moment = Moment::from_nanos(1_000_000_000);
    const PEER: Peer = Peer::Local { uid: 0 };

    fn server() -> Server {
        let make_codec = |rule: &ListenerRule| Box::new(HttpServer::new(rule.names.clone())) as _;
        Server::new(Limits::default(), Vec::new(), Box::new(make_codec))
    }

    fn listener() -> Arc<ListenerRule> {
        Arc::new(ListenerRule::new(Protocol::Http))
    }

    fn ended(server: &mut Server) -> Vec<(SessionId, EndReason)> {
        std::iter::from_fn(|| server.poll_ended()).collect()
    }

    #[test]
    fn a_full_listener_has_room_again_when_the_longest_visit_is_over_time() {
        let (mut server, crowded, other) = (server(), listener(), listener());
        let mut visits = Vec::new();
        for _ in 0..VISITS_MAX {
            assert_eq!(server.room_at(&crowded), Moment::ZERO);
            visits.push(server.handle_accept(PEER, &crowded, LATER).unwrap());
        }
        let over = LATER + VISIT_SPAN;
        assert_eq!(server.room_at(&crowded), over);
        assert_eq!(server.handle_accept(PEER, &crowded, LATER), None, "nobody is sent away");
        assert!(ended(&mut server).is_empty());
        // What is asked has its time anew, and is no longer the longest.
        server.handle_bytes(visits[0], b"GET / HTTP/1.0\r\n\r\n", over);
        assert!(server.handle_accept(PEER, &crowded, over).is_some());
        assert_eq!(ended(&mut server), [(visits[1], EndReason::Crowded)]);
        // Other doors have room of their own.
        assert_eq!(server.room_at(&other), Moment::ZERO);
        assert!(server.handle_accept(PEER, &other, LATER).is_some());
    }

    #[test]
    fn a_crowd_is_shown_one_page_and_who_does_not_take_it_makes_room() {
        let (mut server, listener) = (server(), listener());
        let mut visits = Vec::new();
        for _ in 0..VISITS_MAX {
            let id = server.handle_accept(PEER, &listener, LATER).unwrap();
            server.handle_bytes(id, b"GET / HTTP/1.0\r\n\r\n", LATER);
            visits.push(id);
        }
        let answer = Answer { code: 200, kind: "text/plain", text: "long\n".to_owned() };
        let mut made = 0;
        while let Some(page) = server.poll_page() {
            server.handle_page(page, &answer, LATER);
            made += 1;
        }
        assert_eq!(made, 1, "one page for all");
        assert!(visits.iter().all(|&id| server.output(id).ends_with(b"\r\n\r\nlong\n")));
        assert_eq!(server.handle_accept(PEER, &listener, LATER), None);
        let over = LATER + VISIT_SPAN;
        assert!(server.handle_accept(PEER, &listener, over).is_some());
        assert_eq!(ended(&mut server), [(visits[0], EndReason::Crowded)]);
    }

    #[test]
    fn nobody_makes_room_for_whoever_may_not_come() {
        let mut server = server();
        let mut rule = ListenerRule::new(Protocol::Http);
        rule.allowed = vec!["192.0.2.0/24".parse().unwrap()];
        let rule = Arc::new(rule);
        let peer = |last: u8| Peer::Remote { address: [192, 0, last, 1].into(), port: 1 };
        for _ in 0..VISITS_MAX {
            server.handle_accept(peer(2), &rule, Moment::ZERO).unwrap();
        }
        assert_eq!(server.handle_accept(peer(3), &rule, LATER), None);
        assert_eq!(server.visits.open.len(), VISITS_MAX);
    }
}
