//! The accuracy over a file of labelled features.

use kws_features::{RECORD_BYTES, Tally, decode};
use semihosting::io::{self, Read};
use semihosting::println;

use crate::files;
use crate::spotter::Spotter;

pub fn measure(spotter: &mut Spotter, path: &str) -> io::Result<()> {
    let mut file = files::open(path)?;
    let records = file.metadata()?.len() / RECORD_BYTES as u64;
    let mut record = [0; RECORD_BYTES];
    let mut tally = Tally::new();
    for _ in 0..records {
        file.read_exact(&mut record)?;
        let class = decode(&record, &mut spotter.features);
        tally.count(class, &spotter.judge());
    }
    println!("{tally}");
    Ok(())
}
