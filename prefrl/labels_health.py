"""Whether a run's labels and clips are whole, and what can be done where they are not."""

from __future__ import annotations

import shlex
from pathlib import Path

from labeling import backups
from labeling.clip import ClipError, ClipFiles
from labeling.label import DamagedStoreError, StoreError
from labeling.recover import Recovery, recover
from labeling.refill import LOST
from labeling.store import Store
from prefrl.rundir import RunDir


def check_labels(run: RunDir) -> tuple[list[str], bool]:
    """Read the store, its backups and every clip that a query names.

    Returns lines to print, and whether all is whole.

    Raises:
        DamagedStoreError: The store itself is damaged.
    """
    with Store.open_read_only(run.labels) as store, store.reading() as db:
        damage = [row[0] for row in db.execute("PRAGMA integrity_check(1)")]
        n_labels, withdrawn = store.counts().n_labels, store.withdrawals()
        queries = [query for query in store.queries() if query.strategy != LOST]
    if damage != ["ok"]:
        folder = shlex.quote(str(run.path))
        raise DamagedStoreError(f"{run.labels} is damaged ({damage[0]}); save it by: prefrl labels recover {folder}")
    files, bad = ClipFiles(run.clips), dict[str, str]()
    clip_ids = dict.fromkeys(clip_id for query in queries for clip_id in query.clip_ids)
    for clip_id in clip_ids:
        try:
            files.read(clip_id)
        except ClipError as e:
            bad[clip_id] = str(e)
    lines = [f"label store: whole, {n_labels:,} labels on {len(queries):,} queries", _backup_line(run.labels)]
    lines.append(f"clips: {len(clip_ids) - len(bad):,} of {len(clip_ids):,} whole")
    lines += bad.values()
    affected = [query.query_id for query in queries if not bad.keys().isdisjoint(query.clip_ids)]
    if affected:
        n_withdrawn = sum(query_id in withdrawn for query_id in affected)
        lines.append(
            f"{len(affected)} queries cannot be shown or learned from, {n_withdrawn} of them withdrawn already; "
            "the others will be when the run goes on"
        )
    return lines, not bad


def _backup_line(store_path: Path) -> str:
    for backup in backups.found(store_path):
        try:
            with Store.open_read_only(backup) as store:
                return f"newest backup: {backup.name}, {store.counts().n_labels:,} labels"
        except StoreError:
            continue
    return "newest backup: none; the first label makes one"


def recover_labels(store_path: Path) -> str:
    """Recover the store, and say in one line what came of it.

    Raises:
        StoreError: It cannot be recovered, and why.
    """
    recovery = recover(store_path)
    if recovery is None:
        return f"{store_path} is whole: nothing to recover"
    return _recovery_line(recovery)


def _recovery_line(recovery: Recovery) -> str:
    sources = [] if recovery.backup is None else [f"backup {recovery.backup.name}"]
    sources += [] if recovery.kept is None else ["what could still be read"]
    kept = "" if recovery.kept is None else f"; the damaged file is kept as {recovery.kept.name}"
    why = "" if recovery.is_bound_exact else f" (backups are {backups.EVERY_LABELS} labels apart)"
    return (
        f"{recovery.n_saved:,} labels saved from {' and '.join(sources) or 'nothing'}, "
        f"{recovery.n_missing_at_most:,} missing at most{why}{kept}"
    )
