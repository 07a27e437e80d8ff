//! What a search found, as a file beside the model: the precision of each layer and the scale of each tensor.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use super::{LayerPrecision, Precisions};
use crate::calibrate::Ranges;
use crate::error::Error;
use crate::graph::{Graph, Quantization, Value, Width};
use crate::ops::Op;
use crate::tensor::DType;

/// The version of the file's form.
const FORMAT: i64 = 1;

/// What a search found for one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// A hash of the model's bytes, to tell whether it is still that model.
    pub model: String,
    /// A hash of the weights and biases as the channels between layers were scaled and shifted; empty if none was.
    pub channels: String,
    /// The precision of each layer.
    pub precisions: Precisions,
    /// The quantization of each activation, by the value's name.
    pub tensors: BTreeMap<String, Quantization>,
}

impl Record {
    /// What a quantized graph has.
    pub fn of(graph: &Graph<Op>, precisions: &Precisions, model: String, channels: String) -> Self {
        let activation = |value: &&Value| value.constant.is_none() && value.ty.dtype == DType::F32;
        let known = |value: &Value| {
            let single = value.quantization.as_ref().filter(|quantization| quantization.single().is_some())?;
            Some((value.name.clone(), single.clone()))
        };
        let made = graph.nodes.iter().flat_map(|node| &node.outputs).chain(&graph.inputs);
        let tensors = made.map(|id| graph.value(*id)).filter(activation).filter_map(known).collect();
        Self { model, channels, precisions: precisions.clone(), tensors }
    }

    /// The file's text; `command` says how it was made.
    pub fn text(&self, command: &str) -> String {
        let mut text = format!(
            "# Found by `{command}`. Builds take it as given. Run that again for other data or another model.\n\
             format = {FORMAT}\n# FNV-1a of the model's bytes\nmodel = \"{}\"\n\
             # The same of weights and biases with the channels between layers scaled and shifted; empty if none was\n\
             channels = \"{}\"\n\n# What layers compute in that are not named below.\n\
             default = \"{}\"\n\n[layers]\n",
            self.model,
            self.channels,
            self.precisions.default.name()
        );
        // Writing to a string does not fail.
        for (name, precision) in &self.precisions.layers {
            let _ = writeln!(text, "{} = \"{}\"", quoted(name), precision.name());
        }
        text += "\n# real = scale * (integer - zero_point)\n[tensors]\n";
        for (name, quantization) in &self.tensors {
            let Some((scale, zero_point)) = quantization.single() else { continue };
            let ty = if quantization.width == Width::Int16 { "int16" } else { "int8" };
            let line = format!("{{ type = \"{ty}\", scale = {scale:?}, zero_point = {zero_point} }}");
            let _ = writeln!(text, "{} = {line}", quoted(name));
        }
        text
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// If it is no such file, or of another form.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let table =
            DeTable::parse(text).map_err(|error| Error::options(format!("not valid TOML: {}", error.message())))?;
        let table = table.get_ref();
        let broken =
            |what: &str| Error::options(format!("{what}; remove the file, or let `mcuopt quantize` write it anew"));
        match table.get("format").map(|value| value.get_ref()).and_then(integer) {
            Some(FORMAT) => {}
            _ => return Err(broken(&format!("it is not of the form {FORMAT} that this version reads"))),
        }
        let model = table.get("model").and_then(|value| value.get_ref().as_str());
        let model = model.ok_or_else(|| broken("`model` is missing"))?.to_string();
        let channels = table.get("channels").and_then(|value| value.get_ref().as_str()).unwrap_or_default().to_string();
        let precision = |name: &str, value: Option<&DeValue<'_>>| {
            let word = value.and_then(DeValue::as_str).unwrap_or_default();
            LayerPrecision::of(word).ok_or_else(|| broken(&format!("`{name}` has the unknown precision \"{word}\"")))
        };
        let default = precision("default", table.get("default").map(|value| value.get_ref()))?;
        let listed = table.get("layers").and_then(|value| value.get_ref().as_table());
        let mut layers = BTreeMap::new();
        for (name, value) in listed.ok_or_else(|| broken("`layers` is missing"))? {
            layers.insert(name.get_ref().to_string(), precision(name.get_ref(), Some(value.get_ref()))?);
        }
        let precisions = Precisions { default, layers };
        let mut tensors = BTreeMap::new();
        let listed = table.get("tensors").and_then(|value| value.get_ref().as_table());
        for (name, value) in listed.ok_or_else(|| broken("`tensors` is missing"))? {
            let name = name.get_ref();
            let quantization = value.get_ref().as_table().and_then(quantization);
            let broken = || broken(&format!("the tensor `{name}` has no scale and zero point that fit its type"));
            tensors.insert(name.to_string(), quantization.ok_or_else(broken)?);
        }
        Ok(Self { model, channels, precisions, tensors })
    }

    /// Fixes the quantization of the tensors that the file names.
    pub fn fix(&self, graph: &Graph<Op>, ranges: &mut Ranges) {
        for (id, statistics) in ranges.iter_mut() {
            statistics.given = self.tensors.get(&graph.value(*id).name).cloned();
        }
    }
}

