"""Processes that draw batches. Threads of one process share Python's lock, and a second core adds little."""

import os
import pickle
import queue
import subprocess
import sys

import numpy as np

from srgan_tf.errors import UserError

# Without multiprocessing, which would run the user's main script again in each process.
_CODE = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from srgan_tf.training import workers; workers.serve()"
)


class Workers:
    """Draws batches in several processes; called like the batches, from as many threads.

    If a process fails, the calling thread draws the batch itself. Errors are therefore raised where the caller can
    handle them, and a lost process only costs time.

    Args:
        batches: `batches.Batches`, pickled for the processes.
        count: the number of processes.
    """

    def __init__(self, batches, count):
        self._batches, self._idle, self._closed = batches, queue.SimpleQueue(), False
        self._all = [worker for _ in range(count) if (worker := _start(batches))]
        for worker in [*self._all, *[None] * (count - len(self._all))]:
            self._idle.put(worker)

    def __call__(self, n, rows=slice(None)):
        worker = self._idle.get()
        try:
            drawn = worker.draw(n, rows) if worker else None
        except (OSError, EOFError, ValueError):  # ValueError: its pipes are closed
            worker = drawn = None
            if not self._closed:
                print("warning: a process that prepares crops has ended. The others go on.", file=sys.stderr)
        finally:
            self._idle.put(worker)
        return drawn or self._batches(n, rows)

    def close(self):
        """End the processes."""
        self._closed = True
        for worker in self._all:
            worker.close()


class _Worker:
    def __init__(self, batches):
        # A session of its own: Ctrl-C is for the program that trains. The end of its input ends the process.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._send(sys.path)
        self._send(batches)
        self._side, self._scale, self._batch = batches.side, batches.scale, batches.batch

    def draw(self, n, rows):
        """The rows of batch n as LR and HR; None if the process cannot draw them."""
        self._send((int(n), rows))
        if self._receive(1) == b"\0":
            return None
        count = len(range(self._batch)[rows])
        return tuple(
            np.frombuffer(self._receive(count * side * side * 3), np.uint8).reshape(count, side, side, 3)
            for side in (self._side, self._scale * self._side)
        )

    def close(self):
        self._process.kill()
        self._process.wait()

    def _send(self, value):
        pickle.dump(value, self._process.stdin)
        self._process.stdin.flush()

    def _receive(self, size):
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise EOFError
        return data


def _start(batches):
    try:
        return _Worker(batches)
    except (OSError, TypeError) as error:  # TypeError: sys.executable is None
        print(f"warning: crops are prepared by one process, as no other can be started ({error}).", file=sys.stderr)
        return None


def serve():
    """Answer requests on standard input until it ends: batches first, then (number, rows) for each answer."""
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    try:
        batches = pickle.load(requests)
        while True:
            n, rows = pickle.load(requests)
            try:
                drawn = batches(n, rows)
            except UserError:  # the other process meets it as well, and reports it
                replies.write(b"\0")
            else:
                replies.write(b"\1")
                for array in drawn:
                    replies.write(np.ascontiguousarray(array))
            replies.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # without a flush of the closed pipe
