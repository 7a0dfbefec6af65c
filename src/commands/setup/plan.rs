//! From facts about a system to the steps that set netrng up on it.
//!
//! Pure: it looks at nothing and does nothing. A step is shell, of which `script` makes a text
//! to read and `apply` runs the very same.

use super::systems::{Device, Init, PACKAGED_PROGRAM, Shipped, System, UDEV};
use std::path::PathBuf;

/// What the server's file says first.
const MODE_LINE: &str = "mode = \"server\"\n";
/// After it: for whom the service gives root up.
const USER_LINE: &str = "user = \"netrng\"\n";

/// What the machine is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
        }
    }
}

/// What the steps depend on.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub role: Role,
    pub system: &'static System,
    pub init: &'static Init,
    /// Whether `init` runs here and now, so that services can be started.
    pub is_live: bool,
    /// Whether a package has installed netrng.
    pub is_packaged: bool,
    /// Of the files that come with netrng, those that a package has put where it puts such.
    pub brought: Vec<&'static str>,
    /// The program that runs now.
    pub program: PathBuf,
    /// The configuration that a client is given.
    pub client_config: Option<PathBuf>,
    /// Whether the configuration is there.
    pub is_configured: bool,
}

/// Steps in their order, and last words.
#[derive(Debug)]
pub(super) struct Plan {
    pub title: String,
    pub steps: Vec<Step>,
    /// Commands that change nothing and tell what comes next.
    pub closing: String,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    /// What it does and why, without a full stop.
    pub why: String,
    /// Succeeds if there is nothing to do. Changes nothing.
    pub check: String,
    /// Does it. With an input it is one command that may be run again without `check`.
    pub run: String,
    /// What both read.
    pub input: Input,
}

/// What a step's commands read from their stdin.
#[derive(Debug)]
pub(super) enum Input {
    None,
    Text(String),
    File(PathBuf),
}

/// What a look at the system says of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Done,
    ToDo,
    /// The file is the admin's and stays.
    Yours,
}

impl State {
    /// For the script.
    pub(super) fn mark(self) -> &'static str {
        match self {
            State::Done => " (done already)",
            State::ToDo => " (to do)",
            State::Yours => " (yours: stays as it is)",
        }
    }
}

impl Step {
    fn new(why: &str, check: &str, run: &str) -> Self {
        Step {
            why: why.to_owned(),
            check: check.to_owned(),
            run: run.to_owned(),
            input: Input::None,
        }
    }

    /// A file that is made if it is missing.
    fn keep(why: &str, mode: &str, path: &str, input: Input) -> Self {
        let (check, run) = (format!("look {path}"), format!("keep {mode} {path}"));
        Step { why: why.to_owned(), check, run, input }
    }
}

/// The steps for these facts.
pub(super) fn plan(facts: &Facts) -> Plan {
    let Facts { role, system, init, .. } = facts;
    let mut steps = Vec::new();
    if !facts.is_packaged {
        steps.push(Step {
            why: "The program, where the service finds it".to_owned(),
            check: format!("cmp -s - {}", system.program),
            run: format!("new 0755 {}", system.program),
            input: Input::File(facts.program.clone()),
        });
    }
    if *role == Role::Client && !system.install_rngd.is_empty() {
        let why = "rngd, which credits to the kernel what netrng gives it; netrng starts it";
        steps.push(Step::new(why, "command -v rngd", system.install_rngd));
    }
    let why = "User and group netrng, for whom the service gives root up";
    steps.push(Step::new(why, "id netrng", system.add_user));
    steps.push(Step::new(
        "A folder for keys and the list of clients, for root and the service alone",
        "[ -d /etc/netrng ]",
        "mkdir /etc/netrng\nchgrp netrng /etc/netrng\nchmod 0750 /etc/netrng",
    ));
    match role {
        Role::Server => steps.extend(server_steps(facts)),
        Role::Client => steps.extend(facts.client_config.iter().map(|path| {
            let why = "The configuration that the server's `netrng enroll` made";
            let mut step = Step::keep(why, "0600", system.config, Input::File(path.clone()));
            step.check = format!("name_user | {}", step.check);
            step.run = format!("name_user | {}", step.run);
            step
        })),
    }
    if is_configured(facts) {
        let (program, name, config) = (program(facts), role.name(), system.config);
        steps.push(Step::new(
            &format!("The configuration has no mistakes and is a {name}'s"),
            &format!("{program} check -c {config} | grep '^mode = \"{name}\"'"),
            &format!(
                "{program} check -c {config} > /dev/null\n\
                 echo \"{config} is no {name}'s: move it away first\"\n\
                 exit 1"
            ),
        ));
    }
    steps.extend(service_steps(facts));
    Plan {
        title: format!("Sets up a netrng {} on {} with {}", role.name(), system.name, init.name),
        steps,
        closing: closing(facts),
    }
}

