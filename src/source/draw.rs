//! Reading a source for a while and with patience that ends: a few tested bytes for keys, or a
//! look at what it gives.
//!
//! Owns the one-off reading; the server's reader thread is `reader`.

use super::Settings;
use super::device::{Device, DeviceError};
use super::health::{HealthTests, STARTUP_BYTES, default_min_entropy};
use super::origin::Origin;
use crate::handover::{Giver, handover};
use crate::sample::Sample;
use crate::sys;
use crossbeam_channel::{Receiver, Sender};
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// Why no tested bytes could be had.
#[derive(Debug)]
pub struct DrawError {
    source: String,
    why: String,
    /// Whether it was read to its end.
    pub is_end: bool,
}

impl DrawError {
    fn new(origin: &Origin, why: String) -> Self {
        DrawError { source: origin.to_string(), why, is_end: false }
    }
}

impl fmt::Display for DrawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}: {}", self.source, self.why)
    }
}

impl std::error::Error for DrawError {}

/// `count` bytes that nobody else gets, from a source that passed its start-up test, tested
/// themselves as well.
///
/// # Errors
/// [`DrawError`], if the source cannot be read, fails a test, or gives nothing for its
/// `stall_timeout`.
pub fn draw(settings: &Settings, count: usize) -> Result<Sample, DrawError> {
    let error = |why: String| DrawError::new(&settings.origin, why);
    if settings.origin.is_exposed() {
        return Err(error(
            "its bytes can be read on their way here: keys need a source of this machine, or \
             `netrng genkey`, which asks the kernel"
                .to_owned(),
        ));
    }
    let opened = Chunks::open(&settings.origin, STARTUP_BYTES + count, settings.stall_timeout)?;
    if opened.is_seekable {
        return Err(error(
            "it is a file, which gives the same bytes each time: keys need a device".to_owned(),
        ));
    }
    let min_entropy = settings.min_entropy.unwrap_or_else(|| default_min_entropy(opened.quality));
    let mut health = HealthTests::new(min_entropy);
    let mut bytes = Sample::default();
    while bytes.len() < STARTUP_BYTES + count {
        let chunk = opened.next()?.bytes;
        health.check(chunk.as_bytes()).map_err(|failure| error(failure.to_string()))?;
        bytes.append(chunk);
    }
    drop(bytes.split_front(STARTUP_BYTES));
    Ok(bytes.split_front(count))
}

/// What one read gave.
#[derive(Debug)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Sample,
    /// How long the read took.
    pub span: Duration,
}

/// A source read by a thread of its own, so that whoever wants the bytes can give up on a device
/// that hangs. The thread reads only when it is asked.
#[derive(Debug)]
pub struct Chunks {
    /// What the source is called.
    pub description: String,
    /// What the kernel says of it.
    pub quality: Option<u32>,
    /// Whether it gives the same bytes each time.
    pub is_seekable: bool,
    /// How many bytes it has, if it is a file.
    pub len: Option<u64>,
    origin: Origin,
    stall_timeout: Duration,
    chunks: Receiver<Result<Chunk, DeviceError>>,
}

struct Opened {
    description: String,
    quality: Option<u32>,
    is_seekable: bool,
    len: Option<u64>,
}

impl Chunks {
    /// Opens a source, to be read `read_len` bytes at a time.
    ///
    /// # Errors
    /// [`DrawError`], if it cannot be opened, or not within `stall_timeout` (a FIFO without a
    /// writer).
    pub fn open(
        origin: &Origin,
        read_len: usize,
        stall_timeout: Duration,
    ) -> Result<Self, DrawError> {
        let (put, chunks) = crossbeam_channel::bounded(0);
        let (opened, is_opened) = handover();
        let theirs = origin.clone();
        let open = move || Device::open(&theirs, 0, stall_timeout);
        let work = move || read(open(), read_len, opened, &put);
        let started = std::thread::Builder::new().name("draw".into()).spawn(work);
        let error = |why: String| DrawError::new(origin, why);
        started.map_err(|why| error(why.to_string()))?;
        match is_opened.wait(stall_timeout) {
            Some(Ok(opened)) => Ok(Chunks {
                description: opened.description,
                quality: opened.quality,
                is_seekable: opened.is_seekable,
                len: opened.len,
                origin: origin.clone(),
                stall_timeout,
                chunks,
            }),
            Some(Err(why)) => Err(error(why.to_string())),
            None => Err(error(format!("it gives nothing since {} s", stall_timeout.as_secs_f32()))),
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`DrawError`], if there are none, or none for the stall timeout.
    pub fn next(&self) -> Result<Chunk, DrawError> {
        self.wait(self.stall_timeout)?.ok_or_else(|| self.stalled())
    }

    /// The next bytes, or `None` if none come within `patience`.
    ///
    /// # Errors
    /// [`DrawError`], if there are none.
    pub fn wait(&self, patience: Duration) -> Result<Option<Chunk>, DrawError> {
        match self.chunks.recv_timeout(patience) {
            Ok(Ok(chunk)) => Ok(Some(chunk)),
            Ok(Err(why)) => Err(DrawError {
                is_end: matches!(why, DeviceError::Eof),
                ..DrawError::new(&self.origin, why.to_string())
            }),
            Err(_) => Ok(None),
        }
    }

    /// What a source is told that gave nothing for the stall timeout.
    pub fn stalled(&self) -> DrawError {
        let seconds = self.stall_timeout.as_secs_f32();
        DrawError::new(&self.origin, format!("it gives nothing since {seconds} s"))
    }
}

/// Reads until nobody takes any more.
fn read(
    device: Result<Device, DeviceError>,
    read_len: usize,
    opened: Giver<Result<Opened, DeviceError>>,
    put: &Sender<Result<Chunk, DeviceError>>,
) {
    let mut device = match device {
        Ok(device) => device,
        Err(why) => {
            opened.give(Err(why));
            return;
        }
    };
    let about = Opened {
        description: device.description(),
        quality: device.quality(),
        is_seekable: device.is_seekable(),
        len: device.file_len(),
    };
    if !opened.give(Ok(about)) {
        return;
    }
    let mut buffer = Zeroizing::new(vec![0; read_len]);
    loop {
        let before = sys::now();
        let chunk = device.read(&mut buffer).map(|count| Chunk {
            bytes: Sample::new(buffer[..count].to_vec()),
            span: sys::now() - before,
        });
        let ended = chunk.is_err();
        if put.send(chunk).is_err() || ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn settings(name: &Path) -> Settings {
        Settings {
            origin: Origin::parse(name).unwrap(),
            min_entropy: None,
            sample_size: 2048,
            stock: 16,
            stall_timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_kernels_generator_passes_and_zeros_do_not() {
        let bytes = draw(&settings(Path::new("/dev/urandom")), 64).unwrap();
        assert_eq!(bytes.len(), 64);
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = draw(&settings(file.path()), 64).unwrap_err().to_string();
        assert!(error.contains("it is a file"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        sys::pipe::make_fifo(&fifo).unwrap();
        let hanging = Settings { stall_timeout: Duration::from_millis(50), ..settings(&fifo) };
        let error = draw(&hanging, 64).unwrap_err().to_string();
        assert!(error.ends_with("it gives nothing since 0.05 s"), "{error}");
        let error = draw(&settings(Path::new("/dev/zero")), 64).unwrap_err().to_string();
        assert!(error.starts_with("source /dev/zero: repetition count test"), "{error}");
        let error = draw(&settings(Path::new("egd:192.0.2.1:8888")), 64).unwrap_err().to_string();
        assert!(error.contains("can be read on their way here"), "{error}");
    }
}
