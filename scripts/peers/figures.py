"""The figures of the peers' section, in the style of nnlab's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bench_report as report
from nnlab.figure.header import Header, group_key
from nnlab.figure.layout import Margins, panels
from nnlab.figure.palette import BLUE, GRID, INK, MUTED, VERMILLION, line_style
from nnlab.figure.png import png
from nnlab.figure.scale import decades, log_scale
from peers.growth import LABELS, SERIES
from peers.known import BEST, PEERS
from peers.measure import Variant
from peers.page import Growth, Warm, hand_written_us


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png(figure)[0])


def draw_peers(warm: Warm) -> Figure:
    """A panel for each workload, a row for each peer: its step divided by the hand-written loop's, at both settings.

    Args:
        warm: what was measured.
    """
    peers = list(dict.fromkeys(variant.peer for variants, _ in warm.values() for variant in variants))
    margins = Margins(left=0.2, right=0.1, top=0.3, bottom=0.55)
    beside = 1.4
    width = 2.1
    notes = ["a step's time divided by the hand-written loop's, on a logarithmic scale; left is faster"]
    header = Header(len(warm) * (margins.left + width + margins.right) + beside, notes, ["best setting", "defaults"])
    figure, axes = panels(
        len(warm), "Warm training steps", width=width, height=0.26 * len(peers), columns=len(warm),
        margins=Margins(margins.left, margins.right, margins.bottom, margins.top, beside), heading=header.height,
    )  # fmt: skip
    keys = [group_key(line_style(0)), group_key(line_style(5))]
    for key, fill in zip(keys, (BLUE, "white"), strict=True):
        key.set(linestyle="none", markerfacecolor=fill)
    keys[1].set(color=VERMILLION, marker="o")
    header.draw(figure, keys)
    ratios = {name: _ratios(variants) for name, (variants, _) in warm.items()}
    known = np.array([value for found in ratios.values() for value in found.values()] or [1.0])
    for panel, (name, found) in zip(axes, ratios.items(), strict=True):
        panel.set_title(name, fontsize=10.5, color=INK, loc="left", y=1.0)
        log_scale(panel, "x", decades(known))
        panel.set_xlim(known.min() / 1.4, known.max() * 1.4)
        panel.grid(True, axis="x", color=GRID, linewidth=0.6)
        panel.axvline(1, color=MUTED, linewidth=0.8)
        panel.set_ylim(len(peers) - 0.5, -0.5)
        panel.tick_params(axis="y", length=0)
        panel.set_yticks(range(len(peers)), [])
        panel.set_xlabel("times the hand-written loop", fontsize=9.5, color=INK)
        for (peer, setting), value in found.items():
            style = {"mfc": BLUE, "mec": BLUE} if setting == BEST else {"mfc": "white", "mec": VERMILLION}
            panel.plot(value, peers.index(peer), marker="o", markersize=5, zorder=3 + (setting == BEST), **style)
    _move_right(figure, beside)
    axes[0].set_yticks(range(len(peers)), [PEERS[peer].title for peer in peers], fontsize=9)
    return figure


def _ratios(variants: Sequence[Variant]) -> dict[tuple[str, str], float]:
    base = hand_written_us(variants) or 1.0
    return {(one.peer, one.setting): report.median(one.step_us) / base for one in variants if one.step_us}


def _move_right(figure: Figure, inches: float) -> None:
    """The names of the rows stand left of all panels, where ``panels`` leaves room right of them."""
    for panel in figure.axes:
        box = panel.get_position()
        panel.set_position((box.x0 + inches / figure.get_figwidth(), box.y0, box.width, box.height))


def draw_growth(growth: Growth) -> Figure:
    """A panel for each series, a line for each peer.

    Args:
        growth: what was measured.
    """
    peers = list(dict.fromkeys(peer for found in growth.values() for peer in found))
    margins, width, columns = Margins(top=0.15), 2.7, min(2, len(growth))
    header = Header(columns * (margins.left + width + margins.right), (), [PEERS[peer].title for peer in peers])
    figure, axes = panels(
        len(growth), "How the time of a step grows", width=width, height=1.9, columns=columns, margins=margins,
        heading=header.height,
    )  # fmt: skip
    header.draw(figure, [group_key(line_style(place)) for place in range(len(peers))])
    for panel, (series, found) in zip(axes, growth.items(), strict=True):
        _draw_series(panel, series, found, peers)
    return figure


def _draw_series(panel: Axes, series: str, found: Mapping[str, Sequence[float | None]], peers: Sequence[str]) -> None:
    known = np.array([value for values in found.values() for value in values if value] or [1.0])
    log_scale(panel, "x", 4)
    log_scale(panel, "y", decades(known))
    panel.grid(True, color=GRID, linewidth=0.6)
    for peer, values in found.items():
        sizes = SERIES[series][1][: len(values)]
        style = line_style(peers.index(peer))
        numbers = [np.nan if value is None else value for value in values]
        panel.plot(
            sizes, numbers, color=style.color, linestyle=style.dashes, marker=style.marker, markersize=4, linewidth=1.7
        )
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
    panel.set_xlabel(LABELS[series], fontsize=9.5, color=INK)
    panel.set_ylabel("microseconds a step", fontsize=9.5, color=INK)
