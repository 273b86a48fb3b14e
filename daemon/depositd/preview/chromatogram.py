"""Total ion current over retention time: one curve for each function or kind of scan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depositd.preview import canvas
from depositd.preview.caption import run_caption
from depositd.preview.reading import Trace
from depositd.units import show_count

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_TRACES = 8
_COLOURS: tuple[canvas.Colour, ...] = (
    (25, 113, 194),
    (214, 40, 40),
    (47, 158, 68),
    (232, 137, 12),
    (112, 72, 232),
    (12, 133, 153),
    (194, 37, 92),
    (90, 90, 90),
)
_WIDTH_PX, _HEIGHT_PX = 1000, 480
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 78, 20, 46, 48
_LINE_PX = 1.5
_TICK_PX = 12
_FILL_OPACITY = 36


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from ``low`` to ``high``, drawn from pixel ``at_low`` to ``at_high``."""

    low: float
    high: float
    at_low: float
    at_high: float

    def place(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return where values stand, in pixels."""
        share = (values - self.low) / (self.high - self.low)
        return np.asarray(self.at_low + share * (self.at_high - self.at_low))


def is_plausible(minutes: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> bool:
    """Say whether these can be retention times and ion currents: finite, not negative, and in order of time."""
    return bool(
        len(minutes)
        and np.isfinite(minutes).all()
        and np.isfinite(counts).all()
        and minutes[0] >= 0
        and (np.diff(minutes) >= 0).all()
        and (counts >= 0).all()
    )


def draw(traces: Sequence[Trace], name: str, said: Mapping[str, Any], *, left_out: int = 0) -> bytes:
    """Return the curves as PNG; ``left_out`` is how many are not shown."""
    canvas.require_pillow()
    image = canvas.blank(_WIDTH_PX, _HEIGHT_PX)
    end = max(float(trace.minutes[-1]) for trace in traces)
    top = max(float(trace.counts.max()) for trace in traces)
    x_axis = Axis(0.0, end or 1.0, _LEFT_PX, _WIDTH_PX - _RIGHT_PX)
    y_axis = Axis(0.0, (top or 1.0) * 1.05, _HEIGHT_PX - _BOTTOM_PX, _TOP_PX)
    _draw_axes(image, x_axis, y_axis)
    for number, trace in enumerate(traces):
        x, y = thinned(x_axis.place(trace.minutes), y_axis.place(trace.counts))
        _draw_curve(image, x, y, _COLOURS[number % len(_COLOURS)], filled=len(traces) == 1)
    _draw_legend(image, traces, left_out)
    return canvas.png(canvas.with_caption(image, name, ["total ion current", *run_caption(said)]))


def thinned(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the points to draw: of those in one column of pixels the highest (smallest ``y``), so that peaks stay."""
    columns = np.floor(x).astype(int)
    starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
    if len(starts) * 2 > len(x):
        return x, y
    return columns[starts] + 0.5, np.minimum.reduceat(y, starts)


def ticks(high: float, most: int = 8) -> list[float]:
    """Return round numbers from 0 up to ``high``, at most ``most`` + 1 of them."""
    power = 10.0 ** math.floor(math.log10(high / most))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if high / (power * factor) <= most)
    return [step * number for number in range(int(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """Return a tick's number as short as it is exact: 0, 2.5, 40,000, 1.5e8."""
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        return f"{value:,.6g}" if abs(value) < 1000 else f"{value:,.0f}"
    mantissa, _e, exponent = f"{value:.6e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _draw_axes(image: Image, x_axis: Axis, y_axis: Axis) -> None:
    lines = canvas.drawing(image)
    values = ticks(y_axis.high, 6)
    for value, y in zip(values, y_axis.place(np.array(values)), strict=True):
        lines.line((x_axis.at_low, y, x_axis.at_high, y), fill=canvas.LINE)
        canvas.write(image, (x_axis.at_low - 8, y), tick_text(value), canvas.GREY, size_px=_TICK_PX, anchor="rm")
    lines.line((x_axis.at_low, y_axis.at_low, x_axis.at_high, y_axis.at_low), fill=canvas.GREY)
    values = ticks(x_axis.high, 10)
    for value, x in zip(values, x_axis.place(np.array(values)), strict=True):
        lines.line((x, y_axis.at_low, x, y_axis.at_low + 4), fill=canvas.GREY)
        canvas.write(image, (x, y_axis.at_low + 8), tick_text(value), canvas.GREY, size_px=_TICK_PX, anchor="ma")
    middle = (x_axis.at_low + x_axis.at_high) / 2
    canvas.write(image, (middle, _HEIGHT_PX - 16), "retention time / min", canvas.GREY, size_px=_TICK_PX, anchor="mm")


def _draw_curve(
    image: Image, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], colour: canvas.Colour, *, filled: bool
) -> None:
    points = [(float(a) * canvas.SMOOTH, float(b) * canvas.SMOOTH) for a, b in zip(x, y, strict=True)]
    with canvas.smooth(image, colour) as lines:
        if filled:
            floor = float(_HEIGHT_PX - _BOTTOM_PX) * canvas.SMOOTH
            lines.polygon([(points[0][0], floor), *points, (points[-1][0], floor)], fill=_FILL_OPACITY)
        if len(points) == 1:
            (a, b), radius = points[0], 3 * canvas.SMOOTH
            lines.ellipse((a - radius, b - radius, a + radius, b + radius), fill=255)
        lines.line(points, fill=255, width=round(_LINE_PX * canvas.SMOOTH), joint="curve")


def _draw_legend(image: Image, traces: Sequence[Trace], left_out: int) -> None:
    x, y = float(_LEFT_PX), _TOP_PX / 2
    for number, trace in enumerate(traces):
        canvas.drawing(image).line((x, y, x + 18, y), fill=_COLOURS[number % len(_COLOURS)], width=3)
        canvas.write(image, (x + 24, y), trace.label, size_px=_TICK_PX, anchor="lm")
        x += 24 + canvas.text_width_px(trace.label, _TICK_PX) + 18
    if left_out:
        text = f"{show_count(left_out, 'more function')} not shown"
        canvas.write(image, (x, y), text, canvas.GREY, size_px=_TICK_PX, anchor="lm")
