//! From facts about a system to the steps that set netrng up on it.
//!
//! Pure: it looks at nothing and does nothing. A step is shell, of which `script` makes a text
//! to read and `apply` runs the very same.

use super::script::quoted;
use super::systems::{Device, FOLDER, Init, PACKAGED_PROGRAM, SEED, Shipped, System, UDEV};
use std::path::{Path, PathBuf};

/// What the server's file says first.
const MODE_LINE: &str = "mode = \"server\"\n";
/// After it: for whom the service gives root up.
pub(super) const USER_LINE: &str = "user = \"netrng\"\n";

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
    /// The configuration that is brought along.
    pub given: Option<PathBuf>,
    /// Whether the configuration is there.
    pub is_configured: bool,
    /// The upstreams that the configuration reaches by ssh, and as whom ssh runs.
    pub ssh: Vec<Hop>,
    pub user: String,
    /// Whether the steps are for another machine than this one, or for another root.
    pub is_elsewhere: bool,
}

/// A host that an upstream reaches by ssh.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub destination: String,
    pub port: Option<u16>,
    pub identity_file: Option<PathBuf>,
    pub known_hosts_file: Option<PathBuf>,
    /// Whether it has a netrng.
    pub is_tap: bool,
}

/// Steps in their order, and last words.
#[derive(Debug)]
pub(super) struct Plan {
    pub title: String,
    pub steps: Vec<Step>,
    /// Commands that change nothing and tell what comes next.
    pub closing: String,
    /// As in [`Facts`] and [`System`].
    pub folder: &'static str,
    pub is_live: bool,
    pub is_elsewhere: bool,
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
    let mut steps = steps_for_all(facts);
    match role {
        Role::Server => steps.extend(server_steps(facts)),
        Role::Client => {
            steps.extend(ssh_steps(facts));
            steps.extend(facts.given.as_deref().map(|path| given(path, facts)));
        }
    }
    if is_configured(facts) {
        let (program, name, config) = (program(facts), role.name(), system.config);
        steps.push(Step::new(
            &format!("The configuration has no mistakes and is a {name}'s"),
            &format!("{program} check -c {config} | grep '^mode = \"{name}\"'"),
            &format!(
                "{program} check -c {config} > /dev/null\n\
                 echo \"{config} is no {name}'s; docs/init.md: server and client on one machine\"\n\
                 exit 1"
            ),
        ));
    }
    if *role == Role::Server && system.device == Device::None {
        steps.push(Step::new(
            "The configuration names a generator: this system has no /dev/hwrng",
            &format!(
                "! {} check -c {} | grep '^device = \"/dev/hwrng\"'",
                program(facts),
                system.config
            ),
            &format!(
                "echo 'give {} a [source] with a device, as /dev/cuaU0; then run this again'\n\
                 exit 1",
                system.config
            ),
        ));
    }
    steps.extend(service_steps(facts));
    let [why, check, run] = system.keep;
    if !why.is_empty() {
        steps.push(Step::new(why, check, run));
    }
    Plan {
        title: format!("Sets up a netrng {} on {} with {}", role.name(), system.name, init.name),
        steps,
        closing: closing(facts),
        folder: system.folder,
        is_live: facts.is_live,
        is_elsewhere: facts.is_elsewhere,
    }
}

/// User, folder, programs.
fn steps_for_all(facts: &Facts) -> Vec<Step> {
    let Facts { role, system, .. } = facts;
    let folder = system.folder;
    let mut steps = vec![
        Step::new("Group netrng", "grep '^netrng:' /etc/group", system.add_group),
        Step::new("User netrng, for whom the service gives root up", "id netrng", system.add_user),
        Step::new(
            "A folder for keys and the list of clients, for root and the service alone",
            &format!(
                "[ -n \"$(find -H {folder} -prune -type d -user root -group netrng -perm 0750)\" ]"
            ),
            &format!("mkdir -p {folder}\nchown root:netrng {folder}\nchmod 0750 {folder}"),
        ),
    ];
    if !facts.is_packaged {
        steps.push(Step {
            why: "The program, where the service finds it".to_owned(),
            check: format!("[ -x {0} ] && cmp -s - {0}", system.program),
            run: format!("new 0755 {}", system.program),
            input: Input::File(facts.program.clone()),
        });
    }
    if *role == Role::Client && !system.install_rngd.is_empty() {
        let why = "rngd, which credits to the kernel what netrng gives it; netrng starts it";
        steps.push(Step::new(why, "command -v rngd", system.install_rngd));
    }
    steps
}

