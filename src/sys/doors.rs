//! Files that only root may open, for a half of netrng that is not root: it asks the half that
//! is, and gets the open descriptor (`SCM_RIGHTS`, unix(7)).
//!
//! Owns the list of what may be asked for, which is made before the halves part: what the
//! configuration was read from, and the source. They ask by its number, so no path ever comes
//! from the half that talks to strangers; and no folder on the way may be its user's to change,
//! who could put a symlink there. That holds for what root makes, sockets and the FIFO, as well.

use super::privilege::{Rights, User};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// As many symlinks on one way as Linux follows.
const SYMLINKS_MAX: usize = 40;

/// What a file is for, and so how it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// For the source.
    Source,
    /// For the source, at a unix socket: connects.
    Socket,
    /// For the configuration and what it names.
    Files,
}

impl Door {
    /// Which of the two links it goes over: a FIFO that waits for its writer keeps no reload
    /// waiting.
    fn link(self) -> usize {
        usize::from(self == Door::Files)
    }

    fn open(self, path: &Path) -> io::Result<File> {
        match self {
            Door::Socket => Ok(File::from(OwnedFd::from(UnixStream::connect(path)?))),
            Door::Source | Door::Files => open_to_read(path, 0),
        }
    }
}

/// A serial line does not become our terminal, whose bytes would be our signals.
fn open_to_read(path: &Path, flags: libc::c_int) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags | libc::O_NOCTTY).open(path)
}

/// What may be opened again.
static NOTED: Mutex<Vec<(Door, PathBuf)>> = Mutex::new(Vec::new());
/// Whose folders are not to be passed.
static GUARDED: OnceLock<Rights> = OnceLock::new();
/// Whom to ask, by [`Door::link`]; nobody in a process that opens for itself. Not set while the
/// list still grows.
static ASKED: OnceLock<Option<[Mutex<UnixStream>; 2]>> = OnceLock::new();

/// Puts `path` on the list of what may be opened after the halves have parted.
pub fn note(door: Door, path: &Path) {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).push((door, path.to_owned()));
}

/// A folder that `user` can change, on the way to a file.
#[derive(Debug)]
pub struct WeakWay {
    folder: PathBuf,
    path: PathBuf,
}

impl fmt::Display for WeakWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, path) = (self.folder.display(), self.path.display());
        write!(
            f,
            "`user` can change {folder}, which is on the way to {path}, and so lead root to any \
             other file: let root alone write there (chown root, chmod go-w), or name another place"
        )
    }
}

/// From now on no way that `user` can change is gone with root's rights.
pub fn guard_against(user: &User) {
    GUARDED.get_or_init(|| user.rights());
}

/// Looks whether the way to `path` is root's alone.
///
/// # Errors
/// It is not.
pub fn check_way(path: &Path) -> Result<(), WeakWay> {
    match GUARDED.get().and_then(|rights| weak_folder(path, rights)) {
        Some(folder) => Err(WeakWay { folder, path: path.to_owned() }),
        None => Ok(()),
    }
}

/// The same for all that is noted already.
///
/// # Errors
/// The first that is not.
pub fn check_noted() -> Result<(), WeakWay> {
    let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    noted.iter().try_for_each(|(_, path)| check_way(path))
}

/// The first folder that these rights allow to change, on the way to `path` through all symlinks;
/// one that cannot be looked at leads nowhere.
fn weak_folder(path: &Path, rights: &Rights) -> Option<PathBuf> {
    let words = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect();
    let mut here = PathBuf::from("/");
    let mut ahead: VecDeque<OsString> = words(&std::path::absolute(path).ok()?);
    let mut symlinks = 0;
    while let Some(word) = ahead.pop_front() {
        match Path::new(&word).components().next() {
            Some(Component::Normal(_)) => {}
            Some(Component::RootDir) => {
                here = PathBuf::from("/");
                continue;
            }
            Some(Component::ParentDir) => {
                here.pop();
                continue;
            }
            _ => continue,
        }
        let next = here.join(&word);
        let found = fs::symlink_metadata(&next).ok();
        if rights.may_replace(&fs::metadata(&here).ok()?, found.as_ref()) {
            return Some(here);
        }
        if !found?.is_symlink() {
            here = next;
            continue;
        }
        symlinks += 1;
        if symlinks > SYMLINKS_MAX {
            return None;
        }
        let mut way: VecDeque<OsString> = words(&fs::read_link(&next).ok()?);
        way.append(&mut ahead);
        ahead = way;
    }
    None
}

