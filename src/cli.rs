//! The command line: what can be said, and what it means. Runs nothing.

use crate::config::{DEFAULT_PATH, DEFAULT_TAP_SOCKET};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::PathBuf;
use std::time::Duration;

/// The exit codes, as `--help` lists them.
const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  the system refuses: out of threads, descriptors, memory
  2  the command line is wrong
  3  the configuration is wrong
  4  the source cannot be read, or failed its tests
  5  the sink cannot be had: rngd is not installed, the FIFO is none
  6  an address cannot be listened on
  7  the kernel's generator is not initialised: no key is made, or the wait was ended
  8  the demo's verdict is bad
  9  there is no server on this machine to tap, or no daemon to ask for its status
  10 the daemon of this machine does not serve this user";

const ABOUT: &str = "\
Links the hardware random number generator of one machine to the random pools of many.

A server reads the generator, tests what it reads, and gives each client bytes that nobody
else gets. A client feeds them to rngd, which credits them to its kernel, or to another sink.";

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub action: Action,
    /// More or less log: debug, the usual, or errors only.
    pub verbosity: Verbosity,
}

/// How much to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Only what needs attention.
    Quiet,
    /// Lifecycle: who comes and goes, what fails and recovers.
    Usual,
    /// Peers' faults as well.
    Verbose,
}

/// The commands.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Run what the file's `mode` says.
    Run(PathBuf),
    /// Run a server.
    Server(PathBuf),
    /// Run a client.
    Client {
        /// Its configuration.
        config: PathBuf,
        /// Only until the kernel's generator is initialised.
        wait_seeded: bool,
    },
    /// Parse the file and print what it comes to.
    Check(PathBuf),
    /// Print a new private key.
    Genkey,
    /// Turn a private key into its public one.
    Pubkey,
    /// Make a client's keys and configuration.
    Enroll {
        /// The server's configuration.
        config: PathBuf,
        /// The new client's name.
        name: String,
        /// Where the client finds the server.
        address: Option<String>,
    },
    /// Judge a source.
    Assess(Assess),
    /// Show what this machine's daemons do.
    Status(Status),
    /// Join stdin and stdout to this machine's server.
    Tap {
        /// Which of this user's clients it is; empty for the only one.
        name: String,
        /// Where the server listens.
        socket: PathBuf,
    },
    /// Make this machine a server or a client.
    Setup(Setup),
    /// Show the main job.
    Demo {
        /// For how long.
        span: Duration,
    },
}

/// What to judge, by how much of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Assess {
    /// Device, FIFO, file or EGD server.
    pub source: PathBuf,
    /// At most for how long.
    pub span: Option<Duration>,
    /// At most so many bytes.
    pub bytes: Option<u64>,
    /// What it claims, bits per byte, as it was written.
    pub min_entropy: Option<String>,
    /// Where to draw it.
    pub plot: Option<PathBuf>,
}

/// Whom to ask for their status, and how to show it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The configuration of the daemon to ask.
    pub config: Option<PathBuf>,
    /// Where to ask.
    pub socket: Option<PathBuf>,
    /// How to show it.
    pub form: Form,
}

/// How to show a status.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For node_exporter's textfile collector.
    Prometheus,
    /// For people with time.
    Watch,
}

/// What `setup` was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// `server` or `client`.
    pub role: String,
    /// The configuration to be installed.
    pub config: Option<PathBuf>,
    /// Do it, instead of printing how.
    pub apply: bool,
    /// Another system than the one found.
    pub system: Option<String>,
    /// Another init system than the one found.
    pub init: Option<String>,
    /// The folder with the system, if not this one.
    pub root: Option<PathBuf>,
}

