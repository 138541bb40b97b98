"""The Hugging Face hub: its address, whether it may be used, and whether it can be reached."""

import os
import socket
from contextlib import suppress
from threading import Event, Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SECONDS = 3.0  # time limit for a connection to the hub; its own client tries for half a minute


def endpoint() -> str:
    """Return the hub's address, which HF_ENDPOINT can change."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def is_forbidden() -> bool:
    """Whether HF_HUB_OFFLINE forbids the use of the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "0").lower() in {"1", "true", "yes", "on"}


def is_reachable() -> bool:
    """Whether a connection to the hub, or to its proxy, opens within `SECONDS`; a name look-up alone has no time limit."""
    try:
        hub = urlsplit(endpoint())
        proxy = None if proxy_bypass(hub.hostname or "") else getproxies().get(hub.scheme)
        address = urlsplit(proxy if "://" in proxy else f"//{proxy}") if proxy else hub
        port = address.port or {"http": 80, "https": 443}.get(address.scheme, 80)
    except ValueError:  # HF_ENDPOINT is not an address
        return False
    connected = Event()

    def connect() -> None:
        with suppress(OSError):
            socket.create_connection((address.hostname or "", port), timeout=SECONDS).close()
            connected.set()

    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return connected.is_set()
