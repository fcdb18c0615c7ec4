"""What whoever serves the web page decides about it."""

from __future__ import annotations

from dataclasses import dataclass

from labeling.web_guard import origin_of

__all__ = ["WebError", "WebSettings"]


class WebError(ValueError):
    """The page cannot be served as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Where the page is served, and how queries are handed out there."""

    host: str = "127.0.0.1"
    """Interface to listen on; 0.0.0.0 or :: for all."""
    port: int = 8765
    """0: any that is free."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names by which browsers may call this server."""
    public_url: str = ""
    """Where a proxy or a tunnel shows the page, `https://lab.example`; empty where browsers come straight here."""
    task: str = ""
    """What people judge by, in a sentence."""
    title: str = ""
    """What is being trained."""
    total_labels: int
    """Answers that the run asks for in all."""
    repeat_share: float = 0.05
    """See `Desk`."""
    lease_seconds: float = 120.0
    """See `Desk`."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise WebError(f"expected --port from 0 (any free one) to 65535, got {self.port}")
        if self.public_url and self.public_origin is None:
            raise WebError(
                "expected --public-url to be http:// or https://, a host name and perhaps a port, with no path behind "
                f"it, since the page stands at the root of its host; got {self.public_url!r:.80}"
            )

    @property
    def public_origin(self) -> tuple[str, str, int] | None:
        """Scheme, name and port of `public_url`; None where there is none."""
        return origin_of(self.public_url.removesuffix("/"))
