//! Running commands: an emulator, or one that runs a program on a board.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long a command may say nothing: it flashes the board meanwhile.
const SILENCE: Duration = Duration::from_secs(120);

/// The firmware's last line, and the word before a layer's figures.
const END: &str = "mcuopt done";
const LAYER: &str = "mcuopt layer ";

const ANSWER: &str = "mcuopt answer ";

/// Runs a command and returns the cycles of each layer that the firmware says.
pub(super) fn run(runner: &str, program: &Path, layers: usize) -> Result<Vec<u64>, Error> {
    let mut cycles = vec![None; layers];
    let all = |cycles: &[Option<u64>]| cycles.iter().copied().collect::<Option<Vec<u64>>>();
    let said = listen_to_firmware(runner, program, &mut |line| {
        if let Some((_, figures)) = line.split_once(LAYER) {
            let mut figures = figures.split_whitespace().map(|figure| figure.parse::<u64>().ok());
            if let (Some(Some(index)), Some(Some(count))) = (figures.next(), figures.next())
                && let Some(slot) = cycles.get_mut(index as usize)
            {
                *slot = Some(count);
            }
        }
    })?;
    all(&cycles).ok_or_else(|| silent(runner, &said))
}

/// Runs a command and returns the bytes that the firmware answers; `done` hears how many there are so far.
pub(super) fn answers(
    runner: &str,
    program: &Path,
    bytes: usize,
    done: &mut dyn FnMut(usize),
) -> Result<Vec<u8>, Error> {
    let mut answers = Vec::with_capacity(bytes);
    let said = listen_to_firmware(runner, program, &mut |line| {
        if let Some((_, digits)) = line.split_once(ANSWER) {
            let digits = digits.trim().as_bytes().chunks(2).map_while(|pair| std::str::from_utf8(pair).ok());
            answers.extend(digits.map_while(|pair| u8::from_str_radix(pair, 16).ok()));
            done(answers.len());
        }
    })?;
    if answers.len() == bytes { Ok(answers) } else { Err(silent(runner, &said)) }
}

/// Runs a command with a program until that is done; `hear` gets each line. Returns all of them.
///
/// Some runners put a prefix before what the firmware says.
fn listen_to_firmware(runner: &str, program: &Path, hear: &mut dyn FnMut(&str)) -> Result<String, Error> {
    let words = words(runner);
    let Some((first, rest)) = words.split_first() else {
        return Err(Error::options("there is no command in it").part("option `runner`"));
    };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    let mut said = String::new();
    let done = listen(&mut command, SILENCE, &mut |line| {
        said += &format!("{line}\n");
        hear(line);
        line.contains(END)
    })?;
    if done { Ok(said) } else { Err(silent(runner, &said)) }
}

fn silent(runner: &str, said: &str) -> Error {
    Error::io(format!("`{runner}` did not show what the firmware prints over semihosting; it said:\n{said}"))
}

/// Runs a command until it ends, or until `hear` is content with a line; whether it was.
fn listen(command: &mut Command, silence: Duration, hear: &mut dyn FnMut(&str) -> bool) -> Result<bool, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| Error::io(format!("`{name}` does not start: {error}")))?;
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
            lines.all(|line| sender.send(String::from_utf8_lossy(&line).trim_end().to_string()).is_ok())
        });
    }
    drop(sender);
    let content = loop {
        match receiver.recv_timeout(silence) {
            Ok(line) if hear(&line) => break true,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break false,
        }
    };
    // Some go on after the firmware is done. That it has ended already is no error.
    let _ = child.kill();
    let _ = child.wait();
    Ok(content)
}

/// Runs a command until it ends well, for at most `limit`: firmware that is lost loops for ever.
pub(super) fn wait(command: &mut Command, limit: Duration) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| Error::io(format!("`{name}` does not start: {error}")))?;
    let read = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
            bytes
        })
    };
    let said = [
        read(child.stdout.take().map(|stream| Box::new(stream) as _)),
        read(child.stderr.take().map(|stream| Box::new(stream) as _)),
    ];
    let deadline = Instant::now() + limit;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                // It may have ended in between.
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let said: Vec<u8> = said.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect();
    let said = String::from_utf8_lossy(&said);
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Error::io(format!("`{name}` ended with {status}\n{said}"))),
        None => Err(Error::io(format!("`{name}` ran for more than {} seconds\n{said}", limit.as_secs()))),
    }
}

/// The words of a command: separated by blanks, or in quotes.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quoted_words_stay_together() {
        assert_eq!(words("probe-rs run  --chip 'a b' \"\""), ["probe-rs", "run", "--chip", "a b", ""]);
        assert_eq!(words("  "), [""; 0]);
    }
}
