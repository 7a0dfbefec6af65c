//! `setup`: the steps that make a machine a server or a client, printed or applied.
//!
//! Owns what is found out about the machine. `systems` is the data, `plan` makes steps of it,
//! `script` prints them and `apply` does them: the same text, so neither can lag behind.

mod apply;
mod plan;
mod script;
mod systems;

use super::keys::print_line;
use super::{Exit, Failure, check, halves};
use crate::cli::Setup;
use crate::client::{Kind, Remote};
use crate::config::{Config, ConfigError};
use crate::sink::Sink;
use crate::sys::harden::is_root;
use crate::sys::platform;
use plan::{Facts, Hop, Role, State, USER_LINE};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use systems::{INITS, Init, PACKAGED_PROGRAM, SEED, SYSTEMS, System, UDEV};

/// Whom a step makes.
const USER: &str = "netrng";

/// Prints the steps for a role on this system, or applies them.
///
/// # Errors
/// A system or init system that is not known, a step that fails, no root.
pub fn setup(asked: &Setup) -> Result<(), Failure> {
    let root = asked.root.as_deref().unwrap_or(Path::new("/"));
    if !root.join("bin/sh").exists() {
        let root = root.display();
        return Err(Failure::new(
            Exit::Usage,
            format_args!("--root: found {root}; want a folder with a system, as /mnt/sdcard"),
        ));
    }
    let found = find_system(root);
    let mut facts = facts(root, asked, found)?;
    read_config(root, &mut facts)?;
    let mut plan = plan::plan(&facts);
    let is_here = found.is_some_and(|found| found.name == facts.system.name);
    if asked.apply && is_here && facts.system.is_tested {
        if !is_root() {
            return Err(Failure::new(
                Exit::Usage,
                "setup --apply changes the system: run it as root",
            ));
        }
        let mut signs = facts.init.running.iter().chain(facts.init.installed);
        if !signs.any(|path| exists(root, path)) {
            return Err(Failure::new(
                Exit::Usage,
                format_args!(
                    "--init: found no {} here; want the one that runs, which is taken without --init",
                    facts.init.name
                ),
            ));
        }
        return apply::apply(root, &plan);
    }
    if asked.root.is_some() {
        plan.title += &format!(", in {0}: for a shell in there (chroot {0})", root.display());
    }
    // Only root sees all files, and marks for another system would mean nothing.
    let states: Result<Vec<State>, Failure> = match is_root() && is_here {
        true => plan.steps.iter().map(|step| apply::look(root, &plan, step)).collect(),
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
        return Err(Failure::new(
            Exit::Usage,
            format_args!(
                "--apply is not for {name} here, because {why}: read the steps above and run them"
            ),
        ));
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

    // Of another system, nothing here says anything.
    let is_here = found.is_some_and(|found| found.name == system.name);
    let is_there = |paths: &[&str]| is_here && paths.iter().any(|path| exists(root, path));
    let possible = || INITS.iter().filter(|init| system.inits.contains(&init.name));
    let running = possible().find(|init| is_there(init.running));
    let named = asked.init.as_deref().or(system.inits.first().copied().filter(|_| !is_here));
    let init = match named {
        Some(name) => possible().find(|init| init.name == name),
        None => running.or_else(|| possible().find(|init| is_there(init.installed))),
    };
    let init = init.ok_or_else(|| unknown("--init: ", named.unwrap_or("none"), system.inits))?;
    let shipped = INITS.iter().flat_map(|init| init.files).chain([&UDEV, &SEED]);
    let is_packaged = is_there(&[&PACKAGED_PROGRAM[1..]]) && system.program != PACKAGED_PROGRAM;
    let brought = |path: &&str| {
        // As /usr/lib/udev/rules.d beside /etc/udev/rules.d.
        let rest = path.trim_start_matches("/etc/");
        // As /etc/init.d/netrng, of which we keep no copy.
        let is_its_own = is_packaged
            && is_there(&[&path[1..]])
            && !is_there(&[&format!("etc/netrng/shipped{path}")]);
        is_its_own || is_there(&[&format!("lib/{rest}"), &format!("usr/lib/{rest}")])
    };
    let is_live = || root == Path::new("/") && !is_chroot() && is_running(init, running);
    Ok(Facts {
        role,
        system,
        init,
        is_live: !is_here || is_live(),
        is_packaged,
        brought: shipped.map(|file| file.path).filter(brought).collect(),
        // Unknown where there is no /proc: then we are where we belong, or the step fails.
        program: std::env::current_exe().unwrap_or_else(|_| system.program.into()),
        given: asked.config.clone(),
        is_configured: is_there(&[&system.config[1..]]),
        ssh: Vec::new(),
        user: USER.to_owned(),
        is_elsewhere: !is_here || asked.root.is_some(),
    })
}

/// Takes in what the configuration says that is given, or else the one that is there.
fn read_config(root: &Path, facts: &mut Facts) -> Result<(), Failure> {
    let installed = Path::new(facts.system.config);
    let there = match facts.is_configured {
        true => fs::read_to_string(root.join(&facts.system.config[1..])).ok(),
        false => None,
    };
    // If it is broken, a step says so.
    let found = there.as_deref().and_then(|text| Config::draft(text, installed).ok());
    if let Some(other) = found.as_ref().map(role_of).filter(|other| *other != facts.role) {
        let (path, role, other) = (facts.system.config, facts.role.name(), other.name());
        return Err(Failure::new(
            Exit::Config,
            format_args!(
                "{path} is there already and makes this machine a {other}; to have it be a {role} as well, \
                 run a second netrng: docs/init.md, \"Server and client on one machine\""
            ),
        ));
    }
    let config = match &facts.given {
        Some(path) => Some(read_given(facts, path, there.as_deref())?),
        None => found,
    };
    if let Some(user) = config.as_ref().and_then(Config::user) {
        user.clone_into(&mut facts.user);
    }
    if let Some(Config::Client(client)) = config {
        if facts.system.install_rngd.is_empty()
            && matches!(client.sink, Sink::Rngd { command: None })
        {
            let (path, name) = (facts.given.as_deref().unwrap_or(installed), facts.system.name);
            return Err(Failure::new(
                Exit::Config,
                format_args!(
                    "{}: [sink]: there is no rngd for {name}; want type = \"kernel\"",
                    path.display()
                ),
            ));
        }
        let hop = |kind| match kind {
            Kind::Ssh(ssh) => Some(Hop {
                destination: ssh.destination,
                port: ssh.port,
                identity_file: ssh.identity_file,
                known_hosts_file: ssh.known_hosts_file,
                is_tap: ssh.remote == Remote::Tap,
            }),
            _ => None,
        };
        facts.ssh = client.upstreams.into_iter().filter_map(|up| hop(up.kind)).collect();
    }
    Ok(())
}

/// Checks the configuration that is given before anything is installed. `there`: the one that is
/// there already.
fn read_given(facts: &Facts, path: &Path, there: Option<&str>) -> Result<Config, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Usage, format_args!("--config: cannot read {shown}: {error}"))
    })?;
    if text.trim().is_empty() {
        return Err(Failure::new(
            Exit::Config,
            format_args!(
                "{shown}: the file is empty; look what `netrng enroll` said when it was to fill it"
            ),
        ));
    }
    // Relative paths start where it will stand.
    let installed = Path::new(facts.system.config);
    let in_file = |error| ConfigError { file: path.to_owned(), ..error };
    let mut config = Config::draft(&text, installed).map_err(in_file)?;
    let (found, wanted) = (role_of(&config).name(), facts.role.name());
    if found != wanted {
        return Err(Failure::new(
            Exit::Config,
            format_args!(
                "{shown}: mode: found {found:?}, want {wanted:?}; or say `netrng setup {found}`"
            ),
        ));
    }
    // In another root there are other files and users.
    if !facts.is_elsewhere {
        // A server's key is made by a step.
        if facts.role == Role::Client {
            config = Config::parse(&text, installed).map_err(in_file)?;
        }
        judge_user(&config, path)?;
    }
    // As given, or with the user that was named when it was installed.
    let is_own = |line: &&str| *line != USER_LINE.trim_end();
    if there.is_some_and(|there| !there.lines().filter(is_own).eq(text.lines().filter(is_own))) {
        let config = facts.system.config;
        return Err(Failure::new(
            Exit::Config,
            format_args!(
                "{config} is there already, is another configuration than {shown} and stays as it is: \
             compare them with `diff -u {config} {shown}`, then change the first, or move it away \
             and run this again"
            ),
        ));
    }
    Ok(config)
}

