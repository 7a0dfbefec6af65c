//! Writes the manual pages and the shell completions, from the code and from conf/netrng.toml.
//!
//!     cargo run --example generate            # anew in packaging/, to be committed
//!     cargo run --example generate -- DIR     # the same in DIR, to compare
//!
//! Not part of the program: what it needs is in no binary that is shipped.

mod config_page;
mod program_page;
mod roff;

use clap::Command;
use clap_complete::{Shell, generate};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Of the pages' last change that a reader would notice. From the clock it would differ from one
/// run to the next.
const DATE: &str = "2026-11-29";

fn main() -> io::Result<()> {
    let home = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging");
    let folder = std::env::args_os().nth(1).map_or_else(|| home.into(), PathBuf::from);
    let mut command = visible(&netrng::cli::command());
    command.build();
    write(&folder.join("man/netrng.1"), &program_page::page(&command, DATE))?;
    let config = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/netrng.toml"))?;
    write(&folder.join("man/netrng.toml.5"), &config_page::page(&config, DATE))?;
    // Named as each shell looks for them.
    for (shell, name) in
        [(Shell::Bash, "netrng"), (Shell::Zsh, "_netrng"), (Shell::Fish, "netrng.fish")]
    {
        let mut text = Vec::new();
        generate(shell, &mut visible(&netrng::cli::command()), "netrng", &mut text);
        let path = folder.join("completions").join(shell.to_string()).join(name);
        write(&path, &String::from_utf8_lossy(&text))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, text)
}

/// The command line without what is hidden, which completions would show all the same.
fn visible(command: &Command) -> Command {
    let mut seen = Command::new(&*command.get_name().to_owned().leak())
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(command.get_version().is_none())
        .args(command.get_arguments().filter(|argument| !argument.is_hide_set()))
        .subcommands(command.get_subcommands().filter(|below| !below.is_hide_set()).map(visible))
        .disable_help_subcommand(command.is_disable_help_subcommand_set())
        .subcommand_required(command.is_subcommand_required_set());
    if let Some(about) = command.get_about() {
        seen = seen.about(about.clone());
    }
    if let Some(words) = command.get_after_help() {
        seen = seen.after_help(words.clone());
    }
    seen
}
