"""Processes that train together, started as torchrun starts them, but sooner."""

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

TESTS = Path(__file__).parent


def find_port():
    """A port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_team(*command, size=2):
    """The processes of a team: Python with these arguments, in each."""
    port = find_port()
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ
            | {
                "RANK": str(rank),
                "WORLD_SIZE": str(size),
                "LOCAL_RANK": str(rank),
                "LOCAL_WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
                "TERM": "dumb",
            },
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(size)
    ]


def finish_team(processes, timeout=120):
    """Exit code, stdout and stderr of each process."""
    try:
        texts = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *text) for p, text in zip(processes, texts, strict=True)]
