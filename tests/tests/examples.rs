//! Each operator's generated code, in each form that the operator takes, builds and answers as the interpreter does, on
//! the host and on emulated chips.

use mcuopt_tests::board::Board;
use mcuopt_tests::{examples, skip};

#[test]
fn examples_answer_as_the_interpreter_does() {
    let wrong = examples::run();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn examples_answer_on_chips_as_the_interpreter_does() {
    for board in [Board::CortexM4, Board::RiscV] {
        if !board.is_present() {
            skip::note_unless_ci(&format!("the operators on an emulated {board}"), "QEMU is not installed");
            continue;
        }
        let wrong = examples::run_on(board);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
