"""The daemon with nothing to do, beside many datasets that it has delivered long ago."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path

from bench import daemons, data
from bench.figures import Figure
from depositd.engine.observing import Judged, Observer
from depositd.journal import FILE_NAME, Fact, Journal, PlannedDelivery
from depositd.model import Archive, Packing
from depositd.states import DeliveryEvent
from depositd.units import show_size
from depositd.watch.sweep import Walk

SOURCES = 10
MOST_OF_A_CORE_PERCENT = 1.0
MOST_MEMORY_BYTES = 120_000_000
_LONG_S = 1e6
_TOGETHER = 1000
