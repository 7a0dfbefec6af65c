//! A child that reads the pipe: started, restarted with backoff, ended.
//!
//! Owns its life; `pump` feeds it meanwhile. Any exit is a failure, with code 0 too: each
//! rngd has failures that look like success. That it takes nothing for hours is none.

use super::child::{Child, Exit};
use super::pump::{Pump, PumpEnd};
use super::{Context, FeedState, SinkError, rngd};
use crate::retry::{Backoff, Outage};
use crate::sys::now;
use crossbeam_channel::select;
use log::{Level, info, log, warn};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A child that lived so long was well: its end is a new failure.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// The rngd of this machine.
    Rngd,
    /// What the configuration says.
    Command(Vec<OsString>),
}

impl Program {
    /// Checks that there is something to start, before a thread tries.
    pub(super) fn new(command: Option<Vec<String>>) -> Result<Program, SinkError> {
        match command {
            None => rngd::find().map(|_| Program::Rngd),
            Some(words) if words.is_empty() => Err(SinkError::CommandEmpty),
            Some(words) => Ok(Program::Command(words.into_iter().map(OsString::from).collect())),
        }
    }

    fn words(&self) -> Result<Vec<OsString>, SinkError> {
        match self {
            Program::Rngd => rngd::find(),
            Program::Command(words) => Ok(words.clone()),
        }
    }

    fn name(&self) -> String {
        match self {
            Program::Rngd => "rngd".into(),
            Program::Command(words) => {
                words.first().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
            }
        }
    }
}

/// What went wrong, as far as the log tells it apart.
#[derive(Debug, PartialEq)]
enum Failure {
    Start,
    Exit(Option<i32>),
    Signal(i32),
}

/// Starts the program and feeds it, again and again, until we are to end.
pub(super) fn run(program: &Program, context: Context) -> Result<(), SinkError> {
    let name = program.name();
    let mut pump = Pump::new(&context);
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    let mut outage = Outage::new();
    let mut start_level = Level::Info;
    loop {
        let began = now();
        let (failure, text) = match start(program, &name, &context) {
            Err(text) => (Failure::Start, text),
            Ok(child) => {
                log!(start_level, "{name}: started, process {}", child.pid());
                let Some(exit) = feed(&mut pump, child, &context) else {
                    info!("{name}: ended");
                    return Ok(());
                };
                describe(&exit)
            }
        };
        if now().since(began) >= WELL_AFTER {
            backoff.reset();
            outage.handle_success(now());
        }
        let delay = backoff.next_delay((context.random)());
        let level = outage.handle_failure(failure, now());
        log!(level, "{name}: {text}; starting it again in {} ms", delay.as_millis());
        start_level = if level == Level::Warn { Level::Info } else { Level::Debug };
        context.status.note_error(text);
        context.status.enter(FeedState::Restarting);
        select! {
            recv(context.stop.receiver()) -> _ => return Ok(()),
            default(delay) => {}
        }
        context.status.restarts.fetch_add(1, Relaxed);
    }
}

fn start(program: &Program, name: &str, context: &Context) -> Result<Child, String> {
    context.status.enter(FeedState::Starting);
    let words = program.words().map_err(|error| error.to_string())?;
    let label = name.to_owned();
    let status = Arc::clone(&context.status);
    let mut refusal_said = false;
    let on_line = move |line: &str| {
        info!("{label}: {line}");
        // One variant goes on for ever without the right to do its work.
        if !refusal_said && line.contains("Operation not permitted") {
            refusal_said = true;
            let text = "may not feed the kernel: run netrng as root, or give it CAP_SYS_ADMIN";
            warn!("{label}: {text}");
            status.note_error(text.into());
        }
    };
    Child::start(&words, on_line).map_err(|error| format!("cannot be started: {error}"))
}

/// Feeds `child` until its end; `None` if we are to end first, and then it is gone too.
fn feed(pump: &mut Pump<'_>, child: Child, context: &Context) -> Option<Exit> {
    context.status.set_child(Some(child.pid()));
    let end = pump.run(child.stdin(), child.gone());
    // One that lives on without reading is of no use.
    let exit = child.end();
    context.status.set_child(None);
    match end {
        PumpEnd::Stopped => None,
        PumpEnd::Gone | PumpEnd::Broken(_) => {
            Some(exit.unwrap_or(Exit { status: None, last_line: None }))
        }
    }
}

fn describe(exit: &Exit) -> (Failure, String) {
    let (failure, how) = match exit.status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => (Failure::Exit(Some(code)), format!("exited with code {code}")),
        Some((_, Some(signal))) => {
            (Failure::Signal(signal), format!("was ended by signal {signal}"))
        }
        _ => (Failure::Exit(None), "ended".into()),
    };
    match &exit.last_line {
        Some(line) => (failure, format!("{how}; it last said {line:?}")),
        None => (failure, how),
    }
}
