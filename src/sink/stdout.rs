//! Standard output: into a pipeline or a file.
//!
//! Owns the descriptor's copy and nothing of its flags: others may share the open file, so
//! it is not made non-blocking. A pipe that polls writable takes `PIPE_BUF` bytes without
//! waiting, and `pump` writes no more at once.

use super::pump::{Pump, PumpEnd};
use super::{Context, SinkError};
use crate::sys::pipe;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;

/// Our copy of standard output; a pipe is shrunk to one page.
pub(super) fn open() -> Result<File, SinkError> {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().map_err(SinkError::Stdout)?;
    // Fails on what is no pipe, and there is nothing to shrink then.
    let _ = pipe::shrink(stdout.as_fd());
    Ok(File::from(stdout))
}

/// Feeds it until we are to end or its reader leaves.
pub(super) fn run(stdout: &File, context: Context) -> Result<(), SinkError> {
    match Pump::new(&context).run(stdout, &context.stop) {
        PumpEnd::Stopped | PumpEnd::Gone => Ok(()),
        PumpEnd::Broken(error) if error.kind() == ErrorKind::BrokenPipe => Err(SinkError::Closed),
        PumpEnd::Broken(error) => Err(SinkError::Stdout(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use crate::sink::FeedStatus;
    use std::sync::Arc;

    #[test]
    fn a_reader_that_left_is_told_apart_from_a_failure() {
        let run_on = |file: File| {
            let (samples, receiver) = crossbeam_channel::bounded(1);
            let (_trigger, stop) = crate::sys::latch::latch().unwrap();
            samples.send(Sample::new(vec![1; 10])).unwrap();
            let status = Arc::new(FeedStatus::default());
            run(&file, Context::new(receiver.into(), stop, || 0, status))
        };
        let (reader, writer) = pipe::pipe().unwrap();
        drop(reader);
        assert!(matches!(run_on(File::from(writer)), Err(SinkError::Closed)));
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert!(matches!(run_on(full), Err(SinkError::Stdout(_))));
    }
}
