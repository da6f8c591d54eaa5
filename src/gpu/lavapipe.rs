//! Mesa's software driver and the processor it runs on.

use std::sync::Once;

/// The bits of the vectors that lavapipe computes with; a subgroup is one vector of words.
pub const VECTOR_WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";
/// The number of threads that lavapipe starts.
pub const THREADS: &str = "LP_NUM_THREADS";

/// Whether lavapipe runs this adapter. By its driver too: one that passes commands on to another machine may carry the name of
/// the adapter there.
pub fn runs(info: &wgpu::AdapterInfo) -> bool {
    [&info.name, &info.driver].iter().all(|name| name.to_lowercase().contains("llvmpipe"))
}

/// Lets lavapipe use all of AVX-512: of itself it stops at 256 bits. A training step takes about three quarters of the time
/// on AMD's processors; on Intel's an extraction does, where tensors are images (`benches/NOTES.md`). A width that is set
/// already stays.
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

/// Whether this processor has AVX-512, and is one of those that were measured.
#[cfg(target_arch = "x86_64")]
fn gains_by_width() -> bool {
    (is_by(AMD) || is_by(INTEL))
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
fn gains_by_width() -> bool {
    false
}

/// Whether reading tensors as images is known to be faster here ([`super::texels`]): on Intel's processors.
pub(super) fn gains_by_texels() -> bool {
    is_by(INTEL)
}

#[cfg(target_arch = "x86_64")]
const AMD: &[u8; 12] = b"AuthenticAMD";
const INTEL: &[u8; 12] = b"GenuineIntel";

/// Whether the processor names `vendor` as its maker.
#[cfg(target_arch = "x86_64")]
fn is_by(vendor: &[u8; 12]) -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat() == vendor
}

/// No: processors of another architecture do not say.
#[cfg(not(target_arch = "x86_64"))]
fn is_by(_: &[u8; 12]) -> bool {
    false
}
