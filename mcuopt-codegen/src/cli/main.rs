//! `mcuopt`: what a model is, what it costs on a chip, and whether it is right, before it is flashed.
//!
//! A command is a file here: a struct of arguments, and a function from these to an [`Answer`](answer::Answer), which
//! is text for people and JSON for programs. The compiler itself knows nothing of this.

mod answer;
mod build;
mod completions;
mod diagnostics;
mod diff;
mod firmware;
mod inference;
mod inspect;
mod profile;
mod progress;
mod quantize;
mod report;
mod sensitivity;
mod settings;
mod table;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use answer::{Answer, Failure};

/// What `--help` says below the options of every command.
const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  the model, its data or its compilation is at fault
  2  the command line is
  3  a threshold was missed (--min-accuracy and its like)

Colours follow NO_COLOR and CLICOLOR_FORCE; --json prints one JSON object, for errors, too.";

/// Neural networks in firmware: look at a model, see what it costs, prove that it is right.
#[derive(Debug, Parser)]
#[command(name = "mcuopt", version, after_help = EXIT_CODES, propagate_version = true, max_term_width = 110)]
struct CommandLine {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what is in a model, what is supported, and what the simplifier does to it
    Inspect(inspect::Arguments),
    /// Show what each layer costs on a core, and what quantization does to it
    #[command(after_help = report::BOARDS)]
    Report(report::Arguments),
    /// Write the generated Rust source of a model
    Build(build::Arguments),
    /// Write a firmware project that runs a model on a board
    Firmware(firmware::Arguments),
    /// Show what a retrained model changes in memory, cycles, layers and outputs
    Diff(diff::Arguments),
    /// Measure what each layer takes, in QEMU or on a board, beside the estimate
    Profile(profile::Arguments),
    /// Prove that a model is right: accuracy of float, int8 and firmware over a labelled set
    #[command(after_help = validate::DATA)]
    Validate(validate::Arguments),
    /// Find the precision of each layer and the scale of each tensor, and write them down for builds
    #[command(after_help = quantize::GOAL)]
    Quantize(quantize::Arguments),
    /// Show what each layer alone does to the network's answers, in each precision
    Sensitivity(sensitivity::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let CommandLine { json, command } = match CommandLine::try_parse_from(&arguments) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are no failures; clap knows where each belongs.
            let code = if error.use_stderr() { ExitCode::from(answer::USAGE) } else { ExitCode::SUCCESS };
            let _ = error.print();
            return code;
        }
    };
    answer::deliver(run(&command), json)
}

fn run(command: &Command) -> Result<Answer, Failure> {
    match command {
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Build(arguments) => build::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Profile(arguments) => profile::run(arguments),
        Command::Firmware(arguments) => firmware::run(arguments),
        Command::Validate(arguments) => validate::run(arguments),
        Command::Quantize(arguments) => quantize::run(arguments),
        Command::Sensitivity(arguments) => sensitivity::run(arguments),
        Command::Completions(arguments) => completions::run(arguments, CommandLine::command()),
    }
}
