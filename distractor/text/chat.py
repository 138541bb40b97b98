"""A task's prompts as a chat model is sent them: through the chat template of its own tokenizer."""

from dataclasses import replace
from typing import Any

from distractor.errors import EncodeError
from distractor.text.shots import turns
from distractor.text.task import Item, Task


def as_sent(task: Task, tokenizer: Any, name: str, *, puts_bos: bool) -> Task:
    """Every prompt of a task that was put as a chat, up to where the model begins to speak.

    Answers then have no space in front, for they begin a turn. Where the template writes the BOS that is put before every
    prompt anyway (`puts_bos`), it is left out here. A task that is no chat comes back as it is.

    Raises:
        EncodeError: the tokenizer has no chat template, or its template refuses such a chat.

    """
    if not task.format.chat:
        return task
    if not getattr(tokenizer, "chat_template", None):
        raise EncodeError(f"{name}: its tokenizer has no chat template; leave out --chat, or use a chat model")

    def tell(prompt: str) -> str:
        messages = [{"role": role, "content": text} for role, text in turns(prompt)]
        try:
            sent = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # templates are programs of their own
            raise EncodeError(f"{name}: its chat template refuses the prompt ({error}); leave out --chat") from error
        return sent.removeprefix(tokenizer.bos_token) if puts_bos and tokenizer.bos_token else sent

    def send(item: Item) -> Item:
        return replace(item.retold(tell), true=item.true.strip(), distractor=item.distractor.strip())

    return replace(task, items=tuple(map(send, task.items)), layout=None)
