//! What can go wrong between the program and the graphics driver.

use thiserror::Error;

/// Errors of the device floor.
#[derive(Debug, Error)]
pub enum Error {
    /// No Vulkan, Metal or DX12 adapter on this system.
    #[error("no GPU adapter was found ({backends}). {advice}", advice = install_advice())]
    NoAdapter {
        /// The backends that were asked.
        backends: String,
    },
    /// `--adapter` matched nothing.
    #[error(
        "--adapter {wanted:?} matches none of the adapters here: {present}. Run `deepid2 devices` and pass an index or part of a name"
    )]
    AdapterNotFound {
        /// What the user asked for.
        wanted: String,
        /// Index and name of each adapter.
        present: String,
    },
    /// The driver refused a device.
    #[error(
        "adapter {adapter} refused to open a device: {reason}. Try another with --adapter (see `deepid2 devices`) or update its driver"
    )]
    Request {
        /// Name of the adapter.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// A tensor, dispatch or binding is larger than the adapter allows.
    #[error("{what} needs {needed}, but this adapter's {limit} is {allowed}")]
    Limit {
        /// What asked for too much: a tensor or an operation.
        what: String,
        /// Name of the limit as WebGPU spells it.
        limit: &'static str,
        /// What was needed.
        needed: u64,
        /// What the adapter allows.
        allowed: u64,
    },
    /// A kernel did not compile or a dispatch did not validate.
    #[error("kernel {kernel} was rejected by the driver: {reason}")]
    Kernel {
        /// File and entry point.
        kernel: String,
        /// The validation message.
        reason: String,
    },
    /// The device stopped answering.
    #[error(
        "the GPU stopped answering: {0}. The driver may have reset it; restart the command (training: with --resume)"
    )]
    Lost(String),
    /// The adapter could not allocate a buffer.
    #[error(
        "the GPU could not allocate {bytes} bytes for {what}: {reason}. Use a smaller --batch, or train with a smaller --micro-batch or fewer --nets"
    )]
    OutOfMemory {
        /// Which buffer.
        what: String,
        /// Its size.
        bytes: u64,
        /// The driver's words.
        reason: String,
    },
}

fn install_advice() -> &'static str {
    if cfg!(target_os = "linux") {
        "Install your GPU's Vulkan driver, or a software one: `apt-get install libvulkan1 mesa-vulkan-drivers` \
         (Debian, Ubuntu), `dnf install vulkan-loader mesa-vulkan-drivers` (Fedora), \
         `pacman -S vulkan-icd-loader vulkan-swrast` (Arch). NVIDIA's driver offers no device without GLVND's and X11's \
         libraries, which containers often lack: `apt-get install libglx0 libegl1 libxext6`"
    } else if cfg!(target_os = "macos") {
        "Metal comes with macOS 10.13 and later: this machine's macOS or GPU is too old, or the session has no access to it"
    } else {
        "Update the graphics driver (DirectX 12 or Vulkan); Windows' own software adapter WARP comes with Windows 10 and later"
    }
}
