//! What a user gets wrong in `include_model!` is said by the compiler, at the right place and in plain words.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
