"""Free ports on loopback."""

import random
import socket

from actors.embedded.errors import EmbeddedError

LOOPBACK = "127.0.0.1"
# Below the ports that Linux (32768) and macOS (49152) hand to outgoing connections, so that no stranger's connection
# sits on a server's port while it restarts.
PORTS = range(20_000, 32_768)
TRIES_MAX = 64


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As servers do: closed connections do not count.
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(preferred: int | None = None) -> int:
    """`preferred` when it is free, else a random free port. Another process may still take it before its use."""
    if preferred is not None and is_free(preferred):
        return preferred
    for port in random.sample(PORTS, TRIES_MAX):
        if is_free(port):
            return port
    raise EmbeddedError(
        f"none of {TRIES_MAX} ports tried on {LOOPBACK} is free: end what listens on {PORTS.start}-{PORTS.stop - 1}"
    )
