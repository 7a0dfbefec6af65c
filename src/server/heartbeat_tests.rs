//! The core with clients of the original NetRNG: each request has one answer, and in time.

use super::Limits;
use super::core::{Server, SourceState};
use super::guests::ListenerRule;
use super::session::{Peer, SessionId};
use crate::moment::Moment;
use crate::sample::Sample;
use crate::wire::netrng02::{Netrng02Client, Netrng02Server};
use crate::wire::{Answer, ClientCodec, Protocol, Request};
use std::sync::Arc;
use std::time::Duration;

const SAMPLE: usize = 2048;

struct World {
    server: Server,
    listener: Arc<ListenerRule>,
    now: Moment,
}

impl World {
    fn new(max_clients: usize) -> World {
        let make_codec = Box::new(|_: &ListenerRule| Box::new(Netrng02Server::default()) as _);
        let limits = Limits { max_clients, ..Limits::default() };
        let mut server = Server::new(limits, Vec::new(), make_codec);
        server.handle_source(SourceState::Good, Moment::ZERO);
        let listener = Arc::new(ListenerRule::new(Protocol::Netrng02));
        World { server, listener, now: Moment::ZERO }
    }

    fn come(&mut self, last: u8) -> SessionId {
        let peer = Peer::Remote { address: [192, 0, 2, last].into(), port: 1 };
        self.server.handle_accept(peer, &self.listener, self.now).expect("there is room")
    }

    fn ask(&mut self, id: SessionId) {
        let mut words = Vec::new();
        Netrng02Client.encode(Request::Sample, &mut words).unwrap();
        self.server.handle_bytes(id, &words, self.now);
    }

    /// What it is told, as lengths of samples; 0 is a heartbeat.
    fn told(&mut self, id: SessionId) -> Vec<usize> {
        let mut words = self.server.output(id).to_vec();
        self.server.handle_sent(id, words.len(), self.now);
        let answers = std::iter::from_fn(|| Netrng02Client.decode(&mut words).unwrap());
        let lengths = answers.map(|answer| match answer {
            Answer::Sample(sample) => sample.len(),
            _ => 0,
        });
        lengths.collect()
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.server.handle_timeout(self.now);
    }

    fn serve(&mut self, mut samples: usize) -> usize {
        let mut stock = || {
            samples = samples.checked_sub(1)?;
            Some(Sample::new(vec![1; SAMPLE]))
        };
        self.server.serve(&mut stock, self.now)
    }
}

#[test]
fn a_request_is_put_off_after_a_second_and_then_forgotten() {
    let mut world = World::new(5);
    let id = world.come(1);
    assert_eq!(world.server.poll_timeout(), None, "who asks for nothing is owed nothing");
    world.ask(id);
    world.serve(0);
    assert_eq!(world.server.poll_timeout(), Some(world.now + Duration::from_secs(1)));
    world.pass(999);
    assert_eq!(world.told(id), []);
    world.pass(1);
    assert_eq!(world.told(id), [0]);
    assert_eq!((world.serve(3), world.told(id)), (0, vec![]), "nobody asks");
    assert_eq!(world.server.poll_timeout(), None);
    // One answer for each request, however many samples there are.
    world.ask(id);
    assert_eq!((world.serve(3), world.told(id)), (SAMPLE, vec![SAMPLE]));
    assert_eq!(world.server.poll_timeout(), None);
    world.ask(id);
    world.ask(id);
    for _ in 0..2 {
        // The second is heard once the first has its answer.
        assert_eq!((world.serve(3), world.told(id)), (SAMPLE, vec![SAMPLE]));
    }
    assert_eq!((world.serve(3), world.told(id)), (0, vec![]));
}

#[test]
fn a_source_that_fails_and_a_place_that_is_not_there_are_told_at_once() {
    let mut world = World::new(1);
    let (first, second) = (world.come(1), world.come(2));
    world.ask(first);
    world.ask(second);
    assert_eq!(world.told(second), [], "it heard of the line before it asked");
    world.server.handle_source(SourceState::Failed, world.now);
    assert_eq!(world.told(first), [0]);
    world.ask(first);
    assert_eq!(world.told(first), [0]);
    world.pass(1000);
    assert_eq!(world.told(second), [0]);
    world.server.handle_source(SourceState::Good, world.now);
    world.ask(first);
    world.ask(second);
    assert_eq!(
        (world.serve(2), world.told(first), world.told(second)),
        (SAMPLE, vec![SAMPLE], vec![])
    );
    // Its place is given on while it wants nothing.
    world.pass(6000);
    assert_eq!(world.told(second), [0]);
    world.ask(second);
    assert_eq!((world.serve(2), world.told(second)), (SAMPLE, vec![SAMPLE]));
    world.ask(first);
    assert_eq!(world.told(first), [0], "in line");
}

#[test]
fn a_goodbye_leaves_nothing_due() {
    let mut world = World::new(1);
    let id = world.come(1);
    world.ask(id);
    world.server.handle_shutdown(world.now);
    assert_eq!(world.told(id), []);
    assert_eq!(world.server.poll_timeout(), None);
}
