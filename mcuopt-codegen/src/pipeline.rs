//! Every step from the file to the plan, in order, in two halves: what is the same whatever the layers compute in, and
//! what depends on that.

use std::fs;
use std::path::PathBuf;

use crate::calibrate::{self, Method, Ranges, Samples};
use crate::compiled::Compiled;
use crate::emit::{Whole, fnv1a};
use crate::error::{Error, Errors};
use crate::graph::Graph;
use crate::ops::Op;
use crate::options::{Input, Options, Precision, TensorRange};
use crate::quantize::{self, Headroom, LayerPrecision, Precisions, Record, Repair, pattern};
use crate::search::{self, Goal};
use crate::simplify::{self, Applied};
use crate::{import, narrow, onnx, plan, prefer, specialise, stream};

/// The kind of thing in the cache that sentences for the user are.
const WARNINGS: &str = "warnings";

/// Compiles a model.
pub(crate) fn compile(options: &Options) -> Result<Compiled, Errors> {
    let prepared = Prepared::read(options)?;
    let quantized = match prepared.arithmetic {
        Arithmetic::Calibrated(default) => {
            let quantized = prepared.quantize(&prepared.precisions(default)?)?;
            prepared.check_quality(&quantized)?;
            quantized
        }
        _ if prepared.goal().is_none() => prepared.as_it_is()?,
        _ => {
            let what = "limits of what quantization may cost go with calibration data, and with integers";
            return Err(Error::options(what).part("option `min_sqnr` or `max_accuracy_drop`").into());
        }
    };
    prepared.finish(quantized)
}

/// A model up to the choice of what its layers compute in.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// Those of the TOML file included.
    pub(crate) options: Options,
    type_name: String,
    model: onnx::Model,
    /// The model's bytes.
    pub(crate) bytes: Vec<u8>,
    pub(crate) graph: Graph<Op>,
    arithmetic: Arithmetic,
    simplified: Vec<Applied>,
    notes: Vec<String>,
    /// What a search found before.
    pub(crate) record: Option<Record>,
    /// What shifting and scaling channels between layers gained, and room beyond the samples' ranges.
    pub(crate) repairs: Vec<Repair>,
    /// That room.
    pub(crate) headroom: Headroom,
    /// Whether this is one of many networks to compare: the rounding of its weights is not worth its time then.
    pub(crate) is_trial: bool,
}

/// A graph whose values have quantizations, and the one that it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Quantized {
    /// In float, with the same values but for steps between widths and constants.
    pub(crate) float: Graph<Op>,
    /// With quantizations.
    pub(crate) graph: Graph<Op>,
    /// What the user should know of the samples.
    notes: Vec<String>,
    /// What fitting weights and biases gained.
    repairs: Vec<Repair>,
}

impl Prepared {
    /// Reads and simplifies a model.
    pub(crate) fn read(options: &Options) -> Result<Self, Errors> {
        Self::read_for(options, false)
    }

    fn read_for(options: &Options, is_search: bool) -> Result<Self, Errors> {
        let mut options = options.clone();
        options.read_config()?;
        let type_name = options.type_name()?;
        let path = options.root.join(&options.model);
        let unreadable =
            |error| Error::io(format!("cannot be read ({error}); paths are relative to the package's folder"));
        let bytes = fs::read(&path).map_err(unreadable)?;
        let model = onnx::Model::decode(&bytes, path.parent().unwrap_or(&options.root))?;
        let import::Imported { mut graph, mut notes } = import::import(&model, &options.bind)?;
        let arithmetic = choose_arithmetic(&options, &graph, &mut notes)?;
        let is_float = matches!(arithmetic, Arithmetic::Float32 | Arithmetic::Weights8);
        if is_float {
            quantize::forget(&mut graph, arithmetic == Arithmetic::Weights8);
        }
        let mut simplified = simplify::simplify(&mut graph)?;
        if !is_float {
            simplified.extend(simplify::prepare_int8(&mut graph)?);
        }
        narrow::narrow(&mut graph)?;
        let mut prepared = Self {
            options,
            type_name,
            model,
            bytes,
            graph,
            arithmetic,
            simplified,
            notes,
            record: None,
            repairs: Vec::new(),
            headroom: Headroom::NONE,
            is_trial: false,
        };
        if matches!(arithmetic, Arithmetic::Calibrated(_)) {
            if !is_search {
                prepared.record = prepared.read_record()?;
            }
            let mut graph = prepared.graph.clone();
            calibrate::moderate_masks(&mut graph, |graph| prepared.samples(graph))?;
            prepared.graph = graph;
            prepared.repair()?;
            if prepared.record.as_ref().is_some_and(|record| record.channels != prepared.channels()) {
                let what = "it was found with other samples or other repairs; let `mcuopt quantize` search anew, or \
                            remove the file";
                let path = prepared.options.quantization_path().unwrap_or_default();
                return Err(Error::options(what).in_file(path.display().to_string()).into());
            }
        }
        Ok(prepared)
    }

