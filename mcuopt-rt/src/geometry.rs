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
    /// memory overwrites no input that it still reads.
    ///
    /// Holds for kernels that compute pixels in memory order and read all that a pixel needs before they write it.
    pub const fn distance(&self) -> usize {
        let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (self.input, self.output);
        let mut distance = 0;
        let (mut written, mut image) = (0, 0);
        while image < self.batch {
            let mut y = 0;
            while y < out_h {
                let mut x = 0;
                while x < out_w {
                    written += out_c;
                    let needed = if x + 1 < out_w {
                        // A later row may reach further to the left in the same input row, at the top border.
                        let (this, next) = (self.first_cell(y, x + 1), self.first_cell(y + 1, 0));
                        if y + 1 < out_h && next < this { next } else { this }
                    } else if y + 1 < out_h {
                        self.first_cell(y + 1, 0)
                    } else {
                        in_h * in_w
                    };
                    let needed = (image * in_h * in_w + needed) * in_c;
                    let last = image + 1 == self.batch && y + 1 == out_h && x + 1 == out_w;
                    if !last && written > needed + distance {
                        distance = written - needed;
                    }
                    x += 1;
                }
                y += 1;
            }
            image += 1;
        }
        distance
    }

    /// The first input pixel that the output at `(y, x)` or any to its right reads.
    const fn first_cell(&self, y: usize, x: usize) -> usize {
        let row = (y * self.stride[0]).saturating_sub(self.pad[0]);
        let column = (x * self.stride[1]).saturating_sub(self.pad[1]);
        let (cell, end) = (row * self.input[1] + column, self.input[0] * self.input[1]);
        if cell < end { cell } else { end }
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
