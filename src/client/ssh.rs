//! OpenSSH's client: the command line that it gets, and what its words and its exit code mean.
//!
//! Pure. Owns the care that is taken, and the sentences for what goes wrong. It starts nothing.

use super::FetchError;
use super::upstream::{Remote, Ssh};
use std::ffi::OsString;
use std::path::PathBuf;

/// What runs on a host that has netrng. A forced command in `authorized_keys` goes first.
const TAP: &str = "netrng tap";

/// Runs `$0` there, and ends it with the connection, whose end its stdin tells: an SSH server ends
/// no command by itself, and one that gives nothing does not notice that nobody reads. All that it
/// started ends with it, as the group that the server made for us (OpenSSH: led by this shell) or
/// for the connection (dropbear: led by its parent). Else the command alone. For any POSIX shell.
const GUARD: &str = "exec 3<&0 </dev/null; sh -c \"$0\" 3<&- & c=$!; \
    { read x; kill -TERM -$$ || kill -TERM -$PPID || kill $c; } <&3 >/dev/null 2>&1 & w=$!; \
    exec 3<&-; wait $c; r=$?; kill $w 2>/dev/null; exit $r";

/// What ssh exits with for faults of its own (ssh(1), EXIT STATUS).
const OWN_FAULT: i32 = 255;
/// What a shell exits with for a command that it does not find (POSIX, 2.8.2).
const NOT_FOUND: i32 = 127;

/// For every upstream, whatever the user's configuration says: the first value that ssh reads
/// of an option counts, and it reads the command line first.
const OPTIONS: &[&str] = &[
    // Nobody is there to answer: no questions for passphrases, passwords or host keys.
    "BatchMode=yes",
    // An unknown or another host key ends it. Whoever stands between could give us his bytes.
    "StrictHostKeyChecking=yes",
    // And a host's word alone does not change what we know of its keys.
    "UpdateHostKeys=no",
    // A dead connection is noticed within 45 s, also by NAT boxes on the way.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    // One that cannot be made, too: the kernel alone would try for two minutes.
    "ConnectTimeout=10",
    // The host gets nothing of ours: no agent, no display, no ports.
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    // A connection of our own: not through one that a user has open, which ends with his
    // session and shares its window, and nobody comes through ours.
    "ControlMaster=no",
    "ControlPath=none",
    // Its words say what is wrong; a quiet ssh would leave us guessing.
    "LogLevel=INFO",
];

/// Program and arguments.
pub(super) fn command_line(ssh: &Ssh) -> Vec<OsString> {
    // No terminal and no escape character: bytes pass as they are.
    let mut words: Vec<OsString> = [&ssh.program, "-T", "-e", "none"].map(OsString::from).into();
    for option in OPTIONS {
        words.extend(["-o", option].map(OsString::from));
    }
    if let Some(port) = ssh.port {
        words.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(path) = &ssh.identity_file {
        // This key alone: a host counts each that it is offered as a failed attempt.
        words.extend(["-o".into(), "IdentitiesOnly=yes".into(), "-i".into(), path.into()]);
    }
    if let Some(path) = &ssh.known_hosts_file {
        words.extend(["-o".into(), format!("UserKnownHostsFile={}", path.display()).into()]);
    }
    // What follows cannot be taken for an option.
    words.extend(["--".into(), OsString::from(&ssh.destination)]);
    words.push(match &ssh.remote {
        Remote::Tap => TAP.into(),
        Remote::Raw { command, .. } => {
            // In single quotes, for whatever shell logs in there.
            let command = command.replace('\'', r"'\''");
            format!("exec sh -c '{GUARD}' '{command}'").into()
        }
    });
    words
}

/// As whom ssh runs: what it takes keys from unless it is told other files.
#[derive(Debug, Default)]
pub(super) struct Runner {
    pub(super) name: String,
    /// `None`: there is no such folder.
    pub(super) home: Option<PathBuf>,
}

/// What can go wrong with ssh; the log says each once in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SshFault {
    /// No ssh on this machine.
    Missing,
    /// The host's key is not in our file.
    HostKeyUnknown,
    /// The host shows another key than the one in our file.
    HostKeyChanged,
    /// The host does not take our key.
    KeyRefused,
    /// Our key's file cannot be used.
    KeyFile,
    /// No name, no route, no answer, or none of ssh.
    Unreachable,
    /// No algorithm in common.
    Negotiation,
    /// The connection was made and broke.
    Lost,
    /// ssh's own configuration is wrong.
    Setting,
    /// ssh failed in another way.
    Other,
    /// The host does not find the command.
    NoCommand,
    /// The command on the host ended.
    RemoteEnded,
    /// It ended well, which it never should.
    RemoteDone,
    /// `netrng tap` on the host ended and said why.
    TapEnded,
    /// What comes from the host is no netrng.
    NotNetrng,
}

