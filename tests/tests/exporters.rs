//! Networks as PyTorch, Keras and scikit-learn export them: all compile, compute in float32 what ONNX Runtime computes,
//! and lose at most a point of accuracy in int8. Quantized ones run in integers and give what ONNX Runtime gives for the
//! same file, but for roundings. `tests/exporters/generate` makes them.

use mcuopt_tests::exported::Exported;
use mcuopt_tests::report;

#[test]
fn exported_networks_are_as_good_as_in_onnxruntime() {
    let comparisons = report::in_parallel(Exported::all(), |network| (network.compare(), network));
    let mut faults = Vec::new();
    for (comparison, network) in &comparisons {
        println!("{:40} {comparison}", network.name);
        faults.extend(comparison.faults().iter().map(|fault| format!("{}: {fault}", network.name)));
    }
    assert!(faults.is_empty(), "{} of {} networks:\n{}", faults.len(), comparisons.len(), faults.join("\n"));
}
