//! Becoming somebody else: a user looked up by name, and root given up for good.
//!
//! Owns the calls and their order. Who becomes whom, and when, is decided in `commands`.

use super::harden;
use std::ffi::{CStr, CString, OsStr};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// For one line of the user database: a name, a home, a shell.
const ENTRY_LEN_MAX: usize = 16 * 1024;

/// Groups of one user that are looked at; Linux allows more, and nobody has them.
const GROUPS_MAX: u16 = 1024;
/// `nobody`, whom unrelated services share.
pub const NOBODY_UID: u32 = 65534;

/// What a user may do with files: its own number, and those of its groups.
#[derive(Debug)]
pub struct Rights {
    /// Its number.
    pub uid: u32,
    /// Its groups.
    pub gids: Vec<u32>,
}

impl Rights {
    /// Whether these rights allow to put something else in the place of `entry` (`None`: there
    /// is nothing) in `folder`.
    pub fn may_replace(&self, folder: &Metadata, entry: Option<&Metadata>) -> bool {
        const STICKY: u32 = 0o1000;
        let may_write = folder.mode() & 0o002 != 0
            || folder.mode() & 0o020 != 0 && self.gids.contains(&folder.gid());
        let is_kept = folder.mode() & STICKY != 0 && entry.is_some_and(|it| it.uid() != self.uid);
        folder.uid() == self.uid || may_write && !is_kept
    }
}

/// A user of this system.
#[derive(Debug, Clone)]
pub struct User {
    name: CString,
    uid: libc::uid_t,
    gid: libc::gid_t,
    home: CString,
}

/// Looks `name` up; `None`: there is no such user.
///
/// # Errors
/// When the user database cannot be read.
pub fn find_user(name: &str) -> io::Result<Option<User>> {
    let name = CString::new(name)?;
    look_up(&mut |entry, buffer, len, found| {
        // SAFETY: the name is a C string that lives through the call; `look_up` vouches for the
        // rest.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, len, found) }
    })
}

/// Looks up who this process acts as; `None`: a number without a name.
///
/// # Errors
/// When the user database cannot be read.
pub fn own_user() -> io::Result<Option<User>> {
    let uid = super::users::own_uid();
    look_up(&mut |entry, buffer, len, found| {
        // SAFETY: `look_up` vouches for the pointers.
        unsafe { libc::getpwuid_r(uid, entry, buffer, len, found) }
    })
}

/// One of getpwnam_r(3) and its like, with pointers that are valid through the call.
type LookUp<'a> = &'a mut dyn FnMut(
    *mut libc::passwd,
    *mut libc::c_char,
    usize,
    *mut *mut libc::passwd,
) -> libc::c_int;