fn program(facts: &Facts) -> &'static str {
    if facts.is_packaged { PACKAGED_PROGRAM } else { facts.system.program }
}

/// Whether there will be a configuration once the steps before are done.
fn is_configured(facts: &Facts) -> bool {
    facts.role == Role::Server || facts.client_config.is_some() || facts.is_configured
}

fn server_steps(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    if facts.system.device == Device::Mdev {
        steps.push(Step::new(
            "mdev gives the service's group the generator",
            "grep '^hwrng.*netrng' /etc/mdev.conf || [ ! -e /etc/mdev.conf ]",
            "sed -i '1i hwrng root:netrng 0640' /etc/mdev.conf",
        ));
    }
    if facts.system.device != Device::None {
        steps.extend(put("udev gives the service's group the generator", &UDEV, facts));
    }
    if facts.is_live && facts.system.device != Device::None {
        steps.push(Step::new(
            "The same for the generator that is there now",
            "[ ! -e /dev/hwrng ] || [ -n \"$(find /dev/hwrng -group netrng)\" ]",
            "chgrp netrng /dev/hwrng\nchmod 0640 /dev/hwrng",
        ));
    }
    let program = program(facts);
    steps.push(Step::new(
        "The server's key: it never leaves this machine",
        "[ -s /etc/netrng/server.key ]",
        &format!(
            "(umask 077 && {program} genkey > /etc/netrng/server.key.new)\n\
             mv /etc/netrng/server.key.new /etc/netrng/server.key"
        ),
    ));
    steps.push(Step::new(
        "The list of clients, which `netrng enroll` fills",
        "[ -e /etc/netrng/clients.toml ]",
        "(umask 077 && : > /etc/netrng/clients.toml)",
    ));
    let why = "The configuration; every other key has its default";
    let config = include_str!("../../../conf/server.toml");
    let config = Input::Text(config.replace(MODE_LINE, &format!("{MODE_LINE}{USER_LINE}")));
    steps.push(Step::keep(why, "0644", facts.system.config, config));
    steps
}

/// A file that comes with netrng, unless a package has brought it.
fn put(why: &str, file: &Shipped, facts: &Facts) -> Option<Step> {
    let Shipped { path, mode, text } = file;
    let program = program(facts);
    // systemd finds a bare name from 239 on.
    let start = format!("ExecStart={program} ");
    let text = text.replace(PACKAGED_PROGRAM, program).replace("ExecStart=netrng ", &start);
    (!facts.brought.contains(path)).then(|| Step {
        why: why.to_owned(),
        check: format!("look {path}"),
        run: format!("put {mode} {path}"),
        input: Input::Text(text),
    })
}

fn service_steps(facts: &Facts) -> Vec<Step> {
    let init = facts.init;
    let mut steps = Vec::new();
    for file in init.files {
        steps.extend(put(&format!("The service, for {}", init.name), file, facts));
    }
    for file in init.options {
        let text = Input::Text(file.text.to_owned());
        steps.push(Step::keep("Options of the service", file.mode, file.path, text));
    }
    // Without a configuration the service could only fail.
    if !is_configured(facts) {
        return steps;
    }
    if !init.enable.is_empty() {
        steps.push(Step::new("The service starts with the machine", init.is_enabled, init.enable));
    }
    if facts.is_live && !init.start.is_empty() {
        steps.push(Step::new("The service runs", init.is_started, init.start));
    }
    steps
}

fn closing(facts: &Facts) -> String {
    let program = program(facts);
    let mut text = match facts.role {
        Role::Server => format!(
            "echo \"The public key of this server: $({program} pubkey < /etc/netrng/server.key)\"\n\
             echo 'For each client: netrng enroll NAME --address THIS-HOST:8989 > NAME.toml'"
        ),
        Role::Client if is_configured(facts) && facts.system.install_rngd.is_empty() => {
            "echo 'There is no rngd for this system: want [sink] type = \"kernel\" in /etc/netrng.toml'"
                .to_owned()
        }
        Role::Client if is_configured(facts) => {
            "echo 'This machine draws from the servers that /etc/netrng.toml names.'".to_owned()
        }
        Role::Client => "echo 'It has no configuration yet. On the server: netrng enroll NAME > NAME.toml;'\n\
                         echo 'bring that file here, then: netrng setup client --config NAME.toml --apply'"
            .to_owned(),
    };
    if is_configured(facts) && !facts.is_live {
        text += "\necho 'The service starts with the next boot.'";
    }
    text
}
