"""Figures of attribution: where in a model, and in the prompt, the answers come from."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy import ndarray

from distractor.attribution.attribute import divergence_of
from distractor.attribution.size_trends import mean_over_models, order_sentences
from distractor.errors import TaskError, nearest
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
    supported,
    varying,
)
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading
from distractor.runs import colours, style
from distractor.runs.head_map import (
    MAP_STYLE,
    colour_bar,
    colour_limit,
    draw_head_map,
    draw_heat_map,
    head_grid,
    layer_height,
    name_layers,
    shared_width,
)
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from xarray import DataArray, Dataset

CONTROLS = {
    "model": ("the model", colours.INK, "o", "-"),
    "untrained": ("untrained", colours.NEUTRAL, "s", "--"),
    "bag_of_tokens": ("bag of tokens", colours.SERIES[1], "^", "--"),
    "random_labels": ("random labels", colours.SERIES[2], "v", ":"),
}

LABELS = {"distractor_answer": "the distractor's answer", "cue": "the cue", "right_answer": "the right answer (XOR)"}
BARS = 12  # the number of components that a waterfall names; the others share one bar
LEAST = 0.01  # the smallest named component of a waterfall, as a share of the largest
LEAST_SHARE = 0.005  # the smallest share of attention that is named
NAMED = 3  # the number of roles whose share of attention is named
HEADS = 4  # the number of heads whose attention is drawn on the prompt
PAGE_WIDTH = 19  # the largest width of a figure with several maps, in inches
LINE = 104  # the number of characters in a line of a prompt


def lens(results: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """Logit gap and distractor preference if the model stopped after each half layer, by condition."""
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(7.2, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        stages = labels(reading.data, "stage")
        for axes, quantity, neutral in ((left, "logit_gap", 0), (right, "distractor_preference", 0.5)):
            for condition in labels(reading.data, "condition"):
                colour, marker = colours.CONDITIONS[Condition(condition)], style.MARKERS[Condition(condition)]
                _line(axes, cells.sel(quantity=quantity, condition=condition), condition, colour, marker)
            _name_stages(axes, stages)
            style.reference_line(axes, neutral)
        style.widen_to(left)
        left.set(title="Answer if the model stopped there", ylabel="logit gap (nats)")
        right.set(title="Preference for the distractor's answer", ylabel="distractor preference", ylim=(-0.03, 1.03))
        where = divergence_of(results, reading)
        note = "conflict and congruent do not diverge"
        if where is not None and where.stage is not None and where.low is not None and where.high is not None:
            for axes in (left, right):
                axes.axvspan(where.low - 0.15, where.high + 0.15, color=colours.INK, alpha=0.1, lw=0, zorder=0)
            first, last = stages[where.low], stages[where.high]
            span = "" if first == last else f" [{first} to {last}]"
            note = f"grey: conflict and congruent diverge at {stages[where.stage]}{span}"
        style.legend_below(figure, [left], 3)
        style.headline(
            figure, f"{_model_and_task(results, reading)}: logit lens (bands: 95 % over item groups)\n{note}"
        )
        return figure


def components(results: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """Layer × head maps with the MLPs in the last column; marked cells are framed."""
    families = [family.get("component", []) for family in map_families(cells)]
    names, grids, supports = [], [], []
    for family in families:
        part = family[0].rpartition(".")[2]
        for outer, one in maps_of(cells.sel(component=family)):
            if outer.get("estimate") not in UNSIGNED:
                names.append({**outer, "part": part if part in OWN_MAP else "output"})
                grids.append(head_grid(family, one["mean"].values, _framed(one)))
                supports.append(supported(reading.data, outer))
    n_layers, n_columns = grids[0].values.shape[0], max(grid.values.shape[1] for grid in grids)
    width = 1.3 + 0.33 * n_columns
    columns = _beside_each_other(len(grids) // len(families) if len(families) > 1 else min(2, len(grids)), width)
    rows = -(-len(grids) // columns)
    with mpl.rc_context(MAP_STYLE):
        height = layer_height(n_layers, 0.3)
        size = (max(6.0, columns * width), 1.3 + rows * (0.75 + height * n_layers))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        limit = colour_limit([grid.values for grid in grids], reading.data.attrs["unit"])
        drawn = zip(panels, grids, _titles(names), supports, shared_width(grids), strict=False)
        for axes, grid, title, sign, of_map in drawn:
            image = draw_head_map(axes, grid, limit, title, height, supports=sign, width=of_map)
            _thin_labels(axes, len(grid.columns), 40)
        for axes in panels[len(grids) :]:
            axes.set_axis_off()
        _finish_maps(figure, image, panels, results, reading, cells)
        return figure


def positions(results: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """Layer × position maps, one row of panels for each part of the layer; columns name tokens and their roles.

    An approximation shows its signed estimates next to the exact patches that check it.
    """
    outer = [names for names in map_names(cells) if names.get("estimate") not in UNSIGNED]
    outer.sort(key=lambda names: names.get("direction") == "denoising")
    parts = labels(cells, "part") or [""]
    n_layers, n_roles = cells.sizes["layer"], cells.sizes["role"]
    width = 0.5 + 0.16 * n_roles
    columns = _beside_each_other(len(outer), width)
    blocks = len(outer) // columns  # maps below each other
    with mpl.rc_context(MAP_STYLE):
        height = layer_height(n_layers, 0.2, share=0.5)
        size = (max(7.0, 1.6 + columns * width), 2.3 + blocks * (0.3 + len(parts) * (0.35 + height * n_layers)))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(blocks * len(parts), columns, squeeze=False, sharex=True, sharey=True)
        limit = colour_limit([cells["mean"].sel(names).values for names in outer], reading.data.attrs["unit"])
        titles = _titles(outer)
        for place, row in enumerate(grid):
            block, of_block = divmod(place, len(parts))
            part = parts[of_block]
            for axes, index in zip(row, range(block * columns, (block + 1) * columns), strict=True):
                names = outer[index]
                one = cells.sel({**names, **({"part": part} if part else {})}).transpose("layer", "role")
                sign = supported(reading.data, names)
                image = draw_heat_map(axes, one["mean"].values, _framed(one), limit, supports=sign, numbers=False)
                name_layers(axes, n_layers, height)
                axes.set_xticks(range(n_roles), _role_names(reading, labels(cells, "role")), rotation=90)
                axes.set_title(titles[index] if of_block == 0 else "")
            row[0].set_ylabel(f"{part}\nlayer")
        _finish_maps(figure, image, grid, results, reading, cells, aspect=40)
        return figure


def sources(results: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """The contribution of the top heads from each role of the prompt, one panel per condition."""
    heads = [name for name in labels(cells, "component") if name.endswith(".z")]
    size = np.max([abs(one["mean"].sel(component=heads)).sum("role").values for _, one in maps_of(cells)], axis=0)
    chosen = [heads[i] for i in sorted(np.argsort(-size, kind="stable")[: 2 * BARS])]
    maps = list(maps_of(cells.sel(component=chosen).transpose(..., "component", "role")))
    n_roles = cells.sizes["role"]
    width = 0.7 + 0.21 * n_roles
    columns = _beside_each_other(len(maps), width)
    rows = len(maps) // columns
    with mpl.rc_context(MAP_STYLE):
        figsize = (max(7.0, 1.4 + columns * width), 1.9 + rows * (0.3 + 0.22 * len(chosen)))
        figure = Figure(figsize=figsize, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        limit = colour_limit([one["mean"].values for _, one in maps], reading.data.attrs["unit"])
        for axes, title, (outer, one) in zip(panels, _titles([outer for outer, _ in maps]), maps, strict=True):
            sign = supported(reading.data, outer)
            image = draw_heat_map(axes, one["mean"].values, _framed(one), limit, supports=sign, numbers=False)
            axes.set_yticks(range(len(chosen)), map(style.short_site, chosen))
            axes.set_xticks(range(n_roles), _role_names(reading, labels(cells, "role")), rotation=90)
            axes.set_title(title)
        _finish_maps(figure, image, panels, results, reading, cells)
        return figure


def _beside_each_other(count: int, width: float) -> int:
    """How many of so many maps of this width in inches are beside each other, so that rows are full and fit a page."""
    fitting = max(1, int(PAGE_WIDTH / width))
    return max(n for n in range(1, fitting + 1) if count % n == 0)


def waterfall(results: ProbeResults, reading: Reading, cells: "Dataset", item: str | None = None) -> Figure:
    """The logit gap as a running sum over components in order of depth: the mean over items, or one item."""
    components, conditions = labels(cells, "component"), labels(cells, "condition")
    means = cells["mean"] if item is None else _of_item(reading, item)
    table = means.transpose("condition", "component").values
    size = np.abs(table).max(0)
    is_named = (size >= LEAST * size.max()) & np.isin(np.arange(len(size)), np.argsort(-size, kind="stable")[:BARS])
    names = [style.short_site(name) for name, named in zip(components, is_named, strict=True) if named]
    n_others = int((~is_named).sum())
    names += [f"{n_others} others"] * bool(n_others) + ["logit gap"]
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(7.2, 1.5 + 0.24 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(conditions), squeeze=False, sharey=True)[0]
        for axes, condition, row in zip(panels, conditions, table, strict=True):
            steps = [*row[is_named], *[row[~is_named].sum()] * bool(n_others)]
            ends = np.cumsum(steps)
            for y, (step, end) in enumerate(zip(steps, ends, strict=True)):
                axes.barh(y, step, left=end - step, color=colours.TRUE if step > 0 else colours.DISTRACTOR, height=0.7)
                axes.plot([end, end], [y, y + 1], color=colours.INK, lw=0.6)
            axes.barh(len(steps), row.sum(), color=colours.CONDITIONS[Condition(condition)], height=0.7)
            for y, value in enumerate([*steps, row.sum()]):
                edge = max(0.0, ends[-1]) if y == len(steps) else max(ends[y], ends[y] - steps[y])
                axes.annotate(number(value), (edge, y), (3, 0), textcoords="offset points", va="center", fontsize=7)
            axes.axvline(0, color=colours.INK, lw=0.8)
            axes.use_sticky_edges = False
            axes.margins(x=0.14)
            axes.set(title=condition, xlabel="running sum of the logit gap (nats)")
            axes.set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
        style.headline(
            figure,
            f"{_model_and_task(results, reading)}, {'mean over items' if item is None else f'item {item}'}: contribution of "
            "each component to the true answer (blue) or the distractor's (orange), with the final norm's scale fixed",
        )
        return figure


def attention(results: ProbeResults, reading: Reading, cells: "Dataset", heads: Sequence[str]) -> Figure:
    """Attention from the answer slot, drawn on one item's prompt under each condition: the mean over items of each role.

    The shares of a head sum to 1, because all of them are means over the same items. `heads` names heads (`L0H1`), the
    most interesting first.
    """
    conditions = labels(reading.data, "condition")
    prompts = {condition: _prompt_lines(_example(reading, condition)) for condition in conditions}
    blocks = [(head, condition, 1.5 + len(prompts[condition])) for head in heads for condition in conditions]
    height = sum(lines for *_, lines in blocks)
    with mpl.rc_context(MAP_STYLE):
        figure = Figure(figsize=(7.4, 0.7 + 0.185 * height), layout="constrained")
        axes = figure.subplots()
        axes.set(xlim=(0, LINE), ylim=(height, 0))
        axes.set_axis_off()
        top = 0.0
        for head, condition, lines in blocks:
            shares = cells["mean"].sel(component=f"{head}.pattern", condition=condition)
            share_of = dict(zip(labels(shares, "role"), np.nan_to_num(shares.values).tolist(), strict=True))
            drawn = {role for words in prompts[condition] for *_, role in words}
            axes.text(0, top + 0.45, f"{head}, {condition}", va="center", weight="bold")
            axes.text(
                LINE, top + 0.45, _largest_shares(share_of, drawn), va="center", ha="right", color=colours.SOFT_INK
            )
            for line, words in enumerate(prompts[condition], 1):
                for start, text, role in words:
                    corner, width = (start - 0.25, top + line), len(text) + 0.3
                    share = min(share_of.get(role, 0.0), 1.0)
                    axes.add_patch(Rectangle(corner, width, 0.92, color=colours.ATTENTION, alpha=share, lw=0))
                    axes.text(start, top + line + 0.48, text, va="center", family="monospace", fontsize=8)
            top += lines
        style.headline(
            figure,
            f"{_model_and_task(results, reading)}: attention from the answer slot (the last word), drawn on the words of "
            "one item; full colour: all attention. Shares: means over all items, by role; a role that an item lacks counts 0",
        )
        return figure


def _largest_shares(share_of: Mapping[str, float], drawn: Collection[str]) -> str:
    """The roles with the largest shares and the sum of the others; roles that the drawn prompt lacks say so."""
    order = sorted(share_of, key=lambda role: (-share_of[role], role))
    named = [role for role in order[:NAMED] if share_of[role] >= LEAST_SHARE]
    first = [f"{role} {share_of[role]:.2f}" + ("" if role in drawn else " (not in this prompt)") for role in named]
    others = sum(share_of[role] for role in order[len(named) :])
    return ", ".join([*first, f"others {others:.2f}"] if order[len(named) :] else first)


def decoding(results: ProbeResults, reading: Reading, cells: "Dataset") -> Figure:
    """How well a linear probe reads each label after each layer, with the controls."""
    targets, stages = labels(reading.data, "label"), labels(reading.data, "stage")
    # Each item counts with its mean over conditions.
    means = means_of(results.task, reading.data.mean("condition", skipna=False))
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(max(3.6, 2.6 * len(targets)), 3.2), layout="constrained")
        panels = figure.subplots(1, len(targets), squeeze=False, sharey=True)[0]
        for axes, label in zip(panels, targets, strict=True):
            for control in labels(reading.data, "control"):
                name, colour, marker, dashes = CONTROLS[control]
                _line(axes, means.sel(label=label, control=control), name, colour, marker, dashes)
            style.share_axis(axes)
            axes.set(title=LABELS[label], xlabel="after layer")
            axes.set_xticks(range(len(stages)), [_stage_name(stage).split()[0] for stage in stages])
            _thin_labels(axes, len(stages))
        panels[0].set_ylabel("accuracy of the linear probe")
        style.legend_below(figure, [panels[0]])
        style.headline(
            figure,
            f"{_model_and_task(results, reading)}: linear probes of the answer slot, tested on other item groups "
            "than those of the fit (bands: 95 % over item groups)",
        )
        return figure


def across(results: ProbeResults) -> Figure:
    """The strength of both tasks' sites over model size, next to T and D in behaviour, in nats."""
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, of_sites in ((left, True), (right, False)):
            for pull, (label, colour, marker) in style.PULL_STYLES.items():
                _curve_over_size(axes, results, pull, of_sites, label, colour, marker)
            style.reference_line(axes, 0)
            style.log_axis(axes, [source.n_params or 1 for source in results.sources], "parameters")
        style.widen_to(left)
        left.set(title="Lost when its sites are knocked out", ylabel="nats")
        right.set_title("Behaviour")
        style.legend_inside(right)
        style.headline(
            figure,
            f"{results.task.name}: the sites of the true task (T) and of the distractor task (D) over size\nIf the true task "
            "overrides the distractor task, D comes first and T passes it later, in sites as in behaviour.\nsites: chosen on "
            f"half of the item groups, measured on the other half; bands: {results.interval_name}",
        )
        style.footnote(figure, order_sentences(results))
        return figure


