//! The text of `src/main.rs`.

use super::platform::{Kind, Platform};
use super::{Purpose, uses_defmt};
use crate::compiled::Compiled;
use crate::emit;
use crate::graph::ValueId;
use crate::options::Input;
use crate::tensor::DType;

/// The program.
pub(super) fn main_rs(compiled: &Compiled, platform: Platform, purpose: Purpose) -> String {
    let network = Network::new(compiled);
    let voice = if platform.kind == Kind::Esp {
        Voice::Serial
    } else if uses_defmt(platform, purpose) {
        Voice::Defmt
    } else {
        Voice::Semihosting
    };
    let mut text = head(compiled, platform, purpose, voice);
    text += &entry(&network, platform, purpose, voice);
    text += match purpose {
        Purpose::Start => show(voice),
        Purpose::Count => COUNT,
        Purpose::Time => "",
        Purpose::Answer => ANSWER,
        Purpose::Recite => RECITE,
    };
    if matches!(purpose, Purpose::Answer | Purpose::Recite) {
        text += NUMBER;
    }
    if matches!(purpose, Purpose::Count | Purpose::Time) {
        text += RANDOM;
    }
    if purpose == Purpose::Time {
        text += &time(platform);
    }
    text
}

/// How the firmware speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Voice {
    Defmt,
    Semihosting,
    Serial,
}

/// What a caller needs to know of the generated type.
struct Network {
    ty: String,
    /// Name of the method's argument, element type and length of each input.
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    borrowed: bool,
}

struct Port {
    name: String,
    element: &'static str,
    is_float: bool,
    length: usize,
    bytes: usize,
}

impl Network {
    fn new(compiled: &Compiled) -> Self {
        let graph = &compiled.lowered;
        let ports = |names: Vec<String>, ids: &[ValueId]| -> Vec<Port> {
            let port = |(name, id): (String, &ValueId)| {
                let ty = &graph.value(*id).ty;
                let is_float = ty.dtype == DType::F32;
                Port { name, element: emit::element_name(ty.dtype), is_float, length: ty.len(), bytes: ty.bytes() }
            };
            names.into_iter().zip(ids).map(port).collect()
        };
        Network {
            ty: compiled.type_name.clone(),
            inputs: ports(compiled.input_names(), &graph.inputs),
            outputs: ports(compiled.output_names(), &graph.outputs),
            borrowed: compiled.options.input == Input::Borrowed,
        }
    }

    /// Memory for the inputs, where the network has none for them, and the network itself.
    fn memory(&self) -> String {
        let ty = &self.ty;
        let mut text = format!("\nstatic mut NETWORK: {ty} = {ty}::new();\n");
        if self.borrowed {
            for port in &self.inputs {
                let (name, zero) = (port.name.to_ascii_uppercase(), port.zero());
                let (element, length) = (port.element, port.length);
                text += &format!("static mut {name}: [{element}; {length}] = [{zero}; {length}];\n");
            }
        }
        text
    }

    /// The same as variables of the function that alone uses it.
    fn variables(&self, measured: bool) -> String {
        let mut text = String::from("    // SAFETY: this function runs once, and nothing else names the static.\n");
        text += "    let network = unsafe { &mut *addr_of_mut!(NETWORK) };\n";
        if measured {
            text += "    // What nobody reads would not be computed, if it were known that nobody does.\n";
            text += "    let network = core::hint::black_box(network);\n";
        }
        if self.borrowed {
            for port in &self.inputs {
                let (name, constant) = (&port.name, port.name.to_ascii_uppercase());
                text += "    // SAFETY: as above.\n";
                text += &format!("    let {name} = unsafe {{ &mut *addr_of_mut!({constant}) }};\n");
            }
        }
        text
    }

    /// The place of an input.
    fn input(&self, port: &Port) -> String {
        if self.borrowed { port.name.clone() } else { format!("network.{}_mut()", port.name) }
    }

    /// The call, with an observer or without.
    fn run(&self, observer: Option<&str>) -> String {
        let borrowed = self.inputs.iter().filter(|_| self.borrowed).map(|port| port.name.clone());
        let arguments: Vec<String> = borrowed.chain(observer.map(String::from)).collect();
        let method = match (self.borrowed, observer.is_some()) {
            (false, false) => "run",
            (false, true) => "run_with",
            (true, false) => "infer",
            (true, true) => "infer_with",
        };
        format!("network.{method}({})", arguments.join(", "))
    }

