//! Requests: what a session's bytes mean, from the first claim of a key on.
//!
//! Owns the decoding and what each request does. No device byte and no place is spent before
//! the first transport message decrypted.

use super::Identity;
use super::core::{NO_CAPACITY_RETRY, OUTPUT_MAX, OUTSTANDING_MAX, REPLACED_RETRY, Server};
use super::schedule::FlowId;
use super::session::{EndReason, Peer, SessionId, Spare, State};
use crate::keys::{Psk, PublicKey};
use crate::moment::Moment;
use crate::wire::{ByeReason, CodecError, Reply, Request, WaitReason, Welcome};
use log::{debug, warn};
use std::time::Duration;

/// From a request that is to have one answer to that answer: the original NetRNG's clients hang up
/// after 2 s, and the way takes its time.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

impl Server {
    /// Decodes what came in, as far as the session may be heard now.
    pub(super) fn handle_input(&mut self, id: SessionId, now: Moment) {
        loop {
            let Some(session) = self.session(id) else { return };
            if session.is_ending() || session.output.len() >= OUTPUT_MAX {
                break;
            }
            let had_output = !session.output.is_empty();
            let Some(codec) = session.codec.as_mut() else { break };
            let decoded = codec.decode(&mut session.input, &mut session.output);
            if !had_output && !session.output.is_empty() {
                self.touch(id);
            }
            match decoded {
                Ok(Some(request)) => self.handle_request(id, request, now),
                Ok(None) => break,
                Err(error) => return self.end(id, EndReason::Codec(error), now),
            }
        }
        self.refresh(id, now);
    }

    fn handle_request(&mut self, id: SessionId, request: Request, now: Moment) {
        let Some(session) = self.session(id) else { return };
        let Some(allowance) = session.message_allowance.checked_sub(1) else {
            return self.end(id, EndReason::Flood, now);
        };
        session.message_allowance = allowance;
        match request {
            Request::Hello(key) => self.handle_hello(id, key, now),
            Request::Proved => self.handle_proved(id, now),
            Request::Name(name) => self.handle_name(id, &name, now),
            Request::Bytes(count) => {
                session.outstanding =
                    session.outstanding.saturating_add(count).min(OUTSTANDING_MAX);
                if session.state == State::Parked {
                    self.find_place(id, false, now);
                }
                self.tell_wait(id, now);
            }
            Request::Sample => self.handle_sample_request(id, now),
            Request::Spare(count) => self.want_spare(id, Spare::Bytes(count), now),
            Request::Level => self.want_spare(id, Spare::Level, now),
            Request::Offer(count) => self.refuse_offer(id, count, now),
            Request::Ping(token) => self.reply(id, Reply::Pong(token), now),
            Request::Bye => self.end(id, EndReason::PeerBye, now),
            Request::Page(page) => self.handle_page_request(id, page, now),
            Request::Unknown => {}
        }
    }

    /// One answer is due, and soon.
    fn handle_sample_request(&mut self, id: SessionId, now: Moment) {
        let most = u32::try_from(self.limits.sample_size).unwrap_or(OUTSTANDING_MAX);
        let Some(session) = self.session(id) else { return };
        session.outstanding = most;
        session.answer_by = Some(now + ANSWER_WITHIN);
        if session.state == State::Parked {
            self.find_place(id, false, now);
        }
        // It wants bytes even if there are none: being told so does not make it idle.
        self.refresh(id, now);
        self.tell_wait(id, now);
        self.settle(id);
    }

    /// Tells a session whose one answer is due that there is none yet, so that it asks again.
    pub(super) fn put_off(&mut self, id: SessionId, now: Moment) {
        let answer_by = self.session(id).and_then(|session| session.answer_by);
        if answer_by.is_some_and(|at| at <= now) {
            // For other reasons it was told at once: others wait as well.
            self.reply(id, Reply::Wait(WaitReason::InLine, ANSWER_WITHIN), now);
        }
    }