def _curve_over_size(
    axes: "Axes", results: ProbeResults, pull: str, of_sites: bool, label: str, colour: str, marker: str
) -> None:
    """The mean over seeds at each size with its band, and one dot per seed if there are several."""
    by_size = {
        models: mean
        for models in group_by_size(scores.source for scores in results.scores)
        if (mean := mean_over_models(results, models, pull, of_sites=of_sites)) is not None
    }
    sizes = {models: results.scores[models[0]].source.n_params or 1 for models in by_size}
    means = [*np.array([*by_size.values()]).reshape(-1, 3).T]
    style.line_with_band(axes, [*sizes.values()], means, label, colour, marker)
    dots = [
        (sizes[models], mean.mean)
        for models in by_size
        for model in models
        if len(models) > 1 and (mean := mean_over_models(results, [model], pull, of_sites=of_sites))
    ]
    if dots:
        axes.plot(*zip(*dots, strict=True), ".", ms=3, color=colour, label=style.SEEDS)


def _line(axes: "Axes", cells: "Dataset", label: str, colour: str, marker: str, dashes: str = "-") -> None:
    mean = [cells[name].values for name in ("mean", "low", "high")]
    style.line_with_band(axes, range(len(mean[0])), mean, label, colour, marker, dashes, style.MANY_BANDS)


