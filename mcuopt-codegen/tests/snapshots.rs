//! Snapshots that people review: the generated code of the keyword spotter, the graph after each stage, and the
//! table of operators. A change of one layer should show as a change of a few lines here.

use std::path::Path;

use mcuopt_codegen::{Config, Optimize, Precision};

fn kws() -> Config {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kws/kws.onnx");
    Config::new(model).name("Kws")
}

#[test]
fn generated_int8_code() -> Result<(), Box<dyn std::error::Error>> {
    insta::assert_snapshot!(kws().precision(Precision::Int8).compile()?.review()?);
    Ok(())
}

#[test]
fn generated_float32_code_for_size() -> Result<(), Box<dyn std::error::Error>> {
    let compiled = kws().precision(Precision::Float32).optimize(Optimize::Size).compile()?;
    insta::assert_snapshot!(compiled.review()?);
    Ok(())
}

#[test]
fn graph_after_simplification() -> Result<(), Box<dyn std::error::Error>> {
    let compiled = kws().precision(Precision::Int8).compile()?;
    let steps: String = compiled.simplified.iter().map(|step| format!("{}: {}\n", step.node, step.rule)).collect();
    insta::assert_snapshot!(format!("{steps}\n{}", compiled.graph));
    Ok(())
}

#[test]
fn memory_plan() -> Result<(), Box<dyn std::error::Error>> {
    let compiled = kws().precision(Precision::Int8).compile()?;
    let place = |(id, offset): (&mcuopt_codegen::graph::ValueId, &usize)| {
        let value = compiled.lowered.value(*id);
        format!("{:>6} .. {:>6}  {}\n", offset, offset + value.ty.bytes(), value.name)
    };
    let places: String = compiled.plan.offsets.iter().map(place).collect();
    insta::assert_snapshot!(format!("{} bytes\n{places}", compiled.plan.arena_bytes));
    Ok(())
}

/// The same input gives the same text, and the text knows nothing of the machine.
#[test]
fn generated_code_is_deterministic() -> Result<(), Box<dyn std::error::Error>> {
    let first = kws().precision(Precision::Int8).compile()?.source()?;
    let second = kws().precision(Precision::Int8).compile()?.source()?;
    assert!(first == second, "two compilations differ");
    assert!(!first.contains(env!("CARGO_MANIFEST_DIR")), "the text contains a path of this machine");
    Ok(())
}