    /// A claim, not a proof: answered with what costs nothing but the handshake itself.
    fn handle_hello(&mut self, id: SessionId, key: PublicKey, now: Moment) {
        let Some(peer) = self.session(id).map(|session| session.peer) else { return };
        let Some(client) = self.roster.by_key(&key) else {
            debug!("{peer} claims the unknown key {}", key.short());
            return self.end(id, EndReason::UnknownKey, now);
        };
        if !client.rule.allows(peer) {
            return self.end(id, EndReason::AddressNotAllowed, now);
        }
        let welcome = Welcome {
            sample_size: u32::try_from(self.limits.sample_size).unwrap_or(u32::MAX),
            guarantee_bytes_per_s: u32::try_from(client.rule.guarantee_bytes_per_s)
                .unwrap_or(u32::MAX),
        };
        let psk = match &client.rule.identity {
            Identity::Key { psk: Some(psk), .. } => psk.clone(),
            _ => Psk::new([0; 32]),
        };
        let flow = client.flow;
        if let Some(session) = self.session(id) {
            session.flow = Some(flow);
        }
        self.counters.handshakes += 1;
        self.reply(id, Reply::Welcome(psk, welcome), now);
    }

    /// The kernel says which user is there; the name is one of that user's clients, or empty if
    /// there is but one.
    fn handle_name(&mut self, id: SessionId, name: &str, now: Moment) {
        let Some(session) = self.session(id) else { return };
        let (State::Handshaking { .. }, Peer::Local { uid }) = (session.state, session.peer) else {
            return self.end(id, EndReason::Codec(CodecError::OutOfOrder), now);
        };
        let flow = match self.roster.by_user(uid, name) {
            Ok(flow) => flow,
            Err(reason) => {
                debug!("uid {uid} as {name:?}: {reason}");
                self.set_state(id, State::Parked);
                return self.bye(id, reason, NO_CAPACITY_RETRY, now);
            }
        };
        if let Some(session) = self.session(id) {
            session.flow = Some(flow);
        }
        self.handle_proved(id, now);
    }

    pub(super) fn handle_proved(&mut self, id: SessionId, now: Moment) {
        let Some(session) = self.session(id) else { return };
        let (State::Handshaking { .. }, Some(flow)) = (session.state, session.flow) else { return };
        let peer = session.peer;
        session.proved_at = now;
        self.set_state(id, State::Parked);
        self.counters.proved += 1;
        // The rule may have gone since the hello.
        let Some(client) = self.roster.by_flow_mut(flow) else {
            return self.bye(id, ByeReason::NotAllowed, NO_CAPACITY_RETRY, now);
        };
        debug!("client {} proved who it is from {peer}", client.rule.name);
        client.sessions.push_back(id);
        let replaced = client.surplus_sessions();
        let name = client.rule.name.clone();
        let mut replaces = false;
        for old in replaced {
            let Some(session) = self.session(old) else { continue };
            replaces |= session.state == State::Served;
            // A local user has one origin, however many its machines.
            let moved = session.peer.origin() != peer.origin();
            if moved && now.since(session.proved_at) < REPLACED_RETRY {
                self.warn_of_shared_key(flow, &name, old, peer);
            }
            self.bye(old, ByeReason::Replaced, REPLACED_RETRY, now);
        }
        self.find_place(id, replaces, now);
    }

    /// Two machines with one key throw each other out for ever: said once.
    fn warn_of_shared_key(&mut self, flow: FlowId, name: &str, old: SessionId, peer: Peer) {
        let before = self.session(old).map(|session| session.peer);
        let Some((before, client)) = before.zip(self.roster.by_flow_mut(flow)) else { return };
        if !std::mem::replace(&mut client.shared_key_logged, true) {
            warn!(
                "client {name} came from {before} and now from {peer}: do two machines share its \
                 key? Enrol each, or raise max-sessions"
            );
        }
    }
}
