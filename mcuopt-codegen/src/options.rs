//! What the user can ask for: the same names in the macro, in the builder for build.rs and in the TOML file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::calibrate::{Method, Range};
use crate::error::Error;
use crate::quantize::LayerPrecision;

/// A number as the user wrote it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Without a decimal point.
    Int(i64),
    /// With one.
    Float(f64),
}

impl Number {
    /// As an integer: of a float, the integral part.
    pub fn to_i64(self) -> i64 {
        match self {
            Number::Int(value) => value,
            Number::Float(value) => value as i64,
        }
    }

    /// As a float.
    pub fn to_f32(self) -> f32 {
        match self {
            Number::Int(value) => value as f32,
            Number::Float(value) => value as f32,
        }
    }
}

/// Values of inputs, or sizes of symbolic dimensions, by name: `bind = { shape = [2, 3], batch = 1 }`.
pub type Bindings = BTreeMap<String, Vec<Number>>;

/// Which arithmetic the firmware uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// A quantized (QDQ) model as its author quantized it; a float model with calibration data in int8; a float
    /// model without in float32.
    #[default]
    Auto,
    /// int8 weights and activations.
    Int8,
    /// int8 weights, int16 activations.
    Int16x8,
    /// int4 weights, int8 activations; int8 weights in depthwise, small, first and last layers.
    Int4,
    /// int8 weights, float32 activations and arithmetic; needs no calibration data.
    Weights8,
    /// float32 throughout.
    Float32,
}

/// What to favour where speed and flash pull apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Optimize {
    /// Kernels specialised for each layer.
    Speed,
    /// One copy of each kernel.
    Size,
    /// Specialised kernels for the layers that take the time.
    #[default]
    Balanced,
}

/// Where the input lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// In the model's own memory, which later layers reuse.
    #[default]
    Arena,
    /// Where the caller has it.
    Borrowed,
}

/// All options. Paths are relative to the folder that [`Options::root`] names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// The user's package folder (`CARGO_MANIFEST_DIR`).
    pub root: PathBuf,
    /// The ONNX file.
    pub model: PathBuf,
    /// Name of the generated type; the file's stem in UpperCamelCase where it is not given.
    pub name: Option<String>,
    /// `.npz` or `.npy` with samples; `<model>.calib.npz` beside the model where it is not given.
    pub calibration: Option<PathBuf>,
    /// How the range of each tensor is chosen from the samples.
    pub ranges: Method,
    /// Whether a channel's least number goes into the next layer's bias where that narrows a range; on where it is not given.
    pub bias_absorption: Option<bool>,
    /// Whether the channels between two layers are scaled to share one range well; on where it is not given.
    pub equalization: Option<bool>,
    /// Whether biases make up for what rounding shifts on average; on where it is not given.
    pub bias_correction: Option<bool>,
    /// Whether the rounding of weights is learned from the samples; where it is not given, that of int4 weights and of those
    /// that meet int16 activations.
    pub adaround: Option<bool>,
    /// The ranges of single tensors: by a value's name in the file, in which `*` stands for any characters. A name without
    /// `*` goes before one with it, among these the longer one; all of them go before `ranges`.
    pub tensors: BTreeMap<String, TensorRange>,
    /// The arithmetic.
    pub precision: Precision,
    /// The arithmetic of single layers: by a node's name in the file, in which `*` stands for any characters. A name without
    /// `*` goes before one with it, among these the longer one; all of them go before `precision`.
    pub layers: BTreeMap<String, LayerPrecision>,
    /// Speed or flash.
    pub optimize: Optimize,
    /// Where the input lies.
    pub input: Input,
    /// Inputs that become constants, and symbolic dimensions that get a size: by name, the elements in row-major order.
    pub bind: Bindings,
    /// Whether recurrent layers and causal convolutions go on from where the last call ended.
    pub stateful: bool,
    /// The axis along which each call brings new frames of a sliding window: its name in the file, or its position in the
    /// first input.
    pub stream: Option<String>,
    /// New frames of a call; as few as the strides along the axis allow where it is not given.
    pub stream_frames: Option<usize>,
    /// What a search found: the precision of each layer and the scale of each tensor, which are taken as given;
    /// `<model>.quant.toml` beside the model where it is not given.
    pub quantization: Option<PathBuf>,
    /// The build fails if the outputs' signal-to-quantization-noise ratio over the samples is lower, in decibels.
    pub min_sqnr: Option<f64>,
    /// The build fails if more than this share of the float network's accuracy over the labelled samples is lost; without
    /// labels, if more than this share of the samples is classified otherwise than by the float network.
    pub max_accuracy_drop: Option<f64>,
    /// The build fails above so many bytes of RAM.
    pub max_ram: Option<usize>,
    /// The build fails above so many bytes of weights in flash.
    pub max_flash: Option<usize>,
    /// A TOML file with options; `<model>.mcuopt.toml` beside the model where it is not given.
    pub config: Option<PathBuf>,
}