/// What `netrng tap` begins its last words with.
const TAP_ERROR: &str = "netrng: error: ";

/// What a line of ssh's stderr says, by a part of it.
const SIGNS: &[(&str, SshFault)] = &[
    ("HOST IDENTIFICATION HAS CHANGED", SshFault::HostKeyChanged),
    ("host key is known for", SshFault::HostKeyUnknown),
    ("Load key ", SshFault::KeyFile),
    ("Identity file ", SshFault::KeyFile),
    ("Permission denied (", SshFault::KeyRefused),
    ("Too many authentication failures", SshFault::KeyRefused),
    ("Unable to negotiate with", SshFault::Negotiation),
    ("ssh: connect to host", SshFault::Unreachable),
    ("ssh: Could not resolve hostname", SshFault::Unreachable),
    ("kex_exchange_identification:", SshFault::Unreachable),
    ("Connection timed out during banner exchange", SshFault::Unreachable),
    ("Timeout, server ", SshFault::Lost),
    ("closed by remote host", SshFault::Lost),
    ("client_loop:", SshFault::Lost),
    ("Bad configuration option", SshFault::Setting),
    (TAP_ERROR, SshFault::TapEnded),
];

/// What ssh has said so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    fault: Option<(SshFault, String)>,
}

impl Heard {
    /// Takes a line of its stderr.
    pub(super) fn handle_line(&mut self, line: &str) {
        let Some((_, fault)) = SIGNS.iter().find(|(sign, _)| line.contains(sign)) else { return };
        // A key is refused because its file cannot be read: the first is the reason.
        let is_consequence = *fault == SshFault::KeyRefused
            && self.fault.as_ref().is_some_and(|(known, _)| *known == SshFault::KeyFile);
        if !is_consequence {
            self.fault = Some((*fault, line.to_owned()));
        }
    }

    /// Why it ended, with `code` (`None`: by a signal), which `exit` tells in words.
    pub(super) fn why(
        &self,
        code: Option<i32>,
        exit: &str,
        ssh: &Ssh,
        runner: &Runner,
    ) -> FetchError {
        let (fault, line) = match (code, &self.fault) {
            (Some(NOT_FOUND), _) => (SshFault::NoCommand, exit),
            (Some(OWN_FAULT), Some((fault, line))) => (*fault, line.as_str()),
            (Some(_), Some((SshFault::TapEnded, line))) if ssh.remote == Remote::Tap => {
                (SshFault::TapEnded, line.as_str())
            }
            (Some(OWN_FAULT) | None, _) => (SshFault::Other, exit),
            (Some(0), _) => (SshFault::RemoteDone, exit),
            (Some(_), _) => (SshFault::RemoteEnded, exit),
        };
        fault.on(ssh, runner, line.trim_start_matches("ssh: "))
    }
}

