"""Streaming a set that is larger than memory: is memory bounded, how fast is it, and what holds it up?

    python benchmarks/streaming.py --out FOLDER [--gb 4] [--images 150000] [--workers 1] [--scratch FOLDER]
    python benchmarks/streaming.py --trace FOLDER
    python benchmarks/streaming.py --grain [--gb 4] [--workers 2] [--out FOLDER]

The first writes two TFDS sets of 64 x 64 colour pictures, of --gb and of a quarter of it once decoded, into a temporary
folder (their files are about 0.6 of that), trains a small net on each straight from the records, and prints
1. the memory of the trainer and its workers at every eighth of the way, which must not grow with the set;
2. images/s of the quarter streamed from records, streamed from the decoded cache, and resident, in alternate windows;
3. what an image costs: read, parsed, decoded, handed over, gathered, copied, computed; and so the bottleneck.
The second writes a profiler's trace of some steps of the cached pipeline, with batches made ready ahead and without,
and reads from it how much of making a batch ready passes while a step computes. The third makes the same batches by
our worker processes and by Grain's, in alternate windows (`pip install grain`). On a CPU 'copied to the device' is a
copy within one memory by the cores that also compute: what it says of a GPU is the order of events and no duration.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

SIDE, DISTINCT = 64, 500
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, help="where streaming.json goes")
parser.add_argument("--gb", type=float, default=4.0, help="decoded size of the large set")
parser.add_argument("--images", type=int, default=150_000, help="how many images the memory is watched over")
parser.add_argument("--workers", type=int, default=1, help="processes that decode")
parser.add_argument("--windows", type=int, default=5, help="timed windows of each pipeline")
parser.add_argument("--scratch", type=Path, help="where the sets are written (default: a temporary folder)")
parser.add_argument("--trace", type=Path, help="where the profiler's traces go")
parser.add_argument("--grain", action="store_true", help="compare our worker processes with Grain's")
parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)


def pictures() -> list[bytes]:
    """PNGs of smooth colours with some texture, as compressible as photographs are: about 0.6 of their pixels."""
    import PIL.Image

    random, found = np.random.default_rng(0), []
    for _ in range(DISTINCT):
        coarse = PIL.Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)).resize((SIDE, SIDE), 3)
        noisy = np.asarray(coarse, np.int16) + random.normal(0, 4, (SIDE, SIDE, 3)).astype(np.int16)
        stream = io.BytesIO()
        PIL.Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
        found.append(stream.getvalue())
    return found


def make_set(name: str, gigabytes: float, folder: Path) -> None:
    """Prepares the TFDS set `name`: so many GB decoded, and 1,000 images of test."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import shuffle

    examples = {"train": int(gigabytes * 1e9 / (SIDE * SIDE * 3)), "test": 1000}
    encoded = pictures()

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(SIDE, SIDE, 3)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(n) for split, n in examples.items()}

        def _generate_examples(self, n):
            yield from ((i, {"image": encoded[i % DISTINCT], "label": i % 10}) for i in range(n))

    Made.name = name
    shuffle.MAX_MEM_BUFFER_SIZE = 2**35  # beyond its 1 GB TFDS shuffles on the disk, with TensorFlow
    Made(data_dir=folder, file_format="array_record").download_and_prepare()


def experiment_of(name: str, folder: Path, *, limit: float, workers: int, pipeline: str = "auto"):
    """A small net on the set: its step costs little, so that the pipeline shows."""
    from jaxvae.config import Config, Data, Model, Train
    from jaxvae.training.setup import set_up

    data = Data(name, str(folder), "grey", decoded_limit=limit, workers=workers, pipeline=pipeline, validation=0.0)
    model = Model(latent_dim=16, encoder="mlp(64)", decoder="mlp(64)", likelihood="gaussian('learned')")
    return set_up(Config(data=data, model=model, train=Train(engine="dispatch")), say=lambda line: None)


