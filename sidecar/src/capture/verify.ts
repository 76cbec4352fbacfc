import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { lastWords } from './last-words.ts';
import { judgeCapture, probeCapture, type ProbeOptions } from './probe.ts';
import { reservedAddress } from './rules.ts';

/**
 * Looks until capture is proven or `patienceMs` is over: under restartPolicy Never a failed init container fails the pod for
 * good, so the few seconds in which a sidecar settles are waited for in here.
 * @returns undefined, or what is not proven.
 */
export async function verifyCapture(
  options: Omit<ProbeOptions, 'nonce'> & { readonly readNonce: () => string; readonly patienceMs: number },
): Promise<string | undefined> {
  const end = performance.now() + options.patienceMs;
  for (;;) {
    const problem = await attempt(options);
    if (problem === undefined || performance.now() > end) return problem;
    await delay(250);
  }
}

async function attempt(options: Omit<ProbeOptions, 'nonce'> & { readonly readNonce: () => string }): Promise<string | undefined> {
  let nonce: string;
  try {
    nonce = options.readNonce().trim();
  } catch {
    return 'the sidecar has not written its nonce';
  }
  if (!/^[0-9a-f]{32,128}$/.test(nonce)) return 'the nonce of the sidecar cannot be read';
  return judgeCapture(await probeCapture({ ...options, nonce }));
}

/** Entry point of chaperone-verify. It must run as a user other than the sidecar's, which is exempt from capture. */
export async function main(args: readonly string[], terminationLog = '/dev/termination-log'): Promise<number> {
  let problem: string | undefined;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        'nonce-file': { type: 'string', default: '/run/chaperone/nonce' },
        'ipv4-range': { type: 'string', default: '240.240.0.0/16' },
        patience: { type: 'string', default: '10' },
      },
    });
    problem = await verifyCapture({
      reserved: reservedAddress(values['ipv4-range']),
      readNonce: () => readFileSync(values['nonce-file'], 'utf8'),
      patienceMs: Math.min(120, Number(values.patience) || 0) * 1_000,
    });
  } catch (error) {
    problem = error instanceof Error ? error.message : 'unknown failure';
  }
  if (problem === undefined) return 0;
  lastWords(`chaperone-verify: ${problem}; the agent does not start ungoverned (CaptureNotProven)`, terminationLog);
  return 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
