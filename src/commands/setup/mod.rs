//! `setup`: the steps that make a machine a server or a client, printed or applied.
//!
//! Owns what is found out about the machine. `systems` is the data, `plan` makes steps of it,
//! `script` prints them and `apply` does them: the same text, so neither can lag behind.

mod apply;
mod plan;
mod script;
mod systems;

use super::keys::print_line;
use super::{Exit, Failure};
use crate::cli::Setup;
use crate::config::Config;
use crate::sys::harden::is_root;
use crate::sys::platform;
use plan::{Facts, Role, State};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use systems::{INITS, Init, PACKAGED_PROGRAM, SYSTEMS, System, UDEV};

/// Prints the steps for a role on this system, or applies them.
///
/// # Errors
/// A system or init system that is not known, a step that fails, no root.
pub fn setup(asked: &Setup) -> Result<(), Failure> {
    let root = asked.root.as_deref().unwrap_or(Path::new("/"));
    if !root.join("bin/sh").exists() {
        let root = root.display();
        let text =
            format_args!("--root: found {root}; want a folder with a system, as /mnt/sdcard");
        return Err(Failure::new(Exit::Usage, text));
    }
    let found = find_system(root);
    let facts = facts(root, asked, found)?;
    let mut plan = plan::plan(&facts);
    let is_here = found.is_some_and(|found| found.name == facts.system.name);
    if asked.apply && is_here && facts.system.is_tested {
        if !is_root() {
            return Err(Failure::new(
                Exit::Usage,
                "setup --apply changes the system: run it as root",
            ));
        }
        if let (Some(path), None) = (&facts.client_config, &asked.root) {
            // Once it is installed it is the admin's.
            Config::load(path)?;
        }
        return apply::apply(root, &plan);
    }
    if asked.root.is_some() {
        plan.title += &format!(", in {0}: for a shell in there (chroot {0})", root.display());
    }
    // Only root sees all files, and marks for another system would mean nothing.
    let states: Result<Vec<State>, Failure> = match is_root() && is_here {
        true => plan.steps.iter().map(|step| apply::look(root, step)).collect(),
        false => Ok(Vec::new()),
    };
    print_line(&script::script(&plan, &states?))?;
    if asked.apply {
        let name = facts.system.name;
        let why = if is_here {
            "no test has applied these steps there"
        } else {
            "this is another system"
        };
        let text = format_args!(
            "--apply is not for {name} here, because {why}: read the steps above and run them"
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    Ok(())
}

fn facts(root: &Path, asked: &Setup, found: Option<&'static System>) -> Result<Facts, Failure> {
    let role = match asked.role.as_str() {
        "server" => Role::Server,
        "client" => Role::Client,
        other => return Err(unknown("", other, &["server", "client"])),
    };
    let named = asked.system.as_deref();
    let system = match named {
        Some(name) => SYSTEMS.iter().find(|system| system.name == name),
        None => found,
    };
    let names = || SYSTEMS.iter().map(|system| system.name).collect::<Vec<_>>();
    let system = system.ok_or_else(|| unknown("--system: ", named.unwrap_or("none"), &names()))?;

    let is_there = |paths: &[&str]| paths.iter().any(|path| exists(root, path));
    let running = INITS.iter().find(|init| is_there(init.running));
    let named = asked.init.as_deref();
    let init = match named {
        Some(name) => INITS.iter().find(|init| init.name == name),
        None => running.or_else(|| INITS.iter().find(|init| is_there(init.installed))),
    };
    let names = || INITS.iter().map(|init| init.name).collect::<Vec<_>>();
    let init = init.ok_or_else(|| unknown("--init: ", named.unwrap_or("none"), &names()))?;
    let shipped = INITS.iter().flat_map(|init| init.files).chain([&UDEV]).map(|file| file.path);
    let brought = |path: &&str| {
        // As /usr/lib/udev/rules.d beside /etc/udev/rules.d.
        let rest = path.trim_start_matches("/etc/");
        is_there(&[&format!("lib/{rest}"), &format!("usr/lib/{rest}")])
    };
    Ok(Facts {
        role,
        system,
        init,
        is_live: root == Path::new("/") && !is_chroot() && is_running(init, running),
        is_packaged: exists(root, &PACKAGED_PROGRAM[1..]) && system.program != PACKAGED_PROGRAM,
        brought: shipped.filter(brought).collect(),
        // Unknown where there is no /proc: then we are where we belong, or the step fails.
        program: std::env::current_exe().unwrap_or_else(|_| system.program.into()),
        client_config: asked.config.clone().filter(|_| role == Role::Client),
        is_configured: exists(root, &system.config[1..]),
    })
}

fn is_running(init: &Init, running: Option<&Init>) -> bool {
    running.is_some_and(|running| running.name == init.name) || init.running.is_empty()
}

/// `found` is what was said, or "none" where nothing was said and nothing found.
fn unknown(option: &str, found: &str, names: &[&str]) -> Failure {
    let text = format_args!("{option}found {found}; want one of: {}", names.join(", "));
    Failure::new(Exit::Usage, text)
}

/// Also true for a link whose target stands in another root.
fn exists(root: &Path, path: &str) -> bool {
    fs::symlink_metadata(root.join(path)).is_ok()
}

/// By os-release(5), or else by a file that only one system has.
fn find_system(root: &Path) -> Option<&'static System> {
    let places = ["etc/os-release", "usr/lib/os-release"];
    let text = places.iter().find_map(|path| fs::read_to_string(root.join(path)).ok());
    let text = text.unwrap_or_default();
    let by_marker = || SYSTEMS.iter().find(|system| exists(root, system.marker));
    system_of(&text).or_else(by_marker)
}

/// What ID and, failing that, ID_LIKE of an os-release say.
fn system_of(os_release: &str) -> Option<&'static System> {
    let value = |key: &str| os_release.lines().find_map(|line| line.strip_prefix(key));
    ["ID=", "ID_LIKE="].iter().filter_map(|key| value(key)).find_map(|value| {
        let mut words = value.trim_matches(['"', '\'']).split(' ');
        words.find_map(|word| SYSTEMS.iter().find(|system| system.ids.contains(&word)))
    })
}

/// Whether we see another root than the first process does. Who has no right to know is no root,
/// who only reads; a root without that right is in something like a container.
fn is_chroot() -> bool {
    let place = |path: &str| fs::metadata(path).map(|about| (about.dev(), about.ino())).ok();
    match place("/proc/1/root") {
        Some(first) => place("/") != Some(first),
        None => platform::HAS_PROC && is_root(),
    }
}

#[cfg(test)]
mod tests;
