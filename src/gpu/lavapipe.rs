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

/// Lets lavapipe use all of AVX-512, where the processor has it: of itself it stops at 256 bits. A training step takes
/// about three quarters of the time (`benches/NOTES.md`). A width that is set already stays.
///
/// Must come before the first look at the drivers, which read it once.
pub(super) fn widen_vectors() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if has_avx512() && std::env::var_os(VECTOR_WIDTH).is_none() {
            // SAFETY: the standard library locks the environment for its own readers; others are the Vulkan loader and
            // its drivers, which start after this.
            unsafe { std::env::set_var(VECTOR_WIDTH, "512") };
        }
    });
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}
