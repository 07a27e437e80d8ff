use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::common::Result;
use crate::ensure;
use crate::program::mcuopt;

#[test]
fn every_shell_knows_every_command() -> Result {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = mcuopt(&[&"completions", &shell])?;
        ensure!(run.code == Some(0), "{run:?}");
        for command in ["inspect", "report", "profile", "validate", "build", "firmware", "diff", "completions"] {
            ensure!(run.out.contains(command), "{shell} does not know `{command}`");
        }
        ensure!(run.out.contains("max-ram") && run.out.contains("min-accuracy"), "{shell} lacks options");
    }
    Ok(())
}

#[test]
fn bash_reads_its_script() -> Result {
    let script = mcuopt(&[&"completions", &"bash"])?.out;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn()?;
    bash.stdin.take().ok_or("standard input")?.write_all(script.as_bytes())?;
    ensure!(bash.wait()?.success(), "bash refuses the script");
    Ok(())
}
