//! Sizes of a convolution and of its weight tiles.

use crate::tape::{DType, Error, TensorType};
use serde::{Deserialize, Serialize};

/// Which outputs of a convolution use the same filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// All of them: an ordinary convolution.
    Everywhere,
    /// Those in a tile of `height`×`width` outputs. 1×1 is an unshared (locally connected) layer.
    Tiles {
        /// Rows of a tile.
        height: usize,
        /// Columns of a tile.
        width: usize,
    },
}

impl Sharing {
    /// Every output has its own filters.
    pub const UNSHARED: Self = Self::Tiles { height: 1, width: 1 };
}

/// Every size that a convolution's kernels need; stride 1, no padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Images of the batch, a multiple of 4.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Rows of the input.
    pub in_height: usize,
    /// Columns of the input.
    pub in_width: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows of the output.
    pub out_height: usize,
    /// Columns of the output.
    pub out_width: usize,
    /// Side of the square filter.
    pub kernel: usize,
    /// Rows of a weight tile.
    pub tile_height: usize,
    /// Columns of a weight tile.
    pub tile_width: usize,
}

impl ConvGeometry {
    /// Geometry of a convolution of `input` ([channels, height, width, images], floats).
    ///
    /// # Errors
    /// An input of another rank or type, or smaller than the filter.
    pub fn new(
        op: &'static str,
        input: &TensorType,
        out_channels: usize,
        kernel: usize,
        sharing: Sharing,
    ) -> Result<Self, Error> {
        let Some([in_channels, in_height, in_width, batch]) = input.activation() else {
            return Err(Error::shape(
                op,
                format!(
                    "expected floats of shape [channels, height, width, images] with images a multiple of 4, got {:?}",
                    input.dims
                ),
            ));
        };
        if in_height < kernel || in_width < kernel {
            return Err(Error::shape(
                op,
                format!("a {kernel}×{kernel} filter does not fit in an input of {in_height}×{in_width}"),
            ));
        }
        let (out_height, out_width) = (in_height + 1 - kernel, in_width + 1 - kernel);
        let (tile_height, tile_width) = match sharing {
            Sharing::Everywhere => (out_height, out_width),
            Sharing::Tiles { height, width } => (height.clamp(1, out_height), width.clamp(1, out_width)),
        };
        Ok(Self {
            batch,
            in_channels,
            in_height,
            in_width,
            out_channels,
            out_height,
            out_width,
            kernel,
            tile_height,
            tile_width,
        })
    }

    /// Weight tiles along x.
    pub fn tiles_x(&self) -> usize {
        self.out_width.div_ceil(self.tile_width)
    }

    /// Weight tiles.
    pub fn tiles(&self) -> usize {
        self.out_height.div_ceil(self.tile_height) * self.tiles_x()
    }

    /// Filter taps: input channels × filter area.
    pub fn taps(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }

    /// Output channels in whole vectors of four.
    pub fn out_vecs(&self) -> usize {
        self.out_channels.div_ceil(4)
    }

    /// Batch in vectors of four images.
    pub fn batch_vecs(&self) -> usize {
        self.batch / 4
    }

    /// The weights' type, [tiles, taps, output channels rounded up to 4]; the padding is and stays zero.
    pub fn weights(&self) -> TensorType {
        TensorType::f32(&[self.tiles(), self.taps(), self.out_vecs() * 4])
    }

    /// The bias's type, [tiles, output channels rounded up to 4].
    pub fn bias(&self) -> TensorType {
        TensorType::f32(&[self.tiles(), self.out_vecs() * 4])
    }

    /// The input's type.
    pub fn input(&self) -> TensorType {
        TensorType::f32(&[self.in_channels, self.in_height, self.in_width, self.batch])
    }

    /// Whether an update of the weights comes with their gradient, which then is not stored: where the inputs are fewer than
    /// four times the weights. An update waits until the data gradient has read the weights; what waits in memory meanwhile
    /// is the gradient, or the inputs that it is computed from with the update. Of the paper's network up to batch 256 these
    /// are less than what its second layer needs later.
    pub fn updates_with_gradient(&self) -> bool {
        4 * self.weights().elements() > self.input().elements()
    }

    /// The output's type.
    pub fn output(&self) -> TensorType {
        TensorType::f32(&[self.out_channels, self.out_height, self.out_width, self.batch])
    }

    /// The type of the output after 2×2 max-pooling.
    pub fn pooled(&self) -> TensorType {
        TensorType::f32(&[self.out_channels, self.out_height / 2, self.out_width / 2, self.batch])
    }

    /// Floating-point operations of the forward pass; each of both gradients takes as many.
    pub fn flops(&self) -> u64 {
        2 * (self.out_channels * self.taps() * self.out_height * self.out_width * self.batch) as u64
    }

    /// Index of the weight tile of output (y, x).
    pub fn tile(&self, y: usize, x: usize) -> usize {
        y / self.tile_height * self.tiles_x() + x / self.tile_width
    }

    /// Checks weights and bias against this geometry.
    ///
    /// # Errors
    /// Names the tensor, its shape and the expected one.
    pub fn check_parameters(&self, op: &'static str, weights: &TensorType, bias: &TensorType) -> Result<(), Error> {
        for (what, found, expected) in [("weights", weights, self.weights()), ("bias", bias, self.bias())] {
            if *found != expected {
                let (found, expected) = (&found.dims, &expected.dims);
                return Err(Error::shape(op, format!("expected {what} of shape {expected:?}, got {found:?}")));
            }
        }
        Ok(())
    }

    /// The constants that every convolution kernel declares.
    pub(crate) fn constants(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("BATCH_VECS", self.batch_vecs()),
            ("IN_CHANNELS", self.in_channels),
            ("IN_HEIGHT", self.in_height),
            ("IN_WIDTH", self.in_width),
            ("OUT_CHANNELS", self.out_channels),
            ("OUT_VECS", self.out_vecs()),
            ("TILE_HEIGHT", self.tile_height),
            ("TILE_WIDTH", self.tile_width),
            ("TILES_X", self.tiles_x()),
            ("KERNEL", self.kernel),
        ]
    }
}

/// Flat index into [channels, height, width, batch].
pub(crate) fn at(dims: &TensorType, c: usize, y: usize, x: usize, n: usize) -> usize {
    ((c * dims.dims[1] + y) * dims.dims[2] + x) * dims.dims[3] + n
}

/// Bytes of arg-max codes, one for each pooled value.
pub(crate) fn codes(pooled: &TensorType) -> TensorType {
    TensorType { dims: pooled.dims.clone(), dtype: DType::U8 }
}
