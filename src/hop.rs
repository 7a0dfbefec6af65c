//! The way of samples from one process of ours to the other, where the client is two.
//!
//! Owns the link between them: the half with the sink writes one byte for each sample that it
//! wants, the half with the network answers each by a length and the bytes. Nothing is sent
//! unasked, and nothing is asked before the sink has room: a sample more would lie in between.

use crate::sample::{SAMPLE_SIZE_MAX, Sample};
use crate::sys::latch::Latch;
use crate::sys::pipe::{self, Interest};
use crossbeam_channel::{Receiver, Sender, select};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// Answers each wish with a sample, until `stop` is released or the other half ends.
///
/// # Errors
/// When the link breaks.
pub fn give(mut link: &UnixStream, samples: &Receiver<Sample>, stop: &Latch) -> io::Result<()> {
    loop {
        let waiting = [(link.as_fd(), Interest::Readable), (stop.as_fd(), Interest::Readable)];
        if pipe::wait(waiting, None)?[1] || link.read(&mut [0])? == 0 {
            return Ok(());
        }
        let sample = select! {
            recv(samples) -> sample => sample,
            recv(stop.receiver()) -> _ => return Ok(()),
        };
        let Ok(sample) = sample else { return Ok(()) };
        let len = u16::try_from(sample.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let sent =
            link.write_all(&len.to_be_bytes()).and_then(|()| link.write_all(sample.as_bytes()));
        match sent {
            // It asked, and ended before the answer: as if it had not asked.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            sent => sent?,
        }
    }
}

/// Asks for a sample at each wish, and hands it over, until nobody takes any.
///
/// # Errors
/// When the other half has ended, or answers what is no sample.
pub fn draw(
    mut link: &UnixStream,
    wishes: &Receiver<()>,
    samples: &Sender<Sample>,
) -> io::Result<()> {
    for () in wishes {
        link.write_all(&[1])?;
        let mut len = [0; 2];
        link.read_exact(&mut len)?;
        let len = usize::from(u16::from_be_bytes(len));
        if len == 0 || len > SAMPLE_SIZE_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "that is no sample"));
        }
        let mut bytes = vec![0; len];
        link.read_exact(&mut bytes)?;
        if samples.send(Sample::new(bytes)).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::latch::latch;
    use crossbeam_channel::bounded;

    #[test]
    fn a_sample_crosses_for_each_wish_and_none_before() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (_trigger, stop) = latch().unwrap();
        let (put, stock) = bounded(3);
        for fill in 1..=3 {
            put.send(Sample::new(vec![fill; 2500])).unwrap();
        }
        let giving = {
            let stock = stock.clone();
            std::thread::spawn(move || give(&theirs, &stock, &stop))
        };
        let (wish, wishes) = bounded(1);
        let (samples, received) = bounded(0);
        let drawing = std::thread::spawn(move || draw(&ours, &wishes, &samples));
        for fill in 1..=2 {
            wish.send(()).unwrap();
            assert_eq!(received.recv().unwrap().as_bytes(), [fill; 2500]);
        }
        assert_eq!(stock.len(), 1, "nobody wished for the third");
        drop(wish);
        drawing.join().unwrap().unwrap();
        giving.join().unwrap().unwrap();
    }

    #[test]
    fn whoever_asks_and_ends_before_the_answer_is_no_failure() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (_trigger, stop) = latch().unwrap();
        let (put, stock) = bounded(1);
        ours.write_all(&[1]).unwrap();
        drop(ours);
        put.send(Sample::new(vec![7; 2500])).unwrap();
        give(&theirs, &stock, &stop).unwrap();
        assert!(stock.is_empty(), "it went to the wish");
    }

    #[test]
    fn what_is_no_sample_and_an_end_are_errors() {
        for (answer, kind) in [
            (&[0, 0][..], io::ErrorKind::InvalidData),
            (&[0x80, 1], io::ErrorKind::InvalidData),
            (&[0, 5, 1], io::ErrorKind::UnexpectedEof),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (wish, wishes) = bounded(1);
            let (samples, _received) = bounded(0);
            wish.send(()).unwrap();
            theirs.write_all(answer).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(draw(&ours, &wishes, &samples).unwrap_err().kind(), kind);
        }
    }
}
