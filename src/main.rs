//! Dispatch and exit codes; no logic.

use log::LevelFilter;
use netrng::cli::{self, Action, Invocation, Verbosity};
use netrng::commands::client::Until;
use netrng::commands::{self, Exit, Failure};
use netrng::config::{Config, LogTo};
use std::alloc::System;
use std::path::Path;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped as it is freed: what keys and samples leave behind in buffers that grow,
/// and in libraries that do not wipe, as well.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    netrng::sys::harden::forbid_core_dumps();
    netrng::sys::process::expect_children();
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            // Help and version go to stdout with code 0, mistakes to stderr with code 2.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return code.into();
        }
    };
    commands::log::start(match (invocation.verbosity, &invocation.action) {
        (Verbosity::Verbose, _) => LevelFilter::Debug,
        // The demo shows what flows; the log would run through its picture.
        (Verbosity::Quiet, _) | (_, Action::Demo { .. }) => LevelFilter::Warn,
        (Verbosity::Usual, _) => LevelFilter::Info,
    });
    match dispatch(invocation) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            if !failure.text.is_empty() {
                log::error!("{}", failure.text);
            }
            failure.exit.into()
        }
    }
}

fn dispatch(invocation: Invocation) -> Result<(), Failure> {
    match invocation.action {
        Action::Run(path) => match load(&path)? {
            Config::Server(config) => commands::server::run(config, &path),
            Config::Client(config) => commands::client::run(config, Until::Stopped),
        },
        Action::Server(path) => match load(&path)? {
            Config::Server(config) => commands::server::run(config, &path),
            Config::Client(_) => Err(wrong_mode(&path, "client", "server")),
        },
        Action::Client { config: path, wait_seeded } => match load(&path)? {
            Config::Client(config) => {
                let until = if wait_seeded { Until::Seeded } else { Until::Stopped };
                commands::client::run(config, until)
            }
            Config::Server(_) => Err(wrong_mode(&path, "server", "client")),
        },
        Action::Check(path) => commands::check::check(&path),
        Action::Genkey => commands::keys::genkey(),
        Action::Pubkey => commands::keys::pubkey(),
        Action::Enroll { config, name, address } => {
            commands::enroll::enroll(&config, &name, address.as_deref())
        }
        Action::Assess(what) => commands::assess::assess(&what),
        Action::Tap { name, socket } => commands::tap::tap(&name, &socket),
        Action::Status(asked) => commands::status::status(&asked),
        Action::Setup(asked) => commands::setup::setup(&asked),
        Action::Demo { span } => commands::demo::demo(span),
    }
}

/// Reads the configuration of a daemon. Where stderr leads nowhere, what is wrong with it goes
/// to syslog as well.
fn load(path: &Path) -> Result<Config, Failure> {
    commands::signals::forgive_early_hangups()?;
    commands::log::direct(LogTo::Auto);
    let config = Config::load(path)?;
    commands::log::direct(config.log_to());
    commands::check::find_user(&config, path)?;
    Ok(config)
}

fn wrong_mode(path: &Path, found: &str, wanted: &str) -> Failure {
    let path = path.display();
    Failure::new(
        Exit::Config,
        format_args!("{path}: mode: found {found:?}, want {wanted:?}; or say `netrng {found}`"),
    )
}