    /// What a search found, if its file is there and the options leave the choice to it.
    fn read_record(&mut self) -> Result<Option<Record>, Error> {
        let Some(path) = self.options.quantization_path() else { return Ok(None) };
        let shown = path.display().to_string();
        if !matches!(self.options.precision, Precision::Auto | Precision::Int8) {
            let what = format!("{shown} is not used, because `precision` says what all layers compute in");
            return match self.options.quantization {
                Some(_) => Err(Error::options(what).part("option `quantization`")),
                None => {
                    self.notes.push(what);
                    Ok(None)
                }
            };
        }
        let text = fs::read_to_string(self.options.root.join(&path));
        let text = text.map_err(|error| Error::io(error).in_file(&shown))?;
        let record = Record::parse(&text).map_err(|error| error.in_file(&shown))?;
        if record.model != self.model_hash() {
            let what = "it was made for another model than this; let `mcuopt quantize` search anew, or remove the file";
            return Err(Error::options(what).in_file(&shown));
        }
        Ok(Some(record))
    }

    /// Reads a model to search anew what its layers should compute in; what was found before does not count.
    ///
    /// # Errors
    /// If there are no samples, or nothing to choose.
    pub(crate) fn to_search(options: &Options) -> Result<Self, Errors> {
        let options = Options { precision: Precision::Int8, quantization: None, ..options.clone() };
        let prepared = Self::read_for(&options, true)?;
        match prepared.arithmetic {
            Arithmetic::Calibrated(_) => Ok(prepared),
            _ => Err(Error::options(
                "the file's author chose the arithmetic of each layer; with calibration data, mcuopt chooses anew",
            )
            .into()),
        }
    }

    /// As [`to_search`](Self::to_search), for comparing many networks.
    pub(crate) fn to_compare(options: &Options) -> Result<Self, Errors> {
        Ok(Self { is_trial: true, ..Self::to_search(options)? })
    }

    fn model_hash(&self) -> String {
        format!("{:016x}", fnv1a(&self.bytes))
    }

    /// What was found, to be kept beside the model.
    pub(crate) fn record(&self, quantized: &Quantized, precisions: &Precisions) -> Record {
        Record::of(&quantized.graph, precisions, self.model_hash(), self.channels())
    }

    /// The precision of each layer: the user's for those that options name, else what a search found, else the default.
    fn precisions(&self, default: LayerPrecision) -> Result<Precisions, Error> {
        let named = Precisions::resolve(default, &self.options.layers, &self.graph)?;
        let Some(record) = &self.record else { return Ok(named) };
        let mut found = record.precisions.clone();
        found.layers.extend(named.layers);
        Ok(found)
    }

    /// The simplified float graph.
    pub(crate) fn float(&self) -> &Graph<Op> {
        &self.graph
    }

    /// The graph with what the file's author says of its arithmetic, or in float.
    fn as_it_is(&self) -> Result<Quantized, Errors> {
        let mut graph = self.graph.clone();
        let mut float = graph.clone();
        match self.arithmetic {
            Arithmetic::Weights8 => {
                let precisions = Precisions::resolve(LayerPrecision::Int8, &self.options.layers, &graph)?;
                quantize::weights8(&mut graph, |name| precisions.of(name) == LayerPrecision::Float32);
            }
            Arithmetic::AsAuthored => {
                quantize::tables(&mut graph, false)?;
                float = graph.clone();
                quantize::keep_grids(&mut graph);
                quantize::fill_gaps(&mut graph)?;
                quantize::assign(&mut graph, None)?;
            }
            Arithmetic::Float32 | Arithmetic::Calibrated(_) => {}
        }
        Ok(Quantized { float, graph, notes: Vec::new(), repairs: Vec::new() })
    }

    /// The graph with ranges from the samples, in these precisions.
    pub(crate) fn quantize(&self, precisions: &Precisions) -> Result<Quantized, Errors> {
        let mut graph = self.graph.clone();
        quantize::tables_mixed(&mut graph, true, precisions)?;
        let float = graph.clone();
        let (ranges, notes) = self.ranges(&graph)?;
        let ranges = self.headroom.widen(&graph, &ranges, &self.fixed(&graph));
        let packed = quantize::pack_weights(&mut graph, precisions);
        quantize::keep_grids(&mut graph);
        quantize::assign_mixed(&mut graph, Some(&ranges), precisions)?;
        let repairs = self.fit(&mut graph, &ranges, &packed)?;
        Ok(Quantized { float, graph, notes, repairs })
    }

