//! Functions of elements: what [`unary`](crate::unary), [`binary`](crate::binary) and [`ternary`](crate::ternary) apply.

/// A function from `X` to `Y`; functions of several elements take a tuple.
///
/// Each is a struct of its own, named as in ONNX, so that firmware links the functions that it uses and no others. All
/// give the same bits on every target. Truth values are 0 and 1.
#[diagnostic::on_unimplemented(
    message = "mcuopt-rt does not compute `{Self}` from `{X}` to `{Y}`",
    label = "not computed",
    note = "sin, cos, tan, their inverses and hyperbolic kin, and powers need mcuopt-rt's feature `libm`: \
            mcuopt-rt = {{ version = \"…\", features = [\"libm\"] }}"
)]
pub trait Function<X, Y> {
    /// The function's value.
    fn apply(&self, x: X) -> Y;
}

/// Structs of functions without parameters.
macro_rules! functions {
    ($($(#[$attribute:meta])* $name:ident)*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name;
    )*};
}
pub(crate) use functions;

/// The function with its two operands exchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reversed<F>(
    /// The function.
    pub F,
);

impl<F: Function<(A, B), Y>, A, B, Y> Function<(B, A), Y> for Reversed<F> {
    #[inline(always)]
    fn apply(&self, (b, a): (B, A)) -> Y {
        self.0.apply((a, b))
    }
}
