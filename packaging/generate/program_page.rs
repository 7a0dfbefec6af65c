//! netrng(1), from the definition of the command line.

use crate::roff::Page;
use clap::{Arg, Command};

const SIGNALS: &[(&str, &str)] = &[
    (
        "SIGHUP",
        "A server reads its clients and limits again; sessions that stay allowed go on. \
      A file with a mistake in it changes nothing, and the log says what is wrong. A client \
      reads its configuration only when it starts.",
    ),
    (
        "SIGTERM, SIGINT",
        "Take leave of all peers and end. A server gives its clients two seconds \
      for what is under way, a client as many to its rngd.",
    ),
];

const FILES: &[(&str, &str)] = &[
    ("/etc/netrng.toml", "The configuration, unless `-c` names another; see `netrng.toml`(5)."),
    ("/etc/netrng/server.key", "The server's key, as its configuration names it."),
    ("/etc/netrng/clients.toml", "The server's clients, which `netrng enroll` adds."),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("See all of it at work on this machine:", "netrng demo"),
    (
        "Make this machine, which has the generator, a server (without `--apply`: see how):",
        "netrng setup server --apply",
    ),
    (
        "There, make a client's keys and its configuration, and let the server take it in:",
        "(umask 077; netrng enroll alice --address board.example.org:8989 > alice.toml)\n\
      kill -HUP $(pidof netrng)",
    ),
    ("On the client, with that file:", "netrng setup client --config alice.toml --apply"),
    ("How many clients does this device carry?", "netrng assess /dev/hwrng"),
    (
        "Does raw noise keep the `min-entropy = 1` that a server claims for it?",
        "netrng assess /dev/ttyACM0 --min-entropy 1",
    ),
];

/// The page.
pub fn page(command: &Command, date: &str) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let (does, description) = about.split_once("\n\n").unwrap_or((&about, ""));
    let does = does.trim_end_matches('.');
    let does = does[..1].to_lowercase() + &does[1..];
    let mut page = Page::new("netrng", 1, date, &does);

    page.heading("SYNOPSIS");
    page.line("\\fBnetrng\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]");
    page.heading("DESCRIPTION");
    page.paragraphs(description);

    page.heading("OPTIONS");
    page.paragraphs("With every command:");
    for option in own(command) {
        describe(&mut page, option);
    }

    page.heading("COMMANDS");
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        page.subheading(&usage(below));
        page.paragraphs(&sentence(below.get_about()));
        let options = own(below).filter(|argument| is_option_of_its_own(argument));
        for argument in below.get_positionals().chain(options) {
            describe(&mut page, argument);
        }
    }

    page.heading("EXIT STATUS");
    let codes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for line in codes.lines().filter(|line| line.starts_with(' ')) {
        let (code, means) = line.trim_start().split_once(' ').expect("a code and its meaning");
        page.entries([(code, "")]);
        page.prose(&sentence(Some(means.trim_start())));
    }
    for (heading, entries) in [("SIGNALS", SIGNALS), ("FILES", FILES)] {
        page.heading(heading);
        for (name, text) in entries {
            page.entries([(*name, "")]);
            page.prose(text);
        }
    }
    page.heading("EXAMPLES");
    for (words, commands) in EXAMPLES {
        page.paragraphs(&format!("{words}\n    {}", commands.replace('\n', "\n    ")));
    }
    page.heading("SEE ALSO");
    page.line(".BR netrng.toml (5),");
    page.line(".BR rngd (8),");
    page.line(".BR random (4)");
    page.finish()
}

/// Arguments in the order of the definition, without `--help`, which says nothing here.
fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| argument.get_id() != "help")
}

fn is_option_of_its_own(argument: &Arg) -> bool {
    !argument.is_positional() && !argument.is_global_set()
}

/// As `enroll [OPTIONS] NAME`.
fn usage(command: &Command) -> String {
    let mut words = vec![command.get_name().to_owned()];
    if own(command).any(is_option_of_its_own) {
        words.push("[OPTIONS]".to_owned());
    }
    words.extend(command.get_positionals().map(value_names));
    words.join(" ")
}

fn value_names(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ")
}

/// An option or argument: how it is written, what it does, what it is by default.
fn describe(page: &mut Page, argument: &Arg) {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = match argument.get_action().takes_values() {
        true => value_names(argument),
        false => String::new(),
    };
    let gap = if names.is_empty() || value.is_empty() { "" } else { " " };
    page.entries([(names.join(", ").as_str(), format!("{gap}{value}").as_str())]);
    // clap's own way to say it in a help text.
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let (help, stated) = match help.split_once(" [default: ") {
        Some((help, default)) => (help.to_owned(), Some(default.trim_end_matches(']').to_owned())),
        None => (help, None),
    };
    let mut text = help + ".";
    let values = argument.get_possible_values();
    if argument.get_action().takes_values() && !values.is_empty() {
        let values: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
        text += &format!(" One of {}.", values.join(", "));
    }
    let defaults = argument.get_default_values().iter().map(|value| value.to_string_lossy());
    let default = defaults.map(|value| value.into_owned()).next().or(stated);
    if let Some(default) = default.filter(|_| argument.get_action().takes_values()) {
        text += &format!(" Default: {default}.");
    }
    page.prose(&text);
}

/// With a capital and a full stop.
fn sentence(words: Option<impl ToString>) -> String {
    let words = words.map(|words| words.to_string()).unwrap_or_default();
    let Some(first) = words.chars().next() else { return words };
    format!("{}{}.", first.to_uppercase(), &words[first.len_utf8()..])
}
