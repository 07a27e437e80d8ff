//! What convolutions and pools slide over, and the range that float layers clamp to.

/// A two-dimensional convolution. Images are NHWC; sizes are `[height, width, channels]` or `[height, width]`.
///
/// Output row `y` reads input rows `y · stride[0] + ky · dilation[0] − pad[0]`; those outside the image are
/// padding. The padding at the bottom and right follows from the size of the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// Number of images.
    pub batch: usize,
    /// Height, width, channels of the input.
    pub input: [usize; 3],
    /// Height, width, channels of the output.
    pub output: [usize; 3],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps of the kernel between outputs, at least 1.
    pub stride: [usize; 2],
    /// Padding at the top and the left.
    pub pad: [usize; 2],
    /// Distance of neighbouring kernel taps, at least 1.
    pub dilation: [usize; 2],
    /// Number of groups; divides input and output channels.
    pub groups: usize,
}

impl Conv2d {
    /// How many elements the input must start behind the output's start, so that a convolution in which both share
    /// memory overwrites no input that it still reads. The least number for which that holds.
    ///
    /// For kernels that compute pixels in memory order and read all that a pixel needs before they write it.
    pub const fn distance(&self) -> usize {
        let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (self.input, self.output);
        let mut distance = 0;
        // Backwards over the output's pixels, as what counts is the first input that any later one reads.
        let mut needed = usize::MAX;
        let mut pixel = self.batch * out_h * out_w;
        while pixel > 0 {
            let written = pixel * out_c;
            if written > needed && written - needed > distance {
                distance = written - needed;
            }
            pixel -= 1;
            let (image, y, x) = (pixel / (out_h * out_w), pixel / out_w % out_h, pixel % out_w);
            if let (Some(row), Some(column)) = (self.first_inside(0, y), self.first_inside(1, x)) {
                let first = ((image * in_h + row) * in_w + column) * in_c;
                if first < needed {
                    needed = first;
                }
            }
        }
        distance
    }

    /// Where the first kernel tap that falls into the image lands along an axis.
    const fn first_inside(&self, axis: usize, output: usize) -> Option<usize> {
        let (start, pad, dilation) = (output * self.stride[axis], self.pad[axis], self.dilation[axis]);
        let tap = pad.saturating_sub(start).div_ceil(dilation);
        let position = start + tap * dilation;
        if tap < self.kernel[axis] && position < pad + self.input[axis] { Some(position - pad) } else { None }
    }
}

/// Two-dimensional pooling; NHWC, with the meanings of [`Conv2d`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool2d {
    /// Number of images.
    pub batch: usize,
    /// Height, width, channels of the input.
    pub input: [usize; 3],
    /// Height, width, channels of the output; as many channels as the input.
    pub output: [usize; 3],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Steps of the window between outputs, at least 1.
    pub stride: [usize; 2],
    /// Padding at the top and the left.
    pub pad: [usize; 2],
    /// Padding at the bottom and the right, which average pooling counts on request. A window may reach even
    /// further (`ceil_mode`); those cells never count.
    pub pad_end: [usize; 2],
    /// Distance of neighbouring window cells, at least 1.
    pub dilation: [usize; 2],
}

/// A window over up to three spatial axes; channels-last. Sizes are `[depth, height, width, channels]` or without the
/// channels; axes that a tensor does not have are 1.
///
/// A convolution or pool reads input `o · stride + tap · dilation − pad` for output `o` along each axis, a transposed
/// convolution writes output `i · stride + tap · dilation − pad` for input `i`. What lies outside is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window3d {
    /// Number of images.
    pub batch: usize,
    /// Depth, height, width, channels of the input.
    pub input: [usize; 4],
    /// Depth, height, width, channels of the output.
    pub output: [usize; 4],
    /// Taps along each axis.
    pub kernel: [usize; 3],
    /// Steps between windows, at least 1.
    pub stride: [usize; 3],
    /// Padding at the start of each axis.
    pub pad: [usize; 3],
    /// Distance of neighbouring taps, at least 1.
    pub dilation: [usize; 3],
}

impl Window3d {
    /// The input along `axis` that a tap of an output of a convolution or pool reads.
    #[inline(always)]
    pub(crate) fn reads(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        let at = (output * self.stride[axis] + tap * self.dilation[axis]).checked_sub(self.pad[axis])?;
        if at < self.input[axis] { Some(at) } else { None }
    }

    /// The input along `axis` whose tap a transposed convolution adds to an output.
    #[inline(always)]
    pub(crate) fn receives(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        let from = (output + self.pad[axis]).checked_sub(tap * self.dilation[axis])?;
        let at = from / self.stride[axis];
        if at * self.stride[axis] == from && at < self.input[axis] { Some(at) } else { None }
    }

    /// Cells of the input and of the output, channels not counted.
    #[inline(always)]
    pub(crate) fn cells(&self) -> (usize, usize) {
        let cells = |[depth, height, width, _]: [usize; 4]| depth * height * width;
        (cells(self.input), cells(self.output))
    }

    /// The place of the output's cell number `cell`.
    #[inline(always)]
    pub(crate) fn place(&self, cell: usize) -> [usize; 3] {
        let [_, height, width, _] = self.output;
        [cell / (height * width), cell / width % height, cell % width]
    }
}

/// The range of a float layer's output: a fused Relu, Relu6 or Clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// Lower end, −∞ for none.
    pub min: f32,
    /// Upper end, +∞ for none.
    pub max: f32,
}

impl Clamp {
    /// Changes nothing.
    pub const NONE: Clamp = Clamp { min: f32::NEG_INFINITY, max: f32::INFINITY };

    /// `x` limited to the range; NaN stays NaN.
    #[inline(always)]
    pub const fn apply(&self, x: f32) -> f32 {
        if x < self.min {
            self.min
        } else if x > self.max {
            self.max
        } else {
            x
        }
    }
}
