//! Child processes: what the standard library does not offer for supervising them.
//!
//! Owns the calls; `child` says when, and `commands` where netrng itself becomes several.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

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
    let parent = std::process::id();
    // SAFETY: between fork and exec the hook makes two system calls; it neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(move || die_with(parent)) };
}

/// The calling process gets SIGTERM when `parent`, which started it, ends. A change of its
/// user takes that back, so it is to be called after one. Linux only, as [`die_with_parent`].
///
/// # Errors
/// When `parent` has ended already.
pub fn die_with(parent: u32) -> io::Result<()> {
    super::platform::end_with_parent()?;
    // A parent that died before the call above would never be noticed.
    match std::os::unix::process::parent_id() == parent {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Makes a copy of this process, in which the answer is `None`; here it is the copy's number.
/// The copy leads a session of its own, so Ctrl-C does not reach it, and [`reap`] reaches all that
/// it started.
///
/// Only for a process of one thread: of the others the copy would have the locks that they
/// held, and nobody to release them.
///
/// # Errors
/// When the system has no process left.
pub fn fork() -> io::Result<Option<u32>> {
    // SAFETY: there is one thread, so the copy is as whole as the original.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: takes integers only.
            unsafe { libc::setsid() };
            Ok(None)
        }
        pid => u32::try_from(pid).map(Some).map_err(|_| io::Error::last_os_error()),
    }
}

/// Signals that wait; dropping this lets them come.
#[derive(Debug)]
pub struct HeldSignals(libc::sigset_t);

/// Holds all signals to this thread back. A copy of this process has them held as well, but
/// none of those that wait already.
pub fn hold_signals() -> HeldSignals {
    // SAFETY: an all-zero sigset_t is a valid value for the calls to overwrite.
    let mut sets = unsafe { [std::mem::zeroed::<libc::sigset_t>(); 2] };
    let [all, before] = &mut sets;
    // SAFETY: both are valid for the calls to fill and to read.
    unsafe {
        libc::sigfillset(all);
        libc::pthread_sigmask(libc::SIG_SETMASK, all, before);
    }
    HeldSignals(*before)
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // SAFETY: the set is one that the system made, and stays valid through the call.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// Sends `signal` to our child `pid`, which must not be reaped yet.
pub fn signal(pid: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: takes integers only.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Looks at all processes before we give up on a session: each look may find what those of the
/// look before have started.
const SESSION_LOOKS_MAX: u32 = 16;

/// Waits until our copy `pid` has ended, ends what it left behind in its session, reaps it; how
/// it ended.
///
/// # Errors
/// When `pid` is no child of ours.
pub fn reap(pid: u32) -> io::Result<ExitStatus> {
    wait_without_reaping(pid)?;
    end_session(pid);
    let mut status = 0;
    // SAFETY: `status` is valid for the call to fill.
    match unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(ExitStatus::from_raw(status)),
    }
}

/// Ends all of the session that the child `pid` leads, by SIGKILL. It must not be reaped yet: until
/// then no other session has its number. That holds for the leader alone: a member that ends by
/// itself between the look and the signal leaves its number, and the signal would hit who gets it.
/// For that the system must go once through all its numbers in the moment between.
/// Where no `/proc` lists the processes, they live on.
fn end_session(pid: u32) {
    for _ in 0..SESSION_LOOKS_MAX {
        let Ok(processes) = fs::read_dir("/proc") else { return };
        let mut is_empty = true;
        for entry in processes.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let Some(member) = number.filter(|number| *number != pid) else { continue };
            // SAFETY: takes integers only.
            if unsafe { libc::getsid(member as libc::pid_t) } == pid as libc::pid_t {
                signal(member, libc::SIGKILL);
                is_empty = false;
            }
        }
        if is_empty {
            return;
        }
    }
}

/// Lets the ends of children be waited for, whatever whoever started us did with SIGCHLD: where
/// it is ignored, which a program inherits, they leave no status.
pub fn expect_children() {
    // SAFETY: sets a signal back to its default, before any thread is started.
    let _ = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
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
    look_at(pid, 0).map(drop)
}

/// Whether our child `pid` has ended; it is left to be reaped, as above.
///
/// # Errors
/// When `pid` is no child of ours.
pub fn has_ended(pid: u32) -> io::Result<bool> {
    look_at(pid, libc::WNOHANG)
}

fn look_at(pid: u32, options: libc::c_int) -> io::Result<bool> {
    let options = options | libc::WEXITED | libc::WNOWAIT;
    loop {
        // SAFETY: an all-zero siginfo_t is a valid value for the call to overwrite.
        let mut info = unsafe { std::mem::zeroed::<libc::siginfo_t>() };
        // SAFETY: `info` is valid for the call to fill.
        let code = unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, options) };
        if code == 0 {
            // Of one that lives on nothing is said: all stays zero.
            return Ok(info.si_signo != 0);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Has `make` make a file that group and others may use as `mode` says at most, from its first
/// moment. Holds for all threads meanwhile; the owner's rights stay as they are.
pub fn with_permissions<T>(mode: u32, make: impl FnOnce() -> T) -> T {
    // SAFETY: takes an integer only, and cannot fail.
    let before = unsafe { libc::umask(!mode as libc::mode_t & 0o077) };
    let made = make();
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    made
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

    #[test]
    fn a_signal_reaches_the_whole_group_and_the_child_is_still_there_to_reap() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 1000 & wait"]);
        lead_own_group(&mut command);
        die_with_parent(&mut command);
        let mut child = command.spawn().unwrap();
        assert!(!has_ended(child.id()).unwrap());
        end_group(child.id(), Ending::Kill);
        wait_without_reaping(child.id()).unwrap();
        wait_without_reaping(child.id()).unwrap();
        assert!(has_ended(child.id()).unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(wait_without_reaping(child.id()).is_err(), "reaped: no longer ours");
    }

    #[test]
    fn what_a_copy_leaves_behind_in_its_session_ends_as_it_is_reaped() {
        use std::io::BufRead;
        // A group of its own each, by -m, and one that hears no SIGTERM.
        let script = "trap '' TERM; sleep 1000 & echo $!; sleep 1000 & echo $!; kill -9 $$";
        let mut command = Command::new("setsid");
        command.args(["/bin/sh", "-mc", script]).stdout(std::process::Stdio::piped());
        let mut leader = command.spawn().unwrap();
        let lines = io::BufReader::new(leader.stdout.take().unwrap()).lines();
        let left: Vec<String> = lines.take(2).map(Result::unwrap).collect();
        wait_without_reaping(leader.id()).unwrap();
        let state = |pid: &String| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").map_or('Z', |(_, rest)| rest.chars().next().unwrap())
        };
        assert!(left.iter().all(|pid| state(pid) != 'Z'), "nothing is left behind: {left:?}");
        assert_eq!(reap(leader.id()).unwrap().signal(), Some(libc::SIGKILL));
        assert!(leader.wait().is_err(), "reaped: no longer ours");
        let never = crossbeam_channel::never::<()>();
        let all_gone = (0..500).any(|_| {
            let _ = never.recv_timeout(std::time::Duration::from_millis(10));
            left.iter().all(|pid| state(pid) == 'Z')
        });
        assert!(all_gone, "one of {left:?} runs on");
    }

    #[test]
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
