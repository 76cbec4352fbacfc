"""Runs a command: PORT USER KEY HOST_KEY COMMAND. Asks for new keys every megabyte."""

import asyncio
import sys

import asyncssh


async def main(port, user, key, host_key, command):
    with open(host_key, encoding="ascii") as file:
        known = asyncssh.import_known_hosts(f"[127.0.0.1]:{port} {file.read()}")
    async with asyncssh.connect(
        "127.0.0.1",
        int(port),
        username=user,
        client_keys=[key],
        known_hosts=known,
        config=None,
        rekey_bytes=1_000_000,
    ) as connection:
        done = await connection.run(command, input=sys.stdin.buffer.read(), encoding=None)
    sys.stdout.buffer.write(done.stdout)
    sys.stderr.buffer.write(done.stderr)
    return done.exit_status


sys.exit(asyncio.run(main(*sys.argv[1:])))
