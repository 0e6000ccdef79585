"""The program `storyloom`: Ctrl-C ends it with its exit code and without a traceback, also while it is being loaded."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130
"""That of storyloom.errors, which is not loaded yet."""


def main() -> None:
    """Load the command line, in which nothing can be lost yet, and run it."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not of a program in the background, which ignores it
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from pipeline.cli import main as command_line

    signal.signal(signal.SIGINT, usual)
    try:
        command_line()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
