//! Samples into a pipe, one at a time.
//!
//! Owns the order of things: first the pipe has room, then a sample is taken, then it is
//! written. A pipe of one page polls writable only when it is empty (`sys::pipe::shrink`),
//! so at most one sample waits in it. It does not know who reads.

use super::{Context, FeedState};
use crate::sample::Sample;
use crate::sys::latch::Latch;
use crate::sys::pipe::{self, Interest, WRITE_LEN_MAX};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

/// Why no more goes into the pipe.
#[derive(Debug)]
pub(super) enum PumpEnd {
    /// We are to end, or no more samples come.
    Stopped,
    /// The reader has ended.
    Gone,
    /// The pipe cannot be written to; `BrokenPipe`: nobody has it open for reading.
    Broken(io::Error),
}

/// Carries samples from the channel into one pipe after another.
pub(super) struct Pump<'a> {
    context: &'a Context,
    /// What a broken pipe did not take: given to nobody yet, so it goes into the next.
    rest: Option<Sample>,
}

impl<'a> Pump<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Pump { context, rest: None }
    }

    /// Feeds `pipe` until that ends, or `gone` is released.
    pub(super) fn run(&mut self, pipe: &File, gone: &Latch) -> PumpEnd {
        loop {
            if let Some(end) = self.wait_for_room(pipe, gone) {
                return end;
            }
            let mut sample = match self.rest.take() {
                Some(rest) => rest,
                None => match self.context.take_sample(gone) {
                    Ok(sample) => sample,
                    Err(end) => return end,
                },
            };
            let written = write_some(pipe, &sample);
            if let Ok(count) = written {
                self.context.status.count_bytes(count, crate::sys::now());
                drop(sample.split_front(count));
            }
            self.rest = (!sample.is_empty()).then_some(sample);
            if let Err(error) = written {
                return PumpEnd::Broken(error);
            }
        }
    }

    fn wait_for_room(&self, pipe: &File, gone: &Latch) -> Option<PumpEnd> {
        self.context.status.enter(FeedState::Full);
        let ready = pipe::wait(
            [
                (pipe.as_fd(), Interest::Writable),
                (self.context.stop.as_fd(), Interest::Readable),
                (gone.as_fd(), Interest::Readable),
            ],
            None,
        );
        match ready {
            Ok([_, true, _]) => Some(PumpEnd::Stopped),
            Ok([_, _, true]) => Some(PumpEnd::Gone),
            // Known before a sample is taken for it.
            Ok(_) if pipe::is_broken(pipe.as_fd()) => {
                Some(PumpEnd::Broken(ErrorKind::BrokenPipe.into()))
            }
            Ok(_) => None,
            Err(error) => Some(PumpEnd::Broken(error)),
        }
    }
}

/// Writes what fits without waiting; 0 if it fits no more, or not now.
fn write_some(mut pipe: &File, sample: &Sample) -> io::Result<usize> {
    let bytes = sample.as_bytes();
    match pipe.write(&bytes[..bytes.len().min(WRITE_LEN_MAX)]) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(0)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::FeedStatus;
    use crate::sys::latch::{Trigger, latch};
    use crossbeam_channel::{Sender, unbounded};
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::SeqCst;

    fn context() -> (Context, Sender<Sample>, Trigger) {
        let (sender, samples) = unbounded();
        let (trigger, stop) = latch().unwrap();
        let status = Arc::new(FeedStatus::default());
        (Context::new(samples.into(), stop, || 0, status), sender, trigger)
    }

    fn shrunk_pipe() -> (File, File) {
        let (reader, writer) = pipe::pipe().unwrap();
        pipe::shrink(writer.as_fd()).unwrap();
        pipe::set_nonblocking(writer.as_fd()).unwrap();
        (File::from(reader), File::from(writer))
    }

    #[test]
    fn a_sample_is_taken_only_when_the_one_before_has_been_read() {
        let (context, samples, trigger) = context();
        let stop = context.stop.clone();
        let status = Arc::clone(&context.status);
        let (mut reader, writer) = shrunk_pipe();
        for fill in 0..3 {
            samples.send(Sample::new(vec![fill; 100])).unwrap();
        }
        let feed = std::thread::spawn(move || Pump::new(&context).run(&writer, &stop));
        let wait_for = |waiting: usize| {
            while samples.len() > waiting || status.state() != FeedState::Full {
                std::thread::yield_now();
            }
        };
        wait_for(2);
        assert_eq!(status.bytes.load(SeqCst), 100);
        reader.read_exact(&mut [0; 99]).unwrap();
        std::thread::yield_now();
        assert_eq!(samples.len(), 2, "one byte of the first is still unread");
        reader.read_exact(&mut [0; 1]).unwrap();
        wait_for(1);
        drop(trigger);
        assert!(matches!(feed.join().unwrap(), PumpEnd::Stopped));
    }

    #[test]
    fn what_a_broken_pipe_did_not_take_goes_whole_into_the_next() {
        let (context, samples, _trigger) = context();
        let (never, gone) = latch().unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * WRITE_LEN_MAX).collect();
        samples.send(Sample::new(bytes.clone())).unwrap();
        drop(samples);
        let mut pump = Pump::new(&context);

        let (reader, writer) = shrunk_pipe();
        drop(reader);
        let end = pump.run(&writer, &gone);
        assert!(matches!(end, PumpEnd::Broken(error) if error.kind() == ErrorKind::BrokenPipe));

        let (mut reader, writer) = shrunk_pipe();
        let read = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        assert!(matches!(pump.run(&writer, &gone), PumpEnd::Stopped));
        drop((writer, never));
        assert_eq!(read.join().unwrap(), bytes);
    }
}
