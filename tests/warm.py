"""A `distractor` that starts at once: each command runs in a copy of a process that has imported the libraries.

A command takes seconds to import them. Its arguments, folder, environment, streams and exit status are those of an
ordinary command.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STATISTICS = (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
)
MODELS = ("transformer_lens", "transformers.models.gpt_neox.modeling_gpt_neox", "xarray")

SERVER = """
import gc, importlib, json, os, signal, socket, sys, traceback
path, *libraries = sys.argv[1:]
for library in libraries:
    importlib.import_module(library)
gc.freeze()  # so that the copies do not search what the libraries hold
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen()
print("ready", flush=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    caller, _ = listening.accept()
    if not os.fork():
        break
    caller.close()
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
_, streams, *_ = socket.recv_fds(caller, 1, 3)
folder, environment, arguments = json.loads(caller.makefile().readline())
if command := os.fork():
    status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    caller.sendall(bytes([status % 256]))
    os._exit(0)
for number, stream in enumerate(streams):
    os.dup2(stream, number)
    os.close(stream)
caller.close(), listening.close()
for name, mode, buffering in (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1)):
    first = getattr(sys, name)
    again = open(first.fileno(), mode, buffering, encoding=first.encoding, errors=first.errors, closefd=False)
    setattr(sys, name, again)
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
sys.argv = ["distractor", *arguments]
from distractor.command_line.main import main
status = 1
try:
    main()
    status = 0
except SystemExit as end:
    status = end.code
except BaseException:
    traceback.print_exc()
sys.stdout.flush(), sys.stderr.flush()
os._exit(status)  # to delete all that the libraries hold would take a second
"""
CLIENT = """#!{python} -S
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
socket.send_fds(server, [b" "], [0, 1, 2])
server.sendall(json.dumps([os.getcwd(), dict(os.environ), sys.argv[1:]]).encode() + b"\\n")
sys.exit(server.recv(1)[0])
"""


@contextmanager
def warm(environment: Mapping[str, str], libraries: tuple[str, ...]) -> Iterator[Path]:
    """The path of the program, which works within the block. Its locale is that of `environment`."""
    with tempfile.TemporaryDirectory() as folder:  # a short path, as sockets need
        path, client = Path(folder) / "socket", Path(folder) / "distractor"
        client.write_text(CLIENT.format(python=sys.executable, path=str(path)), encoding="utf-8")
        client.chmod(0o755)
        command = [sys.executable, "-P", "-c", SERVER, str(path), *libraries]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, text=True, **streams) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == "ready\n"
                yield client
            finally:
                server.kill()