def _framed(cells: "Dataset") -> ndarray | None:
    return cells["marked"].values if "marked" in cells else None


def _finish_maps(
    figure: Figure,
    image: "ScalarMappable",
    panels: Iterable["Axes"],
    results: ProbeResults,
    reading: Reading,
    cells: "Dataset",
    aspect: float = 20,
) -> None:
    """Adds the colour bar and the title: model, task, method, what all maps share, and the meaning of frames."""
    attrs = reading.data.attrs
    label = f"{attrs['quantity']} ({attrs['unit']})"
    colour_bar(figure, image, np.asarray(panels), label, aspect)
    shared = [labels(cells, str(d))[0] for d in cells["mean"].dims if d not in INNER and cells.sizes[d] == 1]
    method = ", ".join([attrs["origin"].split(" of ")[0], *shared])
    framed = (
        "framed: significant at 5 % false discoveries, and at least 5 % of the gap"
        if "marked" in cells
        else "means over items"
    )
    grey = f"; grey: {attrs['absent']}" if "absent" in attrs and bool(cells["mean"].isnull().any()) else ""
    # The table beside it has the numbers that a warning has in brackets.
    warning = "\nWarning: " + re.sub(r" \([^)]*\d[^)]*\)", "", attrs["warning"]) if attrs.get("warning") else ""
    style.headline(figure, f"{_model_and_task(results, reading)}: {method}; {framed}{grey}{warning}")


