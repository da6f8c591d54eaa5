#!/usr/bin/env bash
# Every measurement that needs a GPU, in less than eight minutes: ceilings, steps, single kernels, eight nets beside
# one, PyTorch in turn with the engine, a short training run. Needs no network.
#
#   benches/gpu.sh [FOLDER]     FOLDER: where the JSON files go (default benches/results)
#
# Bring what the machine lacks and name it:
#   DEEPID2=…   the binary (default target/release/deepid2; `strip` makes it a sixth as large)
#   LOADER=…    a folder with libvulkan.so.1 and what NVIDIA's driver looks for, where the system has none
#               (apt-get download libvulkan1 libglvnd0 libglx0 libgl1 libegl1; dpkg -x them)
#   PYTHON=…    a Python that has PyTorch with CUDA (default python3)
#   BURN=…      benches/peers/deepid2_burn.rs, built with --features wgpu,cuda (default: left out)
#   BURN_DEVICE=…  its backend, cuda or wgpu (default cuda)
#   ADAPTER=…   as --adapter (default: the most capable)
#   SHORT=1     small batches and few repeats: tries the script itself on a slow machine
#   PATIENCE=90 seconds that one measurement may take (twice that where PyTorch compiles)
#   LIMIT=420   seconds after which nothing new is started; what still runs 30 s later is ended
set -u
cd "$(dirname "$0")/.." || exit 1

OUT=${1:-benches/results}
DEEPID2=${DEEPID2:-target/release/deepid2}
PYTHON=${PYTHON:-python3}
LIMIT=${LIMIT:-420}
PATIENCE=${PATIENCE:-90}
PEER=benches/peers/deepid2_torch.py
DAY=$(date -u +%F)

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

[ -x "$DEEPID2" ] || { say "no binary at $DEEPID2: cargo build --release --locked, or name one in DEEPID2"; exit 1; }
mkdir -p "$OUT" || exit 1
SCRATCH=$(mktemp -d) || exit 1
trap 'rm -rf "$SCRATCH"' EXIT

# The loader finds drivers by JSON files in a few folders; containers often mount the driver elsewhere.
[ -n "${LOADER:-}" ] && export LD_LIBRARY_PATH="$LOADER${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
if [ -z "${VK_DRIVER_FILES:-}" ] && ! ls /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json >/dev/null 2>&1; then
    if [ -f /usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json ]; then
        export VK_DRIVER_FILES=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
    elif ldconfig -p | grep -q libGLX_nvidia.so.0; then
        printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "libGLX_nvidia.so.0", "api_version": "1.4.0"}}' \
            >"$SCRATCH/nvidia_icd.json"
        export VK_DRIVER_FILES="$SCRATCH/nvidia_icd.json"
    fi
fi

adapter=()
[ -n "${ADAPTER:-}" ] && adapter=(--adapter "$ADAPTER")
if ! devices=$("$DEEPID2" devices 2>&1); then
    say "no adapter ($(tail -n 1 <<<"$devices")): install a Vulkan driver, or bring libvulkan.so.1 and name its folder in LOADER"
    exit 1
fi
printf '%s\n' "$devices"

if [ -n "${SHORT:-}" ]; then
    batches=(16) peers=(16) large=16 small=16 rounds=1 repeats=1 steps=2 ids=256
else
    batches=(128 256 512 1024 2048) peers=(256 2048) large=2048 small=128 rounds=2 repeats=5 steps=20 ids=8192
fi
pace=(--repeats "$repeats" --steps "$steps")

# Seconds that one measurement may take: a program that hangs must not cost the others their turn.
patience() {
    local left=$((LIMIT + 30 - SECONDS))
    echo $((left < PATIENCE ? left : PATIENCE))
}

# keep NAME COMMAND…: the JSON lines that a command prints, in FOLDER/DAY-gpu-NAME.json.
keep() {
    local name=$1 status=0 file
    shift
    file="$OUT/$DAY-gpu-$name.json"
    if [ "$SECONDS" -ge "$LIMIT" ]; then
        say "$name: left out, $LIMIT s are over"
        return
    fi
    timeout -k 5 "$(patience)" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" || status=$?
    if [ -s "$SCRATCH/out" ]; then
        cp "$SCRATCH/out" "$OUT/.$DAY-gpu-$name.tmp" && mv "$OUT/.$DAY-gpu-$name.tmp" "$file"
    fi
    if [ "$status" = 0 ]; then
        say "$name: $file"
    else
        say "$name: failed ($status): $(tail -n 1 "$SCRATCH/err")"
    fi
}

