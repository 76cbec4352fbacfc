import { isIPv6 } from 'node:net';
import { shellWord } from '../place.ts';
import { isLoopback } from './others.ts';

export interface Served {
  readonly protocol: string;
  readonly host: string;
  readonly port: number;
  /** Of a database: its name. */
  readonly database?: string | undefined;
  /** The file with this proxy's own host keys. */
  readonly knownHosts: string;
}

/** A line for a shell that connects to what is served, or the beginning of one; undefined: no program is the usual one. */
export function clientLine({ protocol, host, port, database, knownHosts }: Served): string | undefined {
  if (database !== undefined) return `psql "host=${host} port=${port} dbname=${database}"`;
  // Nothing of the person's own kubeconfig, whose sign-in is not the agent's. Without TLS it is served on the loopback alone.
  if (protocol === 'kubernetes' && isLoopback(host))
    return `kubectl --kubeconfig /dev/null --server http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  if (protocol !== 'ssh') return undefined;
  return `ssh -o ${shellWord(`UserKnownHostsFile=${settingWord(knownHosts)}`)} -p ${port} ${host}`;
}

/** A path as ssh_config(5) takes it, where blanks part words and % begins what is put in. */
function settingWord(path: string): string {
  const text = path.replaceAll('%', '%%');
  return /^[^\s"'\\]+$/.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}
