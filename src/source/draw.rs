//! A few tested bytes at once, for keys: open, start-up test, draw, close.

use super::Settings;
use super::device::{Device, DeviceError};
use super::health::{HealthTests, STARTUP_BYTES, default_min_entropy};
use crate::sample::Sample;
use std::fmt;
use zeroize::Zeroizing;

/// Why no tested bytes could be had.
#[derive(Debug)]
pub struct DrawError {
    source: String,
    why: String,
}

impl fmt::Display for DrawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}: {}", self.source, self.why)
    }
}

impl std::error::Error for DrawError {}

/// `count` bytes that nobody else gets, from a source that passed its start-up test, tested
/// themselves as well. Blocks as long as the device does.
///
/// # Errors
/// [`DrawError`], if the source cannot be read or fails a test.
pub fn draw(settings: &Settings, count: usize) -> Result<Sample, DrawError> {
    let error = |why: String| DrawError { source: settings.path.display().to_string(), why };
    let device_error = |why: DeviceError| error(why.to_string());
    let mut device = Device::open(&settings.path, 0).map_err(device_error)?;
    if device.is_seekable() {
        return Err(error(
            "it is a file, which gives the same bytes each time: keys need a device".to_owned(),
        ));
    }
    let min_entropy = settings.min_entropy.unwrap_or_else(|| default_min_entropy(device.quality()));
    let mut health = HealthTests::new(min_entropy);
    let mut bytes = Zeroizing::new(vec![0; STARTUP_BYTES + count]);
    let mut filled = 0;
    while filled < bytes.len() {
        let got = device.read(&mut bytes[filled..]).map_err(device_error)?;
        health.check(&bytes[filled..filled + got]).map_err(|failure| error(failure.to_string()))?;
        filled += got;
    }
    Ok(Sample::new(bytes[STARTUP_BYTES..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    fn settings(path: &Path) -> Settings {
        Settings {
            path: path.to_owned(),
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
        let error = draw(&settings(Path::new("/dev/zero")), 64).unwrap_err().to_string();
        assert!(error.starts_with("source /dev/zero: repetition count test"), "{error}");
    }
}