/// The value of an option, from whichever door it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A string.
    Text(String),
    /// A number that is not negative, without a decimal point.
    Number(usize),
    /// A number with a decimal point.
    Real(f64),
    /// `true` or `false`.
    Flag(bool),
    /// A table.
    Table(BTreeMap<String, Entry>),
}

/// A value in a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A string.
    Word(String),
    /// A number, or a list of numbers.
    Numbers(Vec<Number>),
}

/// The range of a tensor: by which method it is found, or from where to where it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TensorRange {
    /// Found in the samples.
    By(Method),
    /// Known.
    Given(Range),
}

const METHODS: &str = "\"auto\", \"min-max\", \"percentile\", \"mse\" or \"entropy\"";

const LAYERS: &str = "a table of words in quotes, such as { \"encoder/*\" = \"int16x8\", head = \"float32\" }";

const BIND: &str = "a table of numbers and lists of numbers, such as { shape = [1, 16], batch = 1 }";

impl TensorRange {
    fn of(entry: &Entry) -> Option<TensorRange> {
        match entry {
            Entry::Word(word) => Method::of(word).map(TensorRange::By),
            Entry::Numbers(numbers) => {
                let &[min, max] = &numbers[..] else { return None };
                let range = Range { min: min.to_f32(), max: max.to_f32() };
                (range.min < range.max && range.min.is_finite() && range.max.is_finite())
                    .then_some(TensorRange::Given(range))
            }
        }
    }
}

/// The keys that [`Options::set`] knows.
pub const KEYS: &[&str] = &[
    "calibration",
    "ranges",
    "bias_absorption",
    "equalization",
    "bias_correction",
    "adaround",
    "tensors",
    "precision",
    "layers",
    "quantization",
    "min_sqnr",
    "max_accuracy_drop",
    "optimize",
    "input",
    "max_ram",
    "max_flash",
    "config",
    "name",
    "bind",
    "stateful",
    "stream",
    "stream_frames",
];

