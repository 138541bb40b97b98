"""Writes the run folder of one task in several prompt formats: a folder for each format, and all side by side."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from distractor.ablation import report
from distractor.ablation.ablate import AblationResult
from distractor.ablation.formats.curve import FormatCurve, FormatResult, format_curve, part_accuracy, task_parts
from distractor.ablation.formats.dip import dip_sentences
from distractor.ablation.formats.lead import lead
from distractor.ablation.written import report as written_report
from distractor.models.source import Source
from distractor.runs.figure_set import MOST, FigureSet, choose
from distractor.runs.folder import RunFolder
from distractor.runs.manifest import run_manifest
from distractor.runs.precision import precision_caution
from distractor.scoring.settings import Settings
from distractor.scoring.written_answers import WRITER
from distractor.text.format import Format
from distractor.text.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distractor.probing.probe import Probe
    from distractor.runs.page.blocks import Page


def manifest(
    task: Task,
    tasks: Sequence[Task],
    sources: Sequence[Source],
    settings: Settings,
    probe: "Probe | None",
    command: Sequence[str],
) -> dict[str, Any]:
    """The manifest of a run; `tasks` is the same `task` in each of its formats."""
    content = run_manifest(task, sources, settings, probe, command)
    content = {name: value for name, value in content.items() if name not in Format().as_dict()}
    formats = [{**each.format.as_dict(), "hash": each.fingerprint()} for each in tasks]
    return {**content, "writer": WRITER, "formats": formats}


FIGURES = ("formats", "parts")


def write(folder: RunFolder, results: Sequence[FormatResult], figures: FigureSet = FigureSet.MAIN) -> dict[str, Any]:
    """Write each format's results into its own folder, then the comparison of formats. Returns the summary.

    The main set of figures has those of the comparison, and the headline figure of as many formats as `MOST` allows,
    and that with published curves.
    """
    summaries = {}
    for place, result in enumerate(results):
        form = result.task.format
        subfolder, most = folder.subfolder(form.slug), int(place < MOST - len(FIGURES)) + bool(result.published)
        if isinstance(result, AblationResult):
            summaries[form.label] = report.write(subfolder, result, figures, most)
        else:
            summaries[form.label] = written_report.write(subfolder, result, figures, most)
    curves = [format_curve(result) for result in results]
    content: dict[str, Any] = {
        "task": results[0].task.name,
        "formats": [curve.as_dict() for curve in curves],
        "parts": {part: _part(results, part) for part in task_parts(results[0].task)},
        "lead": list(lead(results, curves)),
        "sentences": dip_sentences(results),
        "by_format": summaries,
    }
    content["figures"] = folder.keep_figures(content, choose(figures, FIGURES), partial(_draw, results, curves))
    folder.keep_page(partial(_page, folder, results, curves, content), content["figures"]["drawn_from"])
    folder.write_summary(content)
    return content


def _draw(results: Sequence[FormatResult], curves: Sequence[FormatCurve], name: str) -> "Figure | None":
    from distractor.ablation.formats import figures as plot
    from distractor.runs.style import extend_headline

    figure = plot.formats(curves, results[0].task.name) if name == "formats" else plot.by_part(results)
    if figure is not None:
        extend_headline(figure, precision_caution(results))
    return figure


def _page(
    folder: RunFolder, results: Sequence[FormatResult], curves: Sequence[FormatCurve], content: Mapping[str, Any]
) -> "Page":
    from distractor.ablation.formats.page import page

    return page(results, curves, content["sentences"], content["figures"]["names"], folder.manifest)


def _part(results: Sequence[FormatResult], part: str) -> dict[str, Any]:
    """Accuracy in `conflict` on one part of the task at each size, in each format."""
    return {
        result.task.format.label: {
            "n_params": list(result.n_params),
            "accuracy": [mean._asdict() if mean else None for mean in part_accuracy(result, part)],
        }
        for result in results
    }
