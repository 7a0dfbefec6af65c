//! Steps as shell: what they share, and all of them as one script that can be read and pasted.
//!
//! Pure. A step that is applied and a step that is printed are the same text.

use super::plan::{Input, Plan, State, Step};
use std::path::Path;

/// What all steps may use. A file of ours has a copy in /etc/netrng/shipped: one that differs
/// from it was changed by the admin.
pub(super) const PRELUDE: &str = r#"set -e
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# new MODE FILE: writes the input as FILE, all of it or nothing.
new() {
    mkdir -p "${2%/*}"
    (umask 077 && cat > "$2.new" && [ -s "$2.new" ])
    chmod "$1" "$2.new"
    mv -f "$2.new" "$2"
}

# keep MODE FILE: the same as new, if there is no FILE yet.
keep() {
    if [ ! -e "$2" ]; then new "$@"; fi
}

# name_user: a client's configuration, with the user for whom the service gives root up.
name_user() {
    awk '{ line[NR] = $0; if (/^user *=/) named = 1 }
        END { for (i = 1; i <= NR; i++) {
            print line[i]
            if (!named && line[i] ~ /^mode *=/) print "user = \"netrng\""
        } }'
}

# put MODE FILE: the same as new, unless FILE was changed since it was written here.
put() {
    if [ ! -e "$2" ] || cmp -s "$2" "/etc/netrng/shipped$2"; then
        new "$1" "$2"
        mkdir -p "/etc/netrng/shipped${2%/*}"
        cp "$2" "/etc/netrng/shipped$2"
    elif ! cmp -s - "$2"; then
        echo "$2 is yours and stays as it is"
    fi
}
"#;

/// What only checks use: `look FILE` says whether FILE is as the input (0), is missing or as an
/// older netrng wrote it (1), or is the admin's ([`YOURS`]).
pub(super) const LOOK: &str = r#"
look() {
    if cmp -s - "$1"; then return 0; fi
    if [ ! -e "$1" ] || cmp -s "$1" "/etc/netrng/shipped$1"; then return 1; fi
    return 3
}
"#;

/// The exit code of a check that finds a file that is the admin's.
pub(super) const YOURS: i32 = 3;

/// The line that ends a text in the script.
const END: &str = "END_OF_FILE";

/// The whole script. `states` as far as the system was looked at.
pub(super) fn script(plan: &Plan, states: &[State]) -> String {
    let title = &plan.title;
    let mut text = format!(
        "#!/bin/sh\n# {title}.\n# Read it, then paste it into a shell of root's, or run it with \
         sh. It can be run again at any\n# time: what is done already stays as it is.{}\n(\n{PRELUDE}",
        match states.is_empty() {
            true => "\n# Run by root on the system itself, netrng also tells what is done already.",
            false => "",
        }
    );
    for (number, step) in (1..).zip(&plan.steps) {
        let state = states.get(number - 1).map_or("", |state| state.mark());
        text += &format!("\n# {number}. {}.{state}\n{}\n", step.why, printed(step));
    }
    text + "\n# Then:\n" + &plan.closing + "\n)"
}

fn printed(step: &Step) -> String {
    match &step.input {
        Input::Text(contents) => format!("{} <<'{END}'\n{contents}{END}", step.run),
        // In front, for the first command of a pipeline.
        Input::File(path) => format!("< {} {}", quoted(path), step.run),
        Input::None => {
            let run: Vec<String> = step.run.lines().map(|line| format!("    {line}")).collect();
            format!("if ! {{ {}; }} > /dev/null 2>&1; then\n{}\nfi", step.check, run.join("\n"))
        }
    }
}

/// A path as a word of the shell's.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
