//! The compiler's interpreter, the generated code on the host and the generated code on emulated chips give the same
//! answers, byte for byte.

use mcuopt_codegen::{Input, Optimize};
use mcuopt_rt::Arch;
use mcuopt_tests::board::Board::{self, CortexM0, CortexM3, CortexM4, CortexM7, CortexM33, RiscV};
use mcuopt_tests::case::{Case, Inputs};
use mcuopt_tests::firmware::{Firmware, Purpose};
use mcuopt_tests::shared::Model;
use mcuopt_tests::shared::Variant::{self, Float32, Int4, Int8, Int16x8, Qdq, Weights8};
use mcuopt_tests::skip;
use mcuopt_tests::synthetic::Synthetic;

/// Inferences of each model.
const COUNT: usize = 56;

/// Runs the inputs wherever they can be run.
#[track_caller]
fn compare(case: &Case, inputs: &[Inputs], boards: &[Board]) {
    let expected = case.interpret(inputs);
    let host = Firmware::build(case, None, Purpose::Answers).run(inputs);
    same(case, "the host", &expected, &host.outputs);
    assert_eq!(host.weight_bytes, case.compiled.weight_bytes(Arch::Portable), "{}: WEIGHT_BYTES", case.name);
    for &board in boards {
        if !board.is_present() {
            skip::note_unless_ci(&format!("{} on an emulated {board}", case.name), "QEMU is not installed");
            continue;
        }
        let emulated = Firmware::build(case, Some(board), Purpose::Answers).run(inputs);
        same(case, &format!("the emulated {board}"), &expected, &emulated.outputs);
        assert_eq!(emulated.ram_bytes, host.ram_bytes, "{} on {board}: RAM_BYTES", case.name);
    }
}

#[track_caller]
fn same(case: &Case, machine: &str, expected: &[u8], outputs: &[u8]) {
    let bytes = case.output_bytes();
    assert_eq!(outputs.len(), expected.len(), "{} on {machine}: outputs have {bytes} bytes", case.name);
    let different = outputs.chunks(bytes).zip(expected.chunks(bytes)).position(|(output, expected)| output != expected);
    if let Some(index) = different {
        let answer = |outputs: &[u8]| case.reals(&outputs[index * bytes..(index + 1) * bytes]);
        let (interpreter, machine_says) = (answer(expected), answer(outputs));
        panic!(
            "{}: for input {index} the interpreter answers\n{interpreter:?}\nbut {machine}\n{machine_says:?}",
            case.name
        );
    }
}

fn reference(model: Model, variant: Variant, boards: &[Board]) {
    let Some(files) = model.find() else { return };
    let case = files.compile(variant);
    let inputs: Vec<Inputs> = files.test_set().probes(COUNT).into_iter().map(|item| case.inputs(&[item])).collect();
    compare(&case, &inputs, boards);
}

