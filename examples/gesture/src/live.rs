//! The recogniser as a task of embassy, beside others.
//!
//! A timer's interrupt stands for the sensor's: it has a frame ready at its rate, whatever the processor is doing, so
//! that none is lost while the network runs. One task takes the frames and runs the network once a second, another says
//! what was recognised. Between them are channels, and where nothing waits in one the processor sleeps.

use core::sync::atomic::{AtomicUsize, Ordering};

use cortex_m::peripheral::Peripherals;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use embassy_executor::Executor;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use example_board::{best, println};
use static_cell::StaticCell;

use crate::recogniser::{AXES, RATE, Recogniser, WINDOW, frame};

/// What somebody did who is not among those that the network learned from: seven exercises, eight seconds each.
static SESSION: &[u8; 7 * EXERCISE] = include_bytes!("../gesture.session.bin");
const EXERCISE: usize = 8 * RATE * 2 * AXES;

/// The clock of mps2-an386, and how much faster than the sensor the session goes by: nobody has to wait a minute.
const CLOCK: u32 = 25_000_000;
const HASTE: u32 = 20;

/// Frames that the interrupt has ready and no task has taken; `None` is the session's end.
static FRAMES: Channel<CriticalSectionRawMutex, Option<[i16; AXES]>, 16> = Channel::new();
/// What was recognised: after how many frames, which exercise, with what score.
static ANSWERS: Channel<CriticalSectionRawMutex, Answer, 2> = Channel::new();
/// Frames that had no place.
static LOST: AtomicUsize = AtomicUsize::new(0);

struct Answer {
    frames: usize,
    exercise: usize,
    score: f32,
}

/// Runs the tasks until the session is over, which ends the emulation.
pub fn run(recogniser: &'static mut Recogniser) -> ! {
    if let Some(mut core) = Peripherals::take() {
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(CLOCK / (RATE as u32 * HASTE) - 1);
        core.SYST.clear_current();
        core.SYST.enable_interrupt();
        core.SYST.enable_counter();
    }
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    EXECUTOR.init(Executor::new()).run(|spawner| {
        // There is one of each, so there is room for them.
        spawner.spawn(recognise(recogniser).expect("the first"));
        spawner.spawn(tell().expect("the first"));
    })
}

#[exception]
fn SysTick() {
    static mut NEXT: usize = 0;
    let frames = SESSION.as_chunks().0;
    let sent = FRAMES.try_send(frames.get(*NEXT).map(frame)).is_ok();
    if *NEXT < frames.len() {
        *NEXT += 1;
        LOST.fetch_add(usize::from(!sent), Ordering::Relaxed);
    }
}

#[embassy_executor::task]
async fn recognise(recogniser: &'static mut Recogniser) {
    let mut frames = 0;
    while let Some(counts) = FRAMES.receive().await {
        recogniser.take(counts);
        frames += 1;
        if frames >= WINDOW && frames.is_multiple_of(RATE) {
            let scores = recogniser.scores();
            let exercise = best(&scores);
            ANSWERS.send(Answer { frames, exercise, score: scores[exercise] }).await;
        }
    }
    println!("{} of {frames} frames lost", LOST.load(Ordering::Relaxed));
    semihosting::process::exit(0)
}

#[embassy_executor::task]
async fn tell() {
    let label = |number| include_str!("../labels.txt").lines().nth(number).unwrap_or("?");
    loop {
        let Answer { frames, exercise, score } = ANSWERS.receive().await;
        let done = (frames - 1) / (8 * RATE);
        println!("{:2} s  {:19} -> {:19} ({} %)", frames / RATE, label(done), label(exercise), (score * 100.0) as u32);
    }
}
