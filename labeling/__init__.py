"""What people answer: clips, queries about them, labels, and the store that keeps them.

Needs NumPy and nothing else; it knows neither the learner nor any env.
"""

from labeling.choice import Choice, prob_left, swapped
from labeling.clip import Clip, ClipError, ClipFiles
from labeling.store import Counts, Label, Query, Store, StoredLabel, StoreError
from labeling.teachers import TEACHERS
from labeling.teaching import Faults, Seen, Teacher

__all__ = [
    "TEACHERS",
    "Choice",
    "Clip",
    "ClipError",
    "ClipFiles",
    "Counts",
    "Faults",
    "Label",
    "Query",
    "Seen",
    "Store",
    "StoreError",
    "StoredLabel",
    "Teacher",
    "prob_left",
    "swapped",
]
