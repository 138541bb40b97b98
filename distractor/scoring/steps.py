"""The steps of scoring or writing: one for each cell of each model, with its tokens."""

from collections.abc import Iterator, Sequence

from distractor.models.parameters import parameters_of
from distractor.models.source import Source
from distractor.scoring.keys import cell_name, score_keys
from distractor.scoring.prompt_tokens import CountTokens, estimate_tokens
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.written_answers import gap_conditions, gap_keys, gap_name, text_keys
from distractor.text.task import Condition, Task
from distractor.work import Step


def score_steps(
    task: Task,
    sources: Sequence[Source],
    store: Store,
    settings: Settings,
    count: CountTokens = estimate_tokens,
    *,
    only: Sequence[Condition] | None = None,
) -> Iterator[Step]:
    """The steps of `sweep`, or of `ablate_written` if models write; the tokens of a text that is written are a limit."""
    for source in sources:
        n_params, lengths = parameters_of(source), count(task, source)
        shown = {c: sum(c in item.prompts for item in task.items) for c in task.conditions}

        if not task.format.is_written:
            cached = {} if source.is_missing else score_keys(task, source, settings)
            for c in task.conditions if only is None else only:
                is_cached = c in cached and store.has(cached[c])
                yield Step(source.name, cell_name(task, c), lengths[c], n_params, shown[c], is_cached)
            continue
        # The last written token is never an input.
        longest = {c: lengths[c] + (task.format.max_tokens - 1) * shown[c] for c in task.conditions}
        cached = {} if source.is_missing else text_keys(task, source, settings)
        for c in task.conditions:
            is_cached = c in cached and store.has(cached[c])
            yield Step(source.name, cell_name(task, c), longest[c], n_params, shown[c], is_cached, "write")
        cached = {} if source.is_missing else gap_keys(task, source, settings)
        for c in gap_conditions(task):
            is_cached = c in cached and store.has(cached[c])
            yield Step(source.name, gap_name(task, c), 2 * longest[c], n_params, shown[c], is_cached)