/// The whole command line, for parsing, help, manual and completions.
pub fn command() -> Command {
    let config = Arg::new("config")
        .short('c')
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .default_value(DEFAULT_PATH)
        .help("Configuration file");
    let with_config = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).arg(config.clone())
    };
    Command::new("netrng")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new("verbose")
                .short('v')
                .long("verbose")
                .global(true)
                .action(ArgAction::SetTrue)
                .help("Log more: peers' faults and every attempt as well"),
        )
        .arg(
            Arg::new("quiet")
                .short('q')
                .long("quiet")
                .global(true)
                .conflicts_with("verbose")
                .action(ArgAction::SetTrue)
                .help("Log only what needs attention"),
        )
        .subcommand(with_config(
            "run",
            "Run as the configuration's `mode` says; what init scripts call",
        ))
        .subcommand(with_config("server", "Give the bytes of a generator to clients"))
        .subcommand(
            with_config(
                "client",
                "Draw bytes from servers and give them to rngd, the kernel, a FIFO or stdout",
            )
            .arg(
                Arg::new("wait-seeded").long("wait-seeded").action(ArgAction::SetTrue).help(
                    "End as soon as the kernel's generator is initialised: for units that must run \
                         before keys are made (with the sink rngd or kernel)",
                ),
            ),
        )
        .subcommand(with_config(
            "check",
            "Parse the configuration and print it in full, keys masked",
        ))
        .subcommand(Command::new("genkey").about("Print a new private key"))
        .subcommand(Command::new("pubkey").about("Read a private key, print its public key"))
        .subcommand(
            with_config(
                "enroll",
                "Make a client's keys, add it to the server, print its configuration",
            )
            .arg(Arg::new("name").value_name("NAME").required(true).help("Name of the client"))
            .arg(
                option(
                    "address",
                    "HOST:PORT",
                    "Where the client finds this server [default: an address it listens on]",
                )
                .short('a'),
            ),
        )
        .subcommand(
            Command::new("assess")
                .about("Judge a source: its rate, tests and entropy, how many clients it carries")
                .after_help(
                    "Exit codes: 0 no fault found, or only unevenness that its claimed entropy \
                     allows; 4 it is broken or\ncannot be read. Ctrl-C ends the reading and judges \
                     what there is.",
                )
                .arg(
                    Arg::new("source")
                        .value_name("SOURCE")
                        .value_parser(value_parser!(PathBuf))
                        .required(true)
                        .help("Device, FIFO or file, as /dev/hwrng, or EGD server, as egd:127.0.0.1:8888"),
                )
                .arg(seconds("How long to read [default: 5; a file is read to its end]"))
                .arg(
                    option("bytes", "N", "How many bytes to read, however long it takes")
                        .short('b')
                        .value_parser(value_parser!(u64).range(1024..)),
                )
                .arg(option(
                    "min-entropy",
                    "BITS",
                    "What it claims, 0 to 8 bits a byte, as `min-entropy` of a server \
                     [default: what the kernel says, or 7]",
                ))
                .arg(
                    option(
                        "plot",
                        "FILE",
                        "Draw bits, byte values, rate into FILE.svg or FILE.png",
                    )
                    .short('p')
                    .value_parser(value_parser!(PathBuf)),
                ),
        )
        .subcommand(status_command())
        .subcommand(setup_command())
        .subcommand(
            Command::new("tap")
                .about("Join stdin and stdout to this machine's server: a forced command for SSH")
                .arg(option("name", "NAME", "Which of this user's clients it is, if it is several"))
                .arg(
                    option("socket", "PATH", "The server's tap-socket")
                        .default_value(DEFAULT_TAP_SOCKET),
                ),
        )
        .subcommand(
            Command::new("demo")
                .about(
                    "Show it all on this machine: a server, two clients, live figures, a verdict",
                )
                .arg(seconds("How long to draw").default_value("10")),
        )
}

/// An option with a value. Not inlined: clap's builders are long.
#[inline(never)]
fn option(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name).help(help)
}

/// The forms, by their flags.
const FORMS: [(&str, &str, Form); 3] = [
    ("json", "As JSON, one object a daemon", Form::Json),
    (
        "prometheus",
        "As Prometheus's text, for node_exporter's textfile collector",
        Form::Prometheus,
    ),
    ("watch", "Anew every second, with graphs, until Ctrl-C", Form::Watch),
];

fn status_command() -> Command {
    let flag = |(name, help, _)| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue).group("form")
    };
    let path = |name, value, help| option(name, value, help).value_parser(value_parser!(PathBuf));
    Command::new("status")
        .about("Show what this machine's server and client do: source, clients, upstreams, sink")
        .arg(
            path("config", "FILE", "Configuration of the one to ask [default: all that run]")
                .short('c'),
        )
        .arg(path("socket", "PATH", "Its status-socket"))
        .args(FORMS.map(flag))
}

fn status_of(matches: &ArgMatches) -> Status {
    let form = FORMS.iter().find(|(name, ..)| matches.get_flag(name));
    Status {
        config: path(matches, "config"),
        socket: path(matches, "socket"),
        form: form.map(|(.., form)| *form).unwrap_or_default(),
    }
}

fn setup_command() -> Command {
    let path = |name, value, help| option(name, value, help).value_parser(value_parser!(PathBuf));
    Command::new("setup")
        .about("Print the steps that make this machine a server or a client, or do them")
        .arg(
            Arg::new("role")
                .value_name("ROLE")
                .required(true)
                .help("server: shares its generator; client: is fed from servers"),
        )
        .arg(
            path(
                "config",
                "FILE",
                "The configuration to install; a client's is from `netrng enroll`",
            )
            .short('c'),
        )
        .arg(
            Arg::new("apply")
                .long("apply")
                .action(ArgAction::SetTrue)
                .help("Do what is not done yet (Debian and its kin; root)"),
        )
        .arg(option(
            "system",
            "NAME",
            "debian, rhel, gentoo, alpine, openwrt or freebsd [default: as found]",
        ))
        .arg(option(
            "init",
            "NAME",
            "systemd, procd, openrc, runit, upstart, rcd or sysvinit [default: as found]",
        ))
        .arg(path(
            "root",
            "DIR",
            "Set up the system in this folder, as a mounted image; nothing is started",
        ))
}

fn setup_of(matches: &ArgMatches) -> Setup {
    Setup {
        role: text(matches, "role").unwrap_or_default(),
        config: path(matches, "config"),
        apply: matches.get_flag("apply"),
        system: text(matches, "system"),
        init: text(matches, "init"),
        root: path(matches, "root"),
    }
}

