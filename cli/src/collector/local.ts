import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Collector } from '@chaperone/collector';
import { type Trust, TrustFile } from '@chaperone/evidence';
import { CliError, EXIT, fileUnread, usage } from '../errors.ts';
import { fileCounters } from '../up/counters.ts';
import { type Address, dataPaths, lockData, readAddress } from '../up/data-directory.ts';
import type { Transport } from './transport.ts';

/** Where `chaperone up` keeps keys and evidence unless it is told otherwise. */
export function defaultData(env: Readonly<Record<string, string | undefined>>): string {
  const state = env['XDG_STATE_HOME'] ?? join(env['HOME'] ?? '.', '.local/state');
  return join(state, 'chaperone');
}

/**
 * Reaches the evidence of a data directory: through the collector of the `chaperone up` that runs in it, or, where none does, by
 * opening the store here.
 */
export async function openLocalTransport(data: string): Promise<Transport> {
  const paths = dataPaths(data);
  const running = await readAddress(data);
  if (running !== undefined) return overHttp(running, paths.trust);
  return inProcess(data);
}

function neverRun(data: string): CliError {
  return new CliError('CollectorUnreachable', `no chaperone up has run with --data ${data}`, {
    exit: EXIT.unreachable,
    fix: ['chaperone up --manifests DIR --agent NAMESPACE/SERVICEACCOUNT', 'or name its data directory with --data'],
  });
}

function overHttp({ url, token }: Address, trust: string): Transport {
  return {
    fetch: (path, body) =>
      fetch(`${url}${path}`, sending(token, body)).catch((error: unknown) => {
        throw new CliError('CollectorUnreachable', `the collector at ${url} does not answer`, {
          cause: error,
          exit: EXIT.unreachable,
        });
      }),
    trust: () => readTrust(trust),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function sending(token: string, body: string | undefined): RequestInit {
  const headers = { authorization: `Bearer ${token}` };
  return body === undefined ? { headers } : { headers, method: 'POST', body };
}

interface OpenedStore extends AsyncDisposable {
  readonly collector: Collector;
  readonly trust: Trust;
  /** Opens its API. */
  readonly token: string;
}

/** The store of a data directory that no process uses. Throws CliError DataInUse, CollectorUnreachable. */
export async function openStore(data: string): Promise<OpenedStore> {
  const paths = dataPaths(data);
  if (!existsSync(paths.evidence)) throw neverRun(data);
  const { createCollector, createTokenAccess } = await import('./store.ts');
  await using stack = new AsyncDisposableStack();
  stack.use(await lockData(data));
  const trust = await readTrust(paths.trust);
  const token = randomBytes(24).toString('base64url');
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const collector = await createCollector({
    directory: paths.evidence,
    trust,
    access: createTokenAccess(token),
    logger: silent,
    counters: fileCounters(data),
  });
  stack.defer(() => collector.close());
  const owned = stack.move();
  return { collector, trust, token, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

async function inProcess(data: string): Promise<Transport> {
  const owned = await openStore(data);
  const { collector, trust, token } = owned;
  return {
    fetch: async (path, body) => collector.fetch(new Request(`http://localhost${path}`, sending(token, body))),
    trust: () => Promise.resolve(trust),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** Reads a trust file: {"origin": "…", "enrolmentKeys": ["…"]}. Throws CliError Usage, NotFound. */
export async function readTrust(path: string): Promise<Trust> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw fileUnread(path, cause);
  });
  try {
    return TrustFile.parse(JSON.parse(text));
  } catch {
    throw usage(`${path} is not a trust file; it holds {"origin": "…", "enrolmentKeys": ["…"]}`);
  }
}
