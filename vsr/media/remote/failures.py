"""Errors of networks and stores: which may pass when tried again, and one line for each.

The messages of libraries contain whole URLs, some with credentials, so none of them is repeated, and the
errors themselves are not kept as causes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TypeVar

from vsr.errors import CancelledError, InputError, VsrError

T = TypeVar("T")

QUICK = (0.2, 0.5, 1.5)
"""Seconds between the attempts at the start of a run, when a name may be wrong."""
PATIENT = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between the attempts in the middle of a run."""

_FINAL = {
    "FileNotFoundError": "there is no such object",
    "PermissionError": "access is denied; check the credentials",
    "IsADirectoryError": "is a folder; give a video file",
    "NoCredentialsError": "there are no credentials; set the store's, or FSSPEC_S3_ANON=true if it is public",
    "PartialCredentialsError": "the credentials are incomplete",
    "FileExpired": "it was changed while it was read; run it again",
    "ParamValidationError": "the name is not valid for this store",
}
"""Errors that trying again does not change, by the names of their classes, and what to say."""
_STATUSES = {
    401: "access is denied",
    403: "access is denied",
    404: "there is no such file",
    410: "it is gone",
}
_PASSING_STATUSES = {408, 425, 429}
_CONNECTING = {
    "InvalidURL": "the URL is not valid",
    "ClientConnectorDNSError": "the host's name is not known",
    "ClientConnectorCertificateError": "the host's certificate is not valid",
    "ClientConnectorSSLError": "no secure connection to the host",
    "ClientConnectorError": "the host does not answer",
    "ClientPayloadError": "the connection broke off",
    "ServerDisconnectedError": "the connection broke off",
    "IncompleteRead": "the connection broke off",
    "ResponseStreamingError": "the connection broke off",
    "EndpointConnectionError": "the host does not answer",
    "ConnectTimeoutError": "the host does not answer",
    "ReadTimeoutError": "the host does not answer",
}


def patiently(
    call: Callable[[], T],
    *,
    name: str,
    pauses: Sequence[float] = QUICK,
    stopped: threading.Event | None = None,
    error: Callable[[str], Exception] = InputError,
) -> T:
    """Call something that uses the network, and try again after errors that may pass.

    Args:
        call: Takes nothing; may be called several times.
        name: Of what is used, for the message.
        pauses: Seconds before each further attempt.
        stopped: Ends the attempts when it is set.
        error: Makes the error that is raised.

    Raises:
        Exception: of `error`, with one line, after the last attempt or an error that does not pass.
        CancelledError: `stopped` was set.
    """
    stop = stopped or threading.Event()
    for number in count():
        if stop.is_set():
            raise CancelledError(f"{name}: is no longer read")
        try:
            return call()
        except VsrError:
            raise
        except Exception as failure:
            again = number < len(pauses) and may_pass(failure)
            tries = f" ({number + 1} attempts)" if number else ""
            line = f"{name}: {reason_of(failure)}{tries}"
        if not again:
            raise error(line)
        stop.wait(pauses[number])
    raise AssertionError


def may_pass(failure: BaseException) -> bool:
    """Return whether another attempt may succeed."""
    failure = _root_of(failure)
    status = _status(failure)
    if status is not None:
        return status >= 500 or status in _PASSING_STATUSES
    if any(name in _FINAL for name in _class_names(failure)):
        return False
    return not isinstance(failure, ImportError | TypeError | NotImplementedError)


def reason_of(failure: BaseException) -> str:
    """Return what went wrong, in words without a URL."""
    failure = _root_of(failure)
    status = _status(failure)
    if status is not None:
        return _STATUSES.get(status, f"the server answers with HTTP status {status}")
    for name in _class_names(failure):
        if name in _FINAL:
            return _FINAL[name]
        if name in _CONNECTING:
            return _CONNECTING[name]
    if isinstance(failure, TimeoutError):
        return "the host does not answer"
    if isinstance(failure, OSError) and failure.errno is not None:
        text = failure.strerror if _is_harmless(failure.strerror) else os.strerror(failure.errno)
        return f"cannot be used now ({text})"
    return f"cannot be used now ({type(failure).__name__})"


def _root_of(failure: BaseException) -> BaseException:
    """Return the original error of a web server or a connection, which fsspec reports as a missing file."""
    cause = failure.__cause__
    is_of_web = isinstance(cause, TimeoutError) or type(cause).__module__.startswith("aiohttp")
    return cause if cause is not None and is_of_web and isinstance(failure, FileNotFoundError) else failure


def _is_harmless(text: object) -> bool:
    """Return whether a text of a library contains neither a URL nor a key."""
    return (
        isinstance(text, str)
        and len(text) < 100
        and not any(mark in text for mark in ("://", "=", "@", "\n"))
    )


def _status(failure: BaseException) -> int | None:
    status = getattr(failure, "status", None)
    return status if isinstance(status, int) and 300 <= status < 600 else None


def _class_names(failure: BaseException) -> Iterator[str]:
    for kind in type(failure).__mro__:
        yield kind.__name__
