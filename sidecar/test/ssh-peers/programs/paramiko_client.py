"""Runs a command: PORT USER KEY HOST_KEY COMMAND."""

import base64
import sys
import threading

import paramiko

port, user, key, host_key, command = sys.argv[1:]
with open(host_key, encoding="ascii") as file:
    blob = base64.b64decode(file.read().split()[1])
client = paramiko.SSHClient()
client.get_host_keys().add(f"[127.0.0.1]:{port}", "ssh-ed25519", paramiko.Ed25519Key(data=blob))
client.connect("127.0.0.1", int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
channel = client.get_transport().open_session()
channel.exec_command(command)


def write():
    channel.sendall(sys.stdin.buffer.read())
    channel.shutdown_write()


def read(receive, out):
    while data := receive(65536):
        out.write(data)


threads = [
    threading.Thread(target=write),
    threading.Thread(target=read, args=(channel.recv, sys.stdout.buffer)),
    threading.Thread(target=read, args=(channel.recv_stderr, sys.stderr.buffer)),
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
status = channel.recv_exit_status()
client.close()
sys.exit(status)