impl Options {
    /// Sets the option `key`.
    pub fn set(&mut self, key: &str, value: Setting) -> Result<(), Error> {
        let wrong =
            |expected: &str| Err(Error::options(format!("{key} takes {expected}")).part(format!("option `{key}`")));
        match (key, value) {
            ("calibration", Setting::Text(path)) => self.calibration = Some(path.into()),
            ("config", Setting::Text(path)) => self.config = Some(path.into()),
            ("name", Setting::Text(name)) => self.name = Some(name),
            ("bias_absorption", Setting::Flag(flag)) => self.bias_absorption = Some(flag),
            ("equalization", Setting::Flag(flag)) => self.equalization = Some(flag),
            ("bias_correction", Setting::Flag(flag)) => self.bias_correction = Some(flag),
            ("adaround", Setting::Flag(flag)) => self.adaround = Some(flag),
            ("quantization", Setting::Text(path)) => self.quantization = Some(path.into()),
            ("bind", Setting::Table(table)) => {
                for (name, entry) in table {
                    let Entry::Numbers(numbers) = entry else { return wrong(BIND) };
                    self.bind.insert(name, numbers);
                }
            }
            ("min_sqnr", Setting::Real(limit)) => self.min_sqnr = Some(limit),
            ("min_sqnr", Setting::Number(limit)) => self.min_sqnr = Some(limit as f64),
            ("max_accuracy_drop", Setting::Real(limit)) if (0.0..=1.0).contains(&limit) => {
                self.max_accuracy_drop = Some(limit);
            }
            ("max_accuracy_drop", Setting::Number(limit @ 0..=1)) => self.max_accuracy_drop = Some(limit as f64),
            ("stateful", Setting::Flag(flag)) => self.stateful = flag,
            ("stream", Setting::Text(axis)) => self.stream = Some(axis),
            ("stream", Setting::Number(axis)) => self.stream = Some(axis.to_string()),
            ("stream_frames", Setting::Number(frames)) => self.stream_frames = Some(frames),
            ("max_ram", Setting::Number(limit)) => self.max_ram = Some(limit),
            ("max_flash", Setting::Number(limit)) => self.max_flash = Some(limit),
            ("ranges", Setting::Text(name)) => match Method::of(&name) {
                Some(method) => self.ranges = method,
                None => return wrong(METHODS),
            },
            ("tensors", Setting::Table(table)) => {
                for (name, entry) in table {
                    let Some(range) = TensorRange::of(&entry) else {
                        return wrong(&format!("{METHODS}, or two numbers [min, max], for a tensor"));
                    };
                    self.tensors.insert(name, range);
                }
            }
            ("precision", Setting::Text(name)) => match name.as_str() {
                "auto" => self.precision = Precision::Auto,
                "int8" => self.precision = Precision::Int8,
                "int16x8" => self.precision = Precision::Int16x8,
                "int4" => self.precision = Precision::Int4,
                "weights8" => self.precision = Precision::Weights8,
                "float32" => self.precision = Precision::Float32,
                _ => return wrong("\"auto\", \"int8\", \"int16x8\", \"int4\", \"weights8\" or \"float32\""),
            },
            ("layers", Setting::Table(table)) => {
                for (name, entry) in table {
                    let word = match &entry {
                        Entry::Word(word) => word,
                        Entry::Numbers(_) => return wrong(LAYERS),
                    };
                    let Some(precision) = LayerPrecision::of(word) else {
                        let known: Vec<String> =
                            LayerPrecision::ALL.iter().map(|known| format!("\"{}\"", known.name())).collect();
                        return wrong(&format!("{} for a layer, not \"{word}\"", known.join(", ")));
                    };
                    self.layers.insert(name, precision);
                }
            }
            ("optimize", Setting::Text(name)) => match name.as_str() {
                "speed" => self.optimize = Optimize::Speed,
                "size" => self.optimize = Optimize::Size,
                "balanced" => self.optimize = Optimize::Balanced,
                _ => return wrong("\"speed\", \"size\" or \"balanced\""),
            },
            ("input", Setting::Text(name)) => match name.as_str() {
                "arena" => self.input = Input::Arena,
                "borrowed" => self.input = Input::Borrowed,
                _ => return wrong("\"arena\" or \"borrowed\""),
            },
            ("calibration" | "config" | "quantization", _) => return wrong("a path in quotes"),
            ("name", _) => return wrong("a name in quotes"),
            ("precision" | "ranges" | "optimize" | "input", _) => return wrong("a word in quotes"),
            ("layers", _) => return wrong(LAYERS),
            ("tensors", _) => {
                return wrong("a table of words and ranges, such as { x = \"min-max\", logits = [-8.0, 8.0] }");
            }
            ("bias_absorption" | "equalization" | "bias_correction" | "adaround" | "stateful", _) => {
                return wrong("true or false");
            }
            ("min_sqnr", _) => return wrong("a number of decibels"),
            ("max_accuracy_drop", _) => return wrong("a share, 0 to 1"),
            ("bind", _) => return wrong(BIND),
            ("stream", _) => return wrong("the name of an axis in quotes, or its position in the first input"),
            ("stream_frames", _) => return wrong("a number of frames"),
            ("max_ram" | "max_flash", _) => return wrong("a number of bytes"),
            _ => {
                let known = KEYS.join(", ");
                return Err(Error::options(format!("there is no option `{key}`; there are: {known}")));
            }
        }
        Ok(())
    }

