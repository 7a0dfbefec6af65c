//! Runs the steps of a plan, or looks what of them is done, with the system's shell.
//!
//! Owns the processes and what is said meanwhile; the steps are `plan`'s.

use super::plan::{Input, Plan, State, Step};
use super::script::{LOOK, YOURS, prelude};
use crate::commands::keys::print_line;
use crate::commands::{Exit, Failure};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Looks at the system below `root` whether `step` is done.
pub(super) fn look(root: &Path, plan: &Plan, step: &Step) -> Result<State, Failure> {
    if step.check.is_empty() {
        return Ok(State::Done);
    }
    let status = shell(root, plan, &format!("{LOOK}{}", step.check), &step.input, true)?;
    Ok(match status.code() {
        Some(0) => State::Done,
        // Where nothing is read, no file is judged: an init script says 3 for "not running".
        Some(YOURS) if !matches!(step.input, Input::None) => State::Yours,
        _ => State::ToDo,
    })
}

/// Does what is to do, in order, up to the first failure.
pub(super) fn apply(root: &Path, plan: &Plan) -> Result<(), Failure> {
    let (mut done, of) = (0, plan.steps.len());
    for (number, step) in (1..).zip(&plan.steps) {
        let say = |words: &str| print_line(&format!("{number}/{of} {words}: {}", step.why));
        match look(root, plan, step)? {
            State::Done => say("done already")?,
            State::Yours => say("yours, stays as it is")?,
            State::ToDo => {
                say("doing")?;
                done += 1;
                let ended = shell(root, plan, &step.run, &step.input, false)?;
                let is_well = ended.success();
                if !is_well || look(root, plan, step)? == State::ToDo {
                    let (said, check) =
                        if is_well { ("still not so: ", &*step.check) } else { ("see above", "") };
                    return Err(Failure::new(
                        Exit::System,
                        format_args!(
                            "step {number} of {of} failed, {said}{check}, and nothing after it was done: \
                         {}; mend that and run the same again",
                            step.why
                        ),
                    ));
                }
            }
        }
    }
    print_line(&match done {
        0 => format!("nothing to do: all {of} steps were done already"),
        _ => format!("{done} of {of} steps done now, the others were done already"),
    })?;
    shell(root, plan, &plan.closing, &Input::None, false)?;
    Ok(())
}

/// Runs commands in the system below `root`.
fn shell(
    root: &Path,
    plan: &Plan,
    commands: &str,
    input: &Input,
    is_quiet: bool,
) -> Result<ExitStatus, Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            Exit::System,
            format_args!("cannot run /bin/sh in {}: {error}", root.display()),
        )
    };
    let mut command = Command::new("/bin/sh");
    if root != Path::new("/") {
        command = Command::new("chroot");
        command.arg(root).arg("/bin/sh");
    }
    command.arg("-c").arg(format!("{}{commands}", prelude(plan)));
    command.stdin(match input {
        Input::None => Stdio::null(),
        Input::Text(_) => Stdio::piped(),
        Input::File(path) => File::open(path)
            .map_err(|error| {
                Failure::new(Exit::Usage, format_args!("cannot read {}: {error}", path.display()))
            })?
            .into(),
    });
    if is_quiet {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let mut child = command.spawn().map_err(failed)?;
    if let (Input::Text(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // Not all commands read all of it.
        let _ = stdin.write_all(text.as_bytes());
    }
    child.wait().map_err(failed)
}
