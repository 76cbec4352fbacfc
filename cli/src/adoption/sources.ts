import { readRecords, type SessionRecord, type StoredRecords } from '@chaperone/evidence';
import type { CollectorClient } from '../collector/client.ts';
import { evidenceFile } from '../commands/verify.ts';
import { CliError } from '../errors.ts';
import type { SessionSource, Wanted } from './seen.ts';

/** Why a session cannot be read, which says nothing of the others. */
const UNREAD: Readonly<Record<string, string>> = {
  EvidenceAltered: 'its evidence is altered',
  EvidenceErased: 'it was erased',
  EvidenceIncomplete: 'some of its evidence is missing',
  NotPermitted: 'you may not read it',
};

/** The sessions of a collector, newest first. Reading is recorded there, as any reading is. Throws CliError. */
export async function* collectedSessions(
  client: Pick<CollectorClient, 'list' | 'outline'>,
  { agent, since }: Wanted,
  namespace: string | undefined,
): AsyncGenerator<SessionSource> {
  const within = agent?.namespace ?? namespace;
  const { items, truncated } = await client.list({
    limit: Number.POSITIVE_INFINITY,
    ...(within === undefined ? {} : { namespace: within }),
    ...(agent === undefined ? {} : { agent: agent.serviceAccount }),
    ...(since === undefined ? {} : { since }),
  });
  for (const { name, erased, evidence, agent: of } of items) {
    // The collector takes the name of a pod for an agent's too.
    if (agent !== undefined && of.serviceAccount !== agent.serviceAccount) continue;
    if (erased) yield { session: name, unread: UNREAD['EvidenceErased'] ?? '' };
    else yield* reading(name, client.outline(name), evidence !== 'received');
  }
  if (truncated) yield { session: '', unread: 'the collector lists no more' };
}

/** Reads the first record before anything is said of a session, since that is where most of what fails does. */
async function* reading(
  session: string,
  records: AsyncGenerator<SessionRecord>,
  isIncomplete: boolean,
): AsyncGenerator<SessionSource> {
  let unread: string | undefined;
  const guarded = async function* (): AsyncGenerator<SessionRecord> {
    try {
      yield* records;
    } catch (error) {
      unread = whyUnread(error);
    }
  };
  const rest = guarded();
  const first = await rest.next();
  if (first.done !== true) yield { session, records: joined(first.value, rest), isIncomplete };
  else if (unread === undefined) yield { session, records: [], isIncomplete };
  if (unread !== undefined) yield { session, unread };
}

async function* joined(first: SessionRecord, rest: AsyncGenerator<SessionRecord>): AsyncGenerator<SessionRecord> {
  yield first;
  yield* rest;
}

/** Throws what says more than that one session cannot be read. */
function whyUnread(error: unknown): string {
  const why = error instanceof CliError ? UNREAD[error.code] : undefined;
  if (why === undefined) throw error;
  return why;
}

/** The sessions of an evidence file, in its order. Nothing of it is verified here. Throws CliError, EvidenceError. */
export async function* filedSessions(path: string): AsyncGenerator<SessionSource> {
  const segments = readRecords(evidenceFile(path));
  let next = await segments.next();
  while (next.done !== true) {
    const { session, records } = next.value;
    if (records === undefined) yield { session, unread: 'the file has no key to read it with' };
    const state = { isIncomplete: false };
    const all: SessionRecord[][] = [];
    let number = 0;
    for (; next.done !== true && next.value.session === session; next = await segments.next()) {
      if (next.value.number !== number++) state.isIncomplete = true;
      all.push(outlined(next.value));
    }
    if (records !== undefined) yield { session, records: all.flat(), ...state };
  }
}

/** What bears on verdicts; results and streams may be large. */
function outlined({ records = [] }: StoredRecords): SessionRecord[] {
  return records.filter(({ type }) => type === 'session.open' || type === 'action' || type === 'approval');
}
