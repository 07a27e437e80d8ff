//! Loops of the reference evaluation.
//!
//! Calibration runs inside rustc, in crates that Cargo compiles without optimisation unless told otherwise. There
//! an iterator step costs a function call, so the innermost loops here are plain `while` loops over slices,
//! unrolled by hand: about 1 ns for a multiply-accumulate even then.

/// Σ a·b over the shorter length, in eight interleaved partial sums.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let mut s = [0f32; 8];
    let mut i = 0;
    while i + 8 <= len {
        let (x, y) = (&a[i..i + 8], &b[i..i + 8]);
        s[0] += x[0] * y[0];
        s[1] += x[1] * y[1];
        s[2] += x[2] * y[2];
        s[3] += x[3] * y[3];
        s[4] += x[4] * y[4];
        s[5] += x[5] * y[5];
        s[6] += x[6] * y[6];
        s[7] += x[7] * y[7];
        i += 8;
    }
    while i < len {
        s[0] += a[i] * b[i];
        i += 1;
    }
    ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

/// y += a·b element by element, over the shortest length.
pub fn multiply_add(y: &mut [f32], a: &[f32], b: &[f32]) {
    let len = y.len().min(a.len()).min(b.len());
    let mut i = 0;
    while i < len {
        y[i] += a[i] * b[i];
        i += 1;
    }
}

/// How a window slides over the spatial axes of a channels-last tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Extent of the window along each spatial axis, in taps.
    pub kernel: Vec<usize>,
    /// Step between windows.
    pub strides: Vec<usize>,
    /// Step between taps.
    pub dilations: Vec<usize>,
    /// Padding before and after the input.
    pub pads: Vec<[usize; 2]>,
}

impl Window {
    /// Number of windows along each axis of an input with the given spatial extents; `None` where the input and its
    /// padding are smaller than the window.
    pub fn output(&self, input: &[usize], round_up: bool) -> Option<Vec<usize>> {
        (0..input.len())
            .map(|axis| {
                let [before, after] = self.pads[axis];
                let padded = input[axis].checked_add(before)?.checked_add(after)?;
                let room = padded.checked_sub(self.extent(axis))?;
                let steps = room / self.strides[axis];
                let partial = round_up && room % self.strides[axis] != 0;
                // A window that would start in the padding behind the input is left out.
                let starts_inside = (steps + 1) * self.strides[axis] < input[axis] + before;
                Some(steps + 1 + usize::from(partial && starts_inside))
            })
            .collect()
    }

    /// Extent of the window along `axis`, in elements.
    pub fn extent(&self, axis: usize) -> usize {
        self.kernel[axis].saturating_sub(1).saturating_mul(self.dilations[axis]).saturating_add(1)
    }

    /// Calls `visit(window, taps)` for each window in row-major order; `taps` lists the taps inside the input as
    /// (position in the window, position in the input), both row-major.
    pub fn visit(&self, input: &[usize], output: &[usize], mut visit: impl FnMut(usize, &[(usize, usize)])) {
        let mut position = vec![0; output.len()];
        let mut taps = Vec::new();
        for index in 0..output.iter().product() {
            taps.clear();
            taps.push((0, 0));
            for axis in 0..output.len() {
                self.extend_taps(axis, position[axis], input[axis], &mut taps);
            }
            visit(index, &taps);
            advance(&mut position, output);
        }
    }

    /// Replaces each tap over the axes before `axis` by those over the axes up to it.
    fn extend_taps(&self, axis: usize, position: usize, input: usize, taps: &mut Vec<(usize, usize)>) {
        let start = position * self.strides[axis];
        let before = self.pads[axis][0];
        let outer = std::mem::take(taps);
        for (tap, offset) in outer {
            for k in 0..self.kernel[axis] {
                let padded = start + k * self.dilations[axis];
                if padded >= before && padded - before < input {
                    taps.push((tap * self.kernel[axis] + k, offset * input + padded - before));
                }
            }
        }
    }
}

/// Steps a row-major index of the given extents.
pub fn advance(position: &mut [usize], extents: &[usize]) {
    for axis in (0..position.len()).rev() {
        position[axis] += 1;
        if position[axis] < extents[axis] {
            return;
        }
        position[axis] = 0;
    }
}
