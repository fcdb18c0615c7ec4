"""What each address of the web page does: offers out, answers in, the state of things, and the files of the page."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from labeling.agent_status import AgentStatus
from labeling.choice import Choice
from labeling.clip import ClipError
from labeling.desk import Desk, Offer, Tally
from labeling.pictures import Pictures
from labeling.store import Store
from labeling.store_thread import StoreThread
from labeling.web_access import Person
from labeling.web_clips import MEDIA_TYPES, offer_json, read_facts, require_whole
from labeling.web_progress import read_progress
from labeling.web_requests import check_ids, is_query_id, person_of, read_fields, require_operator
from labeling.web_settings import WebSettings

__all__ = ["Curves", "Routes"]

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""Curves of the progress page: for each title points (agent steps, value)."""

STATIC = Path(__file__).parent / "static"
_STATIC_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_PAGES = {"/": "index.html", "/progress": "progress.html"}
_MAX_OFFERS, _MAX_HOLD = 8, 64
_COUNT_SECONDS, _PROGRESS_SECONDS = 1.0, 2.0


@dataclass(slots=True, kw_only=True)
class Routes:
    """The handlers, and what they work with."""

    store_path: Path
    desk: StoreThread
    pictures: Pictures
    settings: WebSettings
    read_status: Callable[[], AgentStatus | None]
    """How the agent is doing."""
    worker_trouble: Callable[[], str | None]
    """Why clips are not being drawn; None where they are."""
    curves: Callable[[], Curves]
    said: Callable[[str], None]
    """Tells the operator one line."""
    last_seen: dict[str, float] = field(default_factory=dict)
    """By name, in seconds of the monotonic clock."""
    _run: str = ""
    _counted: tuple[float, int] = (-_COUNT_SECONDS, 0)
    _progress: tuple[float, dict[str, Any]] = (-_PROGRESS_SECONDS, {})
    _progress_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _files: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in sorted(STATIC.iterdir()):
            if path.suffix in _STATIC_TYPES:
                self._files[path.name] = (path.read_bytes(), _STATIC_TYPES[path.suffix])

    def table(self) -> list[BaseRoute]:
        """Every address there is."""
        pages = [Route(path, self.page, methods=["GET"]) for path in _PAGES]
        asked = [
            Route("/api/next", self.next, methods=["POST"]),
            Route("/api/answer", self.answer, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/damaged", self.damaged, methods=["POST"]),
            Route("/api/state", self.state, methods=["GET"]),
            Route("/api/progress", self.progress, methods=["GET"]),
        ]
        files = [
            Route("/static/{name:str}", self.static, methods=["GET"]),
            Route("/clips/{name:str}", self.clip, methods=["GET"]),
        ]
        return [*pages, *asked, *files]

    # --- pages and files ---

    async def page(self, request: Request) -> Response:
        """The labeling page, or the operator's."""
        if request.url.path == "/progress":
            require_operator(request)
        body, kind = self._files[_PAGES[request.url.path]]
        return Response(body, media_type=kind)

    async def static(self, request: Request) -> Response:
        """A file of the page; all of them were read at the start, so that no path is ever put together."""
        found = self._files.get(request.path_params["name"])
        if found is None or found[1] == "text/html":
            raise HTTPException(404, "there is no such file")
        return Response(found[0], media_type=found[1], headers={"cache-control": "no-cache"})

    async def clip(self, request: Request) -> Response:
        """The video or the film strip of a clip, which never change under their name."""
        clip_id, _, ending = request.path_params["name"].partition(".")
        try:
            if ending not in MEDIA_TYPES:
                raise ClipError(f"expected an ending of {', '.join(MEDIA_TYPES)}")
            path = self.pictures.path(clip_id, ending)
            found = os.stat(path, follow_symlinks=False)
        except (ClipError, OSError) as error:
            raise HTTPException(404, "there is no such clip") from error
        if not stat.S_ISREG(found.st_mode):
            raise HTTPException(404, "there is no such clip")
        headers = {"cache-control": "private, max-age=31536000, immutable"}
        return FileResponse(path, media_type=MEDIA_TYPES[ending], headers=headers, stat_result=found)

    # --- labeling ---

    async def next(self, request: Request) -> Response:
        """Queries for this person; those that they hold are kept for them a while longer, or said to be gone."""
        person, fields = person_of(request), await read_fields(request, n=int, hold=list, avoid=list | None)
        await self._check_run(request)
        hold: list[Any] = fields["hold"]
        avoid: list[Any] = fields["avoid"] or []
        is_short = max(len(hold), len(avoid)) <= _MAX_HOLD
        if not 0 <= fields["n"] <= _MAX_OFFERS or not is_short or not all(map(is_query_id, hold + avoid)):
            raise HTTPException(400, f"expected n up to {_MAX_OFFERS}, hold and avoid of up to {_MAX_HOLD} query ids")
        counts_now = self._counts_now()

        def job(store: Store, desk: Desk) -> tuple[list[Offer], list[str], _Numbers]:
            offers, gone = desk.hand_out(person.name, fields["n"], hold, avoid)
            had = {*hold, *avoid} if len(offers) < fields["n"] else None
            return offers, gone, _numbers(store, desk, person, counts_now, had)

        offers, gone, numbers = await self.desk.run(job)
        shown = [found for offer in offers if (found := await self._offer_json(offer)) is not None]
        return JSONResponse({"offers": shown, "gone": gone, "state": self._state(person, numbers)})

    async def answer(self, request: Request) -> Response:
        """Takes an answer, and says so once it is durable."""
        person = person_of(request)
        fields = await read_fields(
            request,
            label_id=str,
            query_id=str,
            choice=str,
            shown_at_utc_ms=int,
            answered_at_utc_ms=int,
            ms_on_screen=int,
        )
        check_ids(fields, "label_id")
        await self._check_run(request)
        if fields["choice"] not in list(Choice):
            raise HTTPException(400, f"expected a choice of {', '.join(Choice)}")
        fields["choice"] = Choice(fields["choice"])

        def job(store: Store, desk: Desk) -> dict[str, Any]:
            seq = desk.answer(person.name, **fields)
            return {"seq": seq, "you": asdict(desk.tally(person.name))}

        return JSONResponse(await self.desk.run(job))

    async def undo(self, request: Request) -> Response:
        """Takes an answer back and puts its pair before the person again."""
        person, fields = person_of(request), await read_fields(request, new_label_id=str, label_id=str | None)
        await self._check_run(request)
        check_ids(fields, "new_label_id", *(["label_id"] if fields["label_id"] is not None else []))

        def job(store: Store, desk: Desk) -> tuple[Offer | None, dict[str, Any]]:
            offer = desk.undo(person.name, fields["new_label_id"], fields["label_id"])
            return offer, asdict(desk.tally(person.name))

        offer, you = await self.desk.run(job)
        is_drawn = offer is not None and all(map(self.pictures.has_video, (offer.left_clip, offer.right_clip)))
        shown = await self._offer_json(offer) if offer is not None and is_drawn else None
        return JSONResponse({"offer": shown, "undone": offer is not None, "you": you})

    async def damaged(self, request: Request) -> Response:
        """A page could not show a pair: takes the query off the queue if its pictures really are damaged."""
        person, fields = person_of(request), await read_fields(request, query_id=str)
        query_id = fields["query_id"]
        if not is_query_id(query_id):
            raise HTTPException(400, "expected a query_id")
        query = await self.desk.run(lambda store, desk: store.query(query_id))
        if not all(map(self.pictures.has_video, query.clip_ids)):
            return JSONResponse({"withdrawn": False, "is_drawn": False})  # they are being drawn, so it comes later
        for clip_id in query.clip_ids:
            try:
                await asyncio.to_thread(require_whole, self.pictures, clip_id)
            except ClipError as error:
                await self._withdraw(query_id, str(error))
                return JSONResponse({"withdrawn": True, "is_drawn": False})
        self.said(f"{person.name}'s browser cannot show query {query_id}, though its pictures are whole")
        return JSONResponse({"withdrawn": False, "is_drawn": True})

    async def state(self, request: Request) -> Response:
        """How far this person, the run and the agent are."""
        return JSONResponse(await self._read_state(person_of(request)))

    # --- progress ---

    async def progress(self, request: Request) -> Response:
        """All that the operator sees."""
        person = require_operator(request)
        async with self._progress_lock:
            read_at, found = self._progress
            if time.monotonic() - read_at >= _PROGRESS_SECONDS:
                found = await asyncio.to_thread(read_progress, self.store_path)
                self._progress = (time.monotonic(), found)
        status, now = self.read_status(), time.monotonic()
        return JSONResponse(
            {
                **found,
                "state": await self._read_state(person),
                "seconds_since_seen": {name: round(now - at) for name, at in self.last_seen.items()},
                "video": self._newest_video(status),
                "curves": {title: _finite(points) for title, points in self.curves().items()},
            }
        )

    def _newest_video(self, status: AgentStatus | None) -> dict[str, Any] | None:
        clip_id = None if status is None else status.newest_clip
        if clip_id is None:
            return None
        try:
            facts = read_facts(self.pictures, clip_id)
        except ClipError:  # not drawn yet
            return None
        return {"video": f"/clips/{clip_id}.webm", "clip_id": clip_id, "frame_rate": facts.frame_rate}

    # --- shared ---

    async def _offer_json(self, offer: Offer) -> dict[str, Any] | None:
        try:
            return offer_json(self.pictures, offer)
        except ClipError as error:
            await self._withdraw(offer.query_id, str(error))
            return None

    async def _withdraw(self, query_id: str, reason: str) -> None:
        await self.desk.run(lambda store, desk: desk.withdraw(query_id, reason))
        self.said(f"query {query_id} was withdrawn: {reason}")

    async def _run_id(self) -> str:
        """Of this very store: its path may have been another run's before, and the first invite is drawn at random."""
        if not self._run:
            invites = await self.desk.run(lambda store, desk: store.invites())
            first = invites[0].token_sha256 if invites else ""
            self._run = hashlib.sha256(f"{first} {self.store_path.resolve()}".encode()).hexdigest()[:16]
        return self._run

    async def _check_run(self, request: Request) -> None:
        """Refuses what a page still sends that was opened for another run on the same port."""
        own, sent = await self._run_id(), request.headers.get("x-prefrl-run")
        if sent not in (None, own):
            raise HTTPException(421, "this page was opened for another run; load it again")

    def _counts_now(self) -> bool:
        return time.monotonic() - self._counted[0] >= _COUNT_SECONDS

    async def _read_state(self, person: Person) -> dict[str, Any]:
        await self._run_id()
        counts_now = self._counts_now()
        numbers = await self.desk.run(lambda store, desk: _numbers(store, desk, person, counts_now, set()))
        return self._state(person, numbers)

    def _state(self, person: Person, numbers: _Numbers) -> dict[str, Any]:
        now = time.monotonic()
        self.last_seen[person.name] = now
        if numbers.n_labels is not None:
            self._counted = (now, numbers.n_labels)
        status = self.read_status()
        return {
            "name": person.name,
            "is_operator": person.is_operator,
            "run": self._run,
            "task": self.settings.task,
            "title": self.settings.title,
            "you": asdict(numbers.you),
            "n_labels": self._counted[1],
            "total_labels": self.settings.total_labels,
            "n_waiting": numbers.n_waiting,
            "n_with_others": numbers.n_with_others,
            "agent": None
            if status is None
            else {"steps": status.steps, "total_steps": status.total_steps, "state": status.state},
            "trouble": self.worker_trouble(),
        }


@dataclass(frozen=True, slots=True)
class _Numbers:
    you: Tally
    n_waiting: int
    n_with_others: int
    n_labels: int | None


def _numbers(store: Store, desk: Desk, person: Person, counts_now: bool, had: Set[str] | None) -> _Numbers:
    """What the store knows of the state; counting walks through many rows, so only what will be looked at.

    `had` are queries that this person has already; None where they are not short of others.
    """
    n_waiting = n_with_others = 0
    if had is not None:
        n_waiting = desk.n_waiting(person.name, had)
        n_with_others = max(0, len(store.waiting()) - desk.n_waiting(person.name))
    return _Numbers(desk.tally(person.name), n_waiting, n_with_others, store.n_own_labels() if counts_now else None)


def _finite(points: Sequence[tuple[float, float]]) -> list[list[float]]:
    """The points that JSON has numbers for."""
    return [[x, y] for x, y in points if math.isfinite(x) and math.isfinite(y)]
