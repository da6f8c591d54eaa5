#!/usr/bin/env python3
"""One DeepID2 training step in PyTorch: the peer that the training speed is compared with.

The network, the loss, the batch and the optimiser are those of the paper (Sun, Chen, Wang, Tang,
"Deep Learning Face Representation by Joint Identification-Verification", NIPS 2014, figure 2 and
equations 1 to 3), on a whole-face patch of 55 x 47 RGB pixels:

    layer               kernel   weights                               output, height x width x channels
    conv1, ReLU, pool   4 x 4    shared                                26 x 22 x 20
    conv2, ReLU, pool   3 x 3    shared                                12 x 10 x 40
    conv3, ReLU, pool   3 x 3    shared in 2 x 2 tiles of its output    5 x  4 x 60
    conv4, ReLU         2 x 2    unshared                               4 x  3 x 80
    DeepID2, ReLU       full, from the pooled conv3 and from conv4     160
    softmax             full                                           one logit an identity

The input is random: the time of a step does not depend on what the pictures show.

Install and run (Python 3.10 or later; without a GPU the CPU build of PyTorch is enough):

    python3 -m venv torchenv
    torchenv/bin/pip install torch numpy
    torchenv/bin/python benches/peers/deepid2_torch.py --batch 128 --threads 2
    torchenv/bin/python benches/peers/deepid2_torch.py --batch 128 --threads 2 --channels-last
    torchenv/bin/python benches/peers/deepid2_torch.py --batch 1024 --device cuda --tf32
    torchenv/bin/python benches/peers/deepid2_torch.py --batch 1024 --device cuda --cuda-graphs
    torchenv/bin/python benches/peers/deepid2_torch.py --batch 1024 --device cuda --compile

`--compile` needs a C++ compiler on a CPU. `--forward-only` extracts DeepID2 vectors: no softmax, no
gradients.

Prints one line of JSON: the options, PyTorch's version, the images a second (median and best of the
repeats) and the bytes that a training step saves from forward to backward, parameters and the input
excluded. Speeds vary from machine to machine and from minute to minute: run this beside the program
it is compared with, in turn (`deepid2 bench compare`), and compare the ratio only.
"""

import argparse
import json
import statistics
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("PyTorch is not installed: python3 -m venv torchenv && torchenv/bin/pip install torch numpy")
from torch import nn
from torch.nn import functional as F

HEIGHT, WIDTH, CHANNELS = 55, 47, 3
DEEPID2_LENGTH = 160
VERIFICATION_WEIGHT = 0.05  # lambda in the paper, section 3
MARGIN = 1.0  # any value above 0: it costs the same
WARM_UP_STEPS = 5


class LocallySharedConv2d(nn.Module):
    """Convolution, stride 1, no padding, with one filter set for each tile x tile block of outputs.

    tile = 1 is an unshared (locally connected) convolution. The output sides must be multiples of
    `tile`. The patches under all outputs of one tile, over the whole batch, form one matrix, so that
    the layer is one batched matrix product with a matrix a tile.
    """

    def __init__(self, in_channels, out_channels, kernel, out_height, out_width, tile):
        super().__init__()
        if out_height % tile or out_width % tile:
            raise ValueError(f"an output of {out_height} x {out_width} is no whole number of {tile} x {tile} tiles")
        self.kernel, self.tile, self.out_channels = kernel, tile, out_channels
        self.tile_rows, self.tile_columns = out_height // tile, out_width // tile
        tiles, taps = self.tile_rows * self.tile_columns, in_channels * kernel * kernel
        self.weight = nn.Parameter(torch.randn(tiles, taps, out_channels) * (2.0 / taps) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(tiles, 1, out_channels))

    def forward(self, x):
        rows, columns, tile = self.tile_rows, self.tile_columns, self.tile
        images = x.shape[0]
        patches = F.unfold(x, self.kernel)  # [image, tap, output position]
        patches = patches.view(images, -1, rows, tile, columns, tile)
        patches = patches.permute(2, 4, 0, 3, 5, 1).reshape(rows * columns, images * tile * tile, -1)
        y = torch.baddbmm(self.bias, patches, self.weight)  # [tile, image and position in it, output channel]
        y = y.view(rows, columns, images, tile, tile, self.out_channels).permute(2, 5, 0, 3, 1, 4)
        return y.reshape(images, self.out_channels, rows * tile, columns * tile)


