//! A whole board under QEMU: booted by tests/boards/boot, spoken to over its serial line,
//! killed with its test. Knows nothing of what runs on it.
#![allow(clippy::print_stderr, reason = "a failed test shows the board's console")]

use super::process::{Process, Stdout, command};
use super::wait;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// From power to console: 5 to 10 s on an idle machine.
const BOOT: Duration = Duration::from_secs(120);
/// For one command on the slowest board.
const COMMAND: Duration = Duration::from_secs(90);

/// A board that has started and waits for commands.
pub struct Machine {
    qemu: Process,
    /// Of the last command.
    number: u32,
}

/// What a command on the board left.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// All it wrote, stderr too.
    pub text: String,
}

/// `tests/boards/boot` for a board whose root file system has this folder copied over it.
pub fn boot_command(name: &str, overlay: &Path) -> Command {
    let mut boot = command("tests/boards/boot");
    boot.arg(name).arg(overlay).env("BOARD_PROGRAM", "1");
    boot
}

impl Machine {
    /// Starts what [`boot_command`] has made and waits for the console.
    ///
    /// # Panics
    /// If the board does not get so far.
    pub fn boot(boot: &mut Command) -> Self {
        let qemu = Process::start_with(boot, Stdio::piped(), Stdout::Keep);
        let mut machine = Machine { qemu, number: 0 };
        machine.wait_for("<ready>", BOOT);
        machine
    }

    /// Runs a line of shell on the board.
    ///
    /// # Panics
    /// If it does not end.
    pub fn run(&mut self, line: &str) -> Answer {
        assert!(!line.contains('\n'), "one line");
        self.number += 1;
        let number = self.number;
        self.qemu.write(format!("{number} {line}\n").as_bytes());
        self.wait_for(&format!("</{number} "), COMMAND);
        let (start, end) = (format!("<{number}>\n"), format!("</{number} "));
        let console = wait::until("the end of a line", COMMAND, || {
            let console = self.console();
            console.split_once(&end)?.1.contains('\n').then_some(console)
        });
        let (_, after) = console.split_once(&start).expect("the answer's start");
        let (text, rest) = after.split_once(&end).expect("the answer's end");
        let code = rest.split('>').next().and_then(|code| code.parse().ok());
        Answer { code: code.expect("an exit code"), text: text.to_owned() }
    }

    /// Runs a line of shell that must succeed, and returns what it wrote.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn succeed(&mut self, line: &str) -> String {
        let answer = self.run(line);
        assert_eq!(answer.code, 0, "{line}: {answer:?}");
        answer.text
    }

    /// Waits on the board until a line of shell succeeds.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn wait_until(&mut self, line: &str) {
        // By the board's own clock, which may be slow but ends.
        let wait = format!(
            "n=0; until {line}; do n=$((n + 1)); [ $n -lt 250 ] || exit 1; sleep 0.2; done"
        );
        self.succeed(&wait);
    }

    /// Restarts the board, which under QEMU ends it.
    ///
    /// # Panics
    /// If it does not go down.
    pub fn off(mut self) {
        self.qemu.write(b"0 sync; reboot -f\n");
        assert_eq!(self.qemu.wait(COMMAND).code(), Some(0), "QEMU's end");
    }

    fn wait_for(&mut self, text: &str, limit: Duration) {
        let ended = wait::until(&format!("{text:?} on the console"), limit, || {
            if self.console().contains(text) {
                return Some(None);
            }
            self.qemu.try_wait().map(Some)
        });
        assert_eq!(ended, None, "QEMU has ended, before {text:?} on the console");
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&self.qemu.stdout()).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the console\n{}\n---", self.console());
        }
    }
}