/// Whether the one that netrng is to run as is there, and may read what ssh is given. A step makes
/// the user netrng, and the files that are missing.
fn judge_user(config: &Config, path: &Path) -> Result<(), Failure> {
    let name = config.user().unwrap_or(USER);
    let user = match halves::find(name) {
        Ok(user) => user,
        Err(_) if name == USER => return Ok(()),
        Err(failure) => {
            let said = format_args!("{}: {}", path.display(), failure.text).to_string();
            return Err(Failure { text: said, ..failure });
        }
    };
    let Config::Client(client) = config else { return Ok(()) };
    for upstream in &client.upstreams {
        if let Kind::Ssh(ssh) = &upstream.kind {
            let named = [
                ("identity-file", &ssh.identity_file),
                ("known-hosts-file", &ssh.known_hosts_file),
            ];
            for (key, file) in named {
                let file = file.as_deref().filter(|file| file.exists());
                check::expect(path, key, file, Some(&user), "")?;
            }
        }
    }
    Ok(())
}

fn role_of(config: &Config) -> Role {
    match config {
        Config::Server(_) => Role::Server,
        Config::Client(_) => Role::Client,
    }
}

fn is_running(init: &Init, running: Option<&Init>) -> bool {
    running.is_some_and(|running| running.name == init.name) || init.running.is_empty()
}

/// `found` is what was said, or "none" where nothing was said and nothing found.
fn unknown(option: &str, found: &str, names: &[&str]) -> Failure {
    Failure::new(
        Exit::Usage,
        format_args!("{option}found {found}; want one of: {}", names.join(", ")),
    )
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
