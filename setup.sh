#!/usr/bin/env bash
# Sets up what `make demo` and `make test` need and this machine lacks: Rust, a C linker, the Vulkan loader and a
# Vulkan driver. Says what it installs and why before it does; installs nothing where nothing is missing.
#
#   ./setup.sh             set up
#   ./setup.sh --dry-run   only say what would be done
set -eu
cd "$(dirname "$0")"

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

dry_run=no
case "${1:-}" in
    "") ;;
    --dry-run) dry_run=yes ;;
    *) fail "unknown argument '$1'; usage: ./setup.sh [--dry-run]" ;;
esac

cargo_bin="${CARGO_HOME:-$HOME/.cargo}/bin"
# The Makefile puts the same folder first, so that a toolchain installed here is found without touching a shell profile.
PATH="$cargo_bin:$PATH"
wanted_rust=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
[ -n "$wanted_rust" ] || fail "Cargo.toml has no line 'rust-version = \"…\"'; restore it"

# ---- What is there? ------------------------------------------------------------------------------------------------

has() { command -v "$1" >/dev/null 2>&1; }

# Version of the cargo that would run; empty where there is none or rustup has no toolchain for it.
cargo_version() { cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p'; }

# at_least 1.95 1.89: is the first version the second or later?
at_least() {
    [ -n "$1" ] || return 1
    have_major=${1%%.*} have_minor=${1#*.} need_major=${2%%.*} need_minor=${2#*.}
    have_minor=${have_minor%%.*} need_minor=${need_minor%%.*}
    [ "$have_major" -gt "$need_major" ] || { [ "$have_major" -eq "$need_major" ] && [ "$have_minor" -ge "$need_minor" ]; }
}

# `cargo fmt` and `cargo clippy` are separate components; `make test` runs both.
has_lints() { cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; }

# A compiler driver alone does not link: crt1.o comes with the C library's development files.
has_linker() { has cc && [ "$(cc -print-file-name=crt1.o 2>/dev/null)" != crt1.o ]; }

# cargo and curl trust no server without them.
has_certificates() {
    [ -n "${SSL_CERT_FILE:-}" ] && return
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        [ -s "$bundle" ] && return
    done
    return 1
}

# Is this shared library, a path or a bare name, where the dynamic linker looks?
has_library() {
    case "$1" in /*) [ -e "$1" ] && return || return 1 ;; esac
    for folder in $(printf '%s' "${LD_LIBRARY_PATH:-}" | tr ':' ' ') /usr/lib /usr/lib64 /usr/lib/*-linux-gnu* /lib /lib64 /lib/*-linux-gnu* /usr/local/lib; do
        [ -e "$folder/$1" ] && return
    done
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } | grep -qF "$1 "
}

# Manifests that the Vulkan loader reads, as it documents them: variables first, then its folders.
chosen_drivers="${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}"
driver_manifests() {
    if [ -n "$chosen_drivers" ]; then
        printf '%s\n' "$chosen_drivers" | tr ':' '\n'
    else
        printf '%s\n' "${VK_ADD_DRIVER_FILES:-}" | tr ':' '\n'
        for folder in "$HOME/.config" /etc/xdg /usr/local/etc /etc "$HOME/.local/share" /usr/local/share /usr/share; do
            printf '%s\n' "$folder/vulkan/icd.d"
        done
    fi | while IFS= read -r entry; do
        for manifest in "$entry" "$entry"/*.json; do
            [ ! -f "$manifest" ] || printf '%s\n' "$manifest"
        done
    done
}

# A manifest whose library was removed, or never mounted into a container, is no driver.
has_vulkan_driver() {
    driver_manifests | {
        while IFS= read -r manifest; do
            library=$(sed -n 's/.*"library_path"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$manifest")
            case "$library" in
                "") continue ;;
                /*) ;;
                */*) library=$(dirname "$manifest")/$library ;;
            esac
            has_library "$library" && exit 0
        done
        exit 1
    }
}

# NVIDIA's driver offers no device where it does not find these, which containers often lack.
nvidia_lacks_libraries() {
    driver_manifests | while IFS= read -r manifest; do grep -l '_nvidia\.so' "$manifest"; done | grep -q . || return 1
    ! { has_library libGLX.so.0 && has_library libEGL.so.1 && has_library libXext.so.6; }
}

# ---- What is missing? ----------------------------------------------------------------------------------------------

packages="" dnf_packages="" pacman_packages=""
# need REASON DEBIAN FEDORA ARCH
need() {
    say "missing: $1 ($2)"
    packages="$packages $2" dnf_packages="$dnf_packages $3" pacman_packages="$pacman_packages $4"
}

rust=present
if ! at_least "$(cargo_version)" "$wanted_rust"; then
    found=$(cargo_version)
    say "missing: Rust's cargo, $wanted_rust or later (${found:-none} is here)"
    rust=missing
elif ! has_lints; then
    say "missing: cargo fmt or cargo clippy, which 'make test' runs"
    rust=unlinted
fi

