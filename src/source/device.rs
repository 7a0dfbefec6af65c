//! Devices: opening what random bytes are read from, and what the kernel says of it.
//!
//! Owns the open file or connection and the kernel's view of its hardware generator. It does not
//! judge the bytes.

use super::egd::{self, Replies};
use super::origin::Origin;
use crate::sys::doors::{self, Door};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

/// Where the kernel tells about the generator behind `/dev/hwrng`.
const HW_RANDOM: &str = "/sys/class/misc/hw_random";
/// Device number of `/dev/hwrng` on Linux (Documentation/admin-guide/devices.txt): misc
/// major 10, minor 183.
const HWRNG_MAJOR_MINOR: (u64, u64) = (10, 183);

/// Why a source gives no bytes.
#[derive(Debug)]
pub enum DeviceError {
    /// It is not there.
    NotFound,
    /// We may not read it.
    Denied,
    /// It ended.
    Eof,
    /// No generator is behind `/dev/hwrng`.
    NoCurrent,
    /// Another generator is behind `/dev/hwrng` than before.
    CurrentChanged {
        /// The kernel's name of it before.
        from: String,
        /// And now.
        to: String,
    },
    /// An EGD server cannot be reached.
    NoConnection(io::Error),
    /// An EGD server closed the connection.
    HungUp {
        /// Bytes of what it was asked for that did not come.
        owed: usize,
    },
    /// What should be an EGD server sends without being asked.
    Unasked,
    /// An EGD server has said nothing for so long that the connection is given up.
    Silent,
    /// Anything else that the system reports, as ENODEV or EIO.
    Io(io::Error),
}

impl DeviceError {
    /// The name of its counter.
    pub fn kind(&self) -> &'static str {
        match self {
            DeviceError::NotFound => "not-found",
            DeviceError::Denied => "permission-denied",
            DeviceError::Eof => "eof",
            DeviceError::NoCurrent => "no-current-rng",
            DeviceError::CurrentChanged { .. } => "rng-changed",
            DeviceError::NoConnection(_) => "no-connection",
            DeviceError::HungUp { .. } => "peer-closed",
            DeviceError::Unasked => "unasked-bytes",
            DeviceError::Silent => "stalled",
            DeviceError::Io(error) if error.raw_os_error() == Some(libc::ENODEV) => "no-device",
            DeviceError::Io(_) => "io-error",
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceError::NotFound => f.write_str(
                "it does not exist: load the generator's kernel module, or name another device (a \
                 server's is `device` in [source])",
            ),
            DeviceError::Denied => f.write_str(
                "permission denied: run as root, or give the group of netrng the device by a udev rule",
            ),
            DeviceError::Eof => f.write_str("it ended"),
            DeviceError::NoCurrent => {
                f.write_str("the kernel has no generator behind it (rng_current is `none`)")
            }
            DeviceError::CurrentChanged { from, to } => {
                write!(f, "the kernel's generator behind it changed from {from} to {to}")
            }
            DeviceError::NoConnection(error) => write!(
                f,
                "cannot connect: {error}; see that the EGD server runs, and lets this user in"
            ),
            DeviceError::HungUp { owed: 0 } => f.write_str("the EGD server closed the connection"),
            DeviceError::HungUp { owed } => write!(
                f,
                "the EGD server closed the connection with {owed} of the bytes that it was asked \
                 for still to come"
            ),
            DeviceError::Unasked => f.write_str(
                "it sends bytes that nobody asked for: it is no EGD server, or one that greets \
                 (`greet` of a netrng)",
            ),
            DeviceError::Silent => f.write_str("the EGD server does not answer"),
            DeviceError::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for DeviceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => DeviceError::NotFound,
            io::ErrorKind::PermissionDenied => DeviceError::Denied,
            _ => DeviceError::Io(error),
        }
    }
}

/// An open source.
#[derive(Debug)]
pub struct Device {
    file: File,
    origin: Origin,
    /// For an EGD server, which must be asked.
    replies: Option<Replies>,
    is_seekable: bool,
    /// The kernel's name of the generator when the device was opened, for `/dev/hwrng` only.
    current: Option<String>,
}

