"""A small service manager: listens on a socket, and starts the daemon whenever somebody comes and none runs, as systemd does.

Arguments: the socket's path, then the daemon's command.
"""

import os
import select
import socket
import sys

FIRST_PASSED_FD = 3

path, command = sys.argv[1], sys.argv[2:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(path)
listener.listen(128)

while True:
    select.select([listener], [], [])
    child = os.fork()
    if child == 0:
        # Not by subprocess: the variable has to name the child itself.
        os.dup2(listener.fileno(), FIRST_PASSED_FD)
        os.set_inheritable(FIRST_PASSED_FD, True)  # dup2 leaves it as it is if it is that one already
        environment = dict(os.environ, LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execve(command[0], command, environment)
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit(f"the daemon has failed: {status}")