    /// What the user asks of the quantized network.
    fn goal(&self) -> Option<Goal> {
        let Options { min_sqnr, max_accuracy_drop, .. } = self.options;
        (min_sqnr.is_some() || max_accuracy_drop.is_some()).then(|| Goal {
            min_sqnr,
            max_accuracy_drop,
            ..Goal::default()
        })
    }

    /// Fails if the network is not what the user asks for.
    fn check_quality(&self, quantized: &Quantized) -> Result<(), Errors> {
        let Some(goal) = self.goal() else { return Ok(()) };
        let path = self.options.root.join(self.calibration()?);
        let samples = calibrate::hash_samples(&path).map_err(Error::io)?;
        let content = format!("{:?} {:?}", self.options, self.record);
        let key = calibrate::content_hash(&[&self.bytes, samples.as_bytes(), content.as_bytes()]);
        if calibrate::read(&key, "goal").is_some() {
            return Ok(());
        }
        search::check(quantized, &self.samples(&quantized.float)?, &goal)?;
        calibrate::write(&key, "goal", "met");
        Ok(())
    }

    /// From the quantized graph to the plan.
    pub(crate) fn finish(&self, quantized: Quantized) -> Result<Compiled, Errors> {
        let Quantized { float, mut graph, notes, repairs } = quantized;
        let options = self.options.clone();
        let whole = step_by_step(&self.model, &options, &mut graph)?;
        let mut lowered = quantize::lower(&graph)?;
        quantize::compose(&mut lowered)?;
        let specialised = specialise::specialise(&mut lowered)?;
        prefer::prefer(&mut lowered, options.optimize);
        plan::schedule(&mut lowered, options.input == Input::Borrowed)?;
        let plan = plan::plan(&lowered, options.input == Input::Borrowed)?;
        let plan = prefer::spend_memory(&mut lowered, plan, &options)?;
        let compiled = Compiled {
            float,
            graph,
            lowered,
            plan,
            simplified: self.simplified.clone(),
            repairs: self.repairs.iter().cloned().chain(repairs).collect(),
            specialised,
            whole,
            notes: self.notes.iter().cloned().chain(notes).collect(),
            type_name: self.type_name.clone(),
            side_files: self.model.side_files.clone(),
            options,
        };
        compiled.check_budget()?;
        Ok(compiled)
    }

    /// The calibration data.
    pub(crate) fn samples(&self, graph: &Graph<Op>) -> Result<Samples, Error> {
        let path = self.calibration()?;
        let samples = Samples::read(&self.options.root.join(&path), graph);
        samples.map_err(|error| error.in_file(path.display().to_string()))
    }

    pub(crate) fn calibration(&self) -> Result<PathBuf, Error> {
        self.options.calibration_path().ok_or_else(|| Error::bug("calibration without data"))
    }

    /// The ranges of all tensors: those that a search found or the user gave, else from the samples.
    fn ranges(&self, graph: &Graph<Op>) -> Result<(Ranges, Vec<String>), Error> {
        let tensors = &self.options.tensors;
        let names = || graph.ids().filter(|id| graph.constant(*id).is_none()).map(|id| graph.value(id).name.as_str());
        pattern::check(tensors, names, "tensor").map_err(|error| error.part("option `tensors`"))?;
        let is_auto = |range: &TensorRange| *range == TensorRange::By(Method::Auto);
        let method = match self.record {
            // What is given needs no search.
            Some(_) => Method::MinMax,
            None if tensors.values().any(is_auto) => Method::Auto,
            None => self.options.ranges,
        };
        let (mut ranges, warnings) = self.measured(graph, method)?;
        for (id, statistics) in ranges.iter_mut() {
            let said = pattern::best(tensors, &graph.value(*id).name);
            match said.copied().unwrap_or(TensorRange::By(self.options.ranges)) {
                TensorRange::By(Method::Auto) => {}
                TensorRange::By(method) => statistics.method = method,
                TensorRange::Given(range) => (statistics.range, statistics.candidates) = (range, [range; 4]),
            }
        }
        if let Some(record) = &self.record {
            record.fix(graph, &mut ranges);
        }
        Ok((ranges, warnings))
    }

