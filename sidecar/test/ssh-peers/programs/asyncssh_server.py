"""Runs commands: PORT HOST_KEY AUTHORIZED_KEYS. Asks for new keys every megabyte."""

import asyncio
import subprocess
import sys

import asyncssh


async def handle(process):
    pipe = subprocess.PIPE
    child = subprocess.Popen(process.command, shell=True, stdin=pipe, stdout=pipe, stderr=pipe)
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    await process.wait_closed() if process.is_closing() else await process.stdout.drain()
    process.exit(await asyncio.to_thread(child.wait))


async def main(port, host_key, authorized):
    await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_host_keys=[host_key],
        authorized_client_keys=authorized,
        process_factory=handle,
        encoding=None,
        rekey_bytes=1_000_000,
    )
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