/// The list is complete. From now on [`open`] asks the other half, if there is one.
pub fn close(links: Option<[UnixStream; 2]>) {
    let _ = ASKED.set(links.map(|links| links.map(Mutex::new)));
}

/// As [`File::open`], or connects to a socket; in a half that is not root, done by the other one
/// if it was opened or noted before they parted.
///
/// # Errors
/// As the system says, to whoever opens it.
pub fn open(door: Door, path: &Path) -> io::Result<File> {
    let links = match ASKED.get() {
        Some(Some(links)) => links,
        Some(None) => return door.open(path),
        None => {
            note(door, path);
            return door.open(path);
        }
    };
    let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |(for_what, noted): &(Door, PathBuf)| *for_what == door && noted == path;
    let number = noted.iter().position(is_it).and_then(|n| u32::try_from(n).ok());
    drop(noted);
    let Some(number) = number else { return door.open(path) };
    let mut link = links[door.link()].lock().unwrap_or_else(PoisonError::into_inner);
    link.write_all(&number.to_ne_bytes())?;
    receive(&link)
}

/// Opens what is asked for, until nobody asks any more.
///
/// # Errors
/// When the other half has ended in the middle of an answer.
pub fn serve(mut link: &UnixStream) -> io::Result<()> {
    let mut number = [0; 4];
    while link.read_exact(&mut number).is_ok() {
        let number = usize::try_from(u32::from_ne_bytes(number)).unwrap_or(usize::MAX);
        let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = noted.get(number).cloned();
        drop(noted);
        match wanted.ok_or(io::ErrorKind::NotFound.into()).and_then(open_here) {
            Ok(file) => send(link, 0, Some(&file))?,
            Err(error) => send(link, error.raw_os_error().unwrap_or(libc::EINVAL), None)?,
        }
    }
    Ok(())
}