    fn fill_with_noise(&self) -> String {
        let fill = |port: &Port| format!("        noise.fill({});\n", self.input(port));
        self.inputs.iter().map(fill).collect()
    }
}

impl Port {
    fn zero(&self) -> &'static str {
        if self.is_float { "0.0" } else { "0" }
    }
}

fn head(compiled: &Compiled, platform: Platform, purpose: Purpose, voice: Voice) -> String {
    let model = compiled.options.model.file_name().unwrap_or_default().to_string_lossy();
    let what = match purpose {
        Purpose::Start => "Runs the network and says what it answers",
        Purpose::Count => "Runs the network between marks, for a plugin of QEMU to count",
        Purpose::Time => "Says how many cycles each layer of the network takes",
        Purpose::Answer => {
            "Takes inputs from a file of the computer behind the debugger, and writes its answers to another"
        }
        Purpose::Recite => "Answers the inputs that are built into it, and says the answers",
    };
    let mut text = format!("//! {what}: `{model}`.\n\n#![no_std]\n#![no_main]\n\n");
    // Not every program calls all of it.
    text += "#[allow(dead_code, unused_imports)]\nmod network;\n\nuse core::ptr::addr_of_mut;\n\n";
    if purpose == Purpose::Recite {
        text = text.replace("\nmod network;", "\nmod network;\nmod items;");
    }
    text += match platform.kind {
        Kind::CortexM | Kind::Rp2040 | Kind::Rp2350 => "use cortex_m_rt::entry;\n",
        Kind::RiscV => "use riscv_rt::entry;\n",
        Kind::Esp => "use esp_backtrace as _;\nuse esp_hal::main;\nuse esp_println::println;\n",
    };
    text += match (voice, purpose) {
        (Voice::Defmt, _) => "use defmt::println;\nuse {defmt_rtt as _, panic_probe as _};\n",
        (Voice::Semihosting, Purpose::Count) => "use semihosting::process;\n",
        (Voice::Semihosting, Purpose::Answer) => {
            "use semihosting::fs::File;\nuse semihosting::io::{Read as _, Write as _};\nuse semihosting::process;\n"
        }
        (Voice::Semihosting, _) => "use semihosting::{println, process};\n",
        (Voice::Serial, _) => "",
    };
    text += &format!("\nuse network::{};\n", compiled.type_name);
    text += match platform.kind {
        Kind::Rp2040 => RP2040_BOOT,
        Kind::Rp2350 => RP2350_BOOT,
        Kind::Esp => "\nesp_bootloader_esp_idf::esp_app_desc!();\n",
        _ => "",
    };
    text
}

const RP2040_BOOT: &str = "
/// The boot ROM copies this into RAM; it sets up the flash.
#[unsafe(link_section = \".boot2\")]
#[used]
pub static BOOT2_FIRMWARE: [u8; 256] = rp2040_boot2::BOOT_LOADER_GENERIC_03H;
";

const RP2350_BOOT: &str = "
/// An IMAGE_DEF that tells the boot ROM to start a secure Arm program: RP2350 datasheet, section 5.9.
#[unsafe(link_section = \".start_block\")]
#[used]
pub static IMAGE_DEF: [u32; 5] = [0xffff_ded3, 0x1021_0142, 0x0000_01ff, 0, 0xab12_3579];
";

