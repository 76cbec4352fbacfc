import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { EvidenceError, formatVerifierKey, parsePolicy, type TrustPolicy } from '@chaperone/evidence';
import { fileUnread, usage } from '../errors.ts';
import type { HostPort } from '../flags.ts';
import { safeJson } from '@chaperone/api/text';
import type { ProgramOptions } from '../program.ts';
import { lockData } from '../up/data-directory.ts';
import { makeWitnessKey, readWitnessKey, type WitnessKeyType } from '../witness/key-file.ts';
import { createWitnessServer } from '../witness/serve.ts';
import { Witness } from '../witness/witness.ts';

/** Prints the public half of a witness's key; makes the key where a name is given. */
export async function witnessKey(
  { key, name, type }: { readonly key: string; readonly name?: string; readonly type: WitnessKeyType },
  { io }: Pick<ProgramOptions, 'io'>,
): Promise<void> {
  const found = name === undefined ? await readWitnessKey(key) : await makeWitnessKey(key, name, type);
  io.out.write(`${formatVerifierKey(found.key)}\n`);
}

export interface RunOptions {
  readonly listen: HostPort;
  readonly key: string;
  readonly state: string;
  readonly policy: string;
}

/** Serves a witness until it is asked to stop. Lines of JSON on standard error say what it has cosigned and refused. */
export async function runWitness(
  { listen, key: keyFile, state, policy: policyFile }: RunOptions,
  { io, stopped }: Pick<ProgramOptions, 'io' | 'stopped'>,
): Promise<void> {
  const stop = stopped();
  const key = await readWitnessKey(keyFile);
  const policy = await readPolicy(policyFile);
  await using stack = new AsyncDisposableStack();
  stack.use(await lockData(state));
  const witness = await Witness.open({ directory: state, policy, key, now: io.now });
  const say = (fields: object): void => void io.err.write(`${safeJson({ time: new Date(io.now()).toISOString(), ...fields })}\n`);
  const server = createWitnessServer({
    witness,
    onAnswer: (answer, asked) =>
      say(
        answer.status === 200
          ? { event: 'cosigned', origin: answer.origin, size: answer.latest.size, root: answer.latest.root.toString('base64') }
          : { event: 'refused', status: answer.status, ...(asked === undefined ? {} : { origin: asked }) },
      ),
    onError: (error) => say({ event: 'failed', cause: error instanceof Error ? error.name : 'unknown' }),
  });
  server.listen(listen.port, listen.host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw usage(`${listen.host}:${listen.port} cannot be listened on (${code})`);
  }
  const { address, port, family } = server.address() as AddressInfo;
  io.out.write(`witness ${formatVerifierKey(key.key)} http://${family === 'IPv6' ? `[${address}]` : address}:${port}\n`);
  await stop;
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  await closed;
}

async function readPolicy(path: string): Promise<TrustPolicy> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileUnread(path, error);
  });
  try {
    const policy = parsePolicy(bytes);
    if (policy.logs.length === 0) throw usage(`${path} names no log; without one there is nothing to cosign`);
    return policy;
  } catch (error) {
    if (error instanceof EvidenceError) throw usage(`${path}: ${error.message}`);
    throw error;
  }
}
