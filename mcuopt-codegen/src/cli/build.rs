//! `mcuopt build`: the generated source, for projects that want neither the macro nor a build script.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::answer::{Answer, DIM, Failure, GOOD, NOTE, grouped, write_file};
use crate::settings::Compilation;
use mcuopt_rt::v0::Arch;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the source goes; `-` is standard output [default: <model's stem>.rs in the working directory]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show weights by length and hash alone, as a reviewer wants to see the code
    #[arg(long)]
    abridged: bool,
    #[command(flatten)]
    compilation: Compilation,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let model = &arguments.compilation.model;
    let compiled = arguments.compilation.compile()?;
    let source = if arguments.abridged { compiled.review() } else { compiled.source() };
    let source = source.map_err(Failure::of(model))?;
    if arguments.output.as_deref() == Some(Path::new("-")) {
        let json = json!({ "type": compiled.type_name, "source": source });
        return Ok(Answer { text: source, json, ..Answer::default() });
    }
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let path = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{stem}.rs")));
    write_file(&path, &source)?;
    let [portable, dsp] = Arch::ALL.map(|arch| compiled.weight_bytes(arch) as u64);
    let ram = compiled.plan.arena_bytes as u64;
    let mut text = format!(
        "{GOOD}wrote{GOOD:#} {}: the type `{}`, {} bytes of RAM, {} bytes of weights\n",
        path.display(),
        compiled.type_name,
        grouped(ram),
        if portable == dsp {
            grouped(dsp)
        } else {
            format!("{} or, without DSP instructions, {}", grouped(dsp), grouped(portable))
        },
    );
    for note in &compiled.notes {
        text.push_str(&format!("{NOTE}note:{NOTE:#} {note}\n"));
    }
    text.push_str(&format!("{DIM}It needs mcuopt-rt {} and nothing else.{DIM:#}\n", env!("CARGO_PKG_VERSION")));
    let json = json!({
        "file": path,
        "type": compiled.type_name,
        "ram_bytes": ram,
        "weight_bytes": { "portable": portable, "dsp": dsp },
        "notes": compiled.notes,
    });
    Ok(Answer { text, json, ..Answer::default() })
}