impl Device {
    /// Opens a device, FIFO or file, or connects to an EGD server, which is given up if it says
    /// nothing for twice the `stall_timeout`. A FIFO waits for its writer. A file or disk goes
    /// on at `offset`: bytes already read are never read again.
    ///
    /// # Errors
    /// [`DeviceError`], if it cannot be opened or no generator is behind it.
    pub fn open(
        origin: &Origin,
        offset: u64,
        stall_timeout: Duration,
    ) -> Result<Self, DeviceError> {
        // The reader's watchdog speaks after `stall_timeout`: connecting gives up before, so that
        // the log hears why, and a read after, so that it hears of it once.
        let mut file = match origin {
            Origin::Path(path) => doors::open(Door::Source, path)?,
            Origin::EgdUnix(path) => {
                doors::open(Door::Socket, path).map_err(DeviceError::NoConnection)?
            }
            Origin::EgdTcp(address) => {
                egd::connect(*address, stall_timeout / 2).map_err(DeviceError::NoConnection)?
            }
        };
        let replies = match origin {
            Origin::Path(_) => None,
            _ => Some(Replies::new(&file, stall_timeout * 2)?),
        };
        let metadata = file.metadata()?;
        let is_seekable = metadata.file_type().is_file() || metadata.file_type().is_block_device();
        if is_seekable {
            file.seek(SeekFrom::Start(offset))?;
        }
        let is_hwrng = metadata.file_type().is_char_device()
            && (major(metadata.rdev()), minor(metadata.rdev())) == HWRNG_MAJOR_MINOR;
        let current = if is_hwrng { kernel_says("rng_current") } else { None };
        let device = Device { file, origin: origin.clone(), replies, is_seekable, current };
        device.check_current()?;
        Ok(device)
    }

    /// Whether it is a regular file or a disk, whose bytes are the same each time they are read.
    pub fn is_seekable(&self) -> bool {
        self.is_seekable
    }

    /// How many bytes it has, if it is a regular file.
    pub fn file_len(&self) -> Option<u64> {
        self.file.metadata().ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
    }

    /// Reads at least one byte, blocking.
    ///
    /// # Errors
    /// [`DeviceError`], if there is nothing more or the system reports an error.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DeviceError> {
        if let Some(replies) = &mut self.replies {
            return replies.read(&self.file, buffer);
        }
        loop {
            match self.file.read(buffer) {
                Ok(0) => return Err(DeviceError::Eof),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the same generator is still behind `/dev/hwrng`. Always so for other sources.
    ///
    /// # Errors
    /// [`DeviceError::NoCurrent`] or [`DeviceError::CurrentChanged`].
    pub fn check_current(&self) -> Result<(), DeviceError> {
        let Some(from) = &self.current else { return Ok(()) };
        match kernel_says("rng_current") {
            Some(now) if now == "none" => Err(DeviceError::NoCurrent),
            Some(to) if to != *from => Err(DeviceError::CurrentChanged { from: from.clone(), to }),
            _ => Ok(()),
        }
    }

    /// The kernel's estimate of its generator, in 1/1024 bits per bit; `None` for sources that
    /// are no `/dev/hwrng` and for kernels that do not say.
    pub fn quality(&self) -> Option<u32> {
        self.current.as_ref()?;
        kernel_says("rng_quality")?.parse().ok()
    }

    /// The kernel's name of the generator behind it; empty if it is no `/dev/hwrng`.
    pub fn generator(&self) -> &str {
        self.current.as_deref().unwrap_or_default()
    }

    /// How the log calls it: its name, and what the kernel calls the generator.
    pub fn description(&self) -> String {
        match &self.current {
            Some(current) => format!("{} ({current})", self.origin),
            None => self.origin.to_string(),
        }
    }
}

fn kernel_says(attribute: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(HW_RANDOM).join(attribute)).ok()?;
    Some(text.trim().to_owned())
}

/// Major number in a Linux `dev_t` (glibc and musl, `sys/sysmacros.h`).
fn major(device: u64) -> u64 {
    ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000)
}

/// Minor number in a Linux `dev_t`.
fn minor(device: u64) -> u64 {
    (device & 0xff) | ((device >> 12) & 0xffff_ff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, offset: u64) -> Result<Device, DeviceError> {
        Device::open(&Origin::Path(path.to_owned()), offset, Duration::from_secs(10))
    }

    #[test]
    fn device_numbers_are_taken_apart_as_the_c_libraries_do() {
        let hwrng = libc::makedev(10, 183);
        assert_eq!((major(hwrng), minor(hwrng)), HWRNG_MAJOR_MINOR);
        let wide = libc::makedev(0x12345, 0x6789a);
        assert_eq!((major(wide), minor(wide)), (0x12345, 0x6789a));
    }

    #[test]
    fn a_file_goes_on_where_it_was_left() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"abcdef").unwrap();
        let mut device = open(file.path(), 4).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(device.read(&mut buffer).unwrap(), 2);
        assert_eq!(&buffer[..2], b"ef");
        assert!(matches!(device.read(&mut buffer), Err(DeviceError::Eof)));
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let error = open(Path::new("/nonexistent/hwrng"), 0).unwrap_err();
        assert_eq!(error.kind(), "not-found");
    }
}
