"""A signal is answered wherever it arrives: while training, before and after it, and where Python cannot run."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from jaxvae import interrupt
from jaxvae.interrupt import Stopped, interruptible, stoppable

STUCK = """
import ctypes, os, signal, sys, threading
from jaxvae import interrupt
interrupt.LATEST = 0.3
with interrupt.stoppable(), interrupt.interruptible():
    threading.Timer(0.2, os.kill, (os.getpid(), int(sys.argv[1]))).start()
    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex), lock(mutex)  # never returns, as a long compilation would not for a while
"""
NOTICED = """
import os, signal, sys, time
from jaxvae import interrupt
interrupt.LATEST = 0.3
with interrupt.stoppable(), interrupt.interruptible() as caught:
    os.kill(os.getpid(), int(sys.argv[1]))
    interrupt.noticed.set()
    time.sleep(1.0)  # saving takes what it takes
    print(caught)
"""


def ran(text, signum):
    return subprocess.run([sys.executable, "-c", text, str(int(signum))], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_program_that_cannot_answer_is_ended_in_words(signum, code):
    done = ran(STUCK, signum)
    assert done.returncode == code
    assert done.stderr.startswith(f"{signum.name}: ended")
    assert "The last checkpoint is kept" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_that_has_noticed_is_left_to_save():
    done = ran(NOTICED, signal.SIGTERM)
    assert (done.returncode, done.stdout) == (0, f"[{int(signal.SIGTERM)}]\n")


@pytest.mark.parametrize("signum", interrupt.SIGNALS)
def test_outside_training_a_signal_raises_stopped_and_the_old_handlers_come_back(signum):
    before = [signal.getsignal(each) for each in interrupt.SIGNALS]
    threads = threading.active_count()
    with (
        pytest.raises(Stopped, match=rf"{signum.name}: stopped\. What was saved before is kept") as caught,
        stoppable(),
    ):
        signal.raise_signal(signum)
    assert caught.value.signum == signum
    assert [signal.getsignal(each) for each in interrupt.SIGNALS] == before
    assert threading.active_count() == threads


def test_within_training_the_first_signal_is_noted_and_the_second_stops():
    with stoppable(), interruptible() as noted:
        os.kill(os.getpid(), signal.SIGTERM)
        assert noted == [signal.SIGTERM]
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
        interrupt.noticed.set()


def test_a_signal_that_a_library_took_is_heard_again():
    with stoppable():
        os.kill(os.getpid(), signal.SIGWINCH)  # of no interest
        interrupt.heard_again()
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