    /// Reads the TOML file, if there is one; options that were set before it stay.
    pub fn read_config(&mut self) -> Result<(), Error> {
        let Some(path) = self.config_path() else { return Ok(()) };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(self.root.join(&path)).map_err(|error| Error::io(error).in_file(&shown))?;
        let table = DeTable::parse(&text)
            .map_err(|error| Error::options(format!("not valid TOML: {}", error.message())).in_file(&shown))?;
        let mut from_file = Options { root: self.root.clone(), model: self.model.clone(), ..Options::default() };
        for (key, value) in table.get_ref() {
            let key = key.get_ref();
            let setting = match value.get_ref() {
                DeValue::String(text) => Some(Setting::Text(text.to_string())),
                DeValue::Integer(digits) => {
                    usize::from_str_radix(&digits.as_str().replace('_', ""), digits.radix()).ok().map(Setting::Number)
                }
                DeValue::Boolean(flag) => Some(Setting::Flag(*flag)),
                DeValue::Float(digits) => digits.as_str().replace('_', "").parse().ok().map(Setting::Real),
                DeValue::Table(table) => {
                    let entry = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                        let name: &std::borrow::Cow<'_, str> = name.get_ref();
                        let entry = match value.get_ref() {
                            DeValue::String(word) => Entry::Word(word.to_string()),
                            other => Entry::Numbers(numbers(other)?),
                        };
                        Some((name.to_string(), entry))
                    };
                    table.iter().map(entry).collect::<Option<_>>().map(Setting::Table)
                }
                _ => None,
            };
            let wrong = || {
                Error::options(
                    "it takes a string, a number that is not negative, true, false, or a table of numbers and strings",
                )
            };
            let setting = setting.ok_or_else(|| wrong().part(format!("option `{key}`")).in_file(&shown))?;
            from_file.set(key, setting).map_err(|error| error.in_file(&shown))?;
        }
        // Paths in the file are relative to it.
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.merge(from_file, &folder);
        Ok(())
    }

    fn merge(&mut self, file: Options, folder: &Path) {
        fn choose<T: Default + PartialEq>(own: &mut T, other: T) {
            if *own == T::default() {
                *own = other;
            }
        }
        choose(&mut self.name, file.name);
        choose(&mut self.calibration, file.calibration.map(|path| folder.join(path)));
        choose(&mut self.ranges, file.ranges);
        choose(&mut self.bias_absorption, file.bias_absorption);
        choose(&mut self.equalization, file.equalization);
        choose(&mut self.bias_correction, file.bias_correction);
        choose(&mut self.adaround, file.adaround);
        for (name, range) in file.tensors {
            self.tensors.entry(name).or_insert(range);
        }
        choose(&mut self.precision, file.precision);
        for (name, precision) in file.layers {
            self.layers.entry(name).or_insert(precision);
        }
        choose(&mut self.optimize, file.optimize);
        choose(&mut self.input, file.input);
        for (name, numbers) in file.bind {
            self.bind.entry(name).or_insert(numbers);
        }
        choose(&mut self.stateful, file.stateful);
        choose(&mut self.stream, file.stream);
        choose(&mut self.stream_frames, file.stream_frames);
        choose(&mut self.quantization, file.quantization.map(|path| folder.join(path)));
        choose(&mut self.min_sqnr, file.min_sqnr);
        choose(&mut self.max_accuracy_drop, file.max_accuracy_drop);
        choose(&mut self.max_ram, file.max_ram);
        choose(&mut self.max_flash, file.max_flash);
    }

    /// The TOML file: the one named, or the one beside the model if it exists.
    pub fn config_path(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| self.existing(self.model.with_extension("mcuopt.toml")))
    }

    /// The samples: those named, or those beside the model if they exist.
    pub fn calibration_path(&self) -> Option<PathBuf> {
        self.calibration.clone().or_else(|| self.existing(self.model.with_extension("calib.npz")))
    }

    /// What a search found: the file named, or the one beside the model if it exists.
    pub fn quantization_path(&self) -> Option<PathBuf> {
        self.quantization.clone().or_else(|| self.existing(self.quantization_default()))
    }

    /// Where a search puts what it found.
    pub fn quantization_default(&self) -> PathBuf {
        self.model.with_extension("quant.toml")
    }

    fn existing(&self, path: PathBuf) -> Option<PathBuf> {
        self.root.join(&path).is_file().then_some(path)
    }

    /// The generated type's name.
    pub fn type_name(&self) -> Result<String, Error> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => upper_camel_case(&self.model.file_stem().unwrap_or_default().to_string_lossy()),
        };
        match syn::parse_str::<syn::Ident>(&name) {
            Ok(_) => Ok(name),
            Err(_) => Err(Error::options(format!("`{name}` is no Rust type name; choose one with `name`"))),
        }
    }
}

/// A number or a list of numbers.
fn numbers(value: &DeValue<'_>) -> Option<Vec<Number>> {
    match value {
        DeValue::Integer(digits) => {
            let number = i64::from_str_radix(&digits.as_str().replace('_', ""), digits.radix()).ok()?;
            Some(vec![Number::Int(number)])
        }
        DeValue::Float(digits) => Some(vec![Number::Float(digits.as_str().replace('_', "").parse().ok()?)]),
        DeValue::Array(array) => {
            let parts: Option<Vec<Vec<Number>>> = array.iter().map(|value| numbers(value.get_ref())).collect();
            Some(parts?.concat())
        }
        _ => None,
    }
}

/// `my-model_v2` → `MyModelV2`.
fn upper_camel_case(stem: &str) -> String {
    let words = stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let capitalised = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
    let name: String = capitalised.collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("Model{name}") } else { name }
}