    /// What each tensor holds over the samples, and what the user should know of these: from the cache, or from running them.
    pub(crate) fn measured(&self, graph: &Graph<Op>, method: Method) -> Result<(Ranges, Vec<String>), Error> {
        let path = self.calibration()?;
        let shown = path.display().to_string();
        let samples = calibrate::hash_samples(&self.options.root.join(&path));
        let samples = samples.map_err(|error| Error::io(error).in_file(&shown))?;
        // The simplified graph is part of the key: it names the tensors, and it changes with the compiler.
        let key = calibrate::content_hash(&[
            &self.bytes,
            samples.as_bytes(),
            method.name().as_bytes(),
            &quantize::content(graph),
        ]);
        if let (Some(ranges), Some(warnings)) = (calibrate::load(&key, graph), calibrate::read(&key, WARNINGS)) {
            return Ok((ranges, warnings.lines().map(str::to_string).collect()));
        }
        let samples = self.samples(graph)?;
        let mut ranges = calibrate::calibrate(graph, &samples).map_err(|error| error.in_file(&shown))?;
        if method == Method::Auto {
            calibrate::choose(graph, &samples, &mut ranges).map_err(|error| error.in_file(&shown))?;
        }
        let warnings = calibrate::warnings(graph, &samples, &ranges).map_err(|error| error.in_file(&shown))?;
        let warnings: Vec<String> = warnings.iter().map(|warning| format!("{shown}: {warning}")).collect();
        calibrate::store(&key, &ranges);
        calibrate::write(&key, WARNINGS, &warnings.join("\n"));
        Ok((ranges, warnings))
    }
}

/// Rewrites the network so that it goes on from call to call, if the user asks for that.
fn step_by_step(model: &onnx::Model, options: &Options, graph: &mut Graph<Op>) -> Result<Option<Whole>, Errors> {
    let Some(axis) = &options.stream else {
        if options.stream_frames.is_some() {
            return Err(Error::options("it goes with `stream`").part("option `stream_frames`").into());
        }
        if options.stateful {
            *graph = stream::stateful(graph)?;
        }
        return Ok(None);
    };
    let axes = stream::axes(model, graph, axis)?;
    let stream::Streamed { graph: streamed, window, frames } =
        stream::stream(graph, &axes, options.stream_frames, options.stateful)?;
    // What it would take otherwise, for the documentation.
    let mut lowered = quantize::lower(graph)?;
    plan::schedule(&mut lowered, options.input == Input::Borrowed)?;
    let arena_bytes = plan::plan(&lowered, options.input == Input::Borrowed)?.arena_bytes;
    let macs = lowered.nodes.iter().map(|node| node.op.kernel.macs()).sum();
    *graph = streamed;
    Ok(Some(Whole { window, frames, macs, arena_bytes }))
}

/// What the options and the file come down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    Float32,
    Weights8,
    AsAuthored,
    /// With ranges from samples; what layers compute in that no option names.
    Calibrated(LayerPrecision),
}

fn choose_arithmetic(options: &Options, graph: &Graph<Op>, notes: &mut Vec<String>) -> Result<Arithmetic, Error> {
    let authored = graph.nodes.iter().any(|node| matches!(node.op, Op::QuantizeLinear(_)));
    let calibration = options.calibration_path();
    let arithmetic = match (options.precision, authored, &calibration) {
        (Precision::Float32, ..) => Arithmetic::Float32,
        (Precision::Weights8, ..) => Arithmetic::Weights8,
        (Precision::Auto, true, _) | (Precision::Int8, true, None) => Arithmetic::AsAuthored,
        (Precision::Auto | Precision::Int8, _, Some(_)) => Arithmetic::Calibrated(LayerPrecision::Int8),
        (Precision::Int16x8, _, Some(_)) => Arithmetic::Calibrated(LayerPrecision::Int16x8),
        (Precision::Int4, _, Some(_)) => Arithmetic::Calibrated(LayerPrecision::Int8x4),
        (Precision::Auto, false, None) => {
            let expected = options.model.with_extension("calib.npz");
            notes.push(format!(
                "{} is compiled in float32, because there is no calibration data; put typical inputs into {} for int8, \
                 or say precision = \"float32\"",
                options.model.display(),
                expected.display()
            ));
            Arithmetic::Float32
        }
        (Precision::Int8 | Precision::Int16x8 | Precision::Int4, _, None) => {
            return Err(Error::options(format!(
                "integers need typical inputs to find the range of each tensor: put some into {}, name a file with \
                 `calibration`, or take precision = \"weights8\", which shrinks the weights and computes in float32",
                options.model.with_extension("calib.npz").display()
            )));
        }
    };
    let fits = match arithmetic {
        Arithmetic::Calibrated(_) => true,
        Arithmetic::Weights8 => options.layers.values().all(|layer| *layer == LayerPrecision::Float32),
        Arithmetic::Float32 | Arithmetic::AsAuthored => options.layers.is_empty(),
    };
    match fits {
        true => Ok(arithmetic),
        false => {
            let what = match arithmetic {
                Arithmetic::Weights8 => "with \"weights8\", a layer can be \"float32\" at most",
                Arithmetic::AsAuthored => {
                    "the file's author chose the arithmetic of each layer; it goes with calibration data"
                }
                _ => "it goes with integers, hence with calibration data",
            };
            Err(Error::options(what).part("option `layers`"))
        }
    }
}
