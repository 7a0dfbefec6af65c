//! One file that was read: its text, its place and who may read it.
//!
//! Owns reading with a bound, the rule for files that hold secrets, and turning an offset into
//! a line. It does not know what the text means.

use super::error::ConfigError;
use crate::sys::doors::{self, Door};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

/// No file is longer: 65,536 clients at 500 bytes each still fit.
const FILE_MAX: usize = 32 * 1024 * 1024;

/// Everybody's bits, and writing by the group: none of these on a file with a secret. Reading
/// by the group is allowed, so that root:netrng 0640 works.
const MODE_REFUSED: u32 = 0o027;

/// A file's text, wiped on drop, and what an error about it needs to say.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: Zeroizing<String>,
    /// Permission bits; `None` if the text does not come from a file.
    mode: Option<u32>,
    /// Whether the files that it names are of no concern yet.
    pub(super) is_draft: bool,
}

impl File {
    /// Reads `path` whole.
    ///
    /// # Errors
    /// As the system says, with `InvalidData` for what is too long or not UTF-8.
    pub(super) fn read(path: &Path) -> io::Result<File> {
        let mut handle = doors::open(Door::Files, path)?;
        let about = handle.metadata()?;
        if about.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Room for all of it: a vector that grows leaves copies of secrets behind.
        let room = usize::try_from(about.len()).unwrap_or(FILE_MAX).min(FILE_MAX) + 1;
        let mut bytes = Vec::with_capacity(room);
        handle.by_ref().take(FILE_MAX as u64 + 1).read_to_end(&mut bytes)?;
        let too_long = bytes.len() > FILE_MAX;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
            error.into_bytes().zeroize();
            io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8 text"))
        })?;
        let text = Zeroizing::new(text);
        if too_long {
            let said = format!("longer than {} MiB", FILE_MAX >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, said));
        }
        let mode = Some(about.permissions().mode() & 0o7777);
        Ok(File { path: path.to_owned(), text, mode, is_draft: false })
    }

    /// Takes a text as if it had been read from `path`.
    pub(super) fn from_text(text: &str, path: &Path) -> File {
        let text = Zeroizing::new(text.to_owned());
        File { path: path.to_owned(), text, mode: None, is_draft: false }
    }

    /// The same, before there are the files that it names.
    pub(super) fn draft(text: &str, path: &Path) -> File {
        File { is_draft: true, ..File::from_text(text, path) }
    }

    /// What is wrong with this file as the place of a secret, and the remedy; `None` if
    /// nothing is.
    pub(super) fn exposure(&self) -> Option<String> {
        let mode = self.mode.filter(|mode| mode & MODE_REFUSED != 0)?;
        let path = self.path.display();
        Some(format!(
            "it holds a secret, but its mode {mode:04o} is too open; run: chmod 640 {path}"
        ))
    }

    /// A path as the file means it: what is relative starts at the file's own folder.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        let joined = self.path.parent().unwrap_or(Path::new("")).join(path);
        std::path::absolute(&joined).unwrap_or(joined)
    }

    /// An error about the text at `offset`.
    pub(super) fn error(
        &self,
        offset: Option<usize>,
        key: &str,
        message: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            file: self.path.clone(),
            line: offset.map(|offset| self.line(offset)),
            key: (!key.is_empty()).then(|| key.to_owned()),
            message: message.into(),
        }
    }

    /// The line that `offset` stands in, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        line_at(self.text.as_bytes(), offset)
    }
}

fn line_at(text: &[u8], offset: usize) -> usize {
    let before = &text[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// What the system says of a file that cannot be read, in one short phrase.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder, not a file".to_owned(),
        _ => error.to_string(),
    }
}