/// A basic string of TOML.
fn quoted(name: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", name.chars().map(escaped).collect::<String>())
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(digits) => i64::from_str_radix(&digits.as_str().replace('_', ""), digits.radix()).ok(),
        _ => None,
    }
}

fn quantization(table: &DeTable<'_>) -> Option<Quantization> {
    let width = match table.get("type")?.get_ref().as_str()? {
        "int8" => Width::Int8,
        "int16" => Width::Int16,
        _ => return None,
    };
    let scale: f32 = match table.get("scale")?.get_ref() {
        DeValue::Float(digits) => digits.as_str().parse().ok()?,
        _ => return None,
    };
    let zero_point = i32::try_from(integer(table.get("zero_point")?.get_ref())?).ok()?;
    let (min, max) = width.limits();
    let fits = scale.is_normal() && scale > 0.0 && (min..=max).contains(&zero_point);
    fits.then(|| Quantization { width, ..Quantization::per_tensor(scale, zero_point) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<(), Error> {
        let int16 = Quantization { width: Width::Int16, ..Quantization::per_tensor(1.234e-5, 0) };
        let record = Record {
            model: "00ff".into(),
            channels: "01".into(),
            precisions: Precisions {
                default: LayerPrecision::Int8,
                layers: [("a \"b\"\\/default".to_string(), LayerPrecision::Int16x8)].into(),
            },
            tensors: [
                ("x".to_string(), Quantization::per_tensor(0.1, -128)),
                ("/conv1/Relu\n".to_string(), int16),
                ("tiny".to_string(), Quantization::per_tensor(1.5e-30, 127)),
            ]
            .into(),
        };
        assert_eq!(Record::parse(&record.text("mcuopt quantize x.onnx"))?, record);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = |format: &str, line: &str| {
            format!("format = {format}\nmodel = \"\"\ndefault = \"int8\"\n[layers]\n[tensors]\nx = {line}\n")
        };
        let good = "{ type = \"int8\", scale = 0.5, zero_point = 1 }";
        assert!(Record::parse(&text("1", good)).is_ok());
        for bad in [
            "{ type = \"int8\", scale = 0.5, zero_point = 128 }",
            "{ type = \"int4\", scale = 0.5, zero_point = 0 }",
            "{ type = \"int8\", scale = -0.5, zero_point = 0 }",
            "{ scale = 0.5, zero_point = 0 }",
            "3",
        ] {
            assert!(Record::parse(&text("1", bad)).is_err(), "{bad}");
        }
        assert!(Record::parse(&text("2", good)).is_err());
        assert!(Record::parse("").is_err());
    }
}
