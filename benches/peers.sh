#!/usr/bin/env bash
# Everything in benches/RESULTS.md that needs no hardware GPU: ceilings, steps of several sizes, single kernels, and each
# peer that is installed in turn with the engine. About 25 minutes on two idle cores; peers and engine share them.
#
#   benches/peers.sh [FOLDER]     FOLDER: where the JSON files go (default benches/results)
#
#   DEEPID2=…      the binary (default target/release/deepid2)
#   PYTHON=…       a Python that has PyTorch (default torchenv/bin/python)
#   BURN=…         benches/peers/deepid2_burn.rs, built as its head says (default peer_burn/target/release/deepid2_burn)
#   BURN_WGPU=…    the same, built with --features wgpu (default: left out)
#   CANDLE=…       benches/peers/deepid2_candle.rs, built (default peer_candle/target/release/deepid2_candle)
#   BATCHES="64 128"   batches that peers are compared at
#   ROUNDS=5       rounds of each comparison
#   PARTS="engine torch burn candle"   what to run
set -u
cd "$(dirname "$0")/.." || exit 1

OUT=${1:-benches/results}
DEEPID2=${DEEPID2:-target/release/deepid2}
PYTHON=${PYTHON:-torchenv/bin/python}
BURN=${BURN:-peer_burn/target/release/deepid2_burn}
BURN_WGPU=${BURN_WGPU:-}
CANDLE=${CANDLE:-peer_candle/target/release/deepid2_candle}
BATCHES=${BATCHES:-64 128}
ROUNDS=${ROUNDS:-5}
PARTS=${PARTS:-engine torch burn candle}
PEER=benches/peers/deepid2_torch.py
DAY=$(date -u +%F)
THREADS=$(nproc)

say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }
wanted() { [[ " $PARTS " == *" $1 "* ]]; }

[ -x "$DEEPID2" ] || { say "no binary at $DEEPID2: cargo build --release --locked"; exit 1; }
mkdir -p "$OUT" || exit 1
SCRATCH=$(mktemp -d) || exit 1
trap 'rm -rf "$SCRATCH"' EXIT

# keep NAME FLAGS…: the JSON lines of one `deepid2 bench`, in FOLDER/DAY-cpu-NAME.json. One that failed says why in it.
keep() {
    local name=$1 what=$2 file="$OUT/$DAY-cpu-$1.json"
    shift 2
    "$DEEPID2" bench "$what" --json "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" && say "$name: $file" ||
        say "$name: $(tail -n 1 "$SCRATCH/err")"
    if [ -s "$SCRATCH/out" ]; then
        cp "$SCRATCH/out" "$OUT/.$DAY-cpu-$name.tmp" && mv "$OUT/.$DAY-cpu-$name.tmp" "$file"
    fi
}

# against NAME PEER BATCH ENGINE-FLAGS… -- COMMAND…: the engine in turn with a peer.
against() {
    local name=$1 peer=$2 batch=$3 flags=()
    shift 3
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    keep "$name" compare --batch "$batch" --rounds "$ROUNDS" --repeats 3 --steps 3 "${flags[@]}" --name "$peer" -- \
        "$@" --batch "$batch" --repeats 3 --steps 3
}

if wanted engine; then
    keep ceiling ceiling
    keep batches step --batch 64,128,256,512,1024 --repeats 5 --steps 3
    keep identities step --batch 128 --identities 1024,2048,4096,8192 --repeats 5 --steps 3 --no-ceiling
    keep extraction step --batch 64,128,256 --forward-only --repeats 5 --steps 5
    keep kernels kernels
fi

if wanted torch; then
    if version=$("$PYTHON" -c 'import torch; print(torch.__version__)' 2>/dev/null); then
        torch=("$PYTHON" "$PEER" --threads "$THREADS")
        for batch in $BATCHES; do
            against "torch-$batch" "PyTorch $version" "$batch" -- "${torch[@]}"
            against "torch-$batch-channels-last" "PyTorch $version, channels-last" "$batch" -- "${torch[@]}" --channels-last
            against "torch-$batch-compile" "PyTorch $version, torch.compile" "$batch" -- "${torch[@]}" --compile
            against "torch-$batch-extraction" "PyTorch $version" "$batch" --forward-only -- "${torch[@]}" --forward-only
            against "torch-$batch-extraction-channels-last" "PyTorch $version, channels-last" "$batch" --forward-only -- \
                "${torch[@]}" --forward-only --channels-last
        done
    else
        say "PyTorch: not installed; python3 -m venv torchenv && torchenv/bin/pip install torch numpy, or name one in PYTHON"
    fi
fi

if wanted burn; then
    if [ -x "$BURN" ]; then
        for batch in $BATCHES; do
            against "burn-$batch" "Burn 0.22.1, flex (CPU)" "$batch" -- "$BURN" --device cpu
        done
        if [ -x "$BURN_WGPU" ]; then
            against burn-wgpu "Burn 0.22.1, wgpu" 64 -- "$BURN_WGPU" --device wgpu
        else
            say "Burn on wgpu: left out; build its peer with --features wgpu and name it in BURN_WGPU"
        fi
    else
        say "Burn: not installed; the head of benches/peers/deepid2_burn.rs says how, or name it in BURN"
    fi
fi

if wanted candle; then
    if [ -x "$CANDLE" ]; then
        for batch in $BATCHES; do
            against "candle-$batch" "candle 0.11.1 (CPU)" "$batch" -- "$CANDLE"
        done
    else
        say "candle: not installed; the head of benches/peers/deepid2_candle.rs says how, or name it in CANDLE"
    fi
fi

if [ "$OUT" = benches/results ]; then
    "$DEEPID2" bench report benches/results --out benches/RESULTS.md && say "tables: benches/RESULTS.md"
fi