def _example(reading: Reading, condition: str) -> list[tuple[str, str]]:
    """The first item's tokens under a condition, in order, each with its role."""
    data = reading.data.sel(condition=condition)
    order = [number for number in np.argsort(data["place"].values) if data["place"].values[number] >= 0]
    return [(str(data["token"].values[number]), labels(data, "role")[number]) for number in order]


def _prompt_lines(words: Sequence[Sequence[str]]) -> list[list[tuple[int, str, str]]]:
    """Breaks a prompt's tokens into lines of (column, text, role). A newline is shown and ends its line."""
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
    """The first item's token in each role, followed by the role; only the token between named parts of the prompt."""
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


def _name_stages(axes: "Axes", stages: Sequence[str], most: int = 14) -> None:
    """Names every stage on the horizontal axis; if there are too many, the embedding and whole layers up to the last."""
    names = [_stage_name(stage) for stage in stages]
    if len(stages) <= most:
        axes.set_xticks(range(len(stages)), names)
        axes.set_xlabel("after layer, half")
        _thin_labels(axes, len(stages))
        return
    layers = [place for place, name in enumerate(names) if name.endswith("MLP")]
    every = -(-len(layers) // (most - 1))
    shown = [0, *(place for place in layers[::-every][::-1] if place > 2.5 * every)]  # none beside the embedding
    axes.set_xticks(shown, [names[place].removesuffix(" MLP") for place in shown])
    axes.set_xlabel("after layer")
    axes.tick_params(axis="x", rotation=0)


def _thin_labels(axes: "Axes", count: int, most: int = 14) -> None:
    """Turns long labels of the horizontal axis upright, and hides some if there are too many."""
    if count > 5 and max(len(tick.get_text()) for tick in axes.get_xticklabels()) > 3:
        axes.tick_params(axis="x", rotation=90)
    every = -(-count // most)
    for i, tick in enumerate(axes.get_xticklabels()):
        tick.set_visible(i % every == 0)


def _titles(maps: Sequence[Mapping[str, str]]) -> list[str]:
    """Each map's title: the labels by which the maps of one figure differ."""
    dims = varying(maps)
    return [", ".join(names[d] for d in dims) for names in maps]


def _model_and_task(results: ProbeResults, reading: Reading) -> str:
    return f"{reading.source.name} on {results.task.name}"


def _of_item(reading: Reading, item: str) -> "DataArray":
    items = labels(reading.data, "item")
    if item not in items:
        raise TaskError(f"the reading has no item {item!r}: {nearest(item, items[:200])}")
    return reading.data.sel(item=item)
