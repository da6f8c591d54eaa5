//! Mesa's software driver and the processor it runs on.

use std::sync::Once;
use wgpu::Adapter;

/// The bits of the vectors that lavapipe computes with; a subgroup is one vector of words.
pub const VECTOR_WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";
/// The number of threads that lavapipe starts.
pub const THREADS: &str = "LP_NUM_THREADS";

/// Whether lavapipe runs this adapter. By its driver too: one that passes commands on to another machine may carry the name of
/// the adapter there.
pub fn runs(info: &wgpu::AdapterInfo) -> bool {
    [&info.name, &info.driver].iter().all(|name| name.to_lowercase().contains("llvmpipe"))
}

/// What `open` finds of all drivers, lavapipe with all of AVX-512 where that is known to pay: of itself it stops at 256 bits.
/// With Mesa 22 a training step takes about three quarters of the time on AMD's processors, and less on Intel's, where tensors
/// are images. Mesa 25 takes a number from another lane of 16 in 22 ns, of 8 in 1: there 512 bits take three times as long
/// (`benches/NOTES.md`). A width that is set already stays.
///
/// lavapipe reads the width once, when it is loaded, and is loaded anew where nothing of it is in use: so the first call must
/// come before any device.
pub(super) fn at_best_width(open: impl Fn() -> Vec<Adapter>) -> Vec<Adapter> {
    static ONCE: Once = Once::new();
    let mut opened = None;
    ONCE.call_once(|| {
        if !gains_by_width() || std::env::var_os(VECTOR_WIDTH).is_some() {
            return;
        }
        // SAFETY: the standard library locks the environment for its own readers; others are the Vulkan loader and its
        // drivers, which start after this.
        unsafe { std::env::set_var(VECTOR_WIDTH, "512") };
        let adapters = open();
        let known = |info: wgpu::AdapterInfo| !runs(&info) || info.driver_info.starts_with("Mesa 22.");
        if adapters.iter().all(|adapter| known(adapter.get_info())) {
            opened = Some(adapters);
            return;
        }
        drop(adapters);
        // SAFETY: as above; the drivers went with their adapters.
        unsafe { std::env::remove_var(VECTOR_WIDTH) };
    });
    opened.unwrap_or_else(open)
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
