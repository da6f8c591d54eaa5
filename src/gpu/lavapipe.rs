//! Mesa's software driver and the processor it runs on.

use std::sync::Once;

/// The bits of the vectors that lavapipe computes with; a subgroup is one vector of words.
pub const VECTOR_WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";
/// The number of threads that lavapipe starts.
pub const THREADS: &str = "LP_NUM_THREADS";

/// Whether an adapter of this name is lavapipe's.
pub fn is_named(adapter: &str) -> bool {
    adapter.to_lowercase().contains("llvmpipe")
}

/// Lets lavapipe use all of AVX-512 where that is faster: of itself it stops at 256 bits. A training step takes about
/// three quarters of the time on AMD's processors, and longer on Intel's (`benches/NOTES.md`). A width that is set already
/// stays.
///
/// Must come before the first look at the drivers, which read it once.
pub(super) fn widen_vectors() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if gains_by_width() && std::env::var_os(VECTOR_WIDTH).is_none() {
            // SAFETY: the standard library locks the environment for its own readers; others are the Vulkan loader and
            // its drivers, which start after this.
            unsafe { std::env::set_var(VECTOR_WIDTH, "512") };
        }
    });
}

/// Whether reading tensors as images is known to be faster here: on Intel's processors (`benches/NOTES.md`).
pub(super) fn gains_by_texels() -> bool {
    vendor() == *b"GenuineIntel"
}

/// Whether this is an AMD processor with AVX-512. The driver stores a vector of 64 bytes before it loads each of its words
/// by itself, once for each lane of a load from memory. Intel's processors do not forward the upper half of such a store to
/// the load, which then waits until the store has reached the cache.
#[cfg(target_arch = "x86_64")]
fn gains_by_width() -> bool {
    vendor() == *b"AuthenticAMD"
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// The processor's maker as it calls itself.
#[cfg(target_arch = "x86_64")]
fn vendor() -> [u8; 12] {
    let leaf = std::arch::x86_64::__cpuid(0);
    let mut vendor = [0; 12];
    vendor.copy_from_slice(&[leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat());
    vendor
}

/// Empty: only processors of this architecture say it.
#[cfg(not(target_arch = "x86_64"))]
fn vendor() -> [u8; 12] {
    [0; 12]
}

#[cfg(not(target_arch = "x86_64"))]
fn gains_by_width() -> bool {
    false
}