impl SshFault {
    /// The fault with its sentence. `line`: what was said.
    pub(super) fn on(self, ssh: &Ssh, runner: &Runner, line: &str) -> FetchError {
        let to = &ssh.destination;
        let host = to.rsplit('@').next().unwrap_or(to);
        let name = &runner.name;
        // Without a home ssh has no files of its own.
        let is_homeless = runner.home.is_none()
            && match self {
                SshFault::HostKeyUnknown => ssh.known_hosts_file.is_none(),
                SshFault::KeyRefused => ssh.identity_file.is_none(),
                _ => false,
            };
        let known_hosts = match (&ssh.known_hosts_file, &runner.home) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(home)) => home.join(".ssh/known_hosts").display().to_string(),
            (None, None) => "a known-hosts-file".to_owned(),
        };
        let command = match &ssh.remote {
            Remote::Tap => TAP,
            Remote::Raw { command, .. } => command,
        };
        let sentence = match self {
            SshFault::Missing => format!(
                "{} is not installed: install `openssh-client` (Debian, Ubuntu), \
                 `openssh-clients` (Fedora, RHEL) or `openssh` (Arch, Alpine, Gentoo)",
                ssh.program
            ),
            SshFault::HostKeyUnknown => {
                let port = ssh.port.map_or_else(String::new, |port| format!("-p {port} "));
                format!(
                    "the key of {host} is not known: compare what `ssh-keyscan {port}{host}` \
                     shows with the key on the host itself, then add it to {known_hosts}"
                )
            }
            SshFault::HostKeyChanged => format!(
                "{host} shows another key than the one in {known_hosts}: it was installed anew, \
                 or somebody stands between; nothing is taken from it before that file is right"
            ),
            SshFault::KeyRefused => {
                let key = match (&ssh.identity_file, &runner.home) {
                    (Some(path), _) => format!("the public half of {}", path.display()),
                    (None, Some(home)) => {
                        format!("a public key of {}", home.join(".ssh").display())
                    }
                    (None, None) => "our public key".to_owned(),
                };
                format!(
                    "{to} refuses our key: its authorized_keys must hold {key}, and the key must \
                     have no passphrase"
                )
            }
            SshFault::KeyFile => format!("ssh, run as {name}, cannot use our key: {line}"),
            SshFault::Setting => format!("ssh, run as {name}, cannot use its settings: {line}"),
            SshFault::Unreachable => format!("cannot be reached: {line}"),
            SshFault::Negotiation => format!("ssh and the host speak no common language: {line}"),
            SshFault::Lost => format!("the connection broke: {line}"),
            SshFault::Other => format!("ssh {line}"),
            SshFault::NoCommand if ssh.remote == Remote::Tap => format!(
                "{host} has no netrng in the PATH of its ssh sessions: install it there, or take \
                 raw bytes, as with raw = \"dd if=/dev/hwrng bs=64 status=none\""
            ),
            SshFault::NoCommand => format!("{host} does not know the command `{command}`"),
            SshFault::RemoteDone if ssh.remote == Remote::Tap => format!(
                "what {host} runs in place of `netrng tap` {line}: another command is forced on our \
                 key"
            ),
            SshFault::RemoteDone => format!(
                "`{command}` on {host} {line}: it came to its end, but is to give bytes for ever"
            ),
            SshFault::RemoteEnded => format!("`{command}` on {host} {line}"),
            SshFault::TapEnded => {
                format!("`netrng tap` on {host}: {}", line.trim_start_matches(TAP_ERROR))
            }
            SshFault::NotNetrng => format!(
                "what comes from {host} is no netrng ({line}): does a start-up file of its shell \
                 print something, or is another command forced on our key?"
            ),
        };
        let hint = match is_homeless {
            true => format!(
                "; ssh ran as {name}, which has no home: set identity-file and known-hosts-file"
            ),
            false => String::new(),
        };
        FetchError::Ssh(self, sentence + &hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn tap() -> Ssh {
        Ssh {
            destination: "rng@board".into(),
            port: None,
            identity_file: None,
            known_hosts_file: None,
            program: "ssh".into(),
            remote: Remote::Tap,
        }
    }

    fn raw(command: &str) -> Ssh {
        let stall_timeout = Duration::from_secs(1);
        Ssh { remote: Remote::Raw { command: command.into(), stall_timeout }, ..tap() }
    }

    #[test]
    fn the_command_line_is_careful_and_complete() {
        let ssh = Ssh {
            port: Some(2222),
            identity_file: Some("/k/id".into()),
            known_hosts_file: Some("/k/known".into()),
            ..raw("cat /dev/hwrng")
        };
        let line: Vec<String> =
            command_line(&ssh).into_iter().map(|word| word.into_string().unwrap()).collect();
        assert_eq!(
            line.join(" "),
            "ssh -T -e none -o BatchMode=yes -o StrictHostKeyChecking=yes -o UpdateHostKeys=no \
             -o ServerAliveInterval=15 -o ServerAliveCountMax=3 -o ConnectTimeout=10 \
             -o ForwardAgent=no -o ForwardX11=no -o ClearAllForwardings=yes -o ControlMaster=no \
             -o ControlPath=none -o LogLevel=INFO -p 2222 -o IdentitiesOnly=yes -i /k/id \
             -o UserKnownHostsFile=/k/known -- rng@board "
                .to_owned()
                + &format!("exec sh -c '{GUARD}' 'cat /dev/hwrng'")
        );
        assert!(line.last().unwrap().starts_with("exec sh -c"), "one word");
        assert!(!GUARD.contains('\''), "it stands in single quotes");
        let quoted = command_line(&raw("echo 'a b' | tr a b")).pop().unwrap();
        let end = r"' 'echo '\''a b'\'' | tr a b'";
        assert!(quoted.to_str().unwrap().ends_with(end), "{quoted:?}");
        let least = command_line(&tap());
        assert_eq!(least[least.len() - 3..], ["--", "rng@board", "netrng tap"].map(OsString::from));
    }

    /// What OpenSSH 9.2 says, and the sentence made of it.
    fn check(ssh: &Ssh, code: Option<i32>, words: &[&str], fault: SshFault, part: &str) {
        let mut heard = Heard::default();
        words.iter().for_each(|line| heard.handle_line(line));
        let last = words.last().map_or(String::new(), |line| format!("; it last said {line:?}"));
        let how =
            code.map_or("was ended by signal 9".into(), |code| format!("exited with code {code}"));
        let runner = Runner { name: "netrng".into(), home: Some("/root".into()) };
        let why = heard.why(code, &(how + &last), ssh, &runner);
        let FetchError::Ssh(found, text) = why else { panic!() };
        assert_eq!(found, fault, "{text}");
        assert!(text.contains(part), "{text}");
    }

    #[test]
    fn each_fault_of_ssh_has_its_sentence() {
        let own = Some(255);
        for (words, fault, part) in [
            (
                &[
                    "No ED25519 host key is known for [board]:2222 and you have requested strict checking.",
                    "Host key verification failed.",
                ][..],
                SshFault::HostKeyUnknown,
                "`ssh-keyscan board`",
            ),
            (
                &[
                    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
                    "Host key for board has changed and you have requested strict checking.",
                    "Host key verification failed.",
                ],
                SshFault::HostKeyChanged,
                "another key than the one in /root/.ssh/known_hosts",
            ),
            (
                &["rng@board: Permission denied (publickey)."],
                SshFault::KeyRefused,
                "its authorized_keys must hold a public key of /root/.ssh",
            ),
            (
                &[
                    "Load key \"/k/id\": bad permissions",
                    "rng@board: Permission denied (publickey).",
                ],
                SshFault::KeyFile,
                "ssh, run as netrng, cannot use our key: Load key \"/k/id\": bad permissions",
            ),
            (
                &["ssh: connect to host board port 22: Connection refused"],
                SshFault::Unreachable,
                "cannot be reached: connect to host board port 22: Connection refused",
            ),
            (
                &["ssh: Could not resolve hostname board: Name or service not known"],
                SshFault::Unreachable,
                "resolve hostname board",
            ),
            (
                &["Timeout, server board not responding."],
                SshFault::Lost,
                "the connection broke: Timeout",
            ),
            (
                &["/root/.ssh/config: line 1: Bad configuration option: x"],
                SshFault::Setting,
                "ssh, run as netrng, cannot use its settings: /root/.ssh/config: line 1: Bad",
            ),
            (
                &["unheard of"],
                SshFault::Other,
                "ssh exited with code 255; it last said \"unheard of\"",
            ),
        ] {
            check(&tap(), own, words, fault, part);
        }
    }

    #[test]
    fn what_ends_on_the_host_is_told_from_ssh() {
        let words = &["sh: 1: netrng: not found"];
        // Not `cat`, which hands nothing on before it has 128 KiB.
        let part = "raw = \"dd if=/dev/hwrng bs=64 status=none\"";
        check(&tap(), Some(127), words, SshFault::NoCommand, part);
        let ssh = raw("infnoise");
        check(&ssh, Some(127), words, SshFault::NoCommand, "does not know the command `infnoise`");
        let ssh = raw("cat /dev/hwrng");
        let words = &["cat: /dev/hwrng: Permission denied"];
        let part = "`cat /dev/hwrng` on board exited with code 1; it last said \"cat: /dev";
        check(&ssh, Some(1), words, SshFault::RemoteEnded, part);
        check(&ssh, None, &[], SshFault::Other, "ssh was ended by signal 9");
        let part = "`cat /dev/hwrng` on board exited with code 0: it came to its end";
        check(&ssh, Some(0), &[], SshFault::RemoteDone, part);
        let part = "what board runs in place of `netrng tap` exited with code 0: another command";
        check(&tap(), Some(0), &[], SshFault::RemoteDone, part);
    }

    #[test]
    fn who_has_no_home_hears_what_to_set() {
        let homeless = Runner { name: "netrng".into(), home: None };
        let set = Ssh {
            identity_file: Some("/k/id".into()),
            known_hosts_file: Some("/k/known".into()),
            ..tap()
        };
        let hint = "; ssh ran as netrng, which has no home: set identity-file and known-hosts-file";
        for fault in [SshFault::HostKeyUnknown, SshFault::KeyRefused] {
            let text = fault.on(&tap(), &homeless, "").to_string();
            assert!(text.ends_with(hint), "{text}");
            let text = fault.on(&set, &homeless, "").to_string();
            assert!(!text.contains("home"), "{text}");
        }
    }

    #[test]
    fn what_the_tap_says_is_passed_on() {
        let words = &["netrng: error: no netrng server listens at /run/netrng/tap.sock: start it"];
        let part = "`netrng tap` on board: no netrng server listens at /run/netrng/tap.sock: start";
        check(&tap(), Some(9), words, SshFault::TapEnded, part);
        let part = "`cat` on board exited with code 9; it last said \"netrng: error: no";
        check(&raw("cat"), Some(9), words, SshFault::RemoteEnded, part);
    }

    #[test]
    fn an_old_complaint_is_not_the_reason_for_a_new_end() {
        let words = &[
            "Warning: Identity file /k not accessible: No such file",
            "client_loop: send disconnect: Broken pipe",
        ];
        check(&tap(), Some(255), words, SshFault::Lost, "Broken pipe");
    }
}