class DeepId2(nn.Module):
    """The ConvNet of figure 2; returns the DeepID2 vectors [image, 160] and the logits [image, identity]."""

    def __init__(self, identities):
        super().__init__()
        height, width = HEIGHT, WIDTH
        self.conv1 = nn.Conv2d(CHANNELS, 20, 4)
        height, width = (height - 3) // 2, (width - 3) // 2
        self.conv2 = nn.Conv2d(20, 40, 3)
        height, width = (height - 2) // 2, (width - 2) // 2
        self.conv3 = LocallySharedConv2d(40, 60, 3, height - 2, width - 2, tile=2)
        height, width = (height - 2) // 2, (width - 2) // 2
        self.conv4 = LocallySharedConv2d(60, 80, 2, height - 1, width - 1, tile=1)
        self.deepid2 = nn.Linear(60 * height * width + 80 * (height - 1) * (width - 1), DEEPID2_LENGTH)
        self.softmax = nn.Linear(DEEPID2_LENGTH, identities)

    def vectors(self, x):
        pool1 = F.max_pool2d(F.relu(self.conv1(x)), 2)
        pool2 = F.max_pool2d(F.relu(self.conv2(pool1)), 2)
        pool3 = F.max_pool2d(F.relu(self.conv3(pool2)), 2)
        conv4 = F.relu(self.conv4(pool3))
        return F.relu(self.deepid2(torch.cat([pool3.flatten(1), conv4.flatten(1)], dim=1)))

    def forward(self, x):
        vectors = self.vectors(x)
        return vectors, self.softmax(vectors)


def verification_loss(vectors, labels):
    """Mean over the pairs (i, i + batch / 2) of equation 3; the hinge takes the distance unsquared."""
    first, second = vectors.chunk(2)
    first_label, second_label = labels.chunk(2)
    squared = (first - second).square().sum(dim=1)
    distance = squared.clamp_min(1e-12).sqrt()  # the slope of the root is infinite at 0
    hinge = (MARGIN - distance).clamp_min(0).square()
    return 0.5 * torch.where(first_label == second_label, squared, hinge).mean()


class Workload:
    """A network, its optimiser and one batch that every step uses again."""

    def __init__(self, options):
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.network = DeepId2(options.ids).to(options.device, memory_format=layout)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        images = torch.rand(options.batch, CHANNELS, HEIGHT, WIDTH, device=options.device)
        self.images = images.contiguous(memory_format=layout)
        self.labels = torch.randint(options.ids, (options.batch,), device=options.device)
        half = options.batch // 2
        self.labels[half::2] = self.labels[:half:2]  # every other pair is of one identity
        self.saved_bytes = None if options.forward_only else self.measure_saved_bytes()
        self.vectors_of, self.loss_of = self.network.vectors, self.loss
        if options.compile:
            # "reduce-overhead" puts the compiled pieces into CUDA graphs.
            mode = "reduce-overhead" if torch.device(options.device).type == "cuda" else "default"
            self.vectors_of = torch.compile(self.network.vectors, mode=mode)
            self.loss_of = torch.compile(self.loss, mode=mode)
        self.step = self.extract if options.forward_only else self.train
        if options.cuda_graphs:
            self.step = self.recorded(self.step)

    def loss(self, images, labels):
        vectors, logits = self.network(images)
        return F.cross_entropy(logits, labels) + VERIFICATION_WEIGHT * verification_loss(vectors, labels)

    def extract(self):
        with torch.no_grad():
            self.vectors_of(self.images)

    def train(self):
        self.optimiser.zero_grad(set_to_none=True)
        self.loss_of(self.images, self.labels).backward()
        self.optimiser.step()

    def recorded(self, step):
        """`step` as one CUDA graph: recorded once, replayed with a single launch."""
        for _ in range(WARM_UP_STEPS):  # buffers of the libraries and of the optimiser
            step()
        self.optimiser.zero_grad(set_to_none=True)  # gradients are then allocated in the graph's own memory
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            step()
        return graph.replay

    def measure_saved_bytes(self):
        """Bytes of the distinct storages that autograd keeps for backward, save those of parameters and the batch."""
        known = [*self.network.parameters(), self.images, self.labels]
        known = {tensor.untyped_storage().data_ptr() for tensor in known}
        storages = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in known:
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = self.loss(self.images, self.labels)
        saved = sum(storages.values())
        del loss  # alive until here: no storage was freed and used twice
        return saved