/// The configuration at `path` is installed.
fn given(path: &Path, facts: &Facts) -> Step {
    let config = facts.system.config;
    Step {
        why: "The configuration that was given".to_owned(),
        check: format!("name_user | look {config}"),
        run: format!("name_user | place 0600 {config} {}", program(facts)),
        input: Input::File(path.to_owned()),
    }
}

/// What ssh needs, run by a user who has no home.
fn ssh_steps(facts: &Facts) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut add = |step: Step| {
        if steps.iter().all(|other| other.check != step.check) {
            steps.push(step);
        }
    };
    for ssh in &facts.ssh {
        if let Some(path) = &ssh.identity_file {
            let (path, user) = (quoted(path), &facts.user);
            add(Step::new(
                &format!("A key for ssh, without a passphrase, which {user} may read"),
                // ssh has a user's own key closed to the group.
                &format!(
                    "[ -n \"$(find -H {path} -size +0 \\( -user {user} -o \\\n\
                     \x20   -group \"$(id -gn {user})\" -perm -0040 \\))\" ]"
                ),
                &format!(
                    "if [ -s {path} ]; then\n\
                     \x20   echo \"it is there: chgrp it to $(id -gn {user}) and chmod 0640, or name another\" >&2\n\
                     \x20   exit 1\n\
                     fi\n\
                     command -v ssh-keygen > /dev/null || {{\n\
                     \x20   echo \"install OpenSSH's client first\" >&2\n\
                     \x20   exit 1\n\
                     }}\n\
                     rm -f {path}.new\n\
                     ssh-keygen -q -t ed25519 -N '' -f {path}.new\n\
                     chgrp \"$(id -gn {user})\" {path}.new\n\
                     chmod 0640 {path}.new\n\
                     mv {path}.new.pub {path}.pub\n\
                     mv {path}.new {path}"
                ),
            ));
        }
        if let Some(path) = &ssh.known_hosts_file {
            let path = quoted(path);
            let why = "The list of hosts that ssh knows, with nobody in it";
            add(Step::new(why, &format!("[ -e {path} ]"), &format!(": > {path}")));
        }
    }
    steps
}

fn program(facts: &Facts) -> &'static str {
    if facts.is_packaged { PACKAGED_PROGRAM } else { facts.system.program }
}

/// Whether there will be a configuration once the steps before are done.
fn is_configured(facts: &Facts) -> bool {
    facts.role == Role::Server || facts.given.is_some() || facts.is_configured
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
    let has_rule = matches!(facts.system.device, Device::Udev | Device::Mdev);
    if has_rule {
        steps.extend(put("udev gives the service's group the generator", &UDEV, facts));
    }
    if facts.is_live && has_rule {
        steps.push(Step::new(
            "The same for the generator that is there now",
            "[ ! -e /dev/hwrng ] || [ -n \"$(find /dev/hwrng -group netrng)\" ]",
            "chgrp netrng /dev/hwrng\nchmod 0640 /dev/hwrng",
        ));
    }
    let (program, system) = (program(facts), facts.system);
    let folder = system.folder;
    steps.push(Step::new(
        "The server's key: it never leaves this machine",
        &format!("[ -s {folder}/server.key ]"),
        &format!(
            "(umask 077 && {program} genkey > {folder}/server.key.new)\n\
             mv {folder}/server.key.new {folder}/server.key"
        ),
    ));
    steps.push(Step::new(
        "The list of clients, which `netrng enroll` fills",
        &format!("[ -e {folder}/clients.toml ]"),
        &format!("(umask 077 && : > {folder}/clients.toml)"),
    ));
    steps.push(match &facts.given {
        Some(path) => given(path, facts),
        None => {
            let why = "The configuration; every other key has its default";
            Step::keep(why, "0644", system.config, Input::Text(server_config(system)))
        }
    });
    steps
}

