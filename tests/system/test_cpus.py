"""How tests that run side by side share the host's CPUs. Each Cpus stands for a process."""
import queue
import threading

import pytest

from cpus import Cpus

# Seconds; nothing here waits so long.
PATIENCE = 60


@pytest.fixture
def process(tmp_path):
    """process(): one that shares two CPUs with the others."""
    return lambda: Cpus(tmp_path, 2)


def take(cpus, number, done):
    def run():
        cpus.take(number)
        done.put(cpus)
    threading.Thread(target=run, daemon=True).start()


def test_two_small_machines_run_together(process):
    process().take(1)
    done = queue.Queue()
    take(process(), 1, done)
    done.get(timeout=PATIENCE)


def test_a_large_machine_waits_for_a_small_one(process):
    """Else its CPUs would wait for each other's locks while the host runs another machine."""
    small, large, done = process(), process(), queue.Queue()
    small.take(1)
    take(large, 2, done)
    with pytest.raises(queue.Empty):
        done.get(timeout=1)
    small.give(1)
    assert done.get(timeout=PATIENCE) is large and len(large.held) == 2


def test_a_machine_that_is_too_large_has_them_all(process):
    cpus = process()
    cpus.take(16)
    assert len(cpus.held) == 2
    cpus.give(16)
    assert not cpus.held


def test_what_was_not_taken_is_not_given(process):
    """The count would stay wrong for all later machines of this process."""
    cpus = process()
    cpus.take(1)
    cpus.give(1)
    with pytest.raises(AssertionError):
        cpus.give(1)
    cpus.take(2)
    assert len(cpus.held) == 2


def test_two_processes_that_want_more_do_not_wait_for_each_other(process):
    processes, done = [process(), process()], queue.Queue()
    for cpus in processes:
        cpus.take(1)
    for cpus in processes:
        take(cpus, 1, done)
    for _ in processes:
        cpus = done.get(timeout=PATIENCE)
        assert len(cpus.held) == 2
        cpus.give(2)
    assert not any(cpus.held for cpus in processes)
