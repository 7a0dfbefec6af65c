//! A named pipe that another program reads.
//!
//! Owns the FIFO's making and opening. It is opened for reading and writing at once: then
//! the pipe lives as long as we do, its reader may come, leave and be killed without our
//! noticing, and what it did not read (a page at most) waits for the next one. Nothing is
//! lost and nothing is given twice. We never read from it. A FIFO that is removed while we
//! run is not noticed: no reader can come any more, so nothing more is asked for either.

use super::pump::{Pump, PumpEnd};
use super::{Context, SinkError};
use crate::sys::users::own_uid;
use crate::sys::{doors, pipe};
use log::{debug, warn};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Opens the FIFO at `path`, made with mode 0600 if nothing stands there, in a
/// folder that is made if only that is missing. One that somebody else has made is not used, nor
/// is a symlink.
pub(super) fn open(path: &Path) -> Result<File, SinkError> {
    let failed = |error: io::Error| SinkError::Fifo(path.to_owned(), error);
    doors::check_way(path).map_err(|weak| failed(io::Error::other(weak.to_string())))?;
    // As /run/netrng, which not every init system makes. If it cannot be had, the FIFO cannot.
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        std::fs::create_dir(folder).map_err(failed)?;
    }
    match pipe::make_fifo(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // Looked at before it is opened: opening a device can have effects.
    if !std::fs::symlink_metadata(path).map_err(failed)?.file_type().is_fifo() {
        return Err(SinkError::NotFifo(path.to_owned()));
    }
    let fifo = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)
        .map_err(failed)?;
    let metadata = fifo.metadata().map_err(failed)?;
    if !metadata.file_type().is_fifo() {
        return Err(SinkError::NotFifo(path.to_owned()));
    }
    if ![0, own_uid()].contains(&metadata.uid()) {
        let text =
            "it is another user's, who could read the bytes: remove it, and netrng makes one";
        return Err(failed(io::Error::other(text)));
    }
    if metadata.mode() & 0o077 != 0 {
        warn!(
            "{}: others than its owner may open it (mode {:03o}); `chmod 600` it",
            path.display(),
            metadata.mode() & 0o777
        );
    }
    if let Err(error) = pipe::shrink(fifo.as_fd()) {
        debug!("{}: keeps its size: {error}", path.display());
    }
    Ok(fifo)
}

/// Feeds it until we are to end.
pub(super) fn run(fifo: &File, path: PathBuf, context: Context) -> Result<(), SinkError> {
    match Pump::new(&context).run(fifo, &context.stop) {
        PumpEnd::Stopped | PumpEnd::Gone => Ok(()),
        PumpEnd::Broken(error) => Err(SinkError::Fifo(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_fifo_is_made_for_its_owner_only_and_an_existing_one_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netrng/fifo");
        for _ in 0..2 {
            drop(open(&path).unwrap());
            let metadata = std::fs::metadata(&path).unwrap();
            assert!(metadata.file_type().is_fifo());
            assert_eq!(metadata.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_no_fifo_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "precious").unwrap();
        let link = folder.path().join("link");
        drop(open(&folder.path().join("fifo")).unwrap());
        std::os::unix::fs::symlink("fifo", &link).unwrap();
        for path in [path.as_path(), folder.path(), Path::new("/dev/null"), &link] {
            assert!(matches!(open(path), Err(SinkError::NotFifo(_))), "{path:?}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let error = open(Path::new("/no/such/folder/fifo")).unwrap_err().to_string();
        assert!(error.contains("/no/such/folder/fifo"), "{error}");
    }
}
