//! Shapes and element types.

/// Element type of a tensor as the device stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit floats.
    F32,
    /// 32-bit unsigned integers: labels.
    U32,
    /// Bytes, four to a word, lowest address first: pictures and arg-max codes.
    U8,
}

/// Shape and element type. Activations are batch-last, `[channels, height, width, images]`: neighbouring invocations
/// are neighbouring images, loads are whole `vec4f`s for every layer, and a weight is the same for a whole workgroup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Sizes, slowest first.
    pub dims: Vec<usize>,
    /// Element type.
    pub dtype: DType,
}

impl TensorType {
    /// A tensor of floats.
    pub fn f32(dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), dtype: DType::F32 }
    }

    /// A tensor of unsigned integers.
    pub fn u32(dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), dtype: DType::U32 }
    }

    /// A tensor of bytes.
    pub fn u8(dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), dtype: DType::U8 }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// Bytes in device memory, whole words.
    pub fn bytes(&self) -> u64 {
        match self.dtype {
            DType::F32 | DType::U32 => self.elements() as u64 * 4,
            DType::U8 => (self.elements() as u64).next_multiple_of(4),
        }
    }

    /// Bytes from one net's copy to the next net's where several nets share a buffer: whole `vec4`s, whatever type a
    /// kernel reads the memory as.
    pub fn net_stride(&self) -> u64 {
        self.bytes().next_multiple_of(16)
    }

    /// Bytes of the copies of `nets` nets, one after another. One net alone has no padding.
    pub fn bytes_of_nets(&self, nets: usize) -> u64 {
        if nets == 1 { self.bytes() } else { nets as u64 * self.net_stride() }
    }

    /// `[channels, height, width, images]` of an activation.
    pub fn activation(&self) -> Option<[usize; 4]> {
        let dims: [usize; 4] = self.dims.as_slice().try_into().ok()?;
        (self.dtype == DType::F32 && dims[3].is_multiple_of(4) && dims.iter().all(|size| *size > 0)).then_some(dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copies_of_nets_begin_at_whole_vec4s() {
        for (ty, bytes, stride) in [
            (TensorType::f32(&[1]), 4, 16),
            (TensorType::u32(&[3, 4]), 48, 48),
            (TensorType::u8(&[3, 7]), 24, 32),
            (TensorType::u8(&[64]), 64, 64),
        ] {
            assert_eq!((ty.bytes(), ty.net_stride()), (bytes, stride), "{ty:?}");
            assert_eq!((ty.bytes_of_nets(1), ty.bytes_of_nets(5)), (bytes, 5 * stride), "{ty:?}");
        }
    }
}