macro_rules! references {
    ($($(#[$attribute:meta])? $name:ident: $model:expr, $variant:expr, $boards:expr;)+) => {$(
        $(#[$attribute])?
        #[test]
        fn $name() {
            reference($model, $variant, &$boards);
        }
    )+};
}

// The heavy ones first, so that they do not end up alone. Each runs on a Cortex-M4, the small ones elsewhere too.
references! {
    ic_float32: Model::Ic, Float32, [CortexM4];
    vww_float32: Model::Vww, Float32, [CortexM4];
    person_float32: Model::Person, Float32, [CortexM4];
    ic_int8: Model::Ic, Int8, [CortexM4];
    ic_qdq: Model::Ic, Qdq, [CortexM4];
    #[ignore = "takes a minute"]
    ic_int16x8: Model::Ic, Int16x8, [CortexM4];
    #[ignore = "takes a minute"]
    ic_int4: Model::Ic, Int4, [CortexM4];
    vww_int8: Model::Vww, Int8, [CortexM4];
    vww_qdq: Model::Vww, Qdq, [CortexM4];
    person_int8: Model::Person, Int8, [CortexM4];
    person_qdq: Model::Person, Qdq, [CortexM4];
    kws_float32: Model::Kws, Float32, [CortexM4];
    kws_int8: Model::Kws, Int8, [CortexM4, CortexM7, CortexM33, CortexM3, RiscV];
    kws_qdq: Model::Kws, Qdq, [CortexM4];
    kws_int16x8: Model::Kws, Int16x8, [CortexM4, CortexM7, CortexM33, CortexM3, RiscV];
    kws_int4: Model::Kws, Int4, [CortexM4, CortexM7, CortexM33, CortexM3, RiscV];
    kws_weights8: Model::Kws, Weights8, [CortexM4];
    sww_float32: Model::Sww, Float32, [CortexM4];
    sww_int8: Model::Sww, Int8, [CortexM4, CortexM3, RiscV];
    sww_qdq: Model::Sww, Qdq, [CortexM4];
    sww_int16x8: Model::Sww, Int16x8, [CortexM4];
    speech_float32: Model::Speech, Float32, [CortexM4];
    speech_int8: Model::Speech, Int8, [CortexM4, CortexM3, RiscV];
    speech_qdq: Model::Speech, Qdq, [CortexM4];
    ad_float32: Model::Ad, Float32, [CortexM4];
    ad_int8: Model::Ad, Int8, [CortexM4, CortexM3, RiscV];
    ad_qdq: Model::Ad, Qdq, [CortexM4];
    mnist_float32: Model::Mnist, Float32, [CortexM4, CortexM0, RiscV];
    mnist_int8: Model::Mnist, Int8, Board::ALL;
    mnist_qdq: Model::Mnist, Qdq, Board::ALL;
    mnist_int16x8: Model::Mnist, Int16x8, Board::ALL;
    mnist_int4: Model::Mnist, Int4, Board::ALL;
    mnist_weights8: Model::Mnist, Weights8, [CortexM4, CortexM0, RiscV];
    sine_float32: Model::Sine, Float32, Board::ALL;
    sine_int8: Model::Sine, Int8, Board::ALL;
    sine_qdq: Model::Sine, Qdq, Board::ALL;
    sine_int16x8: Model::Sine, Int16x8, Board::ALL;
}

fn synthetic(name: &str, variant: Variant) {
    let synthetic = Synthetic::named(name);
    let case = synthetic.compile(variant);
    let inputs: Vec<Inputs> = synthetic.inputs(COUNT).iter().map(|reals| case.inputs(reals)).collect();
    compare(&case, &inputs, &Board::ALL);
}

macro_rules! synthetics {
    ($($test:ident: $name:literal, $variant:expr;)+) => {$(
        #[test]
        fn $test() {
            synthetic($name, $variant);
        }
    )+};
}

synthetics! {
    planes_float32: "planes", Float32;
    planes_int8: "planes", Int8;
    planes_int16x8: "planes", Int16x8;
    planes_int4: "planes", Int4;
    planes_weights8: "planes", Weights8;
    lines_float32: "lines", Float32;
    lines_int8: "lines", Int8;
    lines_int16x8: "lines", Int16x8;
    lines_int4: "lines", Int4;
    branches_float32: "branches", Float32;
    branches_int8: "branches", Int8;
    branches_int16x8: "branches", Int16x8;
    shapes_float32: "shapes", Float32;
    shapes_int8: "shapes", Int8;
    shapes_int16x8: "shapes", Int16x8;
    activations_float32: "activations", Float32;
    activations_int8: "activations", Int8;
    activations_int16x8: "activations", Int16x8;
    forward_float32: "forward", Float32;
    forward_int8: "forward", Int8;
    forward_int16x8: "forward", Int16x8;
    both_ways_float32: "both_ways", Float32;
    both_ways_int8: "both_ways", Int8;
    quantized_float32: "quantized", Float32;
    quantized_qdq: "quantized", Qdq;
}

/// A network that goes on from call to call, and one that takes two new frames of sixteen.
#[test]
fn states_stay_from_call_to_call() {
    let synthetic = Synthetic::named("forward");
    for variant in [Float32, Int8] {
        let config = || synthetic.config(variant);
        let cases = [
            Case::compile(format!("forward-{variant}-stateful"), &config().stateful(true)),
            Case::compile(format!("forward-{variant}-stream"), &config().stream(2)),
        ];
        for case in cases {
            let length = case.input_types()[0].1;
            let cut = |mut reals: Vec<Vec<f32>>| {
                reals[0].truncate(length);
                case.inputs(&reals)
            };
            let inputs: Vec<Inputs> = synthetic.inputs(COUNT).into_iter().map(cut).collect();
            compare(&case, &inputs, &Board::ALL);
        }
    }
}

/// What options change is where things are and how fast they go, never an answer.
#[test]
fn options_change_no_answer() {
    let synthetic = Synthetic::named("branches");
    let config = || synthetic.config(Int8);
    let plain = Case::compile("branches-int8", &config());
    let inputs: Vec<Inputs> = synthetic.inputs(COUNT).iter().map(|reals| plain.inputs(reals)).collect();
    let expected = plain.interpret(&inputs);
    let others = [
        Case::compile("branches-int8-speed", &config().optimize(Optimize::Speed)),
        Case::compile("branches-int8-size", &config().optimize(Optimize::Size)),
        Case::compile("branches-int8-borrowed", &config().input(Input::Borrowed)),
    ];
    for case in others {
        assert!(case.interpret(&inputs) == expected, "{}: the interpreter answers otherwise", case.name);
        compare(&case, &inputs, &[CortexM4]);
    }
}
