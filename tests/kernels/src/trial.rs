//! Running a kernel in every position of its operands, and saying what it did wrong.

use core::fmt::{self, Debug, Display};

use mcuopt_rt::v0::Prefer;
use semihosting::println;

use crate::guarded::Guarded;
use crate::memory::{Fields, bytes};
use crate::random::Random;

/// The cases of a suite: what failed, and which kernels were tried.
pub struct Trial {
    suite: &'static str,
    number: u32,
    /// Whether the current case has failed.
    failed: bool,
    failures: u32,
    kernels: Kernels,
}

const DEFINITION: &str = " (definition)";

/// Who is under test.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    how: &'static str,
}

impl Kernel {
    pub fn named(name: &'static str) -> Self {
        Kernel { name, how: "" }
    }

    /// The function that defines the others.
    pub fn definition(name: &'static str) -> Self {
        Kernel { name, how: DEFINITION }
    }

    /// What mcuopt-rt chose.
    pub fn chosen(name: &'static str, prefer: Prefer) -> Self {
        let how = match prefer {
            Prefer::Fastest => " (as fast as can be)",
            Prefer::Speed => " (for speed)",
            Prefer::Size => " (for size)",
        };
        Kernel { name, how }
    }
}

impl Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.how)
    }
}

/// One layer under test.
pub struct Subject<'a> {
    /// All that describes it.
    pub layer: &'a dyn Debug,
    /// The input.
    pub x: &'a [i8],
    /// The right output.
    pub expected: &'a [i8],
    /// Bytes of an element of both, of which they hold the bytes.
    pub element: usize,
}

impl Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layer.fmt(f)
    }
}

/// What a kernel did wrong.
enum Fault {
    /// A wrong output.
    Output { index: usize, got: i8, expected: i8 },
    /// A write, so far from the start of something, outside of the output.
    Write { what: &'static str, place: isize },
}

impl Trial {
    pub fn new(suite: &'static str) -> Self {
        Trial { suite, number: 0, failed: false, failures: 0, kernels: Kernels { names: [("", 0); 24] } }
    }

    /// Goes on to a case.
    pub fn begin(&mut self, number: u32) {
        (self.number, self.failed) = (number, false);
    }

    /// How many cases have failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The kernels that were tried, with the number of runs of each.
    pub fn kernels(&self) -> &impl Display {
        &self.kernels
    }

    /// Runs a kernel with input, output and exactly so much scratch at random alignments.
    pub fn apart(
        &mut self,
        kernel: Kernel,
        subject: &Subject<'_>,
        scratch_bytes: usize,
        fields: &mut Fields,
        random: &mut Random,
        run: impl FnOnce(&[i8], &mut [i8], &mut [u32]),
    ) {
        let offsets = random.choose(&ALIGNMENTS).map(|offset| offset / subject.element * subject.element);
        let [at_x, at_y, at_scratch] = at_edge(fields.edge.as_deref_mut(), random);
        let mut x = match at_x {
            Some(edge) => Guarded::last(bytes(edge), subject.x.len()),
            None => Guarded::new(&mut fields.x.0, offsets[0], subject.x.len()),
        };
        let mut y = match at_y {
            Some(edge) => Guarded::last(bytes(edge), subject.expected.len()),
            None => Guarded::new(&mut fields.y.0, offsets[1], subject.expected.len()),
        };
        let mut scratch = match at_scratch {
            Some(edge) => Guarded::last(edge, scratch_bytes / 4),
            None => Guarded::new(&mut fields.scratch.0, random.size(0, 3), scratch_bytes / 4),
        };
        x.lend().copy_from_slice(subject.x);
        // Not what it should become, so that nothing is right without being written.
        y.lend().iter_mut().zip(subject.expected).for_each(|(y, expected)| *y = !expected);
        run(x.lend(), y.lend(), scratch.lend());
        let fault = wrong(y.lend(), subject.expected)
            .or_else(|| write("y", y.trespass()))
            .or_else(|| write("x", x.trespass()))
            .or_else(|| {
                write("x", x.lend().iter().zip(subject.x).position(|(x, before)| x != before).map(|i| i as isize))
            })
            .or_else(|| write("scratch", scratch.trespass()));
        let (x, y) = (x.alignment(), y.alignment());
        self.judge(kernel, subject, fault, format_args!("x at 4n + {x}, y at 4n + {y}"));
    }

