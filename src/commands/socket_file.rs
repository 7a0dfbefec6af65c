//! A unix socket's file: where programs of this machine find a daemon.
//!
//! Owns the file: made at the daemon's start in place of one that a dead one left, and
//! removed at its end. Who is served decides the daemon, by the user that the kernel says is
//! there.

use crate::sys::doors;
use crate::sys::privilege::User;
use crate::sys::process::with_permissions;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Connections that wait to be accepted; who comes after them waits in connect(2), first come
/// first served, behind no longer a queue than is emptied in a moment.
const BACKLOG: i32 = 128;

/// A socket's file, removed on drop by the process that made it: not by a half that ends and is
/// started again.
pub(super) struct SocketFile {
    path: PathBuf,
    maker: u32,
    /// Device and inode: whoever put another in its place keeps it.
    made: Option<(u64, u64)>,
}

impl SocketFile {
    /// Makes the socket with these permissions, its folder if that is missing, and listens. Its
    /// group is that of `shared_with`, if that is not whoever we are.
    ///
    /// # Errors
    /// Why it cannot be had, in words.
    pub fn make(
        path: &Path,
        mode: u32,
        shared_with: Option<&User>,
    ) -> Result<(SocketFile, UnixListener), String> {
        doors::check_way(path).map_err(|weak| weak.to_string())?;
        clear(path)?;
        let cannot = |error: io::Error| format!("it cannot be made: {error}");
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            // Whatever the umask: all may pass.
            with_permissions(0o755, || fs::create_dir(folder)).map_err(cannot)?;
        }
        let listener = listen(path, mode).map_err(cannot)?;
        let tap_socket =
            SocketFile { path: path.to_owned(), maker: std::process::id(), made: identity(path) };
        if let Some(user) = shared_with.filter(|user| !user.is_us()) {
            user.share(path).map_err(cannot)?;
        }
        Ok((tap_socket, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = self.made.is_some() && self.maker == std::process::id();
        if is_ours && identity(&self.path) == self.made {
            // A server that may not is no reason to worry: the next one replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// By no path is anything changed once it is there: somebody could have put another in its place.
fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux gives the file what the socket has; others go by the umask alone.
    let _ = File::from(OwnedFd::from(socket.try_clone()?))
        .set_permissions(Permissions::from_mode(mode));
    let address = SockAddr::unix(path)?;
    with_permissions(mode, || socket.bind(&address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Removes the socket of a dead daemon.
fn clear(path: &Path) -> Result<(), String> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err("something else than a socket is there; move it away".to_owned());
    }
    if is_alive(path) {
        return Err("another netrng listens there; stop it, or give this one another".to_owned());
    }
    fs::remove_file(path).map_err(|error| format!("the old one cannot be removed: {error}"))
}

/// Whether somebody listens. Does not wait for a server with a long queue.
fn is_alive(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    connect().err().is_none_or(|error| error.kind() != io::ErrorKind::ConnectionRefused)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_dead_servers_socket_is_replaced_and_a_live_ones_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/tap.sock");
        let (tap, listener) = SocketFile::make(&path, 0o666, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
        let refusal = SocketFile::make(&path, 0o666, None).err().unwrap();
        assert!(refusal.contains("another netrng listens there"), "{refusal}");
        assert!(UnixStream::connect(&path).is_ok(), "untouched");
        // Dead, and nobody tidied up.
        std::mem::forget(tap);
        drop(listener);
        let (tap, _listener) = SocketFile::make(&path, 0o666, None).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        drop(tap);
        assert!(!path.exists(), "removed at the end");
    }

    #[test]
    fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tap.sock");
        fs::write(&path, "a letter").unwrap();
        let refusal = SocketFile::make(&path, 0o666, None).err().unwrap();
        assert!(refusal.contains("something else than a socket"), "{refusal}");
        assert_eq!(fs::read(&path).unwrap(), b"a letter");
        fs::remove_file(&path).unwrap();
        let (tap, _listener) = SocketFile::make(&path, 0o666, None).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(tap);
        assert!(path.exists(), "another's");
        let refusal =
            SocketFile::make(&folder.path().join("no/such/tap.sock"), 0o666, None).err().unwrap();
        assert!(refusal.contains("cannot be made: "), "{refusal}");
    }
}
