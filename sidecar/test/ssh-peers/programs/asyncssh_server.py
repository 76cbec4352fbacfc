"""Runs commands: PORT HOST_KEY AUTHORIZED_KEYS. Asks for new keys every megabyte."""

import asyncio
import sys

import asyncssh

PIPE = asyncio.subprocess.PIPE


async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def handle(process):
    child = await asyncio.create_subprocess_shell(process.command, stdin=PIPE, stdout=PIPE, stderr=PIPE)

    async def feed():
        await copy(process.stdin, child.stdin)
        child.stdin.close()

    # Redirecting would end the channel before all that the pipe still holds was read.
    await asyncio.gather(feed(), copy(child.stdout, process.stdout), copy(child.stderr, process.stderr))
    process.exit(await child.wait())


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
