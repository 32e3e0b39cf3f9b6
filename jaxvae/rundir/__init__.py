"""The run directory: the files that a run writes, and reading them back.

config.json        the config and the shape of the data      metrics.jsonl   numbers of the steps, the same every time
environment.json   versions, devices, command                timing.jsonl    seconds and speed
results.json       the final numbers and their protocol      events.jsonl    skipped steps, rollbacks
checkpoints/       states, each with a manifest              tensorboard/    the numbers of metrics.jsonl
samples/, codes/   snapshots of training                     lock            the process that uses the directory
scores.npz         the final numbers of every image
"""

CONFIG, RESULTS, SCORES = "config.json", "results.json", "scores.npz"
METRICS, TIMING, EVENTS = "metrics.jsonl", "timing.jsonl", "events.jsonl"
CHECKPOINTS, TENSORBOARD = "checkpoints", "tensorboard"
