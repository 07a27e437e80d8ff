//! scratch
use mcuopt_tests::{board::Board, firmware::*, shared::*};
use std::time::Instant;
#[test]
fn time() {
    for m in std::env::var("M").unwrap().split(',') {
        let model = Model::ALL.into_iter().find(|x| x.name() == m).unwrap();
        let files = model.find().unwrap();
        for v in Variant::ALL {
            let t = Instant::now();
            let case = match std::panic::catch_unwind(|| files.compile(v)) { Ok(c) => c, Err(_) => continue };
            let t1 = t.elapsed(); let t = Instant::now();
            let test = files.test_set();
            let inputs: Vec<_> = test.probes(56).into_iter().map(|i| case.inputs(&[i])).collect();
            let t2 = t.elapsed(); let t = Instant::now();
            let e = case.interpret(&inputs[..10]);
            let t3 = t.elapsed(); let t = Instant::now();
            let h = Firmware::build(&case, None, Purpose::Answers);
            let t4 = t.elapsed(); let t = Instant::now();
            let r = h.run(&inputs);
            let t5 = t.elapsed(); let t = Instant::now();
            let f = Firmware::build(&case, Some(Board::CortexM4), Purpose::Answers);
            let t6 = t.elapsed(); let t = Instant::now();
            let r2 = f.run(&inputs);
            let t7 = t.elapsed();
            eprintln!("{m} {v} compile {t1:.1?} inputs {t2:.1?} interp10 {t3:.1?} hostbuild {t4:.1?} host60 {t5:.1?} m4build {t6:.1?} m4run60 {t7:.1?} same {} {} ram {} stack {} {:?}", e[..] == r.outputs[..e.len()], r.outputs==r2.outputs, r2.ram_bytes, r2.stack, f.sizes());
        }
    }
}
