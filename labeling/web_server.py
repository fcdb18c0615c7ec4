"""The HTTP server under the page: where it listens, and how long it waits for whom."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from labeling.web_settings import WebError

__all__ = ["WebError", "listen", "make_server"]

HEADER_SECONDS = 10.0
"""Time for the headers of a request, from the first byte, or from the connection on."""

MAX_CONNECTIONS = 200
KEEP_ALIVE_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any free one.

    Raises:
        WebError: if the host is none of this machine's or the port is taken, with what to do.
    """
    host = "127.0.0.1" if host == "localhost" else host  # browsers try it last, so it never misses
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise WebError(f"cannot listen on {host!r:.80}: no such host; name an address of this machine") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # lets a page start again at once; elsewhere it would let two share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)  # here, since two may bind the same port and only one may listen
    except OSError as error:
        listener.close()
        raise WebError(f"cannot listen on {host} port {port}: {_what_to_do(error)}") from error
    listener.setblocking(False)
    return listener


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server for the app; it logs no requests, since the first of each person holds their token."""
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # nothing here depends on what a proxy says of the client
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


class PatientProtocol(H11Protocol):
    """Drops connections that take too long over their headers, which uvicorn itself would wait for without end."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Starts the clock."""
        super().connection_made(transport)
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Stops the clock once the headers are complete; starts it at the next request's first byte."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_clock()
        elif self._deadline is None:
            self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _what_to_do(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is taken; end what listens there, or choose another with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; use 127.0.0.1 for itself alone, 0.0.0.0 for all its addresses"
    if error.errno == errno.EACCES:
        return "that port needs special rights; choose one above 1023 with --port"
    return error.strerror or str(error)
