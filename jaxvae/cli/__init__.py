"""The command line, `jaxvae VERB`, and train.py.

Exit codes: 0 done; 2 the caller's mistake, one message with the next move (--debug shows the traceback); 1 the run
itself failed; 130 or 143 stopped by Ctrl-C or SIGTERM with everything saved; 141 nobody reads the output any more.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence

from jaxvae.cli.arguments import check_options, make_parser
from jaxvae.cli.errors import explained
from jaxvae.config.command_line import PREFIX
from jaxvae.runtime.console import show
from jaxvae.runtime.signals import Interrupted, exit_on_signal

_NO_READER = 141  # as a process ends that SIGPIPE killed: who read its output is gone
log = logging.getLogger("jaxvae")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = make_parser()
    options, overrides = parser.parse_known_args(argv)
    stray = [text for text in overrides if not text.startswith(PREFIX)]
    if stray or (overrides and not hasattr(options, "config")):
        parser.error(f"unrecognized arguments: {' '.join(stray or overrides)}")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if not options.debug:
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs what it raises besides, with the traceback

    def action() -> None:
        check_options(options)
        options.verb(options, overrides)

    with exit_on_signal(goes_on=options.name_of_verb == "train"):
        code, together = guarded(action, debug=options.debug)
    return code if together else _abandon(code)


def _abandon(code: int) -> int:
    """Ends a process that ends alone among several at once; in order it would wait for the others to end too."""
    if "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized():
        sys.stderr.flush()
        os._exit(code)
    return code


def train() -> int:
    """train.py: `jaxvae train` with the command line's arguments."""
    return main(["train", *sys.argv[1:]])


def guarded(action: Callable[[], None], *, debug: bool) -> tuple[int, bool]:
    """Runs the action and turns what went wrong into one message; returns (exit code, whether all processes end so)."""
    try:
        action()
        sys.stdout.flush()
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signum, True
    except KeyboardInterrupt:  # of somebody's code: a signal raises none here
        print("stopped.", file=sys.stderr)
        return 130, False
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return _NO_READER, False
        if debug:
            traceback.print_exc()
        message, code = explained(error)
        show(f"error: {message}", sys.stderr)
        return code, False
    return 0, True


def _nobody_reads() -> bool:
    """Whether the reader of this process's output is gone, as in `jaxvae ... | head`; nothing is from then on."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
    return True


if __name__ == "__main__":
    sys.exit(main())
