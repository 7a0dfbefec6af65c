//! Steps as shell: what they share, and all of them as one script that can be read and pasted.
//!
//! Pure. A step that is applied and a step that is printed are the same text.

use super::plan::{Input, Plan, State, Step};
use std::path::Path;

/// What all steps may use, after [`prelude`]'s lines. A file of ours has a copy in $shipped: one
/// that differs from it was changed by the admin.
const PRELUDE: &str = r#"
# new MODE FILE: writes the input as FILE, all of it or nothing. $changed tells that what runs is
# to be started anew.
new() {
    mkdir -p "${2%/*}"
    (umask 077 && cat > "$2.new" && [ -s "$2.new" ])
    chmod "$1" "$2.new"
    cmp -s "$2.new" "$2" || : > "$changed"
    mv -f "$2.new" "$2"
}

# keep MODE FILE: the same as new, if there is no FILE yet.
keep() {
    if [ ! -e "$2" ]; then new "$@"; fi
}

# place MODE FILE PROGRAM: the configuration FILE, once PROGRAM finds no mistake in it; refuses if
# there is another.
place() {
    if [ -e "$2" ]; then
        cmp -s - "$2" && return
        echo "another $2 is there already, and stays" >&2
        exit 1
    fi
    (umask 077 && cat > "$2.given")
    "$3" check -c "$2.given" > /dev/null || { rm "$2.given"; exit 1; }
    chmod "$1" "$2.given"
    : > "$changed"
    mv "$2.given" "$2"
}

# name_user: a configuration, with the user for whom the service gives root up. Both keys stand
# before the first table; a key may have quotes.
name_user() {
    awk '{ line[NR] = $0 }
        /^[ \t]*\[/ { table = 1 }
        !table && /^[ \t]*["\047]?user["\047]?[ \t]*=/ { named = 1 }
        !table && /^[ \t]*["\047]?mode["\047]?[ \t]*=/ { at = NR }
        END { for (i = 1; i <= NR; i++) {
            print line[i]
            if (!named && i == at) print "user = \"netrng\""
        } }'
}

# put MODE FILE: the same as new, unless FILE was changed since it was written here.
put() {
    if [ ! -e "$2" ] || cmp -s "$2" "$shipped$2"; then
        new "$1" "$2"
    elif ! cmp -s - "$2"; then
        echo "$2 is yours and stays as it is"
        return
    fi
    new 0644 "$shipped$2" < "$2"
}
"#;

/// What only checks use: `look FILE` says whether FILE is as the input (0), is missing or as an
/// older netrng wrote it (1), or is the admin's ([`YOURS`]); `seen FILE` the same, for one that has
/// its copy.
pub(super) const LOOK: &str = r#"
look() {
    if cmp -s - "$1"; then return 0; fi
    if [ ! -e "$1" ] || cmp -s "$1" "$shipped$1"; then return 1; fi
    return 3
}
seen() {
    look "$1" && cmp -s "$1" "$shipped$1"
}
"#;

/// The lines that all steps begin with.
pub(super) fn prelude(plan: &Plan) -> String {
    // Gone at the next boot, which starts everything anew.
    let changed = if plan.is_live { CHANGED } else { "/dev/null" };
    format!(
        "set -e\numask 022\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n\
         shipped={}/shipped\nchanged={changed}\n{PRELUDE}",
        plan.folder
    )
}

/// There while something that the service is made of has changed and the service has not been
/// started since.
pub(super) const CHANGED: &str = "/var/run/netrng.changed";

/// The exit code of a check that finds a file that is the admin's.
pub(super) const YOURS: i32 = 3;

/// The line that ends a text in the script.
const END: &str = "END_OF_FILE";

/// The whole script. `states` as far as the system was looked at.
pub(super) fn script(plan: &Plan, states: &[State]) -> String {
    let title = &plan.title;
    let hint = match (plan.is_elsewhere, states.is_empty()) {
        (true, _) => {
            "\n# Have the files that it reads from (<) beside it, the program for that machine."
        }
        (_, true) => {
            "\n# Run by root on the system itself, netrng also tells what is done already."
        }
        _ => "",
    };
    let mut text = format!(
        "#!/bin/sh\n# {title}.\n# Read it, then paste it into a shell of root's, or run it with \
         sh. It can be run again at any\n# time: what is done already stays as it is.{hint}\n(\n{}",
        prelude(plan)
    );
    for (number, step) in (1..).zip(&plan.steps) {
        let state = states.get(number - 1).map_or("", |state| state.mark());
        text +=
            &format!("\n# {number}. {}.{state}\n{}\n", step.why, printed(step, plan.is_elsewhere));
    }
    text + "\n# Then:\n" + &plan.closing + "\n)"
}

fn printed(step: &Step, is_elsewhere: bool) -> String {
    match &step.input {
        Input::Text(contents) => format!("{} <<'{END}'\n{contents}{END}", step.run),
        // In front, for the first command of a pipeline.
        Input::File(path) => {
            let name = path.file_name().filter(|_| is_elsewhere).map(Path::new);
            format!("< {} {}", quoted(name.unwrap_or(path)), step.run)
        }
        Input::None => {
            let run: Vec<String> = step.run.lines().map(|line| format!("    {line}")).collect();
            format!("if ! {{ {}; }} > /dev/null 2>&1; then\n{}\nfi", step.check, run.join("\n"))
        }
    }
}

/// A path as a word of the shell's.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
