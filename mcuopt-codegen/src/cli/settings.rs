//! The options of a compilation, as all commands take them: the names are those of the macro and of the TOML file, with
//! `-` for `_`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use mcuopt_codegen::cost::Core;
use mcuopt_codegen::options::{Entry, Number, Setting};
use mcuopt_codegen::project::Platform;
use mcuopt_codegen::{Compiled, Error, Options};

use crate::answer::Failure;
use crate::progress;

/// The model and how it is compiled.
#[derive(Args, Clone, Debug)]
pub(crate) struct Compilation {
    /// The ONNX file
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// How a model is compiled.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Compilation, as in `include_model!` and <model>.mcuopt.toml")]
pub(crate) struct Settings {
    /// Typical inputs: .npz, .npy or a folder of .npy files, first axis the samples [default: <model>.calib.npz]
    #[arg(long, value_name = "FILE")]
    calibration: Option<String>,
    /// How the range of each tensor is chosen from the samples
    #[arg(long, value_name = "METHOD", value_parser = ["auto", "min-max", "percentile", "mse", "entropy"])]
    ranges: Option<String>,
    /// The range of a tensor, by a name in which `*` stands for any characters: METHOD or MIN,MAX; may be repeated
    #[arg(long, value_name = "NAME=RANGE")]
    tensors: Vec<String>,
    /// Arithmetic: int8, int16x8, int4, weights8, float32; `auto`: as the file is quantized, int8 with samples, else float32
    #[arg(long, value_name = "TYPE")]
    precision: Option<String>,
    /// The arithmetic of a layer, int8, int16x8, int4, int16x4 or float32, by a name in which `*` stands for any characters;
    /// may be repeated
    #[arg(long, value_name = "NAME=TYPE")]
    layers: Vec<String>,
    /// Whether channels between layers are scaled to share a range well: true or false [default: where int8 is poor]
    #[arg(long, value_name = "SWITCH")]
    equalization: Option<bool>,
    /// Whether a channel's least number goes into the next layer's bias: true or false [default: where int8 is poor]
    #[arg(long, value_name = "SWITCH", alias = "bias_absorption")]
    bias_absorption: Option<bool>,
    /// Whether biases make up for what rounding shifts on average: true or false [default: true]
    #[arg(long, value_name = "SWITCH", alias = "bias_correction")]
    bias_correction: Option<bool>,
    /// Whether the rounding of all weights is learned from the samples: true or false [default: int4 and int16x8 only]
    #[arg(long, value_name = "SWITCH")]
    adaround: Option<bool>,
    /// What `mcuopt quantize` found [default: <model>.quant.toml]
    #[arg(long, value_name = "FILE")]
    quantization: Option<String>,
    /// Fail if the outputs' signal-to-quantization-noise ratio over the samples is lower, in decibels
    #[arg(long, value_name = "DECIBELS", alias = "min_sqnr")]
    min_sqnr: Option<f64>,
    /// Fail if more than this share of the float network's accuracy over the labelled samples is lost
    #[arg(long, value_name = "SHARE", alias = "max_accuracy_drop")]
    max_accuracy_drop: Option<f64>,
    /// What to favour where speed and flash pull apart
    #[arg(long, value_name = "GOAL", value_parser = ["balanced", "speed", "size"])]
    optimize: Option<String>,
    /// Where the input lies: in the model's memory, which later layers reuse, or where the caller has it
    #[arg(long, value_name = "WHERE", value_parser = ["arena", "borrowed"])]
    input: Option<String>,
    /// The size of a symbolic dimension, or the elements of an input that becomes a constant; may be repeated
    #[arg(long, value_name = "NAME=NUMBER[,NUMBER…]")]
    bind: Vec<String>,
    /// Recurrent layers and causal convolutions go on from where the last call ended
    #[arg(long)]
    stateful: bool,
    /// The axis of the first input along which a call takes new frames alone, by name or position
    #[arg(long, value_name = "AXIS")]
    stream: Option<String>,
    /// New frames of a call
    #[arg(long, value_name = "COUNT", alias = "stream_frames")]
    stream_frames: Option<usize>,
    /// Fail above so many bytes of RAM
    #[arg(long, value_name = "BYTES", alias = "max_ram")]
    max_ram: Option<usize>,
    /// Fail above so many bytes of weights
    #[arg(long, value_name = "BYTES", alias = "max_flash")]
    max_flash: Option<usize>,
    /// A TOML file with these options [default: <model>.mcuopt.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Name of the generated type [default: the file's stem in UpperCamelCase]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Settings {
    /// As the compiler takes them, for a model; paths are relative to the working directory.
    pub(crate) fn options(&self, model: &Path) -> Result<Options, Error> {
        let mut options = Options { model: model.to_path_buf(), ..Options::default() };
        let texts = [
            ("calibration", &self.calibration),
            ("ranges", &self.ranges),
            ("precision", &self.precision),
            ("quantization", &self.quantization),
            ("optimize", &self.optimize),
            ("input", &self.input),
            ("stream", &self.stream),
            ("config", &self.config),
            ("name", &self.name),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                options.set(key, Setting::Text(text.clone()))?;
            }
        }
        let numbers = [("stream_frames", self.stream_frames), ("max_ram", self.max_ram), ("max_flash", self.max_flash)];
        for (key, number) in numbers {
            if let Some(number) = number {
                options.set(key, Setting::Number(number))?;
            }
        }
        for (key, limit) in [("min_sqnr", self.min_sqnr), ("max_accuracy_drop", self.max_accuracy_drop)] {
            if let Some(limit) = limit {
                options.set(key, Setting::Real(limit))?;
            }
        }
        let switches = [
            ("equalization", self.equalization),
            ("bias_absorption", self.bias_absorption),
            ("bias_correction", self.bias_correction),
            ("adaround", self.adaround),
        ];
        for (key, switch) in switches {
            if let Some(switch) = switch {
                options.set(key, Setting::Flag(switch))?;
            }
        }
        if self.stateful {
            options.set("stateful", Setting::Flag(true))?;
        }
        for (key, entries) in [("bind", &self.bind), ("tensors", &self.tensors), ("layers", &self.layers)] {
            if !entries.is_empty() {
                options.set(key, Setting::Table(table(key, entries)?))?;
            }
        }
        Ok(options)
    }