fn look_up(call: LookUp<'_>) -> io::Result<Option<User>> {
    let mut buffer: Vec<libc::c_char> = vec![0; ENTRY_LEN_MAX];
    // SAFETY: an all-zero passwd is a valid value for the call to overwrite.
    let mut entry = unsafe { std::mem::zeroed::<libc::passwd>() };
    let mut found = std::ptr::null_mut();
    match call(&raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found) {
        0 if found.is_null() => Ok(None),
        0 => {
            // SAFETY: the call has found an entry, whose texts are C strings in `buffer`.
            let text = |start| unsafe { CStr::from_ptr(start) }.to_owned();
            let (name, home) = (text(entry.pw_name), text(entry.pw_dir));
            Ok(Some(User { name, uid: entry.pw_uid, gid: entry.pw_gid, home }))
        }
        // How C libraries say "no such user", beside a plain nothing: getpwnam_r(3).
        libc::ENOENT | libc::ESRCH => Ok(None),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The user that `text` names: by a name, or by decimal digits where none has the name, as
/// chown(1) reads it. `None`: neither.
///
/// # Errors
/// When the user database cannot be read.
pub fn find_uid(text: &str) -> io::Result<Option<u32>> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
    Ok(find_user(text)?.map(|found| found.uid).or(number.flatten()))
}

impl User {
    /// What it may do with files.
    pub fn rights(&self) -> Rights {
        let mut gids = vec![0; GROUPS_MAX.into()];
        let mut count = libc::c_int::from(GROUPS_MAX);
        // SAFETY: the name is a C string that lives through the call, and `gids` has room for
        // `count` numbers.
        unsafe {
            libc::getgrouplist(
                self.name.as_ptr(),
                self.gid as _,
                gids.as_mut_ptr(),
                &raw mut count,
            );
        }
        gids.truncate(usize::try_from(count).unwrap_or(0));
        Rights { uid: self.uid, gids }
    }

    /// Its home folder, if there is one.
    pub fn home(&self) -> Option<PathBuf> {
        let home = PathBuf::from(OsStr::from_bytes(self.home.to_bytes()));
        home.is_dir().then_some(home)
    }

    /// Its number.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Gives a file of ours to the user's group, and follows no symlink. It takes no right to give files away (CAP_CHOWN):
    /// whoever is of a group may give it his files, and root may be of any.
    ///
    /// # Errors
    /// When we may not, or there is no such file.
    pub fn share(&self, path: &Path) -> io::Result<()> {
        let checked = |code: libc::c_int| match code {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // SAFETY: a plain question.
        let own = unsafe { libc::getegid() };
        // SAFETY: takes an integer only; the real group stays, and the way back with it.
        checked(unsafe { libc::setegid(self.gid) })?;
        let shared = lchown(path, None, Some(self.gid));
        // SAFETY: as above.
        checked(unsafe { libc::setegid(own) })?;
        shared
    }

    /// Whether this user is root itself.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether this process runs as this user already.
    pub fn is_us(&self) -> bool {
        self.uid == super::users::own_uid()
    }

    /// This process becomes the user, with the user's groups and nothing of root's, and cannot
    /// go back: not by itself, nor by any program that it starts.
    ///
    /// # Errors
    /// When this process is not root, or could become root again.
    pub fn assume(&self) -> io::Result<()> {
        let checked = |code: libc::c_int| match code {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // Groups first: afterwards we may not change them any more.
        // SAFETY: the name is a C string that lives through the call.
        checked(unsafe { libc::initgroups(self.name.as_ptr(), self.gid as _) })?;
        // SAFETY: takes integers only.
        checked(unsafe { libc::setgid(self.gid) })?;
        // SAFETY: takes integers only. From root it sets the real and the saved user as well,
        // and the kernel takes all capabilities away.
        checked(unsafe { libc::setuid(self.uid) })?;
        // SAFETY: takes integers only.
        if unsafe { libc::setuid(0) } == 0 || !self.is_us() {
            return Err(io::Error::other("it could become root again"));
        }
        super::platform::forbid_new_privileges();
        // The change of user sets this back.
        harden::forbid_core_dumps();
        Ok(())
    }
}

/// Has `command` run as `user`.
pub fn run_as(command: &mut Command, user: User) {
    // SAFETY: what runs between fork and exec is the calls of `assume`. One of them reads the
    // database of groups, which wants memory: whoever starts `command` has no other thread.
    unsafe { command.pre_exec(move || user.assume()) };
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", CStr::to_string_lossy(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_a_stranger_is_not() {
        assert!(find_user("root").unwrap().unwrap().is_root());
        assert!(find_user("no-such-user-here").unwrap().is_none());
        assert!(find_user("with\0zero").is_err());
    }

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        for (text, uid) in [
            ("root", Some(0)),
            ("4000000", Some(4_000_000)),
            ("0", Some(0)),
            ("+0001", None),
            ("-1", None),
            ("", None),
            (" 1", None),
            ("4294967296", None),
        ] {
            assert_eq!(find_uid(text).unwrap(), uid, "{text:?}");
        }
    }

    #[test]
    fn root_has_its_group() {
        let rights = find_user("root").unwrap().unwrap().rights();
        assert_eq!(rights.uid, 0);
        assert!(rights.gids.contains(&0), "{rights:?}");
    }

    #[test]
    fn who_we_are_is_told_from_who_we_are_not() {
        let root = find_user("root").unwrap().unwrap();
        assert_eq!(root.is_us(), harden::is_root());
        assert_eq!(
            own_user().unwrap().map(|user| user.uid()),
            Some(super::super::users::own_uid())
        );
    }
}
