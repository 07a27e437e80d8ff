//! `mcuopt completions`: what a shell needs to complete the command line.

use clap_complete::Shell;
use serde_json::json;

use crate::answer::{Answer, Failure};

/// The end of the help says how to install what is printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mcuopt completions bash > ~/.local/share/bash-completion/completions/mcuopt
  mcuopt completions zsh > ~/.zfunc/_mcuopt
  mcuopt completions fish > ~/.config/fish/completions/mcuopt.fish")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, mut command: clap::Command) -> Result<Answer, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "mcuopt", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    let json = json!({ "shell": arguments.shell.to_string(), "script": text });
    Ok(Answer { text, json, ..Answer::default() })
}