    /// Compiles a model.
    pub(crate) fn compile(&self, model: &Path) -> Result<Compiled, Failure> {
        let options = self.options(model)?;
        let bar = progress::spinner(format!("compiling {}", model.display()));
        let compiled = mcuopt_codegen::compile(&options).map_err(Failure::of(model));
        bar.finish_and_clear();
        compiled
    }
}

impl Compilation {
    /// Compiles the model.
    pub(crate) fn compile(&self) -> Result<Compiled, Failure> {
        self.settings.compile(&self.model)
    }
}

/// The names of cores, for `--target`.
pub(crate) fn cores() -> PossibleValuesParser {
    PossibleValuesParser::new(Core::ALL.map(Core::name))
}

/// The names of boards that firmware is generated for.
pub(crate) fn platforms() -> PossibleValuesParser {
    let value = |platform: Platform| PossibleValue::new(platform.name).help(platform.title);
    PossibleValuesParser::new(Platform::ALL.map(value))
}

/// `NAME=NUMBER`, `NAME=NUMBER,NUMBER` or `NAME=WORD`.
fn table(key: &str, entries: &[String]) -> Result<BTreeMap<String, Entry>, Error> {
    let entry = |text: &String| {
        let (name, value) = text.rsplit_once('=').ok_or_else(|| {
            Error::options(format!("`{text}` is not of the form NAME=VALUE")).part(format!("option `{key}`"))
        })?;
        let numbers: Option<Vec<Number>> = value.split(',').map(|number| parse(number.trim())).collect();
        Ok((name.to_string(), numbers.map_or_else(|| Entry::Word(value.to_string()), Entry::Numbers)))
    };
    entries.iter().map(entry).collect()
}

fn parse(text: &str) -> Option<Number> {
    let integer = text.parse().ok().map(Number::Int);
    integer.or_else(|| text.parse().ok().map(Number::Float))
}

#[cfg(test)]
mod tests {
    use clap::Args as _;
    use mcuopt_codegen::options::KEYS;

    use super::Settings;

    #[test]
    fn every_option_of_the_macro_is_an_option_here() {
        let command = Settings::augment_args(clap::Command::new("test"));
        let mut options: Vec<&str> = command.get_arguments().map(|argument| argument.get_id().as_str()).collect();
        let mut keys = KEYS.to_vec();
        options.sort_unstable();
        keys.sort_unstable();
        assert_eq!(options, keys);
    }
}
