"""Pictures enlarged by TensorFlow Serving instead of by this machine: tiles side by side, on one server or several."""

import collections
import concurrent.futures
import contextlib
import itertools
import math
import random
import threading
import time

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.upscaling import endpoints, memory
from srgan_tf.upscaling.endpoints import Away
from srgan_tf.upscaling.enlarger import Enlarger
from srgan_tf.upscaling.sizes import Size
from srgan_tf.upscaling.tiles import spans

CONNECTIONS = 2  # tiles on their way to one server: one is computed while the other travels
ATTEMPTS = 8  # failures in a row after which a server is given up: when all are, so is the picture
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0  # seconds
TILE = 768  # LR pixels, as `upscaling` has it where the memory is large enough
TIMEOUT = 600.0  # seconds that one tile may take


class Remote(Enlarger):
    """An `upscaler.Upscaler` whose network is on a server: 8-bit pictures only, as the model's signatures have it.

        upscale = Remote(["grpc://one:8500/srgan_x4", "grpc://two:8500/srgan_x4"])

    A server that fails is asked again after a pause, which grows, and the others take over what it was computing.
    All is computed by the model that was there first: when a server takes another version, what it enlarges fails.
    """

    def __init__(
        self, servers, scale=None, *, outscale=None, width=None, height=None, tile=0, precision="auto", timeout=TIMEOUT
    ):
        """Ask the servers for what they know of their model.

        Args:
            servers: addresses as `endpoints.parse` takes them; all serve the same model.
            scale: what the model must have; None takes any.
            outscale, width, height, tile: as in `Upscaler`.
            precision: "float32", "bfloat16", or "auto", which is float32: what a server computes fast is not known.
            timeout: seconds that one tile may take.

        Raises:
            UserError: when no server answers, or not with such a model.
            ValueError: for a negative tile.
        """
        if tile < 0:
            raise ValueError(f"tile must be 0 or positive. Received: {tile}")
        precision = "float32" if precision == "auto" else precision
        if precision not in endpoints.SIGNATURES:
            raise UserError(
                f"servers compute in {' or '.join(endpoints.SIGNATURES)}, --precision {precision} and "
                "--server, choose another"
            )
        self.folder, self.precision, self._timeout = None, precision, timeout
        self.attributes = self._ask(servers)
        self.scale, self.halo = self.attributes["scale"], self.attributes["halo"]
        self.size = Size(self.scale if outscale is None else outscale, width, height)
        limit = math.isqrt(self.attributes["pixel_limit"]) - 2 * self.halo
        if limit < 1:
            raise UserError(
                f"the model takes only {self.attributes['pixel_limit']} pixels at once, --server, export "
                f"it with a pixel_limit of {(2 * self.halo + 1) ** 2} or more"
            )
        self.tile, self._automatic = min(tile, limit), min(TILE, limit)
        if scale not in (None, self.scale):
            raise UserError(
                f"the model enlarges {self.scale} times, --scale {scale}, leave it out or name another "
                "model in --server"
            )

    def _ask(self, servers):
        self._servers = Servers([endpoints.parse(server) for server in servers])
        return self._servers.attributes(self._timeout)

    def _enlarge_batch(self, batch, step):
        if batch.dtype != np.uint8:
            raise UserError("the picture has 16 bits a channel and a server computes 8, --server, leave it out")
        count, height, width, _ = batch.shape
        scale = self.scale
        large = memory.empty((count, scale * height, scale * width, 3), np.uint8)
        small = height * width <= (self._automatic + 2 * self.halo) ** 2
        tile = self.tile or (max(height, width) if small else self._automatic)
        together = max(1, self._automatic**2 // (min(height, tile) * min(width, tile)))  # pictures in one request
        some = [slice(first, min(first + together, count)) for first in range(0, count, together)]
        places = list(itertools.product(some, spans(height, tile, self.halo), spans(width, tile, self.halo)))
        tiles = (batch[part, rows.with_halo, columns.with_halo] for part, rows, columns in places)
        with contextlib.closing(self._enlarged(tiles)) as enlarged:  # at once, also when `step` raises
            for (part, rows, columns), sr in zip(places, enlarged, strict=True):
                within = sr[:, rows.within(scale), columns.within(scale)]
                large[part, rows.larger(scale), columns.larger(scale)] = within
                step(within.size / large.size)
        return large

    def _enlarged(self, tiles):
        """Results in the order of the tiles; only a few more are cut and sent than have been taken."""
        servers, sent = self._servers, 0
        workers = CONNECTIONS * len(servers)
        running = collections.deque()
        pool = concurrent.futures.ThreadPoolExecutor(workers)
        servers.take_heart()
        try:
            for sent, tile in enumerate(tiles, 1):
                running.append(pool.submit(servers.enlarge, tile, self.scale, self.precision, self._timeout))
                if len(running) > workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
            if sent:
                servers.check(self._timeout)
        except (KeyboardInterrupt, GeneratorExit):
            self._servers = servers.anew()
            servers.close()  # else Python would wait at its end for what is being computed
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class Servers:
    """Endpoints that take over from each other."""

    def __init__(self, addresses, facts=None):
        self._all = [_Server(endpoints.connect(address, CONNECTIONS)) for address in addresses]
        self._changed = threading.Condition()
        self._facts, self._closed = facts, False

    def __len__(self):
        return len(self._all)

    def attributes(self, timeout):
        """What the first that answers says of its model; one that does not is left for later.

        A busy server may need long even for this: only if no other answers is it given all its time.
        """
        for patience in (min(endpoints.CONNECT_TIMEOUT, timeout), timeout):
            for server in self._all:
                started = time.monotonic()
                try:
                    self._greet(server, patience)
                except Away as away:
                    server.fail(away, started)
            if self._facts is not None:
                return self._facts
        raise self._gone("does not answer")

    def take_heart(self):
        """Before a picture: servers that the last one gave up may be back, and are asked as patiently again."""
        with self._changed:
            if all(server.given_up for server in self._all):
                for server in self._all:
                    server.failures = 0

    def enlarge(self, batch, scale, precision, timeout):
        """uint8 [B, H, W, 3] -> uint8 [B, scale H, scale W, 3] by whichever server is free first.

        Raises:
            UserError: when every server has failed `ATTEMPTS` times in a row, or one refuses.
        """
        while True:
            server = self._take()
            started, away = time.monotonic(), None
            try:
                self._greet(server, timeout)
                large = server.endpoint.enlarge(batch, precision, timeout)
                _check(large, batch, scale, server.address)
                return large
            except Away as error:
                away = error
            finally:
                self._give_back(server, started, away)
            if self._closed or all(server.given_up for server in self._all):
                raise self._gone("stopped answering")

    def check(self, timeout):
        """After a picture: a server takes a newer version by itself, also between two tiles.

        What one that is away by now had computed with is not known, and nothing else than its going tells of a change.

        Raises:
            UserError: when a server has another model than it had.
        """
        for server in self._all:
            if server.greeted:
                server.greeted, started = False, time.monotonic()
                try:
                    self._greet(server, timeout)
                except Away as away:
                    with self._changed:
                        server.fail(away, started)

    def anew(self):
        """The same, for what comes after `close`."""
        return Servers([server.address for server in self._all], self._facts)

    def close(self):
        """End what is on its way, and what waits; nothing can be asked any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for server in self._all:
            server.endpoint.close()

    def _greet(self, server, timeout):
        """Before the first tile: a server of another model would leave its mark on a part of the tiles."""
        if server.greeted:
            return
        facts = server.endpoint.attributes(timeout)
        self._facts = self._facts or facts
        if facts["sha256"] != self._facts["sha256"]:
            if server.known:
                raise UserError(
                    f"the server has taken another version of the model, --server {server.address}, run it "
                    "again, or write /versions/N behind the model"
                )
            raise UserError(
                f"the servers have different models, --server {server.address}, name the same model and version for all"
            )
        server.greeted = server.known = True

    def _take(self):
        """The server with the least to do of those that need no rest; waits where all do."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                ready = [server for server in self._all if server.rests_until <= now]
                if all(server.given_up for server in self._all):
                    ready = self._all
                if ready:
                    server = min(ready, key=lambda server: server.busy)
                    server.busy += 1
                    return server
                self._changed.wait(min(server.rests_until for server in self._all) - now)
        raise self._gone("stopped answering")

    def _give_back(self, server, started, away):
        with self._changed:
            server.busy -= 1
            if away is None:
                server.failures = 0
            else:
                server.fail(away, started)
            self._changed.notify_all()

    def _gone(self, what):
        reasons = "; ".join(f"{server.address} {server.reason}" for server in self._all if server.reason)
        every = "the server" if len(self._all) == 1 else "none of the servers"
        what = (
            what
            if len(self._all) == 1
            else what.replace("does not answer", "answers").replace("stopped answering", "answers any more")
        )
        return UserError(f"{every} {what}, --server {reasons}, start it or check the address")


class _Server:
    """An endpoint and how it fares."""

    def __init__(self, endpoint):
        self.endpoint, self.address = endpoint, endpoint.address
        self.greeted, self.known = False, False  # since it was last away; ever
        self.busy, self.failures, self.rests_until = 0, 0, 0.0
        self.failed_at, self.reason = float("-inf"), None

    @property
    def given_up(self):
        return self.failures >= ATTEMPTS

    def fail(self, away, started):
        """Count a failure of a request begun at `started`; those that one breakdown ended count once."""
        self.greeted = False  # it may come back with another model
        if started < self.failed_at:
            return
        self.failures, self.reason, self.failed_at = self.failures + 1, f"({away})", time.monotonic()
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures - 1, 9))
        # in part by chance: the clients of a server must not all come back at once
        self.rests_until = time.monotonic() + pause * random.uniform(0.5, 1.0)


def _check(large, batch, scale, address):
    count, height, width, _ = batch.shape
    expected = (count, scale * height, scale * width, 3)
    if getattr(large, "dtype", None) != np.uint8 or large.shape != expected:
        raise UserError(f"the answer is no picture of the right size, --server {address}, serve a model of srgan_tf")