def images_per_second(workload, options):
    """Speeds of the timed repeats, after untimed steps that let PyTorch choose its kernels."""

    def wait():
        if torch.device(options.device).type == "cuda":
            torch.cuda.synchronize()

    for _ in range(WARM_UP_STEPS):
        workload.step()
    speeds = []
    for _ in range(options.repeats):
        wait()
        start = time.perf_counter()
        for _ in range(options.steps):
            workload.step()
        wait()
        speeds.append(options.batch * options.steps / (time.perf_counter() - start))
    return speeds


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return value


def read_options():
    parser = argparse.ArgumentParser(description="Time a DeepID2 training step in PyTorch.")
    parser.add_argument("--batch", type=positive, default=128, help="images a step, an even number (default 128)")
    parser.add_argument("--ids", type=positive, default=8192, help="identities of the softmax (default 8192)")
    parser.add_argument("--threads", type=positive, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:INDEX (default cpu)")
    parser.add_argument("--repeats", type=positive, default=9, help="timed repeats (default 9)")
    parser.add_argument("--steps", type=positive, default=5, help="steps in one timed repeat (default 5)")
    parser.add_argument("--channels-last", action="store_true", help="keep images and filters channels-last in memory")
    parser.add_argument("--tf32", action="store_true", help="let CUDA use TF32 for matrix products and convolutions")
    parser.add_argument("--forward-only", action="store_true", help="extract DeepID2 vectors: no softmax, no gradients")
    parser.add_argument("--compile", action="store_true", help="compile the network and the loss with torch.compile")
    parser.add_argument("--cuda-graphs", action="store_true", help="record the step once and replay it as a CUDA graph")
    options = parser.parse_args()
    if options.batch % 2:
        parser.error(f"--batch {options.batch}: expected an even number, the two halves form the pairs")
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {options.device}: PyTorch {torch.__version__} finds no CUDA device here; use --device cpu")
    if options.cuda_graphs and (options.compile or torch.device(options.device).type != "cuda"):
        parser.error("--cuda-graphs: expected --device cuda and no --compile, which records graphs of its own")
    return options


def main():
    options = read_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.threads = torch.get_num_threads()
    torch.backends.cuda.matmul.allow_tf32 = options.tf32
    torch.backends.cudnn.allow_tf32 = options.tf32
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    if options.cuda_graphs and torch.device(options.device).index is not None:
        torch.cuda.set_device(options.device)  # streams are of the current device
    # Autograd remembers the stream on which it first saw a parameter, and a graph may not wait for the default one.
    stream = torch.cuda.Stream() if options.cuda_graphs else None
    with torch.cuda.stream(stream):
        workload = Workload(options)
        speeds = images_per_second(workload, options)
    print(json.dumps({
        "peer": "pytorch",
        "version": torch.__version__,
        **vars(options),
        "images_per_s_median": round(statistics.median(speeds), 1),
        "images_per_s_best": round(max(speeds), 1),
        "saved_activation_bytes": workload.saved_bytes,
    }))


if __name__ == "__main__":
    main()