def memory(pid: int | str) -> dict[str, int]:
    """MiB of the process: resident now, of which anonymous, and the most that was ever resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    sizes = {line.partition(":")[0]: int(line.split()[1]) // 1024 for line in lines if line.endswith("kB")}
    return {"resident": sizes["VmRSS"], "anonymous": sizes["RssAnon"], "peak": sizes["VmHWM"]}


def watch(name: str, options) -> dict:
    """In a process of its own: trains over --images straight from the records, and notes the memory on the way."""
    import jax

    from jaxvae.rundir.state import first_state
    from jaxvae.training.setup import make_engine

    experiment = experiment_of(name, options.scratch, limit=0.0, workers=options.workers)
    pipeline, engine = make_engine(experiment)
    state = engine.place(first_state(experiment.config, experiment.parts, experiment.init_key, experiment.train_key))
    workers = experiment.data.splits["train"].image.decode.__self__.running
    eighth, rows, began = options.images // pipeline.batch_size // 8, [], time.perf_counter()
    for turn in range(8):
        state, metrics = engine.advance(state, turn * eighth, eighth)
        jax.block_until_ready(metrics)
        rows.append({"images": (turn + 1) * eighth * pipeline.batch_size, "trainer": memory("self")})
        rows[-1]["workers"] = [memory(worker.process.pid) for worker in workers]
    return {"images_per_second": rows[-1]["images"] / (time.perf_counter() - began), "memory_mib": rows}


def in_child(what: str, name: str, options) -> str:
    """Runs this script's `what` in a process of its own, so that its memory is its own."""
    command = [
        sys.executable,
        __file__,
        "--child",
        what,
        name,
        "--scratch",
        str(options.scratch),
        "--gb",
        str(options.gb),
    ]
    command += ["--images", str(options.images), "--workers", str(options.workers)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return lines[-1] if lines else ""


def speeds(options) -> dict:
    """Images/s over the quarter from records, from the cache, and resident; medians of alternate windows."""
    import jax

    from jaxvae.rundir.state import first_state
    from jaxvae.training.setup import make_engine

    steps = 20
    cases = {f"records, {n} processes": (0.0, n, "streaming") for n in sorted({0, 1, options.workers})}
    cases |= {"cache": (1e9, 0, "streaming"), "resident": (1e9, 0, "resident")}
    ready, found = {}, {name: [] for name in cases}
    for name, (limit, workers, kind) in cases.items():
        experiment = experiment_of("quarter", options.scratch, limit=limit, workers=workers, pipeline=kind)
        _, engine = make_engine(experiment)
        first = first_state(experiment.config, experiment.parts, experiment.init_key, experiment.train_key)
        ready[name] = [engine, engine.advance(engine.place(first), 0, 10)[0], 10]
    for _ in range(options.windows):
        for name, (engine, state, step) in ready.items():
            began = time.perf_counter()
            state, metrics = engine.advance(state, step, steps)
            jax.block_until_ready(metrics)
            found[name].append(steps * 128 / (time.perf_counter() - began))
            ready[name] = [engine, state, step + steps]
    return {name: {"median": float(np.median(v)), "least": min(v), "most": max(v)} for name, v in found.items()}


def costs(options, n: int = 2048) -> dict[str, float]:
    """Microseconds of processor time an image: read, parsed, decoded, received, gathered, copied, computed."""
    import jax
    from jax import random

    from jaxvae.data.pipeline import Streaming
    from jaxvae.data.tfds.prepared import open_builder, prepared_folder, read_split
    from jaxvae.data.tfds.workers import Workers
    from jaxvae.rundir.state import first_state

    builder = open_builder(prepared_folder("quarter", options.scratch))
    raw, whole = read_split(builder, "train", images=False), read_split(builder, "train")
    experiment = experiment_of("quarter", options.scratch, limit=1e9, workers=0, pipeline="streaming")
    pipeline = Streaming(experiment.data.splits["train"], random.key(0), 128)
    rows = np.random.default_rng(0).permutation(len(whole))[:n]

    def cpu(action) -> float:
        action()  # files opened, code compiled
        began = time.process_time()
        action()
        return (time.process_time() - began) / n * 1e6

    read = cpu(lambda: raw.data_source.__getitems__(rows.tolist()))
    parsed = cpu(lambda: raw.__getitems__(rows.tolist()))
    decoded = cpu(lambda: whole.__getitems__(rows.tolist()))
    pool, out = Workers(builder.data_path, 1), np.empty((n, SIDE, SIDE, 3), np.uint8)
    received = cpu(lambda: pool.decode("train", rows, out))  # this process's part alone
    batches = [pipeline.batch(step) for step in range(n // 128)]
    gathered = cpu(lambda: [pipeline.batch(step) for step in range(n // 128)])
    copied = cpu(lambda: jax.block_until_ready([jax.device_put(batch) for batch in batches]))
    step = jax.jit(experiment.parts.train_step)
    state = first_state(experiment.config, experiment.parts, experiment.init_key, experiment.train_key)
    placed = [jax.device_put(batch) for batch in batches]
    computed = cpu(lambda: [jax.block_until_ready(step(state, batch)) for batch in placed])
    return {
        "read": read,
        "parsed": parsed - read,
        "decoded": decoded - parsed,
        "received from a worker": received,
        "gathered from the cache": gathered,
        "copied to the device": copied,
        "computed": computed,
    }


def bottleneck(spent: dict[str, float], workers: int) -> str:
    """What sets the pace of streaming records where nothing else runs, in words."""
    decoding = (spent["read"] + spent["parsed"] + spent["decoded"]) / max(1, workers)
    stages = {"decoding": decoding, "the copy": spent["copied to the device"], "the step": spent["computed"]}
    name = max(stages, key=lambda stage: stages[stage])
    return f"{name}: {stages[name]:.0f} us an image, " + ", ".join(
        f"{k} {v:.0f}" for k, v in stages.items() if k != name
    )


def numbers(options) -> None:
    """Everything but the trace."""
    found: dict = {"cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0], "workers": options.workers}
    for name in ("quarter", "whole"):
        began = time.perf_counter()
        in_child("make", name, options)
        files = sum(path.stat().st_size for path in (options.scratch / name).rglob("*array_record*"))
        print(f"{name}: {files / 1e9:.2f} GB encoded, made in {time.perf_counter() - began:.0f} s", flush=True)
    for name in ("quarter", "whole"):
        found[name] = json.loads(in_child("watch", name, options))
        for row in found[name]["memory_mib"]:
            print(name, row, flush=True)
    for part in (costs, speeds):
        found[part.__name__] = part(options)
        print(json.dumps(found[part.__name__], indent=1), flush=True)
    found["bottleneck"] = bottleneck(found["costs"], options.workers)
    found["load_after"] = os.getloadavg()[0]
    print(found["bottleneck"])
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "streaming.json").write_text(json.dumps(found, indent=1) + "\n")


class DecodedBatches:
    """A source for Grain: element t is the batch of step t, decoded where it is asked for, in our order."""

    def __init__(self, folder: Path, permutation: np.ndarray):
        self.folder, self.batches = folder, permutation[: len(permutation) // 128 * 128].reshape(-1, 128)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> np.ndarray:
        from jaxvae.data.tfds.records import decoder

        if "decode" not in self.__dict__:
            self.decode = decoder(self.folder)
        images = np.empty((128, SIDE, SIDE, 3), np.uint8)
        self.decode("train", self.batches[step], images)
        return images


def against_grain(options) -> dict:
    """Batches/s of one order by our workers and by Grain's, of alternate windows, and the median of their ratios."""
    import grain
    import jax
    from absl import flags

    from jaxvae.data.pipeline import epoch_order, read_ahead
    from jaxvae.data.tfds.prepared import open_builder, prepared_folder
    from jaxvae.data.tfds.records import Records
    from jaxvae.data.tfds.workers import Workers

    flags.FLAGS.mark_as_parsed()
    folder, per_window = Path(open_builder(prepared_folder("quarter", options.scratch)).data_path), 40
    n = open_builder(prepared_folder("quarter", options.scratch)).info.splits["train"].num_examples
    source = DecodedBatches(folder, np.asarray(epoch_order(jax.random.key(0), 0, n)))
    records = Records("train", (n, SIDE, SIDE, 3), Workers(folder, options.workers).decode)
    dataset = grain.MapDataset.source(source).repeat().to_iter_dataset(grain.ReadOptions(1, 2))
    processes = grain.MultiprocessingOptions(options.workers, per_worker_buffer_size=4)
    steps = (step % len(source) for step in count())
    feeds = {
        "ours": read_ahead(lambda step: records[source.batches[step]], steps, 2),
        "grain": iter(dataset.mp_prefetch(processes)),
    }
    began = {}
    for name, feed in feeds.items():
        start = time.perf_counter()
        first = next(feed)
        began[name] = time.perf_counter() - start
        np.testing.assert_array_equal(first, source[0])
        for _ in range(9):
            next(feed)
    found: dict[str, list] = {name: [] for name in feeds}
    for turn in range(options.windows):
        for name in sorted(feeds, reverse=turn % 2 == 0):
            for _ in range(6):  # what was made ahead while the other was timed
                next(feeds[name])
            start = time.perf_counter()
            for _ in range(per_window):
                next(feeds[name])
            found[name].append(per_window / (time.perf_counter() - start))
    ratios = [ours / theirs for ours, theirs in zip(found["ours"], found["grain"], strict=True)]
    speed = {name: {"median": float(np.median(v)), "least": min(v), "most": max(v)} for name, v in found.items()}
    return {
        "batches_per_second": speed,
        "seconds_to_first": began,
        "ours_over_grain": float(np.median(ratios)),
        "ratios": ratios,
    }


class NotedSplit:
    """A split whose gathering stands in a trace under that name."""

    def __init__(self, split):
        self.split, self.image = split, split.image

    def __len__(self) -> int:
        return len(self.split)

    def take(self, positions: np.ndarray):
        import jax

        with jax.profiler.TraceAnnotation("gather"):
            return self.split.take(positions)


class NotedLayout:
    """A layout whose copying stands in a trace under that name."""

    def __init__(self, layout):
        self.layout, self.rows = layout, layout.rows

    def put_rows(self, batch):
        import jax

        with jax.profiler.TraceAnnotation("copy"):
            return self.layout.put_rows(batch)


def traced(options, steps: int = 60) -> dict:
    """How much of making batches ready the steps' computation covers, and what share of the time they compute.

    Each step waited for before the next batch is gathered; not waited for, one thread; and as `Streaming` does it.
    """
    import jax

    from jaxvae.config import Config, Data, Model
    from jaxvae.data.pipeline import Streaming
    from jaxvae.rundir.state import first_state
    from jaxvae.training.setup import set_up

    images = np.random.default_rng(0).integers(0, 256, (10_000, SIDE, SIDE, 3), np.uint8)
    model = Model(latent_dim=16, encoder="mlp(64)", decoder="mlp(64)", likelihood="gaussian('learned')")
    config = Config(data=Data(prepare="grey", validation=0.0), model=model)
    experiment = set_up(config, images, say=lambda line: None)
    pipeline = Streaming(
        NotedSplit(experiment.data.splits["train"]),
        experiment.data_key,
        config.data.batch_size,
        NotedLayout(experiment.layout),
    )

    def in_sequence(step: int) -> Iterator:
        return (pipeline.layout.put_rows(pipeline.batch(number)) for number in count(step))

    compiled = jax.jit(experiment.parts.train_step, donate_argnums=0)
    state = first_state(experiment.config, experiment.parts, experiment.init_key, experiment.train_key)
    found = {}
    for name in ("waited for", "in sequence", "ahead"):
        batches = pipeline.batches if name == "ahead" else in_sequence
        feed, folder = batches(0), options.trace / name.replace(" ", "_")
        for _ in range(10):
            state, metrics = compiled(state, next(feed))
        jax.block_until_ready(metrics)
        quiet = jax.profiler.ProfileOptions()
        quiet.python_tracer_level = 0  # every Python call as an event would slow the threads that are to be seen
        began = time.perf_counter()
        with jax.profiler.trace(folder, create_perfetto_trace=True, profiler_options=quiet):
            for _ in range(steps):
                state, metrics = compiled(state, next(feed))
                if name == "waited for":
                    jax.block_until_ready(metrics)
            jax.block_until_ready(metrics)
            taken = time.perf_counter() - began
        feed.close()
        found[name] = {"steps_per_second": steps / taken, **overlap(folder)}
    return found


def overlap(folder: Path) -> dict[str, float]:
    """Of the newest trace in the folder: milliseconds of gathering, copying, computing, and what computing covers."""
    newest = max(folder.rglob("perfetto_trace.json.gz"), key=lambda path: path.stat().st_mtime)
    with gzip.open(newest) as file:
        events = json.load(file)["traceEvents"]
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    spans: dict[str, list] = {"gather": [], "copy": [], "compute": []}
    for e in (e for e in events if e.get("ph") == "X"):
        # XLA's own threads run the programs, and the copies that the host asked for
        xla = threads.get((e["pid"], e["tid"]), "").startswith("tf_XLA")
        kinds = {"H2D Dispatch": "copy", "ThunkExecutor::Execute (wait for completion)": "compute"} if xla else {}
        if (kind := kinds.get(e["name"], e["name"])) in spans:
            spans[kind].append((e["ts"], e["ts"] + e["dur"]))
    merged = {kind: union(some) for kind, some in spans.items()}
    ready, compute = union(spans["gather"] + spans["copy"]), merged["compute"]
    whole = max(end for _, end in compute) - min(start for start, _ in compute)
    return {
        **{f"{kind}_ms": length(some) / 1e3 for kind, some in merged.items()},
        "ready_while_computing": length(common(ready, compute)) / length(ready),
        "computing_share_of_time": length(compute) / whole,
    }


def union(spans: list) -> list:
    """The spans in order, those that touch made one."""
    found: list = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def common(one: list, other: list) -> list:
    """Where both lists of spans, each as `union` gives it, lie."""
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return [(start, end) for start, end in pairs if start < end]


def length(spans: list) -> float:
    return sum(end - start for start, end in spans)


def main() -> None:
    options = parser.parse_args()
    if options.trace:
        print(json.dumps(traced(options), indent=1))
        return
    with tempfile.TemporaryDirectory() as scratch:
        options.scratch = options.scratch or Path(scratch)
        os.environ["JAXVAE_CACHE"] = str(options.scratch / "cache")
        if options.grain:
            make_set("quarter", options.gb / 4, options.scratch)
            found = {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0], **against_grain(options)}
            print(json.dumps(found, indent=1), flush=True)
            os._exit(0)  # Grain's processes may outlive their iterator
        elif options.child is None:
            numbers(options)
        elif options.child[0] == "make":
            make_set(options.child[1], options.gb / (4 if options.child[1] == "quarter" else 1), options.scratch)
        else:
            print(json.dumps(watch(options.child[1], options)))


if __name__ == "__main__":
    main()