fn seconds(help: &'static str) -> Arg {
    option("seconds", "N", help).short('s').value_parser(value_parser!(u64).range(1..=3600))
}

/// Reads the command line.
///
/// # Errors
/// clap's, which also carries help and version texts.
pub fn parse<I, T>(args: I) -> Result<Invocation, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let matches = command().try_get_matches_from(args)?;
    let (name, sub) = matches.subcommand().expect("clap requires a subcommand");
    let verbosity = match (sub.get_flag("verbose"), sub.get_flag("quiet")) {
        (true, _) => Verbosity::Verbose,
        (_, true) => Verbosity::Quiet,
        _ => Verbosity::Usual,
    };
    let action = match name {
        "run" => Action::Run(config_of(sub)),
        "server" => Action::Server(config_of(sub)),
        "client" => {
            Action::Client { config: config_of(sub), wait_seeded: sub.get_flag("wait-seeded") }
        }
        "check" => Action::Check(config_of(sub)),
        "genkey" => Action::Genkey,
        "pubkey" => Action::Pubkey,
        "enroll" => Action::Enroll {
            config: config_of(sub),
            name: text(sub, "name").unwrap_or_default(),
            address: text(sub, "address"),
        },
        "assess" => Action::Assess(Assess {
            source: path(sub, "source").unwrap_or_default(),
            span: span_of(sub),
            bytes: sub.get_one("bytes").copied(),
            min_entropy: text(sub, "min-entropy"),
            plot: path(sub, "plot"),
        }),
        "tap" => Action::Tap {
            name: text(sub, "name").unwrap_or_default(),
            socket: text(sub, "socket").unwrap_or_else(|| DEFAULT_TAP_SOCKET.to_owned()).into(),
        },
        "status" => Action::Status(status_of(sub)),
        "setup" => Action::Setup(setup_of(sub)),
        _ => Action::Demo { span: span_of(sub).unwrap_or_default() },
    };
    Ok(Invocation { action, verbosity })
}

fn config_of(matches: &ArgMatches) -> PathBuf {
    path(matches, "config").unwrap_or_else(|| DEFAULT_PATH.into())
}

fn path(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    matches.get_one::<PathBuf>(name).cloned()
}

fn span_of(matches: &ArgMatches) -> Option<Duration> {
    matches.get_one("seconds").copied().map(Duration::from_secs)
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one::<String>(name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn commands_mean_what_they_say() {
        let action = |line: &str| parse(line.split(' ')).unwrap().action;
        assert_eq!(action("netrng run"), Action::Run(DEFAULT_PATH.into()));
        assert_eq!(action("netrng server -c a.toml"), Action::Server("a.toml".into()));
        let client = |wait_seeded| Action::Client { config: "b".into(), wait_seeded };
        assert_eq!(action("netrng client -c b"), client(false));
        assert_eq!(action("netrng client --wait-seeded -c b"), client(true));
        let span = Duration::from_secs(3);
        assert_eq!(action("netrng demo --seconds 3"), Action::Demo { span });
        let ten = Duration::from_secs(10);
        assert_eq!(action("netrng demo"), Action::Demo { span: ten });
        let source = PathBuf::from("x");
        assert_eq!(
            action("netrng assess x"),
            Action::Assess(Assess { source: source.clone(), ..Assess::default() })
        );
        assert_eq!(
            action("netrng assess x -s 3 --bytes 2048 --min-entropy 1 --plot y.png"),
            Action::Assess(Assess {
                source,
                span: Some(span),
                bytes: Some(2048),
                min_entropy: Some("1".into()),
                plot: Some("y.png".into()),
            })
        );
        assert_eq!(
            action("netrng enroll vm1 -a board:8989"),
            Action::Enroll {
                config: DEFAULT_PATH.into(),
                name: "vm1".into(),
                address: Some("board:8989".into()),
            }
        );
        let tap =
            |name: &str, socket: &str| Action::Tap { name: name.into(), socket: socket.into() };
        assert_eq!(action("netrng tap"), tap("", DEFAULT_TAP_SOCKET));
        assert_eq!(action("netrng tap --name a --socket s"), tap("a", "s"));
        let setup = Setup { role: "server".into(), apply: true, ..Setup::default() };
        assert_eq!(action("netrng setup server --apply"), Action::Setup(setup));
        assert_eq!(action("netrng status"), Action::Status(Status::default()));
        let status = Status { socket: Some("s".into()), form: Form::Json, ..Status::default() };
        assert_eq!(action("netrng status --json --socket s"), Action::Status(status));
        assert!(parse(["netrng", "status", "--json", "--watch"]).is_err());
        assert!(parse(["netrng", "setup"]).is_err());
        assert_eq!(parse(["netrng", "-v", "run"]).unwrap().verbosity, Verbosity::Verbose);
        assert_eq!(parse(["netrng", "run", "-q"]).unwrap().verbosity, Verbosity::Quiet);
        assert!(parse(["netrng", "demo", "--seconds", "0"]).is_err());
        assert!(parse(["netrng", "assess", "x", "--bytes", "1023"]).is_err());
        assert!(parse(["netrng"]).is_err());
    }
}
