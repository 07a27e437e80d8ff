//! Each operator's generated code, in each form that the operator takes, builds and answers as the interpreter does.

use mcuopt_tests::examples;

#[test]
fn examples_answer_as_the_interpreter_does() {
    let wrong = examples::run();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
