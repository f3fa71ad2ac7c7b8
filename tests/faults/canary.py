"""Canaries that detect which files of a folder any process opens, and any connection to a local port."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

IN_OPEN = 0x20
"""Constants of inotify(7)."""
_EVENT = struct.Struct("iIII")


@contextmanager
def opened_in(folder: Path) -> Iterator[set[str]]:
    """Yield the set of names of a folder's files that are opened; it is complete when the context ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if handle < 0 or libc.inotify_add_watch(handle, os.fsencode(folder), IN_OPEN) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    names: set[str] = set()
    try:
        yield names
        with suppress(BlockingIOError):
            while data := os.read(handle, 1 << 16):
                names |= set(_names(data))
    finally:
        os.close(handle)


def _names(data: bytes) -> Iterator[str]:
    place = 0
    while place < len(data):
        length = _EVENT.unpack_from(data, place)[3]
        name = data[place + _EVENT.size : place + _EVENT.size + length]
        yield os.fsdecode(name.rstrip(b"\0"))
        place += _EVENT.size + length


@dataclass
class Listener:
    """A local port that nothing should connect to."""

    port: int
    callers: list[str] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Listener]:
    """Accept and record connections to a new local port, TCP and UDP, without answering."""
    tcp = socket.create_server(("127.0.0.1", 0))
    listener = Listener(port=tcp.getsockname()[1])
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", listener.port))
    threads = [
        threading.Thread(target=_accept, args=(tcp, listener)),
        threading.Thread(target=_hear, args=(udp, listener)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield listener
    finally:
        tcp.shutdown(socket.SHUT_RDWR)  # wakes the thread after it has accepted pending connections
        udp.sendto(b"", ("127.0.0.1", listener.port))
        for thread in threads:
            thread.join()
        tcp.close()
        udp.close()


def _accept(tcp: socket.socket, listener: Listener) -> None:
    with suppress(OSError):
        while True:
            caller, _ = tcp.accept()
            caller.close()
            listener.callers.append("tcp")


def _hear(udp: socket.socket, listener: Listener) -> None:
    while udp.recvfrom(1 << 16)[0]:
        listener.callers.append("udp")
