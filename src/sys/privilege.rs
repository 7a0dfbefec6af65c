//! Becoming somebody else: a user looked up by name, and root given up for good.
//!
//! Owns the calls and their order. Who becomes whom, and when, is decided in `commands`.

use super::harden;
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// For one line of the user database: a name, a home, a shell.
const ENTRY_LEN_MAX: usize = 16 * 1024;

/// A user of this system.
#[derive(Debug, Clone)]
pub struct User {
    name: CString,
    uid: libc::uid_t,
    gid: libc::gid_t,
}

/// Looks `name` up; `None`: there is no such user.
///
/// # Errors
/// When the user database cannot be read.
pub fn find_user(name: &str) -> io::Result<Option<User>> {
    let name = CString::new(name)?;
    let mut buffer: Vec<libc::c_char> = vec![0; ENTRY_LEN_MAX];
    // SAFETY: an all-zero passwd is a valid value for the call to overwrite.
    let mut entry = unsafe { std::mem::zeroed::<libc::passwd>() };
    let mut found = std::ptr::null_mut();
    // SAFETY: all pointers are valid through the call, `buffer` for the length given.
    let code = unsafe {
        libc::getpwnam_r(name.as_ptr(), &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found)
    };
    match code {
        0 if found.is_null() => Ok(None),
        0 => Ok(Some(User { name, uid: entry.pw_uid, gid: entry.pw_gid })),
        // How C libraries say "no such user", beside a plain nothing: getpwnam_r(3).
        libc::ENOENT | libc::ESRCH => Ok(None),
        _ => Err(io::Error::from_raw_os_error(code)),
    }
}

impl User {
    /// Its number.
    pub fn uid(&self) -> u32 {
        self.uid
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
        #[cfg(target_os = "linux")]
        {
            let (yes, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
            // SAFETY: takes integers only. Kernels before 3.5 do not have it.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, unused, unused, unused) };
        }
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
    fn who_we_are_is_told_from_who_we_are_not() {
        let root = find_user("root").unwrap().unwrap();
        assert_eq!(root.is_us(), harden::is_root());
    }
}
