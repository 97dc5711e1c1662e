"""A serial line that is none: line.py <socket> <period>. Prints the path of a terminal; what goes in there comes out of the socket, and the other
way round. With a period, every so many bytes one is changed on the way to the socket."""
import os
import pty
import select
import socket
import sys
import tty

path, period = sys.argv[1], int(sys.argv[2])
master, slave = pty.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
board = socket.socket(socket.AF_UNIX)
board.connect(path)
count = 0
while True:
    for ready in select.select([master, board], [], [])[0]:
        if ready is board:
            data = board.recv(4096)
            if not data:
                sys.exit()
            os.write(master, data)
            continue
        data = bytearray(os.read(master, 4096))
        for i in range(len(data)):
            count += 1
            if period and count % period == 0 and data[i] > 32:
                data[i] ^= 1
        board.sendall(data)