    /// Runs a kernel whose output starts where the memory starts, and whose input starts `x_start` behind that.
    #[allow(clippy::too_many_arguments)]
    pub fn overlapping(
        &mut self,
        kernel: Kernel,
        subject: &Subject<'_>,
        x_start: usize,
        scratch_bytes: usize,
        fields: &mut Fields,
        random: &mut Random,
        run: impl FnOnce(&mut [i8], &mut [u32]),
    ) {
        let [offset, _] = random.choose(&ALIGNMENTS).map(|offset| offset / subject.element * subject.element);
        let Subject { x, expected, .. } = subject;
        let len = expected.len().max(x_start + x.len());
        let [at_xy, at_scratch, _] = at_edge(fields.edge.as_deref_mut(), random);
        let mut xy = match at_xy {
            Some(edge) => Guarded::last(bytes(edge), len),
            None => Guarded::new(&mut fields.y.0, offset, len),
        };
        let mut scratch = match at_scratch {
            Some(edge) => Guarded::last(edge, scratch_bytes / 4),
            None => Guarded::new(&mut fields.scratch.0, random.size(0, 3), scratch_bytes / 4),
        };
        xy.lend().iter_mut().zip(*expected).for_each(|(y, expected)| *y = !expected);
        xy.lend()[x_start..][..x.len()].copy_from_slice(x);
        run(xy.lend(), scratch.lend());
        let fault = wrong(&xy.lend()[..expected.len()], expected)
            .or_else(|| write("xy", xy.trespass()))
            .or_else(|| write("scratch", scratch.trespass()));
        let xy = xy.alignment();
        self.judge(kernel, subject, fault, format_args!("xy at 4n + {xy}, x {x_start} behind y"));
    }

    fn judge(&mut self, kernel: Kernel, subject: &Subject<'_>, fault: Option<Fault>, position: fmt::Arguments<'_>) {
        if kernel.how != DEFINITION {
            self.kernels.count(kernel.name);
        }
        let Some(fault) = fault else { return };
        println!("{} {}: {kernel}, {position}: {fault}", self.suite, self.number);
        // Once is enough for the others.
        if !self.failed {
            println!("  {subject:?}");
            self.failed = true;
            self.failures += 1;
        }
    }
}

/// Places of an input and an output behind a multiple of 4. Aligned ones are what plans of memory aim at, so a third.
const ALIGNMENTS: [[usize; 2]; 24] = {
    let mut alignments = [[0; 2]; 24];
    let mut i = 0;
    while i < 16 {
        alignments[i] = [i / 4, i % 4];
        i += 1;
    }
    alignments
};

/// Who of three gets the end of the memory, if anybody.
fn at_edge<'a>(edge: Option<&'a mut [u32]>, random: &mut Random) -> [Option<&'a mut [u32]>; 3] {
    match random.range(0, 5) {
        0 => [edge, None, None],
        1 => [None, edge, None],
        2 => [None, None, edge],
        _ => [None, None, None],
    }
}

fn wrong(y: &[i8], expected: &[i8]) -> Option<Fault> {
    let index = y.iter().zip(expected).position(|(y, expected)| y != expected)?;
    Some(Fault::Output { index, got: y[index], expected: expected[index] })
}

fn write(what: &'static str, place: Option<isize>) -> Option<Fault> {
    place.map(|place| Fault::Write { what, place })
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Output { index, got, expected } => write!(f, "y[{index}] is {got} instead of {expected}"),
            Fault::Write { what, place } => write!(f, "wrote to place {place} of {what}"),
        }
    }
}

/// How often each kernel ran.
struct Kernels {
    names: [(&'static str, u32); 24],
}

impl Kernels {
    fn count(&mut self, kernel: &'static str) {
        let slot = self.names.iter_mut().find(|(name, count)| *count == 0 || *name == kernel);
        let slot = slot.expect("a suite has fewer kernels");
        *slot = (kernel, slot.1 + 1);
    }
}

impl Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.names.iter().filter(|(_, count)| *count > 0);
        used.enumerate().try_for_each(|(index, (name, count))| {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name} × {count}")
        })
    }
}
