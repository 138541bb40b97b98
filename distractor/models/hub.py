"""The Hugging Face hub as everyone reaches it: where it is, whether it may be asked, and whether it answers."""

import os
import socket
from contextlib import suppress
from threading import Event, Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SECONDS = 3.0
"""How long the hub is waited for; its own client tries for half a minute."""


def endpoint() -> str:
    """The hub's address: what HF_ENDPOINT says, as for every tool."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def is_forbidden() -> bool:
    """Whether HF_HUB_OFFLINE forbids to ask it."""
    return os.environ.get("HF_HUB_OFFLINE", "0").lower() in {"1", "true", "yes", "on"}


def is_reachable() -> bool:
    """Whether a connection to the hub, or to the proxy that leads there, can be opened in time.

    In a thread, because looking up a name knows no time limit, and a name may have many addresses.
    """
    try:
        hub = urlsplit(endpoint())
        proxy = None if proxy_bypass(hub.hostname or "") else getproxies().get(hub.scheme)
        address = urlsplit(proxy if "://" in proxy else f"//{proxy}") if proxy else hub
        port = address.port or {"http": 80, "https": 443}.get(address.scheme, 80)
    except ValueError:  # no address at all
        return False
    answered = Event()

    def knock() -> None:
        with suppress(OSError):
            socket.create_connection((address.hostname or "", port), timeout=SECONDS).close()
            answered.set()

    knocking = Thread(target=knock, daemon=True)
    knocking.start()
    knocking.join(SECONDS)
    return answered.is_set()
