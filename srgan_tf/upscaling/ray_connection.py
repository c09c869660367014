"""A connection to a Ray cluster that reports failures in one line."""

import contextlib
import logging
import os
import re
import socket

from srgan_tf.errors import ModelError, UserError, stderr_held_back

TIMEOUT = 10  # seconds


@contextlib.contextmanager
def connected(address):
    """Connect to a Ray cluster for the duration of a `with` block.

    Args:
        address: HOST:PORT, "auto" or "local", see `cluster.run`.

    Raises:
        UserError: if Ray is missing, if no Ray server responds at the address within `TIMEOUT`, or if an actor or
            task raises one, or if a machine lacks a package.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about a future change
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--cluster: Ray is missing. Run pip install 'ray[data]'.") from None
    for name in ("ray", "ray.data"):  # errors are also raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        place = os.environ.get("RAY_ADDRESS") or "auto" if address == "auto" else address
        if place != "local":  # the address that Ray has recorded for "auto" may be of a cluster that was killed
            _check_reachable(ray._private.services.canonicalize_bootstrap_address("auto") if place == "auto" else place)
        with stderr_held_back():
            ray.init(
                place,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                **({"include_dashboard": False} if place == "local" else {}),
            )
    except ray.exceptions.RayError as error:
        raise UserError(
            f"--cluster {address}: the cluster refuses this program ({_reason(error)}). Set RAY_AUTH_TOKEN to the "
            "token of its machines."
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        if "Version mismatch" in str(error):
            raise UserError(
                f"--cluster {address}: the cluster has another Python or Ray ({' '.join(str(error).split())}). "
                "Install the same on all machines."
            ) from None
        raise UserError(
            f"--cluster {address}: no cluster there ({_reason(error)}). Start one with ray start --head, or give local."
        ) from None
    try:
        yield ray
    except ray.exceptions.RayError as error:
        if problem := _user_error(error):
            raise UserError(problem) from None
        if missing := re.search(r"\bNo module named '([\w.]+)'", str(error)):
            raise UserError(
                f"--cluster {address}: a machine has no Python package {missing[1]}. Install the same on all machines."
            ) from None
        raise
    finally:
        ray.shutdown()


def _reason(error):
    return str(error).partition("\n")[0].split(". ")[0] or type(error).__name__


def _check_reachable(address):
    """Raise OSError within `TIMEOUT` if Ray is not running there: Ray itself would retry silently for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("its address is HOST:PORT")
    socket.create_connection((host, int(port)), timeout=TIMEOUT).close()
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import grpc
    except ImportError:
        return
    with grpc.insecure_channel(f"{host}:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")(b"", timeout=TIMEOUT)
        except grpc.RpcError as error:
            code = error.code()
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise OSError("it does not answer as Ray does") from None
            if code == grpc.StatusCode.UNIMPLEMENTED and not address.startswith("ray://"):
                raise OSError("another gRPC server than Ray") from None


def _user_error(error):
    """The text of the `UserError` raised by an actor or task; None for other errors."""
    for line in str(error).splitlines():
        if found := re.search(rf"\b(?:{UserError.__name__}|{ModelError.__name__}): (.*)", line):
            return found[1]