if [ "$(uname -s)" != Linux ]; then
    # Metal comes with macOS and DirectX 12 with Windows; the linker with the tools that rustup asks for there.
    case "$rust" in
        present) say "cargo $(cargo_version) is present: nothing to install" ;;
        unlinted) fail "run 'rustup component add rustfmt clippy', then start again" ;;
        *) fail "install Rust from https://rustup.rs (or run 'rustup update stable'), then start again" ;;
    esac
    exit 0
fi

has_linker || need "a C linker, which rustc calls" "gcc libc6-dev" "gcc glibc-devel" "gcc"
has_certificates || need "certificates, without which cargo trusts no server" ca-certificates ca-certificates ca-certificates
if [ "$rust" = missing ] && ! has rustup && ! has curl; then
    need "curl, which downloads rustup" curl curl curl
fi
has_library libvulkan.so.1 || need "the Vulkan loader, through which the GPU is reached" libvulkan1 vulkan-loader vulkan-icd-loader
if ! has_vulkan_driver; then
    [ -z "$chosen_drivers" ] ||
        fail "VK_DRIVER_FILES or VK_ICD_FILENAMES names no driver that is here ($chosen_drivers): correct it or unset it"
    need "no Vulkan driver of a GPU is here; Mesa's runs on the processor" mesa-vulkan-drivers mesa-vulkan-drivers vulkan-swrast
fi

if nvidia_lacks_libraries; then
    need "libraries that NVIDIA's Vulkan driver looks for" "libglx0 libegl1 libxext6" "libglvnd-glx libglvnd-egl libXext" "libglvnd libxext"
fi

if [ "$rust" = present ] && [ -z "$packages" ]; then
    say "cargo $(cargo_version), linker, Vulkan loader and driver are present: nothing to install"
    exit 0
fi

# ---- Install it ----------------------------------------------------------------------------------------------------

# Runs a command, or in a dry run prints it.
run() {
    say "\$ $*"
    [ "$dry_run" = yes ] || "$@"
}

install_packages() {
    by_hand="apt-get update && apt-get install -y --no-install-recommends$packages"
    if ! has apt-get; then
        fail "this system has no apt-get. Install these by its own means and start again:
         Fedora: sudo dnf install$dnf_packages
         Arch:   sudo pacman -S --needed$pacman_packages
         (Debian's names:$packages)"
    fi
    if [ "$(id -u)" -eq 0 ]; then
        administrator=""
    elif has sudo; then
        say "you are not root: sudo runs apt-get and may ask for your password"
        administrator="sudo"
    else
        fail "you are not root and there is no sudo. Run this as an administrator and start again:
         $by_hand"
    fi
    # A fresh Ubuntu updates itself after boot and holds the lock for a while. A failed update of one foreign source need
    # not matter to the packages wanted here; if it does, the installation says so.
    # shellcheck disable=SC2086 # words: no sudo is no word, the packages are several
    run $administrator apt-get update || say "apt-get update failed; going on with the lists at hand"
    # shellcheck disable=SC2086
    run $administrator env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages ||
        fail "apt-get could not install$packages: see its message above"
}

install_rust() {
    if has rustup; then
        if [ "$rust" = missing ]; then
            run rustup toolchain install stable --profile minimal --component rustfmt --component clippy
            # The user's default may be another, older toolchain: it stays, this folder alone uses stable.
            at_least "$(cargo_version)" "$wanted_rust" || run rustup override set stable
        else
            run rustup component add rustfmt clippy
        fi
    elif [ "$rust" = unlinted ]; then
        # `make demo` does without; `make test` stops at the first of them with cargo's own message.
        say "cargo is not rustup's: install rustfmt and clippy where it came from (Debian, Ubuntu: apt-get install rustfmt rust-clippy; Fedora: dnf install rustfmt clippy)"
    else
        say "rustup installs stable Rust into $cargo_bin and changes no shell profile"
        installer=$(mktemp)
        trap 'rm -f "$installer"' EXIT
        run curl --proto '=https' --tlsv1.2 -sSf --retry 3 -o "$installer" https://sh.rustup.rs ||
            fail "rustup could not be downloaded: check the network, or install Rust from https://rustup.rs"
        # -y also goes on where an older cargo of the distribution is installed; rustup's comes first in PATH.
        run sh "$installer" -y --no-modify-path --default-toolchain stable --profile minimal --component rustfmt --component clippy ||
            fail "rustup failed: see its message above"
        say "to call cargo yourself: export PATH=\"$cargo_bin:\$PATH\""
    fi
    if [ "$dry_run" = no ]; then
        hash -r
        at_least "$(cargo_version)" "$wanted_rust" ||
            fail "cargo is still older than $wanted_rust: $(command -v cargo || echo 'no cargo found'). Is RUSTUP_TOOLCHAIN set, or a rust-toolchain file in a folder above?"
    fi
}

[ -z "$packages" ] || install_packages
[ "$rust" = present ] || install_rust
case "$dry_run" in
    yes) say "dry run: nothing was installed" ;;
    no) say "done" ;;
esac
