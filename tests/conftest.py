"""Settings and fixtures that every test shares."""

import os

# Small networks are fastest with one thread, and the same bits need the same number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["web_people"]
