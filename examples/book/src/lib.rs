//! The book and the README as documentation tests: what they show as Rust compiles and, where it asserts, is true.
//! `cargo test --doc --release`

macro_rules! chapters {
    ($($name:ident = $path:literal;)+) => {$(
        #[doc = include_str!($path)]
        pub mod $name {}
    )+};
}

chapters! {
    readme = "../../../README.md";
    introduction = "../text/introduction.md";
    train_and_flash = "../text/train-and-flash.md";
    in_your_firmware = "../text/in-your-firmware.md";
    does_not_fit = "../text/does-not-fit.md";
    too_slow = "../text/too-slow.md";
    accuracy_dropped = "../text/accuracy-dropped.md";
    not_supported = "../text/not-supported.md";
    options = "../text/options.md";
    the_type = "../text/the-type.md";
    report = "../text/report.md";
    arithmetic = "../text/arithmetic.md";
}