/// The least that a server needs, with the system's paths.
fn server_config(system: &System) -> String {
    let config = include_str!("../../../conf/server.toml");
    let config = config.replace(MODE_LINE, &format!("{MODE_LINE}{USER_LINE}"));
    match system.folder {
        FOLDER => config,
        folder => {
            let clients = format!("clients-file = \"{folder}/clients.toml\"\n");
            config.replace(FOLDER, folder) + &clients
        }
    }
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
        check: format!("seen {path}"),
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
    if facts.role == Role::Client && init.name == "systemd" {
        let why = "A service that makes sshd wait for a kernel that is fed; it stays switched off";
        steps.extend(put(why, &SEED, facts));
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
    if facts.is_live {
        steps.push(Step::new(
            "The service runs, as what was installed last",
            &format!("[ ! -e \"$changed\" ] && {}", init.is_started),
            &format!("{}\nrm -f \"$changed\"", init.start),
        ));
    }
    steps
}

fn closing(facts: &Facts) -> String {
    let (program, system) = (program(facts), facts.system);
    let config = system.config;
    let mut text = match facts.role {
        Role::Server => {
            let option = match system.folder {
                FOLDER => String::new(),
                _ => format!(" -c {config}"),
            };
            format!(
                "{program} check -c {config} |\n\
                 \x20   sed -n \"s/^# The server's public key:/The public key of this server:/p\"\n\
                 echo 'For each client: (umask 077; netrng enroll NAME{option} --address \
                 THIS-HOST:8989 > NAME.toml)'\n{}",
                system.let_in
            )
        }
        Role::Client if is_configured(facts) => {
            format!("echo 'This machine draws from the upstreams that {config} names.'")
        }
        Role::Client => {
            let run = match system.is_tested {
                true => "then: netrng setup client --config NAME.toml --apply",
                false => "then run what this prints: netrng setup client --config NAME.toml",
            };
            let sink = match system.install_rngd {
                "" => "with [sink] type = \"kernel\" in it, ",
                _ => "",
            };
            format!(
                "echo 'It has no configuration yet. On the server: (umask 077; netrng enroll NAME \
                 --address SERVER:8989 > NAME.toml);'\n\
                 echo 'bring that file here, {sink}{run}'"
            )
        }
    };
    facts.ssh.iter().for_each(|ssh| text += &ssh_closing(facts, ssh));
    if facts.role == Role::Client && facts.init.name == "systemd" {
        text += "\necho 'To have sshd wait until the kernel is fed: systemctl enable netrng-seed'";
    }
    if is_configured(facts) && !facts.is_live {
        text += "\necho 'The service starts with the next boot.'";
    }
    text
}

/// What is to be done by hand before ssh gets through.
fn ssh_closing(facts: &Facts, ssh: &Hop) -> String {
    let (folder, to) = (facts.system.folder, &ssh.destination);
    let (Some(key), Some(known)) = (&ssh.identity_file, &ssh.known_hosts_file) else {
        return format!(
            "\ncat <<'END'\n\
             ssh runs as {}: if that user has no home, give the upstream {to} in {} these two,\n\
             then run this again, which makes the files:\n\
             \x20   identity-file = \"{folder}/id_ed25519\"\n\
             \x20   known-hosts-file = \"{folder}/known_hosts\"\n\
             END",
            facts.user, facts.system.config
        );
    };
    let (user, host) = to.rsplit_once('@').unwrap_or((&facts.user, to));
    let (key, known) = (quoted(key), quoted(known));
    let port = ssh.port.map_or_else(String::new, |port| format!("-p {port} "));
    let (forced, entry) = match ssh.is_tap {
        false => ("", String::new()),
        true => (
            ",command=\"netrng tap --name NAME\"",
            format!(
                "\x20 - as root, this in its /etc/netrng/clients.toml, then SIGHUP to its netrng:\n\
                 [[client]]\n\
                 name = \"NAME\"\n\
                 user = \"{user}\"\n"
            ),
        ),
    };
    format!(
        "\ncat <<END\n\
         On {host}, which is reached by ssh, NAME being this machine's name there:\n\
         \x20 - as root, if there is no {user} yet:\n\
         useradd --system --create-home --home-dir /var/lib/{user} --shell /bin/sh --password '*' {user}\n\
         mkdir -p ~{user}/.ssh\n\
         \x20 - as root, this line in ~{user}/.ssh/authorized_keys:\n\
         restrict{forced} $(cat {key}.pub)\n\
         {entry}\
         Here, to know {host}:\n\
         ssh-keyscan -t ed25519 {port}{host} | tee host.key | ssh-keygen -lf -\n\
         \x20 - and if \\`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\\` there says the same:\n\
         cat host.key >> {known}\n\
         END"
    )
}
