"""Chat prompts: a task's prompts written with the chat template of a model's tokenizer."""

from dataclasses import replace
from typing import Any

from distractor.errors import EncodeError
from distractor.text.format_task import chat_turns
from distractor.text.task import Item, Task


def apply_chat_template(task: Task, tokenizer: Any, name: str, *, adds_bos: bool) -> Task:
    """Write every prompt with the chat template, up to the start of the model's turn. Only chat formats change.

    Answers lose their leading space, because they start a turn. A BOS token of the template is removed if the model
    `adds_bos`. Raises EncodeError if the tokenizer has no chat template, or its template rejects the chat.
    """
    if not task.format.chat:
        return task
    if not getattr(tokenizer, "chat_template", None):
        raise EncodeError(f"{name}: its tokenizer has no chat template; leave out --chat, or use a chat model")

    def write(prompt: str) -> str:
        messages = [{"role": role, "content": text} for role, text in chat_turns(prompt)]
        try:
            text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # a template is a program and can raise anything
            raise EncodeError(f"{name}: its chat template rejects the prompt ({error}); leave out --chat") from error
        return text.removeprefix(tokenizer.bos_token) if adds_bos and tokenizer.bos_token else text

    def write_item(item: Item) -> Item:
        return replace(item.map_prompts(write), true=item.true.strip(), distractor=item.distractor.strip())

    return replace(task, items=tuple(map(write_item, task.items)), layout=None)