fn entry(network: &Network, platform: Platform, purpose: Purpose, voice: Voice) -> String {
    let attribute = if platform.kind == Kind::Esp { "main" } else { "entry" };
    let mut text = format!("{}\n#[{attribute}]\nfn main() -> ! {{\n", network.memory());
    if platform.kind == Kind::Esp {
        text += "    let config = esp_hal::Config::default().with_cpu_clock(esp_hal::clock::CpuClock::max());\n";
        text += "    let _peripherals = esp_hal::init(config);\n";
    }
    text += &network.variables(matches!(purpose, Purpose::Count | Purpose::Time));
    let end = match voice {
        Voice::Semihosting => "    process::exit(0)\n",
        _ => "    loop {\n        core::hint::spin_loop();\n    }\n",
    };
    match purpose {
        Purpose::Start => {
            text +=
                "    // A sensor's numbers go here, in the layout and with the scale that the type's constants say.\n";
            for port in &network.inputs {
                text += &format!("    {}.fill({});\n", network.input(port), port.zero());
            }
            let names: Vec<&str> = network.outputs.iter().map(|port| port.name.as_str()).collect();
            let pattern = if let [name] = names[..] { name.to_string() } else { format!("({})", names.join(", ")) };
            text += &format!("    let {pattern} = {};\n", network.run(None));
            for name in names {
                text += &format!("    show(\"{name}\", {name});\n");
            }
        }
        Purpose::Count => {
            text += "    let mut noise = Noise(0x2545_f491);\n";
            text += "    // The first inference is cold.\n    for _ in 0..2 {\n";
            text += &network.fill_with_noise();
            text += "        start();\n";
            text += &format!("        core::hint::black_box({});\n", network.run(Some("&mut Laps")));
            text += "        stop();\n    }\n";
        }
        Purpose::Time => {
            text += "    let mut noise = Noise(0x2545_f491);\n    start_counter();\n";
            text += &format!(
                "    let mut laps = Laps {{ cycles: [0; {}::LAYERS.len()], last: 0, number: 0 }};\n",
                network.ty
            );
            text += "    // The first inference is cold.\n    for _ in 0..2 {\n";
            text += &network.fill_with_noise();
            text += "        laps.number = 0;\n        laps.last = counter();\n";
            text += &format!("        core::hint::black_box({});\n    }}\n", network.run(Some("&mut laps")));
            text += "    for (index, cycles) in laps.cycles.iter().enumerate() {\n";
            text += "        println!(\"mcuopt layer {} {}\", index, cycles);\n    }\n    println!(\"mcuopt done\");\n";
        }
        Purpose::Answer => {
            let bytes: usize = network.inputs.iter().map(|port| port.bytes).sum();
            text += "    let mut items = File::open(c\"inputs\").expect(\"there is a file `inputs`\");\n";
            text += "    let mut answers = File::create(c\"outputs\").expect(\"the folder is writable\");\n";
            text += "    let bytes = items.metadata().expect(\"the file has a length\").len();\n";
            text += &format!("    for _ in 0..bytes / {bytes} {{\n");
            for port in &network.inputs {
                text += &format!("        read({}, &mut items);\n", network.input(port));
            }
            let names: Vec<&str> = network.outputs.iter().map(|port| port.name.as_str()).collect();
            let pattern = if let [name] = names[..] { name.to_string() } else { format!("({})", names.join(", ")) };
            text += &format!("        let {pattern} = {};\n", network.run(None));
            for name in names {
                text += &format!("        write({name}, &mut answers);\n");
            }
            text += "    }\n";
        }
        Purpose::Recite => {
            let bytes: usize = network.inputs.iter().map(|port| port.bytes).sum();
            text += &format!("    for item in items::ITEMS.chunks_exact({bytes}) {{\n        let mut rest = item;\n");
            for port in &network.inputs {
                text += &format!("        read({}, &mut rest);\n", network.input(port));
            }
            let names: Vec<&str> = network.outputs.iter().map(|port| port.name.as_str()).collect();
            let pattern = if let [name] = names[..] { name.to_string() } else { format!("({})", names.join(", ")) };
            text += &format!("        let {pattern} = {};\n", network.run(None));
            for name in names {
                text += &format!("        say({name});\n");
            }
            text += "    }\n    println!(\"mcuopt done\");\n";
        }
    }
    text + end + "}\n"
}

