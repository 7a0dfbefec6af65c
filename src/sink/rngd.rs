//! Which rngd, and which arguments make it read our bytes and nothing else.
//!
//! Three programs share the name: rng-tools-debian (2.x), rng-tools5 (5), and upstream
//! rng-tools (6.x). Owns what is known of each. Arguments are chosen so that it stays in the
//! foreground, reads stdin, and mixes in no source of its own (RDRAND, TPM, jitter, …).

use super::SinkError;
use crate::child::Child;
use crate::handover::handover;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For `rngd --version`, which only prints.
const VERSION_PATIENCE: Duration = Duration::from_secs(5);

/// Where daemons live that a user's or an init script's PATH may leave out.
const DAEMON_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// The programs that call themselves rngd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// rng-tools-debian, `rngd 2.x`.
    Debian,
    /// rng-tools5, `rngd 5`.
    Five,
    /// Upstream rng-tools, `rngd 6.minor`.
    Six {
        /// Decides which sources exist to be switched off.
        minor: u32,
    },
}

/// The sources of upstream rng-tools, beside the one that reads our bytes, and the minor
/// version that brought each. Switching off one that it does not know makes it exit.
const SIX_SOURCES: [(&str, u32); 10] = [
    ("tpm", 0),
    ("rdrand", 0),
    ("darn", 0),
    ("rndr", 13),
    ("nist", 0),
    ("jitter", 0),
    ("pkcs11", 0),
    ("rtlsdr", 10),
    ("qrypt", 16),
    ("namedpipe", 17),
];
/// The minor version that brought `-R`, seconds between reseeding a full pool.
const SIX_RESEED_SINCE: u32 = 11;

impl Variant {
    /// Reads what `rngd --version` prints first.
    pub(super) fn from_version(line: &str) -> Option<Variant> {
        let mut numbers = line.strip_prefix("rngd ")?.trim().split(['.', '-', ' ']);
        let major = numbers.next()?;
        let minor = numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
        match major {
            "2" => Some(Variant::Debian),
            "5" => Some(Variant::Five),
            "6" => Some(Variant::Six { minor }),
            _ => None,
        }
    }

    /// What to start it with.
    pub(super) fn arguments(self) -> Vec<&'static str> {
        match self {
            Variant::Debian => "-f -T 0 -S 30 -t 60 -s 64 -r /dev/stdin".split(' ').collect(),
            Variant::Five => "-f -d 1 -n 1 -s 64 -r /dev/stdin".split(' ').collect(),
            Variant::Six { minor } => {
                let mut arguments = vec!["-f"];
                for (source, _) in SIX_SOURCES.iter().filter(|(_, since)| minor >= *since) {
                    arguments.extend(["-x", source]);
                }
                if minor >= SIX_RESEED_SINCE {
                    arguments.extend(["-R", "60"]);
                }
                arguments.extend(["-s", "64", "-r", "/dev/stdin"]);
                arguments
            }
        }
    }
}

/// The program and arguments for the rngd of this machine.
///
/// Runs `rngd --version` each time: an upgrade between two starts may change the variant.
pub(super) fn find() -> Result<Vec<OsString>, SinkError> {
    let rngd = path().ok_or(SinkError::RngdMissing)?;
    let variant = detect(rngd.as_os_str())?;
    let mut program = vec![rngd.into_os_string()];
    program.extend(variant.arguments().into_iter().map(OsString::from));
    Ok(program)
}

/// Where the rngd of this machine is.
pub(super) fn path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_in(std::env::split_paths(&path).chain(DAEMON_FOLDERS.map(PathBuf::from)))
}

fn find_in(folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.map(|folder| folder.join("rngd")).find(|path| path.is_absolute() && is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn detect(rngd: &OsStr) -> Result<Variant, SinkError> {
    let (giver, line) = handover();
    let mut giver = Some(giver);
    // Never `-v`: rng-tools5 takes it for "verbose".
    let program = [rngd.to_owned(), OsString::from("--version")];
    let (child, _stdin) = Child::start_reader(&program, move |line| {
        // Only the first line says which.
        if let Some(giver) = giver.take() {
            giver.give(line.to_owned());
        }
    })
    .map_err(SinkError::System)?;
    let exited = child.wait(VERSION_PATIENCE).is_some();
    drop(child);
    let line = line.wait(Duration::ZERO).unwrap_or_default();
    match Variant::from_version(&line) {
        Some(variant) if exited => Ok(variant),
        _ => Err(SinkError::RngdUnknown(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variant_is_known_by_its_version() {
        for (line, variant) in [
            ("rngd 2.2", Some(Variant::Debian)),
            ("rngd 5", Some(Variant::Five)),
            ("rngd 5.1", Some(Variant::Five)),
            ("rngd 6", Some(Variant::Six { minor: 0 })),
            ("rngd 6.3.1", Some(Variant::Six { minor: 3 })),
            ("rngd 6.16", Some(Variant::Six { minor: 16 })),
            ("rngd 7.1", None),
            ("rngd 21", None),
            ("something else", None),
            ("", None),
        ] {
            assert_eq!(Variant::from_version(line), variant, "{line:?}");
        }
    }

    #[test]
    fn the_newest_upstream_gets_every_source_switched_off() {
        assert_eq!(
            Variant::Six { minor: 17 }.arguments().join(" "),
            "-f -x tpm -x rdrand -x darn -x rndr -x nist -x jitter -x pkcs11 -x rtlsdr \
             -x qrypt -x namedpipe -R 60 -s 64 -r /dev/stdin"
        );
    }

    #[test]
    fn an_older_upstream_hears_only_names_that_it_knows() {
        assert_eq!(
            Variant::Six { minor: 9 }.arguments().join(" "),
            "-f -x tpm -x rdrand -x darn -x nist -x jitter -x pkcs11 -s 64 -r /dev/stdin"
        );
        let ten = Variant::Six { minor: 10 }.arguments();
        assert!(ten.contains(&"rtlsdr") && !ten.contains(&"-R"));
        assert!(Variant::Six { minor: 13 }.arguments().contains(&"rndr"));
        assert!(Variant::Six { minor: 16 }.arguments().contains(&"qrypt"));
    }

    #[test]
    fn a_script_that_says_its_version_is_found_and_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rngd");
        let write = |mode: u32| {
            std::fs::write(&path, "#!/bin/sh\necho rngd 6.15\necho more\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let folders = || [PathBuf::from("/no/such"), folder.path().to_owned()].into_iter();
        write(0o644);
        assert_eq!(find_in(folders()), None, "not executable");
        write(0o755);
        assert_eq!(find_in(folders()).as_ref(), Some(&path));
        assert_eq!(detect(path.as_os_str()).unwrap(), Variant::Six { minor: 15 });
    }

    #[test]
    fn true_is_not_taken_for_an_rngd() {
        let error = detect(OsStr::new("/bin/true")).unwrap_err();
        assert!(error.to_string().contains("rngd-command"), "{error}");
    }
}
