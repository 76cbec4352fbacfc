import { type parsePolicy, type Trust, verifyEvidence } from '@chaperone/evidence';
import type { Collector } from '../src/collector.ts';
import { trust as trusted } from '../src/evidence.fixture.ts';

/** Of a collector whose token is `t`. */
export function ask(collector: Collector, target: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: 'Bearer t', 'content-type': 'application/json' };
  return Promise.resolve(collector.fetch(new Request(`http://collector/v1/${target}`, { ...init, headers })));
}
export const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());

export interface OfflineTrust {
  readonly policy: ReturnType<typeof parsePolicy>;
  /** The checkpoint that was shown last. */
  readonly since: Buffer | undefined;
  readonly enrolment?: Pick<Trust, 'origin' | 'enrolmentKeys'>;
}

/** What a file of the session says, verified offline: of the file, the session, the log since `since`, the contents, and whether it was erased. */
export async function verdictOf(
  collector: Collector,
  session: string,
  { policy, since, enrolment = trusted }: OfflineTrust,
): Promise<string> {
  const query = since === undefined ? '' : `?since=${since.toString().split('\n')[1]}`;
  const file = await bytesOf(await ask(collector, `sessions/${session}/evidence${query}`));
  const { verdict, sessions, log } = await verifyEvidence([file], { ...enrolment, policy, ...(since && { since }) });
  const [only] = sessions;
  const goesOn = since === undefined ? 'append-only' : log?.since?.verdict;
  return `${verdict} ${only?.verdict} ${goesOn} ${only?.contents} ${only?.erasure === undefined ? 'kept' : 'erased'}`;
}
