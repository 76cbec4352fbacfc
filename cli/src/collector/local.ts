import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Trust } from '@chaperone/evidence';
import { z } from 'zod';
import { CliError, EXIT } from '../errors.ts';
import type { Transport } from './client.ts';

const Address = z.object({ url: z.string(), token: z.string() });
const TrustFile = z.object({ origin: z.string(), enrolmentKeys: z.array(z.string()) });

/** Where `chaperone up` keeps keys and evidence unless it is told otherwise. */
export function defaultData(env: Readonly<Record<string, string | undefined>>): string {
  const state = env['XDG_STATE_HOME'] ?? join(env['HOME'] ?? '.', '.local/state');
  return join(state, 'chaperone');
}

/** Reaches the collector of a running `chaperone up` through what it left in its data directory. */
export async function openLocalTransport(data: string): Promise<Transport> {
  const text = await readFile(join(data, 'collector.json'), 'utf8').catch((error: unknown) => {
    throw new CliError('CollectorUnreachable', `no chaperone up is running with --data ${data}`, {
      cause: error,
      exit: EXIT.unreachable,
      fix: ['chaperone up --manifests DIR --agent NAMESPACE/SERVICEACCOUNT', 'or name its data directory with --data'],
    });
  });
  const { url, token } = Address.parse(JSON.parse(text));
  return {
    fetch: (path) =>
      fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } }).catch((error: unknown) => {
        throw new CliError('CollectorUnreachable', `the collector at ${url} does not answer`, {
          cause: error,
          exit: EXIT.unreachable,
        });
      }),
    trust: () => readTrust(join(data, 'trust.json')),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Reads a trust file: {"origin": "…", "enrolmentKeys": ["…"]}. */
export async function readTrust(path: string): Promise<Trust> {
  try {
    return TrustFile.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new CliError('Usage', `${path} is not a trust file`, { cause: error, exit: EXIT.usage });
  }
}