bench() { # NAME SUBCOMMAND FLAGS…
    local name=$1
    shift
    keep "$name" "$DEEPID2" "${adapter[@]}" bench "$@"
}

# compare NAME BATCH ROUNDS ENGINE-FLAGS -- PEER-FLAGS: the engine in turn with PyTorch.
compare() {
    local name=$1 batch=$2 rounds=$3 engine=()
    shift 3
    while [ "$1" != -- ]; do engine+=("$1"); shift; done
    shift
    bench "$name" compare --json --batch "$batch" --identities "$ids" --rounds "$rounds" "${pace[@]}" "${engine[@]}" \
        --name "PyTorch $device${*:+ $*}" -- \
        "$PYTHON" "$PEER" --device "$device" --batch "$batch" --ids "$ids" "${pace[@]}" "$@"
}

bench ceiling ceiling --json
bench step step --json --batch "$(IFS=,; echo "${batches[*]}")" --identities "$ids" "${pace[@]}"
bench extraction step --json --forward-only --batch "$(IFS=,; echo "${peers[*]}")" "${pace[@]}"

# Forward, data and weight gradients of conv1 to conv3, as shares of the card's own ceilings.
bench kernels kernels --json --paper-only --batch "$large" --filter conv_pool
say "conv1 to conv3 at batch $large, shares of the ceilings:"
timeout 60 "$DEEPID2" "${adapter[@]}" bench kernels --paper-only --batch "$large" --filter conv_pool | grep -v bias

bench nets step --json --no-ceiling --batch "$small" --identities "$ids" "${pace[@]}" --nets 1,8

if ! torch=$(timeout -k 5 60 "$PYTHON" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu", torch.__version__)' 2>/dev/null); then
    say "PyTorch: $PYTHON has none; name another in PYTHON, or: python3 -m venv torchenv && torchenv/bin/pip install torch numpy"
else
    device=${torch%% *}
    say "PyTorch ${torch#* } on $device"
    graphs=()
    if [ "$device" = cuda ]; then
        graphs=(--cuda-graphs)
    else
        say "PyTorch finds no CUDA device: its CPU kernels instead, no graphs, no TF32"
    fi
    # What is asked for most comes first: a start of PyTorch takes ten seconds on some machines.
    for batch in "${peers[@]}"; do
        compare "torch-$batch-eager" "$batch" "$rounds" --
    done
    if [ "$device" = cuda ]; then
        compare "torch-$large-graphs-channels-last-tf32" "$large" 1 -- "${graphs[@]}" --channels-last --tf32
        for batch in "${peers[@]}"; do
            compare "torch-$batch-graphs-tf32" "$batch" 1 -- "${graphs[@]}" --tf32
            compare "torch-$batch-graphs" "$batch" 1 -- "${graphs[@]}"
        done
    fi
    compare "torch-$large-extraction" "$large" 1 --forward-only -- --forward-only "${graphs[@]}"
fi

if [ -x "${BURN:-}" ]; then
    bench "burn-${BURN_DEVICE:=cuda}" compare --json --batch "$small" --identities "$ids" --rounds 1 "${pace[@]}" \
        --name "Burn $BURN_DEVICE" -- "$BURN" --device "$BURN_DEVICE" --batch "$small" --ids "$ids"
else
    say "Burn: not brought along; build benches/peers/deepid2_burn.rs with --features wgpu,cuda and name it in BURN"
fi

if [ "${device:-}" = cuda ]; then
    PATIENCE=$((2 * PATIENCE))
    compare "torch-256-compile" 256 1 -- --compile
    compare "torch-256-compile-tf32" 256 1 -- --compile --tf32
fi

if [ "$SECONDS" -lt "$LIMIT" ]; then
    started=$SECONDS
    if timeout -k 5 "$(patience)" "$DEEPID2" "${adapter[@]}" demo --short --out "$SCRATCH/demo" >"$SCRATCH/demo.log" 2>&1; then
        say "short demo (faces, training, verification): $((SECONDS - started)) s; its last lines:"
    else
        say "short demo: failed, or not ready in time; its last lines:"
    fi
    tail -n 5 "$SCRATCH/demo.log"
fi
say "done: $OUT"
