//! Every kernel once more, compiled once per program and never inlined.
//!
//! The kernels themselves are inlined into each layer, where `const` params make them fast. Under
//! `optimize = "size"` generated code calls these instead: same names, same signatures, same results, and one copy
//! of the machine code however many layers use it.

use crate::fixed::{Quantization, Requantize};
use crate::geometry::{Clamp, Conv2d, Pool2d};
use crate::{concat::*, dense::*, elementwise::*, matmul::*, pad::*, reduce::*};
use crate::{slice::*, softmax::*, transpose::*};

/// For each signature in a module, a function that calls its namesake there.
macro_rules! shared {
    ($(
        $module:ident {$(
            fn $name:ident $([$($generics:tt)*])? ($($arg:ident: $type:ty),* $(,)?);
        )*}
    )*) => {$($(
        #[doc = concat!("[`", stringify!($name), "`](crate::", stringify!($module), "::", stringify!($name), "()), never inlined.")]
        #[inline(never)]
        #[allow(clippy::too_many_arguments)]
        pub fn $name $(<$($generics)*>)? ($($arg: $type),*) {
            crate::$module::$name($($arg),*);
        }
    )*)*};
}

shared! {
    conv {
        fn conv2d_f32(p: &Conv2d, clamp: &Clamp, weights: &[f32], bias: &[f32], x: &[f32], y: &mut [f32]);
        fn conv2d_s8(
            p: &Conv2d, q: &Requantize, pad_value: i8, weights: &[i8], bias: &[i32], multipliers: &[i32],
            x: &[i8], y: &mut [i8],
        );
        fn conv2d_s8_overlapping(
            p: &Conv2d, q: &Requantize, pad_value: i8, weights: &[i8], bias: &[i32], multipliers: &[i32],
            x_start: usize, xy: &mut [i8], scratch: &mut [i8],
        );
        fn conv2d_s8_w4(
            p: &Conv2d, q: &Requantize, pad_value: i8, weights: &[i8], bias: &[i32], multipliers: &[i32],
            x: &[i8], y: &mut [i8],
        );
        fn conv2d_s8_w4_overlapping(
            p: &Conv2d, q: &Requantize, pad_value: i8, weights: &[i8], bias: &[i32], multipliers: &[i32],
            x_start: usize, xy: &mut [i8], scratch: &mut [i8],
        );
        fn conv2d_f32_w8(
            p: &Conv2d, clamp: &Clamp, weights: &[i8], bias: &[f32], scales: &[f32], x: &[f32], y: &mut [f32],
        );
    }

    depthwise {
        fn depthwise_f32(p: &Conv2d, clamp: &Clamp, weights: &[f32], bias: &[f32], x: &[f32], y: &mut [f32]);
        fn depthwise_s8(
            p: &Conv2d, q: &Requantize, pad_value: i8, weights: &[i8], bias: &[i32], multipliers: &[i32],
            x: &[i8], y: &mut [i8],
        );
        fn depthwise_s8_in_place(
            p: &Conv2d, q: &Requantize, pad_value: i8, weights: &[i8], bias: &[i32], multipliers: &[i32],
            xy: &mut [i8], scratch: &mut [i8],
        );
        fn depthwise_s8_w4(
            p: &Conv2d, q: &Requantize, pad_value: i8, weights: &[i8], bias: &[i32], multipliers: &[i32],
            x: &[i8], y: &mut [i8],
        );
        fn depthwise_s8_w4_in_place(
            p: &Conv2d, q: &Requantize, pad_value: i8, weights: &[i8], bias: &[i32], multipliers: &[i32],
            xy: &mut [i8], scratch: &mut [i8],
        );
        fn depthwise_f32_w8(
            p: &Conv2d, clamp: &Clamp, weights: &[i8], bias: &[f32], scales: &[f32], x: &[f32], y: &mut [f32],
        );
    }

    dense {
        fn dense_f32(p: &Dense, clamp: &Clamp, weights: &[f32], bias: &[f32], x: &[f32], y: &mut [f32]);
        fn dense_s8(
            p: &Dense, q: &Requantize, weights: &[i8], bias: &[i32], multipliers: &[i32], x: &[i8], y: &mut [i8],
        );
        fn dense_s8_w4(
            p: &Dense, q: &Requantize, weights: &[i8], bias: &[i32], multipliers: &[i32], x: &[i8], y: &mut [i8],
        );
        fn dense_f32_w8(
            p: &Dense, clamp: &Clamp, weights: &[i8], bias: &[f32], scales: &[f32], x: &[f32], y: &mut [f32],
        );
    }

    matmul {
        fn matmul_f32(p: &MatMul, factor: f32, clamp: &Clamp, a: &[f32], b: &[f32], y: &mut [f32]);
        fn matmul_s8(
            p: &MatMul, q: &Requantize, multiplier: i32, a_zero_point: i32, b_zero_point: i32,
            a: &[i8], b: &[i8], y: &mut [i8],
        );
    }

    pool {
        fn max_pool_f32(p: &Pool2d, x: &[f32], y: &mut [f32]);
        fn max_pool_s8(p: &Pool2d, x: &[i8], y: &mut [i8]);
        fn average_pool_f32(p: &Pool2d, count_include_pad: bool, clamp: &Clamp, x: &[f32], y: &mut [f32]);
        fn average_pool_s8(
            p: &Pool2d, q: &Requantize, input_zero_point: i32, count_include_pad: bool, multipliers: &[i32],
            x: &[i8], y: &mut [i8],
        );
    }

    elementwise {
        fn add_f32(p: &Broadcast, clamp: &Clamp, a: &[f32], b: &[f32], y: &mut [f32]);
        fn add_f32_in_place(p: &Broadcast, clamp: &Clamp, ay: &mut [f32], b: &[f32]);
        fn sub_f32(p: &Broadcast, clamp: &Clamp, a: &[f32], b: &[f32], y: &mut [f32]);
        fn sub_f32_in_place(p: &Broadcast, clamp: &Clamp, ay: &mut [f32], b: &[f32]);
        fn mul_f32(p: &Broadcast, clamp: &Clamp, a: &[f32], b: &[f32], y: &mut [f32]);
        fn mul_f32_in_place(p: &Broadcast, clamp: &Clamp, ay: &mut [f32], b: &[f32]);
        fn div_f32(p: &Broadcast, clamp: &Clamp, a: &[f32], b: &[f32], y: &mut [f32]);
        fn div_f32_in_place(p: &Broadcast, clamp: &Clamp, ay: &mut [f32], b: &[f32]);
        fn add_s8(p: &Broadcast, q: &AddS8, a: &[i8], b: &[i8], y: &mut [i8]);
        fn add_s8_in_place(p: &Broadcast, q: &AddS8, ay: &mut [i8], b: &[i8]);
        fn mul_s8(
            p: &Broadcast, q: &Requantize, multiplier: i32, a_zero_point: i32, b_zero_point: i32,
            a: &[i8], b: &[i8], y: &mut [i8],
        );
        fn mul_s8_in_place(
            p: &Broadcast, q: &Requantize, multiplier: i32, a_zero_point: i32, b_zero_point: i32,
            ay: &mut [i8], b: &[i8],
        );
    }

    lut {
        fn lut_s8[T: Copy](table: &[T; 256], x: &[i8], y: &mut [T]);
        fn lut_s8_in_place(table: &[i8; 256], xy: &mut [i8]);
    }

    quantize {
        fn quantize_f32_s8(q: &Quantization, x: &[f32], y: &mut [i8]);
        fn dequantize_s8_f32(q: &Quantization, x: &[i8], y: &mut [f32]);
        fn requantize_s8(q: &Requantize, multiplier: i32, input_zero_point: i32, x: &[i8], y: &mut [i8]);
        fn requantize_s8_in_place(q: &Requantize, multiplier: i32, input_zero_point: i32, xy: &mut [i8]);
    }

    softmax {
        fn softmax_f32(p: &Rows, x: &[f32], y: &mut [f32]);
        fn softmax_f32_in_place(p: &Rows, xy: &mut [f32]);
        fn log_softmax_f32(p: &Rows, x: &[f32], y: &mut [f32]);
        fn log_softmax_f32_in_place(p: &Rows, xy: &mut [f32]);
        fn softmax_s8(p: &Rows, q: &SoftmaxS8, exp: &[u16], x: &[i8], y: &mut [i8]);
        fn softmax_s8_in_place(p: &Rows, q: &SoftmaxS8, exp: &[u16], xy: &mut [i8]);
        fn log_softmax_s8(p: &Rows, q: &LogSoftmaxS8, exp: &[u16], x: &[i8], y: &mut [i8]);
        fn log_softmax_s8_in_place(p: &Rows, q: &LogSoftmaxS8, exp: &[u16], xy: &mut [i8]);
    }

    reduce {
        fn reduce_mean_f32(p: &Reduce, clamp: &Clamp, x: &[f32], y: &mut [f32]);
        fn reduce_mean_s8(p: &Reduce, q: &Requantize, multiplier: i32, input_zero_point: i32, x: &[i8], y: &mut [i8]);
    }

    transpose {
        fn transpose[T: Copy](p: &Transpose, x: &[T], y: &mut [T]);
    }

    slice {
        fn slice[T: Copy](p: &Slice, x: &[T], y: &mut [T]);
    }

    pad {
        fn pad[T: Copy](p: &Pad, value: T, x: &[T], y: &mut [T]);
    }

    concat {
        fn concat[T: Copy](p: &Concat<'_>, xs: &[&[T]], y: &mut [T]);
        fn split[T: Copy, const K: usize](p: &Concat<'_>, x: &[T], ys: [&mut [T]; K]);
    }
}
