"""A serial line that is none: line.py PERIOD socket PATH, or line.py PERIOD run PROGRAM ARGUMENTS. Prints the path of a terminal; what goes in there
reaches the socket, or the program's console, and the other way round. With a period, every so many bytes one of those that go there is changed."""
import os
import pty
import select
import socket
import sys
import tty

period, kind, *rest = sys.argv[1:]
period = int(period)
line, slave = pty.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
if kind == "socket":
    board = socket.socket(socket.AF_UNIX)
    board.connect(rest[0])
    board = board.detach()
else:
    # With a console of its own, as a board's: echo, editing, Ctrl-C
    child, board = pty.fork()
    if child == 0:
        os.execvp(rest[0], rest)


def write(to, data):
    while data:
        data = data[os.write(to, data) :]


count = 0
while True:
    for ready in select.select([line, board], [], [])[0]:
        try:
            data = bytearray(os.read(ready, 4096))
        except OSError:
            data = b""
        if not data:
            sys.exit()
        if ready is board:
            write(line, data)
            continue
        for i in range(len(data)):
            count += 1
            if period and count % period == 0 and data[i] > 32:
                data[i] ^= 1
        write(board, data)
