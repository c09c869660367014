"""Upscaling with TensorFlow Serving: tiles are computed in parallel on one or more servers."""

import collections
import concurrent.futures
import contextlib
import itertools
import json
import math
import random
import threading
import time

import numpy as np

from srgan_tf.errors import UserError
from srgan_tf.upscaling import endpoints, memory
from srgan_tf.upscaling.endpoints import Away, Refused
from srgan_tf.upscaling.enlarger import Enlarger
from srgan_tf.upscaling.sizes import Size
from srgan_tf.upscaling.tiles import spans

CONNECTIONS = 2  # concurrent requests per server: one is computed while the other is transferred
ATTEMPTS = 8  # consecutive failures until a server is given up; a picture fails when all are
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0  # seconds
PROBE = 2.0  # seconds that a failed server has to respond while another one works: its tile waits
TILE = 768  # LR pixels per side, as in `upscaler` with enough memory
TIMEOUT = 600.0  # seconds per request


class Remote(Enlarger):
    """An `upscaler.Upscaler` whose network runs on servers. It supports 8-bit pictures only, like the signatures.

        upscale = Remote(["grpc://one:8500/srgan_x4", "grpc://two:8500/srgan_x4"])

    A failing server is retried after increasing pauses, and the others take over its tiles. A picture fails if a
    server loads another version of the model in the meantime.
    """

    def __init__(
        self,
        servers,
        scale=None,
        *,
        outscale=None,
        width=None,
        height=None,
        tile=0,
        precision="auto",
        timeout=TIMEOUT,
        proxy=False,
    ):
        """Request the attributes of the model from the servers.

        Args:
            servers: addresses, see `endpoints.parse`; all must serve the same model.
            scale: the required scale of the model; None accepts any.
            outscale, width, height, tile: see `Upscaler`.
            precision: "float32", "bfloat16", or "auto", which is float32: bfloat16 support of servers is unknown.
            timeout: total seconds for one request, which is one tile.
            proxy: see `endpoints.connect`.

        Raises:
            UserError: if no server returns the attributes of such a model.
            ValueError: for a negative tile.
        """
        if tile < 0:
            raise ValueError(f"tile must be 0 or positive. Received: {tile}")
        precision = "float32" if precision == "auto" else precision
        if precision not in endpoints.SIGNATURES:
            raise UserError(
                f"--precision {precision}: servers compute in {' or '.join(endpoints.SIGNATURES)}. Choose one of them."
            )
        self.folder, self.precision, self._timeout, self._proxy = None, precision, timeout, proxy
        self.attributes = self._ask(servers)
        self.scale, self.halo = self.attributes["scale"], self.attributes["halo"]
        self.size = Size(self.scale if outscale is None else outscale, width, height)
        limit = math.isqrt(self.attributes["pixel_limit"]) - 2 * self.halo
        if limit < 1:
            raise UserError(
                f"--server: its model takes only {self.attributes['pixel_limit']} pixels at once. Export it with a "
                f"pixel_limit of {(2 * self.halo + 1) ** 2} or more."
            )
        self.tile, self._automatic = min(tile, limit), min(TILE, limit)
        if scale not in (None, self.scale):
            raise UserError(
                f"--scale {scale}: the model on the server enlarges {self.scale} times. Leave it out or name another "
                "model in --server."
            )

    @property
    def key(self):
        """A string that identifies what is computed, for resuming clips."""
        return json.dumps([self.attributes["sha256"], str(self.size), self.tile, self.precision])

    def _ask(self, servers):
        self._servers = Servers([endpoints.parse(server) for server in servers], proxy=self._proxy)
        return self._servers.attributes(self._timeout)

    def _enlarge_batch(self, batch, step):
        if batch.dtype != np.uint8:
            raise UserError("16 bits a channel; a server computes 8. Leave --server out.")
        count, height, width, _ = batch.shape
        scale = self.scale
        large = memory.empty((count, scale * height, scale * width, 3), np.uint8)
        small = height * width <= (self._automatic + 2 * self.halo) ** 2
        tile = self.tile or (max(height, width) if small else self._automatic)
        together = max(1, self._automatic**2 // (min(height, tile) * min(width, tile)))  # pictures in one request
        some = [slice(first, min(first + together, count)) for first in range(0, count, together)]
        places = list(itertools.product(some, spans(height, tile, self.halo), spans(width, tile, self.halo)))
        tiles = (batch[part, rows.with_halo, columns.with_halo] for part, rows, columns in places)
        with contextlib.closing(self._enlarged(tiles)) as enlarged:  # close immediately, even if `step` raises
            for (part, rows, columns), sr in zip(places, enlarged, strict=True):
                within = sr[:, rows.within(scale), columns.within(scale)]
                large[part, rows.larger(scale), columns.larger(scale)] = within
                step(within.size / large.size)
        return large

    def _enlarged(self, tiles):
        """Yield results in the order of the tiles; only a few tiles are sent in advance."""
        servers, sent = self._servers, 0
        workers = CONNECTIONS * len(servers)
        running = collections.deque()
        pool = concurrent.futures.ThreadPoolExecutor(workers)
        servers.forgive()
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
            servers.close()  # otherwise Python would wait for unfinished requests at exit
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class Servers:
    """A pool of endpoints with failover."""

    def __init__(self, addresses, facts=None, proxy=False):
        self._all = [_Server(endpoints.connect(address, CONNECTIONS, proxy)) for address in addresses]
        self._proxy = proxy
        self._changed = threading.Condition()
        self._facts, self._closed = facts, False

    def __len__(self):
        return len(self._all)

    def attributes(self, timeout):
        """The attributes from the first server that responds; the others are checked before their first tile.

        A busy server may respond slowly: it gets the full timeout only if no other server responds.
        """
        for patience in (min(endpoints.CONNECT_TIMEOUT, timeout), timeout):
            for server in self._all:
                started = time.monotonic()
                try:
                    self._greet(server, patience)
                except Away as away:
                    server.fail(away, started)
                except Refused as refusal:
                    server.refuse(refusal)
            if self._facts is not None:
                return self._facts
            if all(server.refusal for server in self._all):
                break
        raise self._gone("does not answer")

    def forgive(self):
        """Reset the failure counts before a picture: servers that failed earlier may be available again."""
        with self._changed:
            if all(server.given_up for server in self._all):
                for server in self._all:
                    server.failures = 0
                    server.pauses_until = 0.0

    def enlarge(self, batch, scale, precision, timeout):
        """uint8 [B, H, W, 3] -> uint8 [B, scale H, scale W, 3] on the first free server.

        Raises:
            UserError: if every server refuses, or has failed `ATTEMPTS` times in a row.
        """
        while True:
            server = self._take()
            started, failure = time.monotonic(), None
            try:
                self._greet(server, self._patience(server, timeout))
                large = server.endpoint.enlarge(batch, scale, precision, timeout)
                _check(large, batch, scale, server.address)
                return large
            except (Away, Refused) as error:
                failure = error
            finally:
                self._give_back(server, started, failure)
            if self._closed or all(server.given_up for server in self._all):
                raise self._gone("stopped answering")

    def check(self, timeout):
        """Check after a picture that no server has loaded a newer version, which can happen between two tiles.

        The version of a server that has become unavailable is unknown.

        Raises:
            UserError: if a server has another model than before.
        """
        for server in self._all:
            if server.greeted:
                server.greeted, started = False, time.monotonic()
                try:
                    self._greet(server, timeout)
                except Away as away:
                    with self._changed:
                        server.fail(away, started)
                except Refused as refusal:
                    with self._changed:
                        server.refuse(refusal)

    def anew(self):
        """A new pool of the same servers, for use after `close`."""
        return Servers([server.address for server in self._all], self._facts, self._proxy)

    def close(self):
        """Cancel requests and waiting; no further requests are possible."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for server in self._all:
            server.endpoint.close()

    def _greet(self, server, timeout):
        """Compare a server's model with the model of the others, before the server's first tile."""
        if server.greeted:
            return
        facts = server.endpoint.attributes(timeout)
        self._facts = self._facts or facts
        if facts["sha256"] != self._facts["sha256"]:
            if server.known:
                raise UserError(
                    f"--server {server.address}: loaded another version of the model. Run it again, or add "
                    "/versions/N to the address."
                )
            raise UserError(
                f"--server {server.address}: has another model than the other servers. Name the same model and version."
            )
        server.greeted = server.known = True

    def _patience(self, server, timeout):
        """The timeout of a greeting: short if another server works, because a tile waits for it meanwhile."""
        if not any(other.greeted for other in self._all):
            return timeout
        return min(PROBE if server.failures else endpoints.CONNECT_TIMEOUT, timeout)

    def _take(self):
        """Return the least busy server, preferably one that has not failed; wait while all are pausing or busy."""
        with self._changed:
            while not self._closed:
                now, hopeless = time.monotonic(), all(server.given_up for server in self._all)
                idle = [server for server in self._all if server.busy < CONNECTIONS]
                ready = [server for server in idle if hopeless or server.pauses_until <= now]
                if ready:
                    server = min(ready, key=lambda server: (server.failures > 0, server.busy))
                    server.busy += 1
                    return server
                pauses = [server.pauses_until - now for server in idle]
                self._changed.wait(min(pauses) if pauses else None)  # `_give_back` notifies
        raise self._gone("stopped answering")

    def _give_back(self, server, started, failure):
        with self._changed:
            server.busy -= 1
            if failure is None:
                server.failures, server.refusal = 0, None
            elif isinstance(failure, Refused):
                server.refuse(failure)
            else:
                server.fail(failure, started)
            self._changed.notify_all()

    def _gone(self, what):
        if len(self._all) == 1:
            server = self._all[0]
            advice = "Start it or check the address."
            return server.refusal or UserError(f"--server {server.address}: {what} {server.reason}. {advice}")
        reasons = "; ".join(f"{server.address} {server.reason}" for server in self._all if server.reason)
        return UserError(f"--server: none of the servers answers: {reasons}. Start them or check the addresses.")


class _Server:
    """An endpoint and the state of its server."""

    def __init__(self, endpoint):
        self.endpoint, self.address = endpoint, endpoint.address
        self.greeted, self.known = False, False  # checked since its last failure; ever checked
        self.busy, self.failures, self.pauses_until = 0, 0, 0.0
        self.failed_at, self.reason, self.refusal = float("-inf"), None, None

    @property
    def given_up(self):
        return self.failures >= ATTEMPTS

    def fail(self, away, started):
        """Count a failure of a request started at `started`; concurrent failures count once."""
        self.greeted, self.refusal = False, None  # it may return with another model
        if started < self.failed_at:
            return
        self.failures, self.reason, self.failed_at = self.failures + 1, f"({away})", time.monotonic()
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures - 1, 9))
        # Random, so that not all clients of a server retry at the same time.
        self.pauses_until = time.monotonic() + pause * random.uniform(0.5, 1.0)

    def refuse(self, refusal):
        """Give up a server until the next picture, or until it responds to another request."""
        self.greeted, self.refusal, self.failures = False, refusal, ATTEMPTS
        self.reason = f"({str(refusal).partition(': ')[2].partition('. ')[0]})"
        self.pauses_until = time.monotonic() + LONGEST_PAUSE


def _check(large, batch, scale, address):
    count, height, width, _ = batch.shape
    expected = (count, scale * height, scale * width, 3)
    if getattr(large, "dtype", None) != np.uint8 or large.shape != expected:
        raise Refused(f"--server {address}: the answer is not an image of the right size. Serve a model of srgan_tf.")
