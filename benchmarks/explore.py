"""How fast the page of `jaxvae explore` is answered: each kind of interaction, by a client over HTTP on loopback.

    python benchmarks/explore.py RUN [RUN ...] [--data_dir FOLDER] [--count 200] [--trust] [--out FILE.json]

The server runs as it does for a browser, in this process; so does the client, one question after another on one kept
connection, each different from the one before: a code, a place between two images, a strength of an attribute, a
drawing with its reconstruction and neighbours, 16 samples. Milliseconds from the question's first byte to the answer's
last: median, 90% and the worst of `count`. What a browser adds, painting a picture, is not in them. The machine's load
is given beside, for other programs on it disturb the numbers.

Two cores (AMD EPYC) at a load of 8, ms, median (90%): mnist, mlp(400), 20 dimensions: code 0.7 (0.8), step 0.7 (0.8),
attribute 0.7 (0.9), samples 1.3 (1.7), drawing 4.5 (5.5); digits, mlp(400, 200), 2 dimensions: 0.7 (4.5), 0.7 (4.4),
0.7 (2.4), 1.1 (4.3), 6.9 (11.7).
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxvae.viz.explorer.routes import make_app

from jaxvae.cli.open_run import open_subject
from jaxvae.viz.explorer.api import PATH_STEPS, compile_all
from jaxvae.viz.explorer.server import listen, serve
from jaxvae.viz.explorer.session import Session, open_session

LIMIT = 50.0  # ms, the median of an MLP on a CPU
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
parser.add_argument("--data_dir")
parser.add_argument("--count", type=int, default=200)
parser.add_argument("--trust", action="store_true")
parser.add_argument("--out", type=Path, help="a JSON file for the numbers")


def requests(session: Session, seed: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Returns {kind of interaction: (endpoint, its fields)}, drawn by the seed."""
    random = np.random.RandomState(seed)
    here: dict[str, Any] = {"strengths": {}, "condition": 0}
    drawing = base64.b64encode(random.randint(0, 256, session.subject.run.shape).astype(np.uint8).tobytes()).decode()
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "draw, reconstruct, neighbours": ("drawing", {"pixels": drawing, "condition": 0}),
        "resample 16": ("samples", {"seed": seed, "temperature": 1.0, "condition": 0}),
    }
    if session.codes is None:
        return found
    z = random.normal(size=len(session.codes.information)).tolist()
    first, second = (int(each) for each in random.choice(len(session.subject.split), 2, replace=False))
    walk = {"a": first, "b": second, "path": "great_circle", "index": int(random.randint(PATH_STEPS)), **here}
    found = {"decode a code": ("decode", {"z": z, **here}), "step between two images": ("interpolate", walk)} | found
    if session.codes.directions:
        name = list(session.codes.directions)[seed % len(session.codes.directions)]
        strengths = {"strengths": {name: float(random.uniform(-2, 2))}}
        found["add an attribute"] = ("decode", {"z": z, **here, **strengths})
    return found


def measure(address: str, session: Session, count: int) -> dict[str, dict[str, float]]:
    """Returns {kind: median, 90% and worst, ms}; the kinds take turns, so that other load affects them all."""
    connection = http.client.HTTPConnection(address.split("/")[2], timeout=60)
    taken: dict[str, list[float]] = {}
    for seed in range(count):
        for kind, (endpoint, fields) in requests(session, seed).items():
            body = json.dumps(fields)
            began = time.perf_counter()
            connection.request("POST", f"/api/{endpoint}", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            taken.setdefault(kind, []).append(1000 * (time.perf_counter() - began))
            if answer.status != 200:
                raise RuntimeError(f"{kind}: {content.decode()}")
    return {kind: summary(values) for kind, values in taken.items()}


def summary(values: list[float]) -> dict[str, float]:
    median, high = np.quantile(values, [0.5, 0.9])
    return {"median": round(float(median), 2), "90%": round(float(high), 2), "worst": round(max(values), 2)}


def main() -> None:
    options = parser.parse_args()
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    for run in options.runs:
        settings = {"seed": 0, "split": None, "data_dir": options.data_dir, "trust": options.trust}
        session = open_session(open_subject(argparse.Namespace(run=run, **settings)))
        compile_all(session)
        load = os.getloadavg()[0]
        with listen(0) as sock, serve(make_app(session, run.name), sock) as address:
            times = measure(address, session, options.count)
        found[str(run)] = {"load": [load, os.getloadavg()[0]], "count": options.count, "milliseconds": times}
        print(f"{run}: ms over {options.count} each, load {load:.1f} before, {os.getloadavg()[0]:.1f} after")
        for kind, each in times.items():
            late = "" if each["median"] < LIMIT else f"  over {LIMIT:g}"
            print(
                f"  {kind:32} median {each['median']:6.1f}   90% {each['90%']:6.1f}   worst {each['worst']:6.1f}{late}"
            )
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
