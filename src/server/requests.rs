//! Requests: what a session's bytes mean, from the first claim of a key on.
//!
//! Owns the decoding and what each request does. No device byte and no place is spent before
//! the first transport message decrypted.

use super::core::{NO_CAPACITY_RETRY, OUTPUT_MAX, OUTSTANDING_MAX, Server};
use super::session::{EndReason, SessionId, State};
use crate::keys::{Psk, PublicKey};
use crate::moment::Moment;
use crate::wire::{ByeReason, Reply, Request, Welcome};
use log::{debug, info};
use std::time::Duration;

impl Server {
    /// Decodes what came in, as far as the session may be heard now.
    pub(super) fn handle_input(&mut self, id: SessionId, now: Moment) {
        loop {
            let Some(session) = self.session(id) else { return };
            let closing = matches!(session.state, State::Closing { .. });
            if closing || session.output.len() >= OUTPUT_MAX {
                break;
            }
            let had_output = !session.output.is_empty();
            let decoded = session.codec.decode(&mut session.input, &mut session.output);
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
            Request::Bytes(count) => {
                session.outstanding =
                    session.outstanding.saturating_add(count).min(OUTSTANDING_MAX);
                if session.state == State::Parked {
                    self.find_place(id, now);
                }
                self.tell_wait(id, now);
            }
            Request::Ping(token) => self.reply(id, Reply::Pong(token), now),
            Request::Bye => self.end(id, EndReason::PeerBye, now),
        }
    }

    /// A claim, not a proof: answered with what costs nothing but the handshake itself.
    fn handle_hello(&mut self, id: SessionId, key: PublicKey, now: Moment) {
        let Some(peer) = self.session(id).map(|session| session.peer) else { return };
        let Some(client) = self.roster.by_key(&key) else {
            debug!("{peer} claims the unknown key {}", key.short());
            return self.end(id, EndReason::UnknownKey, now);
        };
        if !client.rule.allows(peer.address) {
            return self.end(id, EndReason::AddressNotAllowed, now);
        }
        let welcome = Welcome {
            sample_size: u32::try_from(self.limits.sample_size).unwrap_or(u32::MAX),
            guarantee_bytes_per_s: u32::try_from(client.rule.guarantee_bytes_per_s)
                .unwrap_or(u32::MAX),
        };
        let psk = client.rule.psk.clone().unwrap_or_else(|| Psk::new([0; 32]));
        let flow = client.flow;
        if let Some(session) = self.session(id) {
            session.flow = Some(flow);
        }
        self.counters.handshakes += 1;
        self.reply(id, Reply::Welcome(psk, welcome), now);
    }

    fn handle_proved(&mut self, id: SessionId, now: Moment) {
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
        info!("client {} connected from {peer}", client.rule.name);
        client.sessions.push_back(id);
        let replaced = client.surplus_sessions();
        for old in replaced {
            self.bye(old, ByeReason::Replaced, Duration::ZERO, now);
        }
        self.find_place(id, now);
    }
}
