//! `mcuopt firmware`: a project that runs the model on a board, to begin with.

use std::path::PathBuf;

use mcuopt_codegen::project::{self, Platform, Purpose, Runtime};
use serde_json::json;

use crate::answer::{Answer, DIM, Failure, GOOD, NAME};
use crate::settings::{Compilation, platforms};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The board
    #[arg(long, value_name = "BOARD", value_parser = platforms())]
    board: String,
    /// The project's folder [default: <model>-firmware in the working directory]
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// The folder of mcuopt-rt that the project uses [default: the one beside this tool's sources, or else crates.io]
    #[arg(long, value_name = "FOLDER", conflicts_with = "runtime_git")]
    runtime: Option<PathBuf>,
    /// The git repository of mcuopt-rt that the project uses
    #[arg(long, value_name = "URL")]
    runtime_git: Option<String>,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    compilation: Compilation,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let unknown = || Failure::Usage(format!("no board `{}`", arguments.board));
    let platform = Platform::of(&arguments.board).ok_or_else(unknown)?;
    let compiled = arguments.compilation.compile()?;
    let runtime = match (&arguments.runtime, &arguments.runtime_git) {
        (Some(folder), _) => Runtime::Path(std::path::absolute(folder).unwrap_or_else(|_| folder.clone())),
        (None, Some(url)) => Runtime::Git(url.clone()),
        (None, None) => Runtime::of_this_build(),
    };
    let files = project::generate(&compiled, platform, &runtime, Purpose::Start)?;
    let folder = arguments.output.clone().unwrap_or_else(|| project::package_name(&compiled).into());
    let differs = |file: &&project::File| {
        let path = folder.join(&file.path);
        path.exists() && std::fs::read_to_string(path).map_or(true, |text| text != file.text)
    };
    if let Some(file) = files.iter().find(differs).filter(|_| !arguments.force) {
        let path = folder.join(&file.path);
        return Err(Failure::Usage(format!(
            "{} is there already, and not the same: --force writes over it",
            path.display()
        )));
    }
    project::write(&files, &folder)?;
    let shown = folder.display();
    let mut text = format!("{GOOD}wrote{GOOD:#} {shown}, firmware for {}\n\n", platform.title);
    for file in &files {
        text.push_str(&format!("  {DIM}{}{DIM:#}\n", file.path.display()));
    }
    text.push_str(&format!(
        "\n  {NAME}rustup target add {}{NAME:#}\n  {NAME}cd {shown} && cargo run --release{NAME:#}\n",
        platform.target
    ));
    let json = json!({
        "folder": folder,
        "board": platform.name,
        "target": platform.target,
        "files": files.iter().map(|file| &file.path).collect::<Vec<_>>(),
    });
    Ok(Answer { text, json, ..Answer::default() })
}
