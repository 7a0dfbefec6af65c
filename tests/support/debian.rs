//! Debian root file systems of our own, and `netrng setup` on them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::process::{Finished, Process, Stdout, command, netrng};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The first root takes two minutes to make, and packages come over the network.
pub const ROOT_PATIENCE: Duration = Duration::from_secs(400);

/// Runs to the end, however long it takes within [`ROOT_PATIENCE`].
pub fn finish(command: &mut Command) -> Finished {
    let mut process = Process::start_with(command, std::process::Stdio::null(), Stdout::Keep);
    let status = process.wait(ROOT_PATIENCE);
    Finished {
        code: status.code(),
        stdout: String::from_utf8_lossy(&process.stdout_at_end()).into_owned(),
        stderr: process.log_at_end(),
    }
}

/// A Debian of our own.
#[derive(Debug)]
pub struct Root(TempDir);

impl Root {
    pub fn new(init: &str) -> Self {
        let made = finish(command("tests/support/debian-root.sh").arg(init)).success();
        // Beside the original: in /tmp there may be no room, or no device nodes.
        let cache = Path::new(made.trim()).parent().unwrap();
        let root = Root(TempDir::with_prefix_in("setup-", cache).unwrap());
        finish(command("cp").arg("-a").arg(made.trim()).arg(root.folder())).success();
        root
    }

    /// Not the temporary folder itself: what boots it leaves a lock beside it.
    pub fn folder(&self) -> PathBuf {
        self.0.path().join("root")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder().join(path)
    }

    /// `netrng setup` for it.
    pub fn setup(&self, arguments: &[&str]) -> Finished {
        finish(netrng(&["setup", "--root"]).arg(self.folder()).args(arguments))
    }

    /// A program in it, which has /proc and a node of its own for the machine's generator: a step
    /// changes its owner.
    pub fn command(&self, arguments: &[&str]) -> Command {
        // The mounts are of a namespace that ends with the program.
        let mut inside = command("unshare");
        inside.args(["--mount", "sh", "-ec"]);
        inside.arg(
            "root=$1; shift; mount -t proc proc $root/proc
             [ -c $root/dev/hwrng ] || mknod -m 600 $root/dev/hwrng c 10 183
             exec chroot $root \"$@\"",
        );
        inside.arg("sh").arg(self.folder()).args(arguments);
        inside
    }

    /// What it says of itself: each file with inode, mode, owner, and when it last changed in
    /// any way, be it to the same content.
    pub fn state(&self) -> String {
        let format = "%p %y %i %m %U %G %s %C@ %l\n";
        finish(command("find").arg(self.folder()).args(["-printf", format])).success()
    }

    /// The mode of a file, and whether it belongs to root and the group netrng.
    pub fn access(&self, path: &str) -> (u32, bool) {
        let about = fs::metadata(self.path(path)).unwrap();
        let groups = fs::read_to_string(self.path("etc/group")).unwrap();
        let line = groups.lines().find_map(|line| line.strip_prefix("netrng:x:")).unwrap();
        let group: u32 = line.trim_end_matches(':').parse().unwrap();
        (about.mode() & 0o777, about.uid() == 0 && about.gid() == group)
    }

    /// Runs `setup` again and holds it to its word.
    pub fn assert_nothing_changes(&self, arguments: &[&str]) {
        let before = self.state();
        let said = self.setup(arguments).success();
        assert!(said.contains("nothing to do: all "), "{said}");
        assert!(!said.contains(" doing: "), "{said}");
        let after = self.state();
        let changed: Vec<_> = after.lines().filter(|line| !before.contains(*line)).collect();
        assert!(before == after, "the second run changed {changed:#?}");
    }
}