/// Opens what was noted. Folders and files may be others than at the start.
fn open_here((door, path): (Door, PathBuf)) -> io::Result<File> {
    if let Err(weak) = check_way(&path) {
        log::warn!("{} is not opened again: {weak}", path.display());
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    if door != Door::Files {
        // A FIFO waits for its writer.
        return door.open(&path);
    }
    let file = open_to_read(&path, libc::O_NONBLOCK)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}

/// Bytes of a descriptor.
#[allow(clippy::cast_possible_truncation, reason = "four")]
const DESCRIPTOR_LEN: libc::c_uint = size_of::<libc::c_int>() as libc::c_uint;

/// Room for a message with one descriptor, placed as its head wants to be.
#[repr(C)]
union Control {
    head: libc::cmsghdr,
    room: [u8; 64],
}

/// `code`: why there is no file; 0 if there is.
fn send(link: &UnixStream, code: i32, file: Option<&File>) -> io::Result<()> {
    let mut code = code.to_ne_bytes();
    let mut control = Control { room: [0; 64] };
    let mut part = libc::iovec { iov_base: code.as_mut_ptr().cast(), iov_len: code.len() };
    // SAFETY: an all-zero msghdr is one that has no address and no parts.
    let mut message = unsafe { zeroed::<libc::msghdr>() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(file) = file {
        message.msg_control = (&raw mut control).cast();
        // SAFETY: arithmetic only, for which CMSG_SPACE and CMSG_LEN are unsafe by name; the
        // space for one descriptor is less than `control`, so that the head and the data
        // that the macros point to lie in it.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(DESCRIPTOR_LEN) as _;
            let head = libc::CMSG_FIRSTHDR(&raw const message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(DESCRIPTOR_LEN) as _;
            libc::CMSG_DATA(head).cast::<libc::c_int>().write_unaligned(file.as_raw_fd());
        }
    }
    // SAFETY: `message` points to `part` and `control`, which live through the call, as does
    // the descriptor in it.
    let sent = unsafe { libc::sendmsg(link.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn receive(link: &UnixStream) -> io::Result<File> {
    let mut code = [0; 4];
    let mut control = Control { room: [0; 64] };
    let mut part = libc::iovec { iov_base: code.as_mut_ptr().cast(), iov_len: code.len() };
    // SAFETY: as in `send`.
    let mut message = unsafe { zeroed::<libc::msghdr>() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_WAITALL;
    // SAFETY: `message` points to `part` and `control`, which the call may write to.
    match unsafe { libc::recvmsg(link.as_raw_fd(), &raw mut message, flags) } {
        4 => {}
        0.. => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => return Err(io::Error::last_os_error()),
    }
    // SAFETY: the kernel has filled `control` and said in `message` how far.
    let head = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    match i32::from_ne_bytes(code) {
        0 if !head.is_null() => {
            // SAFETY: a message of ours with code 0 carries one descriptor, which is ours now.
            Ok(unsafe {
                File::from_raw_fd(libc::CMSG_DATA(head).cast::<libc::c_int>().read_unaligned())
            })
        }
        0 => Err(io::ErrorKind::InvalidData.into()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_and_a_reason_cross_over() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "text").unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&theirs, 0, Some(file.as_file())).unwrap();
        send(&theirs, libc::ENXIO, None).unwrap();
        let mut text = String::new();
        receive(&ours).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert_eq!(receive(&ours).unwrap_err().raw_os_error(), Some(libc::ENXIO));
        drop(theirs);
        assert_eq!(receive(&ours).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    /// Both ends in one process, and so on one list; the other tests here may add to it, but
    /// what is asked for stays below any number.
    #[test]
    fn what_was_not_noted_is_not_opened() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let served = std::thread::spawn(move || serve(&theirs));
        ours.write_all(&u32::MAX.to_ne_bytes()).unwrap();
        assert_eq!(receive(&ours).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        drop(ours);
        served.join().unwrap().unwrap();
    }

    #[test]
    fn a_way_that_a_user_can_change_is_found_behind_symlinks_and_a_safe_one_is_not() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let ours = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(ours.path()).unwrap();
        let path = |name: &str| root.join(name);
        for folder in ["safe", "loose", "sticky"] {
            fs::create_dir(path(folder)).unwrap();
            fs::write(path(folder).join("file"), "").unwrap();
        }
        let mode = |name: &str, mode| {
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        mode("safe", 0o755);
        mode("loose", 0o757);
        mode("sticky", 0o1777);
        symlink("../loose/file", path("safe/link")).unwrap();
        symlink(path("sticky/file"), path("safe/far")).unwrap();
        symlink("round", path("safe/round")).unwrap();
        let stranger = Rights { uid: 54_321, gids: vec![54_321] };
        let weak = |name: &str, rights: &Rights| {
            weak_folder(&path(name), rights)
                .map(|folder| folder.strip_prefix(&root).unwrap().to_owned())
        };
        for (name, folder) in [
            ("safe/file", None),
            ("safe/../safe/no-such-file", None),
            ("safe/round", None),
            ("loose/file", Some("loose")),
            ("safe/link", Some("loose")),
            // There nobody touches what is another's; what is not there yet anybody can make.
            ("sticky/file", None),
            ("safe/far", None),
            ("sticky/no-such-file", Some("sticky")),
        ] {
            assert_eq!(weak(name, &stranger), folder.map(PathBuf::from), "{name}");
        }
        let me = Rights { uid: super::super::users::own_uid(), gids: Vec::new() };
        assert!(weak_folder(&path("safe/file"), &me).is_some(), "the folder is its own");
    }

    #[test]
    fn only_regular_files_are_opened_for_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        super::super::pipe::make_fifo(&fifo).unwrap();
        for path in [&fifo, Path::new("/dev/null"), dir.path()] {
            let refused = open_here((Door::Files, path.to_owned())).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EINVAL), "{}", path.display());
        }
        assert!(open_here((Door::Source, "/dev/null".into())).is_ok());
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(open_here((Door::Source, socket.clone())).is_err());
        assert!(open_here((Door::Socket, socket)).is_ok());
    }
}
