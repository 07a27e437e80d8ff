//! Clips and what the spotter makes of them, one on a line.

use kws_features::{best, label};
use semihosting::{io, println};

use crate::spotter::Spotter;
use crate::wav;

/// A clip from a file of the computer on the other side of the debugger.
#[cfg(feature = "mps2-an386")]
pub fn from_file(spotter: &mut Spotter, path: &str) -> io::Result<()> {
    hear(spotter, path, crate::files::open(path)?)
}

/// Clips in flash: with a real board, not every debugger reads files for it.
#[cfg(not(feature = "mps2-an386"))]
pub fn built_in(spotter: &mut Spotter) -> io::Result<()> {
    let clips: [(&str, &[u8]); 3] = [
        ("yes-1.wav", include_bytes!("../../clips/yes-1.wav")),
        ("stop-1.wav", include_bytes!("../../clips/stop-1.wav")),
        ("silence-1.wav", include_bytes!("../../clips/silence-1.wav")),
    ];
    clips.into_iter().try_for_each(|(name, bytes)| hear(spotter, name, bytes))
}

fn hear(spotter: &mut Spotter, name: &str, file: impl io::Read) -> io::Result<()> {
    wav::read(file, &mut spotter.audio)?;
    let (class, score) = best(&spotter.hear());
    // Two integers, because the code that prints floats is larger than all this.
    let hundredths = (score * 100.0 + 0.5) as u32;
    let (ones, hundredths) = (hundredths / 100, hundredths % 100);
    println!("{name:30} -> {:8} ({ones}.{hundredths:02})", label(class));
    Ok(())
}
