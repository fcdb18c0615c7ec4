"""Named points at which a crash test can make a process fail; in production every one is off.

The environment variable `PREFRL_FAIL` arms points, as in `clip.renamed:kill,store.commit:after=17:enospc`: at the point
named first, after so many passes (0 unless said), once, the process is killed or the operation fails. It is read when
the process begins; where it is not set, a point costs a look into an empty dict.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass

VARIABLE = "PREFRL_FAIL"

POINTS: dict[str, str] = {
    "clip.written": "the clips of a batch are in files of temporary names, not yet synced",
    "clip.synced": "the files of a batch are on the disk, still under their temporary names",
    "clip.renamed": "the files of a batch have their names, which are not yet on the disk",
    "store.begin": "the label store has begun to write: nothing has changed yet",
    "store.commit": "everything is written but the COMMIT: nothing of it may be seen after a crash",
    "store.committed": "the COMMIT is on the disk, and nobody has been told so yet",
    "backup.copied": "a backup of the label store is copied and checked, under a temporary name",
    "backup.renamed": "a backup has its name, which is not yet on the disk; older ones are still there",
    "recover.kept": "the damaged store is kept under another name; nothing has been put into its place",
    "recover.built": "what could be saved stands in a file of its own, beside the damaged store",
    "recover.cleared": "the damaged store's journal is gone, and the damaged store is still in its place",
    "checkpoint.tensors": "a checkpoint's tensors are written beside its place",
    "checkpoint.state": "its counters and cursors are, too",
    "checkpoint.manifest": "the manifest with their hashes is, too",
    "checkpoint.synced": "all of it is on the disk, still beside its place",
    "checkpoint.renamed": "it is in its place; older ones are about to be removed",
    "checkpoint.pruned": "older ones have been removed after it",
    "env.step": "the process of a game of one's own is about to step every copy",
    "reward.fit": "the reward model is about to be fitted to the answers",
    "trainer.lock": "the trainer has just locked its run folder",
}
"""Every point that there is, with what has just happened or is about to when it is passed."""

ACTIONS = ("kill", "enospc", "hang", "raise")
"""SIGKILL to the process itself; `OSError` as of a full disk; an endless sleep; `RuntimeError`."""


class FailpointError(ValueError):
    """The environment variable names a point or an action that there is not."""


@dataclass(slots=True)
class _Armed:
    action: str
    left: int
    """Passes before it fails."""


def parse(text: str) -> dict[str, _Armed]:
    """What the variable says, point by point.

    Raises:
        FailpointError: A point or an action that there is not.
    """
    armed: dict[str, _Armed] = {}
    for part in filter(None, text.split(",")):
        name, *options = part.split(":")
        after = [x.removeprefix("after=") for x in options if x.startswith("after=")]
        actions = [x for x in options if not x.startswith("after=")]
        if name not in POINTS or len(actions) != 1 or actions[0] not in ACTIONS or not all(map(str.isdigit, after)):
            known = "; prefrl doctor --failpoints lists the points"
            raise FailpointError(f"expected {VARIABLE} as POINT[:after=N]:{'|'.join(ACTIONS)}, got {part!r:.80}{known}")
        armed[name] = _Armed(actions[0], int(after[-1]) if after else 0)
    return armed


def failpoint(name: str) -> None:
    """Pass the point `name`: nothing, unless it is armed."""
    if not _armed or name not in _armed:
        return
    armed = _armed[name]
    if armed.left:
        armed.left -= 1
        return
    del _armed[name]
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if armed.action == "hang":
        time.sleep(1e9)
    if armed.action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    raise RuntimeError(f"the failure point {name} was armed")


_armed = parse(os.environ.get(VARIABLE, ""))
