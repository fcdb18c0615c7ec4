"""Recalling queries that this process did not ask: the clips of a resumed run, and of labels that were imported."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from labeling.clip import ClipError, ClipFiles
from labeling.store import Query, Store
from prefrl.answers import Answers
from prefrl.labelers import Asked


def recall(query_ids: Iterable[str], store: Store, files: ClipFiles, answers: Answers) -> list[Asked]:
    """Read the clips of queries back from their files into `answers`; returns those read.

    Queries that repeat another are passed over, since they measure people and teach nothing. One whose clip is damaged
    or missing is withdrawn, its labels are left out of the fit, and that is said.
    """
    repeats, imports = store.repeats(), store.imports()
    labeled = {label.query_id for label in store.current_labels()}
    closed = set(store.withdrawals()) - labeled  # nobody will ever answer those
    read: list[Asked] = []
    for query_id in dict.fromkeys(query_ids):
        if answers.knows(query_id) or query_id in repeats or query_id in closed:
            continue
        asked = _read(store.query(query_id), store, files)
        if asked is not None:
            obs = np.stack([asked.left.obs, asked.right.obs])
            actions = np.stack([asked.left.actions, asked.right.actions])
            answers.add_query(query_id, obs, actions, is_imported=query_id in imports)
            read.append(asked)
    return read


def _read(query: Query, store: Store, files: ClipFiles) -> Asked | None:
    try:
        left, right = (files.read(clip_id) for clip_id in query.clip_ids)
    except ClipError as e:
        store.withdraw(query.query_id, str(e))
        warnings.warn(f"query {query.query_id} is left out: {e}", stacklevel=3)
        return None
    return Asked(query.query_id, left, right)
