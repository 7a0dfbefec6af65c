//! A child that reads the pipe: started, restarted with backoff, ended.
//!
//! Owns its life; `pump` feeds it meanwhile. Any exit is a failure, with code 0 too: each
//! rngd has failures that look like success. That it takes nothing for hours is none.

use super::pump::{Pump, PumpEnd};
use super::{Context, FeedState, FeedStatus, SinkError, rngd};
use crate::child::{Child, Exit};
use crate::retry::{Backoff, Outage};
use crate::sys::now;
use crossbeam_channel::select;
use log::{Level, info, log, warn};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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

    fn command(&self) -> Result<Vec<OsString>, SinkError> {
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

impl Failure {
    fn of(exit: &Exit) -> Self {
        match exit.status.and_then(|status| status.signal()) {
            Some(signal) => Failure::Signal(signal),
            None => Failure::Exit(exit.status.and_then(|status| status.code())),
        }
    }
}

/// Starts the program and feeds it, again and again, until we are to end.
pub(super) fn run(program: &Program, context: Context) -> Result<(), SinkError> {
    let name = program.name();
    let mut pump = Pump::new(&context);
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    let mut outage = Outage::new();
    let refusal_said = Arc::new(AtomicBool::new(false));
    // What repeats an outage that was said aloud is said quietly, the child's own words too.
    let mut level = Level::Info;
    loop {
        let began = now();
        let words = Words {
            name: name.clone(),
            level,
            refusal_said: Arc::clone(&refusal_said),
            status: Arc::clone(&context.status),
        };
        context.status.enter(FeedState::Starting);
        let (failure, text) = match start(program, words) {
            Err(text) => (Failure::Start, text),
            Ok((child, stdin)) => {
                log!(level, "{name}: started, process {}", child.pid());
                let Some(exit) = feed(&mut pump, child, &stdin, &context) else {
                    info!("{name}: ended");
                    return Ok(());
                };
                (Failure::of(&exit), exit.to_string())
            }
        };
        if now().since(began) >= WELL_AFTER {
            backoff.reset();
            outage.handle_success(now());
        }
        let delay = backoff.next_delay((context.random)());
        let failure_level = outage.handle_failure(failure, now());
        log!(failure_level, "{name}: {text}; starting it again in {} ms", delay.as_millis());
        level = if failure_level == Level::Warn { Level::Info } else { Level::Debug };
        context.status.note_error(text);
        context.status.enter(FeedState::Restarting);
        select! {
            recv(context.stop.receiver()) -> _ => return Ok(()),
            default(delay) => {}
        }
        context.status.restarts.fetch_add(1, Relaxed);
    }
}

/// What a child says, on its way to our log.
struct Words {
    name: String,
    level: Level,
    refusal_said: Arc<AtomicBool>,
    status: Arc<FeedStatus>,
}

impl Words {
    fn handle_line(&self, line: &str) {
        let name = &self.name;
        // rng-tools-debian counts aloud once an hour and in fifteen lines at its end.
        let level = if line.starts_with("stats: ") { Level::Debug } else { self.level };
        log!(level, "{name}: {line}");
        // One variant goes on for ever without the right to do its work.
        if line.contains("Operation not permitted") && !self.refusal_said.swap(true, Relaxed) {
            let text = if line.contains(" lock ") {
                "may not lock its memory: give netrng CAP_IPC_LOCK, or take another sink, as \
                 type = \"kernel\""
            } else {
                "may not feed the kernel: run netrng as root, or give it CAP_SYS_ADMIN"
            };
            warn!("{name}: {text}");
            self.status.note_error(text.into());
        }
    }
}

fn start(program: &Program, words: Words) -> Result<(Child, File), String> {
    let command = program.command().map_err(|error| error.to_string())?;
    let started = Child::start_reader(&command, move |line| words.handle_line(line));
    started.map_err(|error| format!("cannot be started: {error}"))
}

/// Feeds `child` until its end; `None` if we are to end first, and then it is gone too.
fn feed(pump: &mut Pump<'_>, child: Child, stdin: &File, context: &Context) -> Option<Exit> {
    context.status.set_child(Some(child.pid()));
    let end = pump.run(stdin, child.gone());
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
