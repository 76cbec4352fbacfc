"""Runs argv[3:] in a pseudo-terminal of argv[1] columns and argv[2] rows; prints a line [milliseconds, base64] for each piece of output,
which is small enough that characters are cut."""

import base64
import fcntl
import os
import pty
import struct
import sys
import termios
import time

columns, rows = int(sys.argv[1]), int(sys.argv[2])
began = time.monotonic()
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    os.execvpe(sys.argv[3], sys.argv[3:], environment)
while True:
    try:
        piece = os.read(terminal, 333)
    except OSError:
        break
    if not piece:
        break
    print(f"[{(time.monotonic() - began) * 1000:.3f}, \"{base64.b64encode(piece).decode()}\"]", flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
