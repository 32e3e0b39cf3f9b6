"""A signal is answered wherever it arrives: while training, before and after it, and where Python cannot run."""

import signal
import subprocess
import sys
import threading

import pytest

from jaxvae.runtime import signals
from jaxvae.runtime.signals import exit_on_signal

STUCK = """
import ctypes, os, signal, sys, threading
from jaxvae.runtime import signals
signals.LONGEST_WAIT = 0.3
with signals.exit_on_signal() as shutdown, shutdown.deferred():
    threading.Timer(0.2, os.kill, (os.getpid(), int(sys.argv[1]))).start()
    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex), lock(mutex)  # never returns, as a long compilation would not for a while
"""
NOTICED = """
import os, signal, sys, time
from jaxvae.runtime import signals
signals.LONGEST_WAIT = 0.3
with signals.exit_on_signal() as shutdown, shutdown.deferred():
    os.kill(os.getpid(), int(sys.argv[1]))
    shutdown.answered.set()
    time.sleep(1.0)  # saving takes what it takes
    print(shutdown.signum)
"""
OUTSIDE = """
import os, sys
from pathlib import Path
from jaxvae.runtime import signals
from jaxvae.rundir.lock import lock_run_directory
with signals.exit_on_signal() as shutdown, lock_run_directory(Path(sys.argv[2]), print, shutdown):
    print("begun")
    os.kill(os.getpid(), int(sys.argv[1]))
"""
TWICE = """
import os, sys
from jaxvae.runtime import signals
with signals.exit_on_signal() as shutdown, shutdown.deferred():
    os.kill(os.getpid(), int(sys.argv[1]))
    print(shutdown.signum)
    shutdown.answered.set()
    os.kill(os.getpid(), int(sys.argv[1]))
"""


def ran(text, signum, *arguments):
    return subprocess.run(
        [sys.executable, "-c", text, str(int(signum)), *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_program_that_cannot_answer_is_ended_in_words(signum, code):
    done = ran(STUCK, signum)
    assert done.returncode == code
    assert done.stderr.startswith(f"{signum.name}: ended")
    assert "The last checkpoint is kept" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_that_has_noticed_is_left_to_save():
    done = ran(NOTICED, signal.SIGTERM)
    assert (done.returncode, done.stdout) == (0, f"{int(signal.SIGTERM)}\n")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_outside_training_a_signal_ends_the_program_in_words_and_gives_the_lock_back(signum, code, tmp_path):
    done = ran(OUTSIDE, signum, str(tmp_path / "run"))
    assert done.returncode == code
    assert done.stdout == "begun\n"
    assert done.stderr == (
        f"{signum.name}: stopped. What was saved before is kept; the same command goes on from there.\n"
    )
    assert not any((tmp_path / "run").iterdir())


def test_a_second_signal_while_saving_ends_at_once():
    done = ran(TWICE, signal.SIGTERM)
    assert (done.returncode, done.stdout) == (143, "15\n")


def test_the_old_handlers_come_back_and_no_thread_stays():
    before = [signal.getsignal(each) for each in signals.SIGNALS]
    threads = threading.active_count()
    with exit_on_signal() as shutdown, shutdown.deferred():
        signal.raise_signal(signal.SIGTERM)
        shutdown.answered.set()
    assert shutdown.signum == signal.SIGTERM
    assert [signal.getsignal(each) for each in signals.SIGNALS] == before
    assert threading.active_count() == threads
