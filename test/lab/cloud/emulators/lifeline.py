"""Ends this process when the process that started it is gone, however it died.

The parent holds the other end of standard input and never writes to it. The kernel closes it when the parent dies, SIGKILL
included, which works where PR_SET_PDEATHSIG does not exist and leaves time to save state.
"""

import os
import signal
import sys
import threading
import time

SECONDS_TO_SAVE = 10


def end_with_parent() -> None:
    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SECONDS_TO_SAVE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="lifeline").start()
