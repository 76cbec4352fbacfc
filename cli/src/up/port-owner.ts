import { readdir, readFile, readlink } from 'node:fs/promises';

/** TCP_LISTEN in the column `st` of /proc/net/tcp, https://docs.kernel.org/networking/proc_net_tcp.html */
const LISTENING = '0A';

/** The process that listens on a port of this machine, as "4121 (postgres)"; undefined where the system does not tell us. */
export async function portOwner(port: number): Promise<string | undefined> {
  const sockets = new Set([...(await listening('/proc/net/tcp', port)), ...(await listening('/proc/net/tcp6', port))]);
  if (sockets.size === 0) return undefined;
  for (const pid of (await names('/proc')).filter((name) => /^\d+$/.test(name)))
    for (const descriptor of await names(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      if (!sockets.has(target)) continue;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      return `${pid} (${name.trim()})`;
    }
  return undefined;
}

/** The sockets that listen on the port, named as links in /proc/PID/fd name them. */
async function listening(path: string, port: number): Promise<string[]> {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '', , state]) => local.endsWith(wanted) && state === LISTENING)
    .map((columns) => `socket:[${columns[9] ?? ''}]`);
}

/** Other people's processes cannot be looked into: they have no names here. */
async function names(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
