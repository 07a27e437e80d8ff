//! Cosine and logarithm for the compiler: `core` has neither, and the tables
//! are computed while the firmware is built, so that they cost no start-up
//! time and no RAM. Good to about 1e-15, far below the `f32` of the tables.

use core::f64::consts::{LN_2, TAU};

/// The cosine of a non-negative angle.
pub const fn cos(angle: f64) -> f64 {
    let mut x = angle;
    while x > TAU / 2.0 {
        x -= TAU;
    }
    // Taylor series; |x| ≤ π makes the 16th term smaller than 1e-17.
    let mut term = 1.0;
    let mut sum = 1.0;
    let mut n = 1;
    while n <= 16 {
        term *= -x * x / ((2 * n - 1) * (2 * n)) as f64;
        sum += term;
        n += 1;
    }
    sum
}

/// The natural logarithm of a number not below one.
pub const fn ln(number: f64) -> f64 {
    let mut x = number;
    let mut halvings = 0.0;
    while x >= 2.0 {
        x /= 2.0;
        halvings += 1.0;
    }
    // ln x = 2 artanh z; z ≤ ⅓ makes the 16th term smaller than 1e-16.
    let z = (x - 1.0) / (x + 1.0);
    let mut power = z;
    let mut sum = 0.0;
    let mut n = 0;
    while n <= 16 {
        sum += power / (2 * n + 1) as f64;
        power *= z * z;
        n += 1;
    }
    2.0 * sum + halvings * LN_2
}

#[cfg(test)]
mod tests {
    extern crate std;

    #[test]
    fn cos_agrees_with_std() {
        for i in 0..400 {
            let angle = f64::from(i) * 0.1;
            assert!((super::cos(angle) - angle.cos()).abs() < 1e-13, "{angle}");
        }
    }

    #[test]
    fn ln_agrees_with_std() {
        for i in 0..400 {
            let number = 1.0 + f64::from(i) * 0.05;
            assert!((super::ln(number) - number.ln()).abs() < 1e-14, "{number}");
        }
    }
}
