//! What specialisation takes out of the reference models, and that their answers keep every bit.

use mcuopt_codegen::graph::Graph;
use mcuopt_codegen::interp::run_lowered;
use mcuopt_codegen::ops::Layer;
use mcuopt_codegen::quantize;
use mcuopt_rt::Arch;
use mcuopt_tests::case::to_bytes;
use mcuopt_tests::shared::{Model, Variant};

/// So many items of the test set, beside inputs that no sensor makes.
const COUNT: usize = 8;

fn macs(graph: &Graph<Layer>) -> u64 {
    graph.nodes.iter().map(|node| node.op.kernel.macs()).sum()
}

/// Compiles a model; returns the multiply-accumulates before and after, if the model is here.
fn check(model: Model, variant: Variant) -> Option<(u64, u64)> {
    let files = model.find()?;
    let case = files.compile(variant);
    let before = quantize::lower(&case.compiled.graph).expect("it was lowered before");
    for item in files.test_set().probes(COUNT) {
        let inputs = case.inputs(&[item]);
        let expected = run_lowered(&before, &inputs, |_, _| {}).expect("it runs");
        assert!(to_bytes(&expected) == case.interpret(&[inputs]), "{}: another answer", case.name);
    }
    let after = &case.compiled.lowered;
    println!(
        "{}: {} -> {} MACs, {} weight bytes",
        case.name,
        macs(&before),
        macs(after),
        case.compiled.weight_bytes(Arch::Portable)
    );
    for shrunk in &case.compiled.specialised {
        println!("  {shrunk:?}");
    }
    Some((macs(&before), macs(after)))
}

/// Trained with more filters than it uses.
#[test]
fn vww_loses_half_of_its_work() {
    for variant in [Variant::Int8, Variant::Qdq] {
        let Some((before, after)) = check(Model::Vww, variant) else { return };
        assert!(before > 7_400_000 && after <= 3_800_000, "{after} of {before} MACs are left");
    }
}

#[test]
fn the_others_keep_their_answers() {
    for model in Model::ALL.into_iter().filter(|model| *model != Model::Vww) {
        for variant in [Variant::Int8, Variant::Qdq] {
            check(model, variant);
        }
    }
}
