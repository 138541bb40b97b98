"""Figures of attribution: where in a model, and in the prompt, the answers come from. Nothing is shown or saved here."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter
from numpy import ndarray

from distractor.models.source import group_by_size
from distractor.numbers import number
from distractor.probing.cells import (
    INNER,
    OWN_MAP,
    UNSIGNED,
    labels,
    map_families,
    map_names,
    maps_of,
    means_of,
    varying,
)
from distractor.probing.read_probes import ProbeResults
from distractor.probing.readings import Reading
from distractor.runs.head_map import MAP_STYLE, HeadGrid, colour_limit, draw_heat_map, head_grid
from distractor.runs.style import COLOURS, MARKERS, PULL_STYLES, STYLE, headline
from distractor.statistics.groups import Mean
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import DataArray, Dataset


CONTROLS = {
    "model": ("the model", "#000000", "o", "-"),
    "untrained": ("untrained", "#7F7F7F", "s", "--"),
    "bag_of_tokens": ("bag of tokens", "#E69F00", "^", "--"),
    "random_labels": ("random labels", "#56B4E9", "v", ":"),
}


LABELS = {"distractor_answer": "the distractor's answer", "cue": "the cue", "right_answer": "the right answer (XOR)"}


BARS = 12
"""How many components a waterfall shows by name; the others are one bar."""


LEAST = 0.01
"""The least that a component shown by name adds, as a share of the one that adds most."""


HEADS = 4
"""How many heads are drawn on the prompt's words."""


PAGE = 18
"""How wide a figure of several maps beside each other may be, in inches."""


LINE = 104
"""Characters in a line of a prompt that is drawn."""


