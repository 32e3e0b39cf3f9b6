"""The command line, `jaxvae VERB`, and train.py.

Exit codes: 0 done; 2 the caller's mistake, one message with the next step (--debug shows the traceback); 1 the run
itself failed; 130 or 143 stopped by Ctrl-C or SIGTERM with everything saved; 141 the reader of the output is gone.
"""

import logging
import os
import select
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from jaxvae.cli.arguments import check_arguments
from jaxvae.cli.commands import COMMANDS, make_parser
from jaxvae.cli.errors import explain
from jaxvae.config.command_line import PREFIX, suggest_fields
from jaxvae.runtime.console import print_safely
from jaxvae.runtime.signals import Interrupted, exit_on_signal

__all__ = ["main", "run_action"]

_GRACE = 3.0  # seconds in which other processes that fail for the same reason print it
_NO_READER = 141  # the exit code of a process that SIGPIPE killed


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    parser = make_parser()
    arguments, overrides = parser.parse_known_args(argv)
    stray = [text for text in overrides if not text.startswith(PREFIX)]
    if stray or (overrides and "config" not in arguments):
        near = suggest_fields(stray) if stray and "config" in arguments else ""
        parser.error(f"unrecognized arguments: {' '.join(stray or overrides)}; {near}".removesuffix("; "))
    arguments.overrides = overrides
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if not arguments.debug:
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs each error that it raises, with its traceback

    def action() -> None:
        check_arguments(arguments)
        COMMANDS[arguments.verb].run(arguments)

    with exit_on_signal(resumes=arguments.verb == "train") as shutdown:
        arguments.shutdown = shutdown
        code, all_processes = run_action(action, debug=arguments.debug)
    if not all_processes and "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized():
        sys.stderr.flush()
        if sys.modules["jax"].process_index() == 0:  # JAX aborts the others when this process ends
            time.sleep(_GRACE)
        os._exit(code)  # an orderly exit would wait for the other processes to exit, too
    return code


def run_action(action: Callable[[], None], *, debug: bool) -> tuple[int, bool]:
    """Runs the action and prints its error as one message.

    Returns (exit code, whether all processes of a multihost run exit at this point).
    """
    try:
        action()
        sys.stdout.flush()
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signum, True
    except KeyboardInterrupt:  # raised by a file of the user's: a signal raises none here
        print("stopped.", file=sys.stderr)
        return 130, False
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            return _NO_READER, False
        if debug:
            traceback.print_exc()
        message, code = explain(error)
        print_safely(f"error: {message}", sys.stderr)
        return code, False
    return 0, True


def _output_is_closed() -> bool:
    """Returns whether the reader of the output is gone, as in `jaxvae ... | head`, and then discards the output."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python reports an error at its exit
    return True
