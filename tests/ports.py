"""Ports for processes that tests start, which have to know them before."""

import random
import socket

#: The kernel gives none of these to clients, or to listeners on port 0, before the process listens on it.
_PORTS = range(26_000, 32_000)

#: Not that of Hypothesis, which begins anew in each process.
_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Return ports of this machine on which nobody listens now."""
    socks: list[socket.socket] = []
    try:
        while len(socks) < count:
            sock = socket.socket()
            try:
                sock.bind(("127.0.0.1", _random.choice(_PORTS)))
            except OSError:
                sock.close()
            else:
                socks.append(sock)
        return [sock.getsockname()[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()
