//! Sizes of every layer.

use super::Error;
use crate::ops::{Conv, ConvPool, Sharing};
use serde::{Deserialize, Serialize};

/// What "weights locally shared in 2×2 regions" (DeepID2, figure 2) means for conv3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalSharing {
    /// Each tile of 2×2 neurons has its own filters; tiles coincide with the pooling windows.
    #[default]
    Tiles,
    /// The output is cut into a 2×2 grid of regions with their own filters.
    Grid,
}

/// The network of DeepID2 figure 2, with the input's size and every width free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetSpec {
    /// Rows of the input, 8k + 7.
    pub height: usize,
    /// Columns of the input, 8k + 7.
    pub width: usize,
    /// 3 (RGB) or 1 (grey).
    pub channels: usize,
    /// Classes of the softmax.
    pub identities: usize,
    /// Output channels of conv1 to conv4.
    pub widths: [usize; 4],
    /// Length of the DeepID2 vector.
    pub embedding: usize,
    /// Regions of conv3.
    pub conv3: LocalSharing,
}

/// Most output channels of conv1 to conv4, and longest DeepID2 vector: far beyond any use, and small enough that sizes
/// of tensors are exact.
pub(super) const MAX_CHANNELS: usize = 4096;
pub(super) const MAX_EMBEDDING: usize = 65_536;

impl NetSpec {
    /// The paper's whole-face network: 55×47 RGB, 20-40-60-80 channels, a vector of 160.
    pub fn paper(identities: usize) -> Self {
        Self {
            height: 55,
            width: 47,
            channels: 3,
            identities,
            widths: [20, 40, 60, 80],
            embedding: 160,
            conv3: LocalSharing::Tiles,
        }
    }

    /// Checks every size.
    ///
    /// # Errors
    /// Names the size, what was expected and what came.
    pub fn check(&self) -> Result<(), Error> {
        let fits = |side: usize| side >= 31 && side % 8 == 7;
        if !fits(self.height) || !fits(self.width) {
            return Err(Error::Side { height: self.height, width: self.width });
        }
        if !matches!(self.channels, 1 | 3) {
            return Err(Error::Channels { channels: self.channels });
        }
        if !(2..=100_000).contains(&self.identities) {
            return Err(Error::Identities { identities: self.identities });
        }
        if let Some(&channels) = self.widths.iter().find(|width| !(1..=MAX_CHANNELS).contains(*width)) {
            return Err(Error::Width { channels });
        }
        if !(1..=MAX_EMBEDDING).contains(&self.embedding) {
            return Err(Error::Embedding { length: self.embedding });
        }
        Ok(())
    }

    /// Rows and columns of pool1, pool2, pool3 and conv4.
    pub fn sides(&self) -> [[usize; 2]; 4] {
        let layer = |from: [usize; 2], kernel: usize, pool: usize| from.map(|side| (side + 1 - kernel) / pool);
        let pool1 = layer([self.height, self.width], 4, 2);
        let pool2 = layer(pool1, 3, 2);
        let pool3 = layer(pool2, 3, 2);
        [pool1, pool2, pool3, layer(pool3, 2, 1)]
    }

    /// conv1 with its pool: 4×4, shared.
    pub(super) fn conv1(&self) -> ConvPool {
        ConvPool { out_channels: self.widths[0], kernel: 4, sharing: Sharing::Everywhere }
    }

    /// conv2 with its pool: 3×3, shared.
    pub(super) fn conv2(&self) -> ConvPool {
        ConvPool { out_channels: self.widths[1], kernel: 3, sharing: Sharing::Everywhere }
    }

    /// conv3 with its pool: 3×3, locally shared.
    pub(super) fn conv3(&self) -> ConvPool {
        let [height, width] = self.sides()[2];
        let sharing = match self.conv3 {
            LocalSharing::Tiles => Sharing::Tiles { height: 2, width: 2 },
            // The pooled sides are half the convolution's: a grid region has as many rows as the pool.
            LocalSharing::Grid => Sharing::Tiles { height, width },
        };
        ConvPool { out_channels: self.widths[2], kernel: 3, sharing }
    }

    /// conv4: 2×2, unshared.
    pub(super) fn conv4(&self) -> Conv {
        let out_channels = self.widths[3];
        Conv { out_channels, kernel: 2, sharing: Sharing::UNSHARED, relu: true, flatten: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_the_papers() {
        assert_eq!(NetSpec::paper(8192).sides(), [[26, 22], [12, 10], [5, 4], [4, 3]]);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let good = NetSpec::paper(10);
        assert!(good.check().is_ok());
        for (bad, expected) in [
            (NetSpec { height: 54, ..good.clone() }, "54×47"),
            (NetSpec { width: 23, ..good.clone() }, "55×23"),
            (NetSpec { channels: 2, ..good.clone() }, "2 channels"),
            (NetSpec { identities: 1, ..good.clone() }, "1 identities"),
            (NetSpec { identities: 100_001, ..good.clone() }, "100,000"),
            (NetSpec { widths: [0, 1, 1, 1], ..good.clone() }, "0 channels"),
            (NetSpec { widths: [1, 1, 1, usize::MAX], ..good.clone() }, "1 to 4096"),
            (NetSpec { embedding: 0, ..good.clone() }, "--embedding 0"),
            (NetSpec { embedding: 65_537, ..good.clone() }, "1 to 65536"),
        ] {
            let message = bad.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
