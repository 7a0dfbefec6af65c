//! Real rngd at the end of a client, watched by strace, in front of a kernel that always
//! seems to want entropy.

use super::process::{Process, command};
use super::site::{Enrolled, Site};
use super::trace::{HEX, Trace, quoted_bytes, returned, strace_words};
use super::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The ioctl by which entropy is credited.
pub const CREDIT: &str = "RNDADDENTROPY, {";

/// One of the rngd programs that exist.
#[derive(Debug, Clone)]
pub struct Rngd {
    /// As its Debian package is called.
    pub package: &'static str,
    path: PathBuf,
}

impl Rngd {
    /// The variants that tests/run has unpacked.
    ///
    /// # Panics
    /// If they are not there: a skipped test would prove nothing.
    pub fn all() -> [Rngd; 2] {
        [("rng-tools-debian", "NETRNG_RNGD_DEBIAN"), ("rng-tools5", "NETRNG_RNGD_FIVE")].map(
            |(package, variable)| {
                let path = std::env::var_os(variable)
                    .unwrap_or_else(|| panic!("{variable} is not set: run `tests/run peers`"));
                Rngd { package, path: path.into() }
            },
        )
    }

    /// Puts a program named `rngd` into `dir` that starts this one under strace, each start
    /// with a trace of its own, named after its pid.
    pub fn install_watched(&self, dir: &Path) -> Watched {
        // With poll answered at once, the kernel seems hungry: an initialised one takes
        // nothing for minutes.
        let options = [HEX, "-e", "trace=poll,ioctl", "-e", "inject=poll:retval=1"];
        let words = strace_words(&options, &dir.join("trace.$$"));
        let strace: Vec<String> =
            words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let real = self.path.display();
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then exec {real} --version; fi\n\
             echo \"$@\" > {}\nexec {} {real} \"$@\"\n",
            dir.join("arguments").display(),
            strace.join(" "),
        );
        self.install_script(dir, &script)
    }

    /// The same, not watched.
    pub fn install(&self, dir: &Path) -> Watched {
        self.install_script(dir, &format!("#!/bin/sh\nexec {} \"$@\"\n", self.path.display()))
    }

    fn install_script(&self, dir: &Path, script: &str) -> Watched {
        fs::create_dir_all(dir).expect("can write to the site");
        let program = dir.join("rngd");
        fs::write(&program, script).expect("can write to the site");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("can chmod");
        Watched { dir: dir.to_owned() }
    }
}

/// The traces of all rngd that one client has started.
pub struct Watched {
    dir: PathBuf,
}

impl Watched {
    /// Starts `client` with the sink `rngd`, which finds this rngd and no other.
    pub fn start_client(&self, site: &Site, client: &Enrolled) -> Process {
        let mut command = site.client_command(client, "type = \"rngd\"");
        Process::start(command.env("PATH", self.search_path()))
    }

    /// A search path that has this rngd first.
    pub fn search_path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.dir.display())
    }

    /// The pids that rngd has had.
    pub fn pids(&self) -> Vec<u32> {
        let entries = fs::read_dir(&self.dir).expect("the directory is there");
        entries
            .filter_map(|entry| {
                entry.ok()?.file_name().to_str()?.strip_prefix("trace.")?.parse().ok()
            })
            .collect()
    }

    /// The pid of the rngd that runs now.
    pub fn running_pid(&self) -> u32 {
        wait::until("an rngd that runs", wait::PATIENCE, || {
            self.pids().into_iter().find(|pid| is_alive(*pid))
        })
    }

    /// The buffers that were credited so far.
    pub fn credited(&self) -> Vec<Vec<u8>> {
        let mut pids = self.pids();
        pids.sort_unstable();
        let traces = pids.iter().map(|pid| Trace(self.dir.join(format!("trace.{pid}"))));
        traces
            .flat_map(|trace| trace.lines())
            .filter(|line| line.contains(CREDIT) && returned(line) == Some(0))
            .map(|line| quoted_bytes(&line).expect("the ioctl shows its buffer"))
            .collect()
    }

    /// Waits until `count` more buffers were credited than are now.
    ///
    /// # Panics
    /// If they are not.
    #[track_caller]
    pub fn wait_for_credit(&self, count: usize) {
        let target = self.credited().len() + count;
        wait::until_true("credit to the kernel", || self.credited().len() >= target);
    }

    /// The arguments of the last start.
    pub fn arguments(&self) -> String {
        fs::read_to_string(self.dir.join("arguments")).unwrap_or_default()
    }
}

/// Whether a process runs (a zombie does not).
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The letter of a process's state, if there is such a process.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The options by which strace records what a program reads from `device`.
pub fn recording_options(device: &str) -> Vec<&str> {
    vec![HEX, "-e", "trace=read,readv,pread64", "-P", device]
}

/// What a trace with [`recording_options`] saw.
///
/// # Panics
/// If strace cut a buffer short.
pub fn recorded(trace: &Trace) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in trace.lines() {
        let Some(count) = returned(&line).filter(|count| *count > 0) else { continue };
        let read = quoted_bytes(&line).unwrap_or_default();
        assert_eq!(Ok(read.len()), usize::try_from(count), "strace cut {line}");
        bytes.extend(read);
    }
    bytes
}

/// `kill -9` by pid, of an rngd that a client has started.
pub fn kill(pid: u32) {
    let killed = command("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()), "kill {pid}");
}