def lens(found: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """Logit gap and distractor preference if the model stopped after each half layer, by condition."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        stages = labels(reading.data, "stage")
        for axes, quantity in ((left, "logit_gap"), (right, "distractor_preference")):
            for condition in labels(reading.data, "condition"):
                here = cells.sel(quantity=quantity, condition=condition)
                colour, marker = COLOURS[Condition(condition)], MARKERS[Condition(condition)]
                _band(axes, np.arange(len(stages)), here, condition, colour, marker)
            axes.set_xticks(range(len(stages)), [_stage_name(stage) for stage in stages])
            _thin(axes, len(stages))
            axes.set_xlabel("after layer, half")
        left.axhline(0, color="black", lw=0.8, ls=":", zorder=0)
        right.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
        left.set(title="What it would answer there", ylabel="logit gap (nats)")
        right.set(title="Preference for the distractor's answer", ylabel="distractor preference", ylim=(-0.03, 1.03))
        where = found.divergence(reading)
        told = "conflict and congruent do not part"
        if where is not None and where.stage is not None and where.low is not None and where.high is not None:
            for axes in (left, right):
                axes.axvspan(where.low - 0.15, where.high + 0.15, color="black", alpha=0.1, lw=0, zorder=0)
            first, last = stages[where.low], stages[where.high]
            span = "" if first == last else f" [{first} to {last}]"
            told = f"grey: conflict and congruent part at {stages[where.stage]}{span}"
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
        headline(figure, f"{_of(found, reading)}: the logit lens; bands: 95 % over item groups\n{told}")
        return figure


def components(found: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """Layer × head maps, with the MLPs in a last column; cells that stand out are framed."""
    groups = map_families(cells)
    maps = [
        ({**told, **_part_of(family)}, *_by_head(one, family.get("component", [])))
        for family in groups
        for told, one in maps_of(cells)
        if told.get("estimate") not in UNSIGNED
    ]
    layers, places = maps[0][1].shape[0], max(values.shape[1] for _, values, _, _ in maps)
    wide = max(1, int(PAGE / (1.3 + 0.33 * places)))
    columns = min(len(maps) // len(groups) if len(groups) > 1 else 2, wide, len(maps))
    rows = -(-len(maps) // columns)
    with mpl.rc_context(MAP_STYLE):
        size = (max(6.0, columns * (1.3 + 0.33 * places)), 1.3 + rows * (0.75 + 0.3 * layers))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        titles = _titles([told for told, *_ in maps])
        reach = colour_limit([values for _, values, _, _ in maps])
        for place, here in enumerate(axes.ravel()):
            if place >= len(maps):
                here.set_axis_off()
                continue
            _, values, marked, names = maps[place]
            image = draw_heat_map(here, values, marked, reach)
            here.set(title=titles[place], ylabel="layer", yticks=range(layers))
            here.set_xticks(range(len(names)), names)
            _thin(here, len(names), 40)
        figure.colorbar(image, ax=axes, label=_unit(reading), shrink=0.9)
        headline(figure, _headline(found, reading, cells))
        return figure


def positions(found: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """Layer × position maps, a row of panels a part of the layer; positions are named by their tokens and roles.

    Of an approximation, its signed form and, beside it, the exact exchanges that it was checked by.
    """
    estimates = [name for name in labels(cells, "estimate") if name not in UNSIGNED]
    told = [names for names in map_names(cells) if not estimates or names["estimate"] in estimates]
    told.sort(key=lambda names: names.get("direction") == "denoising")
    parts = labels(cells, "part") or [""]
    layers, roles = cells.sizes["layer"], cells.sizes["role"]
    with mpl.rc_context(MAP_STYLE):
        size = (max(7.0, 1.6 + len(told) * (0.5 + 0.16 * roles)), 2.6 + len(parts) * (0.35 + 0.2 * layers))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(parts), len(told), squeeze=False, sharex=True, sharey=True)
        reach = colour_limit([cells["mean"].sel(names).values for names in told])
        for row, part in enumerate(parts):
            for column, (names, title) in enumerate(zip(told, _titles(told), strict=True)):
                one = cells.sel({**names, **({"part": part} if part else {})}).transpose("layer", "role")
                here = axes[row, column]
                image = draw_heat_map(here, one["mean"].values, _framed(one), reach, numbers=False)
                here.set_yticks(range(layers))
                here.set_xticks(range(roles), _role_names(reading, labels(cells, "role")), rotation=90)
                if row == 0:
                    here.set_title(title)
                if column == 0:
                    here.set_ylabel(f"{part}\nlayer")
        figure.colorbar(image, ax=axes, label=_unit(reading), shrink=0.9, aspect=40)
        headline(figure, _headline(found, reading, cells))
        return figure


def sources(found: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """What the heads that contribute most bring from each role of the prompt; a panel a condition."""
    maps = [(told, one.transpose("component", "role")) for told, one in maps_of(cells)]
    heads = [name for name in labels(cells, "component") if name.endswith(".z")]
    most = np.max([abs(one["mean"].sel(component=heads)).sum("role").values for _, one in maps], axis=0)
    chosen = [heads[place] for place in sorted(np.argsort(-most, kind="stable")[: 2 * BARS])]
    maps = [(told, one.sel(component=chosen)) for told, one in maps]
    roles = cells.sizes["role"]
    with mpl.rc_context(MAP_STYLE):
        size = (max(7.0, 1.4 + len(maps) * (0.7 + 0.21 * roles)), 2.2 + 0.22 * len(chosen))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(maps), squeeze=False, sharey=True)[0]
        reach = colour_limit([one["mean"].values for _, one in maps])
        for here, title, (_, one) in zip(axes, _titles([told for told, _ in maps]), maps, strict=True):
            image = draw_heat_map(here, one["mean"].values, _framed(one), reach, numbers=False)
            here.set_yticks(range(len(chosen)), [_short(name) for name in chosen])
            here.set_xticks(range(roles), _role_names(reading, labels(cells, "role")), rotation=90)
            here.set_title(title)
        figure.colorbar(image, ax=list(axes), label=_unit(reading), shrink=0.9)
        headline(figure, _headline(found, reading, cells))
        return figure


def waterfall(found: ProbeResults, reading: Reading, cells: "Dataset", item: str | None = None) -> Figure:
    """The gap as the sum of its parts, step by step in the order of depth: the mean over items, or one item."""
    names, conditions = labels(cells, "component"), labels(cells, "condition")
    means = cells["mean"] if item is None else _of_item(reading, item)
    table = means.transpose("condition", "component").values
    size = np.abs(table).max(0)
    biggest = {place for place in np.argsort(-size, kind="stable")[:BARS].tolist() if size[place] >= LEAST * size.max()}
    shown = [place for place in range(len(names)) if place in biggest]
    others = [place for place in range(len(names)) if place not in biggest]
    bars = [_short(names[place]) for place in shown] + ([f"{len(others)} others"] if others else []) + ["logit gap"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.5 + 0.24 * len(bars)), layout="constrained")
        axes = figure.subplots(1, len(conditions), squeeze=False, sharey=True)[0]
        for here, condition, row in zip(axes, conditions, table, strict=True):
            steps = [*row[shown], *([row[others].sum()] if others else [])]
            ends = np.cumsum(steps)
            for y, (step, end) in enumerate(zip(steps, ends, strict=True)):
                here.barh(y, step, left=end - step, color="#E69F00" if step > 0 else "#7B3294", height=0.7)
                here.plot([end, end], [y, y + 1], color="black", lw=0.6)
            here.barh(len(steps), row.sum(), color=COLOURS[Condition(condition)], height=0.7)
            for y, value in enumerate([*steps, row.sum()]):
                edge = max(0.0, ends[-1]) if y == len(steps) else max(ends[y], ends[y] - steps[y])
                here.annotate(number(value), (edge, y), (3, 0), textcoords="offset points", va="center", fontsize=7)
            here.axvline(0, color="black", lw=0.8)
            here.use_sticky_edges = False
            here.margins(x=0.14)
            here.set(title=condition, xlabel="sum so far of the logit gap (nats)")
            here.set_yticks(range(len(bars)), bars)
        axes[0].invert_yaxis()
        what = "mean over items" if item is None else f"item {item}"
        headline(
            figure,
            f"{_of(found, reading)}, {what}: what each component writes\nfor the true answer (orange) or the distractor's "
            "(purple), the final norm's scale held",
        )
        return figure


def attention(found: ProbeResults, reading: Reading, cells: "Dataset", heads: Sequence[str]) -> Figure:
    """Attention from the answer slot on the words of one prompt under each condition: the mean over items of each role.

    `heads` names components (`L0H1`), the most interesting first.
    """
    conditions = labels(reading.data, "condition")
    blocks = [(head, condition) for head in heads for condition in conditions]
    laid = {condition: _lay(_example(reading, condition)) for condition in conditions}
    heights = [1.5 + len(laid[condition]) for _, condition in blocks]
    with mpl.rc_context(MAP_STYLE):
        figure = Figure(figsize=(7.4, 0.7 + 0.185 * sum(heights)), layout="constrained")
        axes = figure.subplots()
        axes.set(xlim=(0, LINE), ylim=(sum(heights), 0))
        axes.set_axis_off()
        top = 0.0
        for (head, condition), height in zip(blocks, heights, strict=True):
            shares = cells["mean"].sel(component=f"{head}.pattern", condition=condition)
            by_role = dict(zip(labels(shares, "role"), shares.values.tolist(), strict=True))
            most = sorted(((s, r) for r, s in by_role.items() if s == s), reverse=True)[:3]
            summary = ", ".join(f"{role} {share:.2f}" for share, role in most)
            axes.text(0, top + 0.45, f"{head}, {condition}", va="center", weight="bold")
            axes.text(LINE, top + 0.45, summary, va="center", ha="right", color="#444444")
            for line, words in enumerate(laid[condition]):
                for start, text, role in words:
                    share = float(np.nan_to_num(by_role.get(role, 0.0)))
                    corner = (start - 0.25, top + 1 + line)
                    axes.add_patch(
                        Rectangle(corner, len(text) + 0.3, 0.92, color="#D55E00", alpha=min(share, 1.0), lw=0)
                    )
                    axes.text(start, top + 1.48 + line, text, va="center", family="monospace", fontsize=8)
            top += height
        headline(
            figure,
            f"{_of(found, reading)}: attention from the answer slot (the last word), mean over items,\n"
            "drawn on one item's words; full colour: all of it",
        )
        return figure


def decoding(found: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """How well each label can be read off each layer, beside the controls."""
    targets, stages = labels(reading.data, "label"), labels(reading.data, "stage")
    # Each item counts with its mean over conditions.
    mean = means_of(found.task, reading.data.mean("condition", skipna=False))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(3.6, 2.6 * len(targets)), 3.2), layout="constrained")
        axes = figure.subplots(1, len(targets), squeeze=False, sharey=True)[0]
        for here, label in zip(axes, targets, strict=True):
            for control in labels(reading.data, "control"):
                name, colour, marker, style = CONTROLS[control]
                _band(here, np.arange(len(stages)), mean.sel(label=label, control=control), name, colour, marker, style)
            here.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
            here.set(title=LABELS[label], ylim=(-0.03, 1.03), xlabel="after layer")
            here.set_xticks(range(len(stages)), [_stage_name(stage).split()[0] for stage in stages])
            _thin(here, len(stages))
        axes[0].set_ylabel("share read off correctly")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        headline(
            figure,
            f"{_of(found, reading)}: what a linear map reads off the answer slot, on groups it was not\nfitted to; bands: "
            "95 % over item groups",
        )
        return figure


def across(found: ProbeResults) -> Figure:
    """The strengths of the sites of either task over size, beside behaviour: T and D in nats."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, source in ((left, "sites"), (right, "behaviour")):
            for quantity, (label, colour, marker) in PULL_STYLES.items():
                _over_size(axes, found, quantity, source == "sites", label, colour, marker)
            axes.axhline(0, color="black", lw=0.8, ls=":", zorder=0)
            axes.set(xscale="log", xlabel="parameters")
            axes.xaxis.set_minor_formatter(NullFormatter())
        left.set(title="Lost when its sites are knocked out", ylabel="nats")
        right.set_title("Behaviour")
        right.legend(loc="best")
        lines = found.sentences()
        headline(
            figure,
            f"{found.task.name}: the sites of the true task (T) and of the distractor's (D) over size\n"
            "(chosen on half of the item groups, weighed on the other; bands: 95 % over item groups)",
        )
        figure.supxlabel("\n".join(_wrapped(lines)), fontsize=6.5, color="#444444", x=0.01, ha="left")
        return figure


def _over_size(
    axes: "Axes", found: ProbeResults, pull: str, of_sites: bool, label: str, colour: str, marker: str
) -> None:
    """A curve through the mean over seeds at each size, with its band, and a dot for each model where there are several."""

    def at(places: Sequence[int]) -> Mean | None:
        return found.over_seeds(places, pull, of_sites=of_sites)

    every = [(places, at(places)) for places in group_by_size(one.source for one in found.scores)]
    drawn = [(places, found.scores[places[0]].source.n_params or 1, mean) for places, mean in every if mean is not None]
    x = [size for _, size, _ in drawn]
    mean, low, high = np.array([one for *_, one in drawn]).reshape(-1, 3).T
    axes.plot(x, mean, color=colour, marker=marker, ms=4, lw=1.4, label=label)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
    several = [(size, one.mean) for places, size, _ in drawn for p in places if len(places) > 1 and (one := at([p]))]
    axes.plot([size for size, _ in several], [value for _, value in several], ".", ms=3, color=colour)


def _wrapped(lines: Sequence[str]) -> list[str]:
    from textwrap import wrap

    return [part for line in lines for part in wrap(line, 150, subsequent_indent="    ")]


def _band(axes: "Axes", x: ndarray, cells: "Dataset", label: str, colour: str, marker: str, style: str = "-") -> None:
    axes.plot(x, cells["mean"].values, color=colour, marker=marker, ms=3.5, lw=1.3, ls=style, label=label)
    axes.fill_between(x, cells["low"].values, cells["high"].values, color=colour, alpha=0.18, lw=0)


def _part_of(family: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What to call a family of components, where there are several."""
    part = family["component"][0].rpartition(".")[2]
    return {"part": part if part in OWN_MAP else "output"}


def _by_head(cells: "Dataset", family: Sequence[str]) -> HeadGrid:
    """The components of one family by layer and head."""
    chosen = cells.sel(component=list(family))
    return head_grid(family, chosen["mean"].values, _framed(chosen))


def _framed(cells: "Dataset") -> ndarray | None:
    return cells["marked"].values if "marked" in cells else None


def _example(reading: Reading, condition: str) -> list[tuple[str, str]]:
    """The first item's tokens under a condition, in their order, each with its role."""
    data = reading.data.sel(condition=condition)
    order = [number for number in np.argsort(data["place"].values) if data["place"].values[number] >= 0]
    return [(str(data["token"].values[number]), labels(data, "role")[number]) for number in order]


def _lay(words: Sequence[Sequence[str]]) -> list[list[tuple[int, str, str]]]:
    """A prompt's tokens in lines: (column, text, role) each. Newlines are shown and end a line."""
    lines: list[list[tuple[int, str, str]]] = [[]]
    column = 0
    for text, role in words:
        shown = _visible(text)
        if column + len(shown) > LINE:
            lines.append([])
            column = 0
        lines[-1].append((column, shown, role))
        column += len(shown) + 1
        if "\n" in text:
            lines.append([])
            column = 0
    return [line for line in lines if line]


def _visible(text: str) -> str:
    return text.replace("\n", "↵").strip() or "␣"


def _role_names(reading: Reading, roles: Sequence[str]) -> list[str]:
    """The roles, each behind the token that the first item has there; of the frame between named parts, the token alone."""
    if "token" not in reading.data.coords:
        return list(roles)
    token = reading.data["token"]
    token = token.sel(condition=Condition.CONFLICT.value) if "condition" in token.dims else token
    tokens = {role: _visible(text) for role, text in zip(labels(token, "role"), token.values, strict=True) if text}
    names = {role: token if role.startswith("before ") else f"{token} ({role})" for role, token in tokens.items()}
    return [names.get(role, role) for role in roles]


def _stage_name(stage: str) -> str:
    layer, _, part = stage.removeprefix("L").partition(".")
    return {"resid_pre": "embed", "resid_mid": f"{layer} attn", "resid_post": f"{layer} MLP"}[part]


def _thin(axes: "Axes", count: int, most: int = 14) -> None:
    """Turn names on the horizontal axis upright where many are long, and leave some out where they are very many."""
    if count > 5 and max(len(tick.get_text()) for tick in axes.get_xticklabels()) > 3:
        axes.tick_params(axis="x", rotation=90)
    every = -(-count // most)
    for place, tick in enumerate(axes.get_xticklabels()):
        tick.set_visible(place % every == 0)


def _titles(maps: Sequence[Mapping[str, str]]) -> list[str]:
    """What each map is called by where all stand in one figure."""
    names = varying(maps)
    return [", ".join(told[d] for d in names) for told in maps]


def _shared(cells: "Dataset") -> str:
    """What all maps of a figure have in common, for its title: the pair, the direction."""
    told = [labels(cells, str(d))[0] for d in cells["mean"].dims if d not in INNER and cells.sizes[d] == 1]
    return f", {', '.join(told)}" if told else ""


def _headline(found: ProbeResults, reading: Reading, cells: "Dataset") -> str:
    framed = "framed: stands out (5 % false, and 5 % of the gap)" if "marked" in cells else "means over items"
    warning = f"\nMIND: {reading.data.attrs['warning']}" if "warning" in reading.data.attrs else ""
    return f"{_of(found, reading)}: {reading.data.attrs['origin'].split(' of ')[0]}{_shared(cells)}; {framed}{warning}"


def _of(found: ProbeResults, reading: Reading) -> str:
    return f"{reading.source.name} on {found.task.name}"


def _unit(reading: Reading) -> str:
    return f"{reading.data.attrs['quantity']}\n({reading.data.attrs['unit']})"


def _short(component: str) -> str:
    """`L0H1.z` as `L0H1`, `L0.mlp_out` as `L0 MLP`."""
    named = {"mlp_out": " MLP", "attn_bias": " attention bias", "z": "", "pattern": ""}
    where, dot, part = component.partition(".")
    return where + named[part] if part in named else component.replace("_", " ").replace(dot, " ")


def _of_item(reading: Reading, item: str) -> "DataArray":
    from distractor.errors import TaskError, nearest

    items = labels(reading.data, "item")
    if item not in items:
        raise TaskError(f"there is no item {item!r} in what was read: {nearest(item, items[:200])}")
    return reading.data.sel(item=item)