fn show(voice: Voice) -> &'static str {
    match voice {
        Voice::Defmt => {
            "
/// Says which of an output's numbers is the largest.
fn show<T: Copy + PartialOrd + defmt::Format>(name: &str, numbers: &[T]) {
    let largest = (1..numbers.len()).fold(0, |best, index| if numbers[index] > numbers[best] { index } else { best });
    println!(\"{}: number {} of {} is the largest: {}\", name, largest, numbers.len(), numbers[largest]);
}
"
        }
        Voice::Semihosting | Voice::Serial => {
            "
/// Says which of an output's numbers is the largest.
fn show<T: Copy + PartialOrd + core::fmt::Display>(name: &str, numbers: &[T]) {
    let largest = (1..numbers.len()).fold(0, |best, index| if numbers[index] > numbers[best] { index } else { best });
    println!(\"{}: number {} of {} is the largest: {}\", name, largest, numbers.len(), numbers[largest]);
}
"
        }
    }
}

const ANSWER: &str = "
/// Bytes that are moved at a time.
const BUFFER: usize = 512;

fn read<T: Number>(numbers: &mut [T], file: &mut File) {
    let mut buffer = [0; BUFFER];
    for numbers in numbers.chunks_mut(BUFFER / size_of::<T>()) {
        let bytes = &mut buffer[..size_of_val(numbers)];
        file.read_exact(bytes).expect(\"the file holds whole items\");
        for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(size_of::<T>())) {
            *number = T::load(bytes);
        }
    }
}

fn write<T: Number>(numbers: &[T], file: &mut File) {
    let mut buffer = [0; BUFFER];
    for numbers in numbers.chunks(BUFFER / size_of::<T>()) {
        let bytes = &mut buffer[..size_of_val(numbers)];
        for (number, bytes) in numbers.iter().zip(bytes.chunks_exact_mut(size_of::<T>())) {
            number.store(bytes);
        }
        file.write_all(bytes).expect(\"the disk is not full\");
    }
}

";

const RECITE: &str = "
/// Bytes of a line.
const LINE: usize = 64;

fn read<T: Number>(numbers: &mut [T], rest: &mut &[u8]) {
    let (own, others) = rest.split_at(size_of_val(numbers));
    *rest = others;
    for (number, bytes) in numbers.iter_mut().zip(own.chunks_exact(size_of::<T>())) {
        *number = T::load(bytes);
    }
}

/// Says bytes in hexadecimal digits.
fn say<T: Number>(numbers: &[T]) {
    const DIGITS: &[u8; 16] = b\"0123456789abcdef\";
    for numbers in numbers.chunks(LINE / size_of::<T>()) {
        let (mut bytes, mut text) = ([0; LINE], [0; 2 * LINE]);
        let bytes = &mut bytes[..size_of_val(numbers)];
        for (number, bytes) in numbers.iter().zip(bytes.chunks_exact_mut(size_of::<T>())) {
            number.store(bytes);
        }
        for (byte, digits) in bytes.iter().zip(text.chunks_exact_mut(2)) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        let text = core::str::from_utf8(&text[..2 * bytes.len()]).expect(\"digits are ASCII\");
        println!(\"mcuopt answer {}\", text);
    }
}
";

const NUMBER: &str = "
/// An element of an input or output; in bytes, the lowest comes first.
trait Number {
    fn load(bytes: &[u8]) -> Self;
    fn store(&self, bytes: &mut [u8]);
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl Number for $ty {
            fn load(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<Self>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }

            fn store(&self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
numbers!(f32, i8, u8, i16, u16, i32, u32, i64, u64);
";

const RANDOM: &str = "
/// Numbers without a pattern that are the same in every run: xorshift32.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn fill<T: Noisy>(&mut self, numbers: &mut [T]) {
        numbers.iter_mut().for_each(|number| *number = T::from_noise(self.next()));
    }
}

/// An element of an input.
trait Noisy {
    fn from_noise(noise: u32) -> Self;
}

impl Noisy for f32 {
    fn from_noise(noise: u32) -> Self {
        (noise >> 8) as f32 / 8_388_608.0 - 1.0
    }
}

impl Noisy for i8 {
    fn from_noise(noise: u32) -> Self {
        (noise >> 24) as i8
    }
}

impl Noisy for i16 {
    fn from_noise(noise: u32) -> Self {
        (noise >> 16) as i16
    }
}

/// Of other integers, which may be indices, 0 and 1.
macro_rules! bits {
    ($($ty:ty),*) => {$(
        impl Noisy for $ty {
            fn from_noise(noise: u32) -> Self {
                (noise >> 31) as $ty
            }
        }
    )*};
}
bits!(u8, u16, i32, u32, i64, u64);
";

const COUNT: &str = "
/// An instruction without effect that no compiler emits, which a plugin of QEMU looks for.
macro_rules! marker {
    ($name:ident: $arm:literal, $riscv:literal) => {
        #[inline(always)]
        fn $name() {
            // SAFETY: the instruction changes no register, flag or memory. That it might touch memory, as far as the
            // compiler knows, keeps the computation between the markers.
            #[cfg(target_arch = \"arm\")]
            unsafe {
                core::arch::asm!($arm, options(nostack, preserves_flags));
            }
            // SAFETY: as above.
            #[cfg(target_arch = \"riscv32\")]
            unsafe {
                core::arch::asm!($riscv, options(nostack, preserves_flags));
            }
        }
    };
}
marker!(start: \"mov r9, r9\", \"slti x0, x0, 1\");
marker!(stop: \"mov r10, r10\", \"slti x0, x0, 2\");
marker!(lap: \"mov r11, r11\", \"slti x0, x0, 3\");

/// Marks the end of each layer.
struct Laps;

impl mcuopt_rt::Observer for Laps {
    #[inline(always)]
    fn layer(&mut self, _: usize, _: mcuopt_rt::Tensor<'_>) {
        lap();
    }
}
";

fn time(platform: Platform) -> String {
    let counter = match platform.kind {
        Kind::Esp => ESP_COUNTER,
        Kind::RiscV => RISCV_COUNTER,
        // Armv6-M has no cycle counter but the system timer, which counts down, 24 bits wide.
        Kind::CortexM | Kind::Rp2040 | Kind::Rp2350 if platform.core.has_cycle_counter() => DWT_COUNTER,
        Kind::CortexM | Kind::Rp2040 | Kind::Rp2350 => SYSTICK_COUNTER,
    };
    format!("{LAPS}{counter}")
}

const LAPS: &str = "
/// Remembers what each layer took.
struct Laps<const N: usize> {
    cycles: [u32; N],
    last: u32,
    number: usize,
}

impl<const N: usize> mcuopt_rt::Observer for Laps<N> {
    #[inline(always)]
    fn layer(&mut self, _: usize, _: mcuopt_rt::Tensor<'_>) {
        let now = counter();
        self.cycles[self.number] = elapsed(self.last, now);
        self.number += 1;
        self.last = counter();
    }
}
";

const DWT_COUNTER: &str = "
/// Armv7-M and Armv8-M Architecture Reference Manuals: DEMCR, DWT_CTRL and DWT_CYCCNT.
fn start_counter() {
    // SAFETY: these registers exist on the core that this is built for, and nothing else here uses them.
    unsafe {
        let demcr = 0xE000_EDFC as *mut u32;
        demcr.write_volatile(demcr.read_volatile() | 1 << 24);
        (0xE000_1004 as *mut u32).write_volatile(0);
        let control = 0xE000_1000 as *mut u32;
        control.write_volatile(control.read_volatile() | 1);
    }
}

#[inline(always)]
fn counter() -> u32 {
    // SAFETY: as above.
    unsafe { (0xE000_1004 as *const u32).read_volatile() }
}

#[inline(always)]
fn elapsed(from: u32, to: u32) -> u32 {
    to.wrapping_sub(from)
}
";

const SYSTICK_COUNTER: &str = "
/// Armv6-M Architecture Reference Manual: SYST_CSR, SYST_RVR and SYST_CVR. No layer may take 2^24 cycles.
fn start_counter() {
    // SAFETY: these registers exist on the core that this is built for, and nothing else here uses them.
    unsafe {
        (0xE000_E014 as *mut u32).write_volatile(0x00FF_FFFF);
        (0xE000_E018 as *mut u32).write_volatile(0);
        // The core's clock, no interrupt.
        (0xE000_E010 as *mut u32).write_volatile(0b101);
    }
}

#[inline(always)]
fn counter() -> u32 {
    // SAFETY: as above.
    unsafe { (0xE000_E018 as *const u32).read_volatile() }
}

#[inline(always)]
fn elapsed(from: u32, to: u32) -> u32 {
    from.wrapping_sub(to) & 0x00FF_FFFF
}
";

const RISCV_COUNTER: &str = "
fn start_counter() {}

#[inline(always)]
fn counter() -> u32 {
    let cycles;
    // SAFETY: reads a counter.
    unsafe { core::arch::asm!(\"csrr {}, mcycle\", out(reg) cycles, options(nostack)) };
    cycles
}

#[inline(always)]
fn elapsed(from: u32, to: u32) -> u32 {
    to.wrapping_sub(from)
}
";

const ESP_COUNTER: &str = "
/// ESP32-C3 Technical Reference Manual: mpcer, mpcmr and mpccr, in place of mcycle.
fn start_counter() {
    // SAFETY: starts a counter of cycles that nothing else here uses.
    unsafe { core::arch::asm!(\"csrwi 0x7e0, 1\", \"csrwi 0x7e1, 1\", options(nostack)) };
}

#[inline(always)]
fn counter() -> u32 {
    let cycles;
    // SAFETY: reads a counter.
    unsafe { core::arch::asm!(\"csrr {}, 0x7e2\", out(reg) cycles, options(nostack)) };
    cycles
}

#[inline(always)]
fn elapsed(from: u32, to: u32) -> u32 {
    to.wrapping_sub(from)
}
";
