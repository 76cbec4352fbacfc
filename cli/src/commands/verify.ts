import { readFile } from 'node:fs/promises';
import { readBundle, type SessionVerdict, type Trust, verifyChain } from '@chaperone/evidence';
import { CliError, EXIT } from '../errors.ts';
import type { Io } from '../io.ts';

export interface VerifyInput {
  readonly session: string;
  readonly segments: readonly Buffer[];
}

/** Verdicts that prove that something is wrong or missing; `open` and `interrupted` are sound as far as they go. */
const SAYS_NO: ReadonlySet<SessionVerdict['verdict']> = new Set(['altered', 'incomplete', 'gap declared']);

/** Reads the sessions of an exported file. */
export async function readEvidenceFile(path: string): Promise<VerifyInput[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new CliError('NotFound', `${path} cannot be read`, { cause: error, exit: EXIT.notFound });
  });
  const sessions = new Map<string, Buffer[]>();
  for (const { session, segment } of readBundle(text).entries) sessions.set(session, [...(sessions.get(session) ?? []), segment]);
  return [...sessions].map(([session, segments]) => ({ session, segments }));
}

/** Verifies by keys alone and says so; returns the exit code. */
export function verify(inputs: readonly VerifyInput[], trust: Trust, output: 'table' | 'json', io: Io): number {
  let exit: number = EXIT.ok;
  for (const { session, segments } of inputs) {
    const verdict = verifyChain(session, segments, trust);
    if (SAYS_NO.has(verdict.verdict)) exit = EXIT.checkSaysNo;
    io.out.write(output === 'json' ? `${JSON.stringify(verdict)}\n` : `${sentence(verdict)}\n`);
  }
  return exit;
}

function sentence(verdict: SessionVerdict): string {
  const { session, segments, records, counters } = verdict;
  const counted = `${records} records, ${segments} segments`;
  const happened = `${counters.actions} actions, ${counters.denied} denied, ${counters.masked} values masked`;
  if (verdict.break === undefined) {
    const agent =
      verdict.agent === undefined
        ? ''
        : `, signed for ${verdict.agent.namespace}/${verdict.agent.pod ?? verdict.agent.serviceAccount}`;
    return `${session}  ${verdict.verdict}: ${counted}${agent}; ${happened}`;
  }
  const { segment, record, message } = verdict.break;
  const where = record === undefined ? `segment ${segment}` : `record ${record} in segment ${segment}`;
  const code = verdict.verdict === 'incomplete' ? 'EvidenceIncomplete' : 'EvidenceAltered';
  return `${session}  ${verdict.verdict}: ${where}: ${message}; all before it is intact (${counted}) (${code})`;
}
