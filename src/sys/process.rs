//! Child processes: what the standard library does not offer for supervising them.
//!
//! Owns the calls; `child` says when. Privileges of our own process will live here too.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How to ask a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: it may tidy up first, or ignore it.
    Terminate,
    /// SIGKILL: it cannot refuse.
    Kill,
}

/// The child gets SIGTERM when the thread that starts it ends, however that comes about.
///
/// Mind "thread": the kernel means the one that called `spawn`, so that thread must live as
/// long as the child shall. Only Linux has this (`PR_SET_PDEATHSIG`); elsewhere a child whose
/// parent is killed learns of it by the end of its stdin.
pub fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let parent = std::process::id();
        let hook = move || {
            let signal = libc::c_ulong::try_from(libc::SIGTERM).unwrap_or_default();
            // SAFETY: takes integers only.
            if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } != 0 {
                return Err(io::Error::last_os_error());
            }
            // A parent that died before the call above would never be noticed.
            if std::os::unix::process::parent_id() != parent {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(())
        };
        // SAFETY: between fork and exec the hook makes two system calls; it neither
        // allocates nor takes a lock.
        unsafe { command.pre_exec(hook) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// The child leads a process group of its own: Ctrl-C on our terminal does not reach it, and
/// [`end_group`] reaches all that it started.
pub fn lead_own_group(command: &mut Command) {
    command.process_group(0);
}

/// Signals every process in the group that the child `pid` leads. A group that is gone is no
/// error. `pid` must not be reaped yet: until then its number belongs to nobody else.
pub fn end_group(pid: u32, ending: Ending) {
    let signal = match ending {
        Ending::Terminate => libc::SIGTERM,
        Ending::Kill => libc::SIGKILL,
    };
    // 0 and 1 would mean our own group, and everybody.
    if let Some(group) = libc::pid_t::try_from(pid).ok().filter(|group| *group > 1) {
        // SAFETY: takes integers only.
        unsafe { libc::kill(-group, signal) };
    }
}

/// Waits until our child `pid` has ended, and leaves it to be reaped (`WNOWAIT`), so that its
/// number stays its own and can be signalled without hitting a stranger.
///
/// # Errors
/// When `pid` is no child of ours.
pub fn wait_without_reaping(pid: u32) -> io::Result<()> {
    loop {
        // SAFETY: an all-zero siginfo_t is a valid value for the call to overwrite.
        let mut info = unsafe { std::mem::zeroed::<libc::siginfo_t>() };
        // SAFETY: `info` is valid for the call to fill.
        let code = unsafe {
            libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, libc::WEXITED | libc::WNOWAIT)
        };
        if code == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether an open descriptor is a regular file that group or others may read.
pub fn is_open_to_others(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(owned) = fd.try_clone_to_owned() else { return false };
    let metadata = std::fs::File::from(owned).metadata();
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o044 != 0)
}

/// Device and inode of an open descriptor.
pub fn device_and_inode(fd: std::os::fd::BorrowedFd<'_>) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::File::from(fd.try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_signal_reaches_the_whole_group_and_the_child_is_still_there_to_reap() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 1000 & wait"]);
        lead_own_group(&mut command);
        die_with_parent(&mut command);
        let mut child = command.spawn().unwrap();
        end_group(child.id(), Ending::Kill);
        wait_without_reaping(child.id()).unwrap();
        wait_without_reaping(child.id()).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(wait_without_reaping(child.id()).is_err(), "reaped: no longer ours");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_dies_with_the_thread_that_started_it() {
        let mut child = std::thread::spawn(|| {
            let mut command = Command::new("/bin/sleep");
            command.arg("1000");
            die_with_parent(&mut command);
            command.spawn().unwrap()
        })
        .join()
        .unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    }
}
