//! Sizes of models under their names in a program's symbol table.

/// Names the sizes of compiled models in the symbol table of a firmware: `linker_symbols!(Kws);` beside `include_model!`
/// defines `Kws_RAM_BYTES` and `Kws_WEIGHT_BYTES`.
///
/// They are absolute symbols, whose address *is* the number: they take no flash and no RAM, and whatever reads the ELF
/// file finds them, `nm firmware | grep _BYTES` for instance, a debugger, or a script that keeps an eye on sizes. On a
/// computer the macro expands to nothing. Types of one name would define the same symbols, which the linker refuses.
#[macro_export]
macro_rules! linker_symbols {
    ($($model:ident),+ $(,)?) => {$(
        #[cfg(target_os = "none")]
        ::core::arch::global_asm!(
            ::core::concat!(".globl ", ::core::stringify!($model), "_RAM_BYTES"),
            ::core::concat!(".set ", ::core::stringify!($model), "_RAM_BYTES, {ram}"),
            ::core::concat!(".globl ", ::core::stringify!($model), "_WEIGHT_BYTES"),
            ::core::concat!(".set ", ::core::stringify!($model), "_WEIGHT_BYTES, {weights}"),
            ram = const <$model as $crate::Model>::RAM_BYTES,
            weights = const <$model as $crate::Model>::WEIGHT_BYTES,
        );
    )+};
}
