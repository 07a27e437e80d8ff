//! What the reference models take of the RAM.

use mcuopt_tests::shared::{Model, Variant};

/// The memory planner gives the int8 models no more than this, on the target that needs the most work memory.
#[track_caller]
fn at_most(model: Model, limit: usize) {
    let Some(files) = model.find() else { return };
    let case = files.compile(Variant::Int8);
    let bytes = case.compiled.plan.arena_bytes;
    assert!(bytes <= limit, "{} takes {bytes} bytes of RAM, more than {limit}", case.name);
}

macro_rules! limits {
    ($($name:ident: $model:expr, $limit:expr;)+) => {$(
        #[test]
        fn $name() {
            at_most($model, $limit);
        }
    )+};
}

// The goals of the project, less some room for the stack of the kernels.
limits! {
    ad: Model::Ad, 1_500;
    ic: Model::Ic, 35_000;
    kws: Model::Kws, 9_500;
    person: Model::Person, 47_000;
    speech: Model::Speech, 6_000;
    sww: Model::Sww, 8_000;
    vww: Model::Vww, 47_000;
}
