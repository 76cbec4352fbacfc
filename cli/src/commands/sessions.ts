import { once } from 'node:events';
import { asciicast, type CastRecord, isCast } from '@chaperone/api/asciicast';
import { safeJson, visible } from '@chaperone/api/text';
import {
  decodeBytes,
  givenBy,
  type GivenReading,
  type SessionDetail,
  type SessionRecord,
  type SessionSummary,
  timeOf,
} from '@chaperone/evidence';
import type { CollectorClient, SessionFilter } from '../collector/client.ts';
import { CliError, EXIT, usage } from '../errors.ts';
import { age, counted, type Io, table, writeLine } from '../io.ts';
import { type DocumentOutput, isStream, type StreamOutput, writeDocument, writeNext } from '../output.ts';
import type { Paint, Style } from '../paint.ts';
import type { VerbOptions } from '../program.ts';
import { Commands, commandTables, type ShownCommand } from './commands-of.ts';
import { byWords, Replay, stateWord } from './replay.ts';
import { requestTables } from './requests-of.ts';

export type ListOutput = 'table' | 'wide' | 'json' | 'jsonl' | 'yaml' | 'name';

/** `sessions ls`: newest first. */
export async function listSessions(
  client: CollectorClient,
  filter: SessionFilter,
  { output, namespaces, paint }: { output: ListOutput; namespaces: boolean; paint: Paint },
  io: Io,
): Promise<void> {
  const { items, truncated, total } = await client.list(filter);
  if (output === 'json' || output === 'yaml') await writeDocument(io, output, { items, truncated, total });
  else if (output === 'jsonl') for (const item of items) await writeNext(io, output, item);
  else if (output === 'name') for (const item of items) await writeLine(io.out, visible(item.name));
  else if (items.length === 0) io.err.write('No sessions found.\n');
  else await writeLine(io.out, sessionTable(items, { wide: output === 'wide', namespaces, now: io.now(), paint }));
  if (truncated)
    io.err.write(
      `${items.length} ${total === undefined ? 'shown, there are more' : `of ${grouped(total)} shown`}; --limit 0 for all\n`,
    );
}

/** 1,204 */
function grouped(number: number): string {
  return number.toLocaleString('en-US');
}

/** The colour of a word for a session's state or its evidence. */
const STYLES: Partial<Record<SessionSummary['state'] | SessionSummary['evidence'], Style>> = {
  interrupted: 'warn',
  incomplete: 'warn',
  altered: 'bad',
};
const styleOf = (word: string): Style | undefined => new Map<string, Style>(Object.entries(STYLES)).get(word);

const COLUMNS = ['NAME', 'AGENT', 'RESOURCE', 'ACTIONS', 'DENIED', 'MASKED', 'STATE', 'EVIDENCE', 'STARTED'];
/** After the others, so that scripts that count columns go on working. */
const WIDE_COLUMNS = ['SERVICEACCOUNT', 'PROTOCOL', 'MODE', 'ENDED', 'HELD'];

interface TableOptions {
  readonly wide: boolean;
  readonly namespaces: boolean;
  readonly now: number;
  readonly paint: Paint;
}

function sessionTable(items: readonly SessionSummary[], { wide, namespaces, now, paint }: TableOptions): string {
  const rows = items.map(({ agent, resource, ...item }) => [
    ...(namespaces ? [agent.namespace] : []),
    item.name,
    agent.pod ?? agent.serviceAccount,
    resource === undefined ? '-' : `${resource.namespace}/${resource.name}`,
    String(item.actions),
    String(item.denied),
    String(item.masked),
    item.state,
    item.erased && item.evidence !== 'altered' ? 'erased' : item.evidence,
    age(item.startedAt, now),
    ...(wide
      ? [agent.serviceAccount, resource?.protocol ?? '-', item.mode ?? '-', age(item.endedAt, now), String(item.held)]
      : []),
  ]);
  return table([...(namespaces ? ['NAMESPACE'] : []), ...COLUMNS, ...(wide ? WIDE_COLUMNS : [])], rows, (cell, head) =>
    paint(head === 'STATE' || head === 'EVIDENCE' ? styleOf(cell) : undefined, cell),
  );
}

/** What a session's actions are, by its protocol: of the Kubernetes API those that open a pod are commands. */
function toldOf(protocol: string | undefined, list: readonly ShownCommand[]): Told | undefined {
  if (protocol === 'ssh') return { commands: list };
  if (protocol !== 'kubernetes') return undefined;
  return { requests: list.filter((each) => !opensPod(each)), commands: list.filter(opensPod) };
}

interface Told {
  readonly requests?: readonly ShownCommand[];
  readonly commands: readonly ShownCommand[];
}

function opensPod({ kubernetes }: ShownCommand): boolean {
  return kubernetes?.verb === 'exec' || kubernetes?.verb === 'attach';
}

/** `sessions show`: one session in sentences. */
export async function showSession(
  client: CollectorClient,
  id: string,
  { output, paint, again }: { output: 'table' | DocumentOutput; paint: Paint } & Pick<VerbOptions, 'again'>,
  io: Io,
): Promise<void> {
  const session = await client.session(id);
  const protocol = session.resource?.protocol;
  const { approvals, list } =
    !session.erased && (output === 'table' || toldOf(protocol, []) !== undefined)
      ? await outlineOf(client, session, again)
      : { approvals: '', list: [] };
  const actions = toldOf(protocol, list);
  if (output !== 'table') return writeDocument(io, output, { ...session, ...actions });
  const lines = sentences(session, approvals);
  const styles: Record<string, Style | undefined> = {
    State: styleOf(session.state),
    Evidence: styleOf(session.evidence),
    Finding: 'bad',
    Erased: 'warn',
    Hold: 'warn',
  };
  for (const [name, value] of lines)
    if (value !== '') await writeLine(io.out, `${`${name}:`.padEnd(10)} ${paint(styles[name], visible(value))}`);
  const all = again(`all of it: chaperone sessions replay ${session.name}`);
  const tables = [...requestTables(actions?.requests ?? [], all), ...commandTables(actions?.commands ?? [])];
  for (const each of tables) await writeLine(io.out, `\n${each}`);
}

function sentences(session: SessionDetail, approvals: string): [string, string][] {
  const { agent, resource, findings, onBehalfOf: caller } = session;
  const size = `${counted(session.records, 'record')} in ${counted(session.segments, 'segment')}, ${session.bytes} bytes`;
  return [
    ['Name', session.name],
    ['Agent', `${agent.namespace}/${agent.pod ?? agent.serviceAccount} (ServiceAccount ${agent.serviceAccount})`],
    ['Resource', resource === undefined ? 'not known' : `${resource.namespace}/${resource.name} (${resource.protocol})`],
    ['Caller', caller === undefined ? '' : `on behalf of ${caller.user} (verified), by ${caller.issuer}`],
    ['Purpose', session.purpose ?? ''],
    ['Mode', session.mode ?? ''],
    ['State', session.state],
    ['Started', session.startedAt === undefined ? '' : timeOf(session.startedAt)],
    ['Ended', session.endedAt === undefined ? '' : timeOf(session.endedAt)],
    [
      'Actions',
      `${session.actions}, ${session.denied} denied${session.held > 0 ? `, ${session.held} held` : ''}, ${counted(session.masked, 'value')} masked`,
    ],
    ['Approvals', approvals],
    ['Evidence', `${session.evidence}: ${size}`],
    ...session.orders.map(({ kind, ...order }): [string, string] => [ORDER_WORDS[kind], givenBy(order)]),
    ...session.reads.slice(0, MAX_READS_TOLD).map((each): [string, string] => ['Read', readBy(each)]),
    ...findings.map(({ message, code, number }): [string, string] => ['Finding', `${message} (${code}, segment ${number})`]),
  ];
}

const ORDER_WORDS = { erasure: 'Erased', hold: 'Hold', release: 'Released' } as const;

/** Readings that are told; the evidence page of the console and a report have all. */
const MAX_READS_TOLD = 5;

function readBy({ at, by, way, entry }: GivenReading): string {
  return `${timeOf(at)} by ${by ?? 'somebody who was forgotten'}: ${way} (entry ${entry} of the log)`;
}

/** More records are not read to say all about a session. */
const MAX_TOLD = 5_000;
/** Decisions that one line names. */
const MAX_PEOPLE = 8;

/** What the outline adds; where there is too much of it, a sentence that says so, and nothing where it is not for this person. */
async function outlineOf(
  client: CollectorClient,
  { name }: SessionSummary,
  again: VerbOptions['again'],
): Promise<{ approvals: string; list: readonly ShownCommand[] }> {
  const [commands, approvals] = [new Commands(), new Approvals()];
  let count = 0;
  try {
    for await (const record of client.outline(name)) {
      if (++count > MAX_TOLD)
        return { approvals: again(`not counted; all of them: chaperone sessions replay ${name}`), list: commands.list };
      commands.take(record);
      approvals.take(record);
    }
  } catch (error) {
    if (error instanceof CliError && error.code === 'NotPermitted') return { approvals: '', list: [] };
    throw error;
  }
  return { approvals: approvals.words(), list: commands.list };
}

/** Each by its last state, since an agent may be told to repeat what it asked. */
class Approvals {
  readonly #last = new Map<string, string>();
  readonly #people = new Set<string>();

  take(record: SessionRecord): void {
    if (record.type !== 'approval') return;
    this.#last.set(record.request ?? `action ${record.action}`, stateWord(record.state));
    for (const each of record.decisions) this.#people.add(`${each.decision.toLowerCase()} by ${byWords(each)}`);
  }

  /** `2 asked for: 1 approved, 1 denied; approve by jane@corp, signed`; nothing where there were none. */
  words(): string {
    const [last, people] = [this.#last, this.#people];
    if (last.size === 0) return '';
    const states = Map.groupBy(last.values(), (state) => (state === 'pending' ? 'pending (not repeated)' : state));
    const told = [...states].map(([state, those]) => `${those.length} ${state}`).join(', ');
    const more = people.size > MAX_PEOPLE ? [`and ${people.size - MAX_PEOPLE} more`] : [];
    return [`${last.size} asked for: ${told}`, ...[...people].slice(0, MAX_PEOPLE), ...more].join('; ');
  }
}

/** `sessions export`: what programs showed and were told, for players of terminals. */
export async function exportSession(client: CollectorClient, id: string, action: number | undefined, io: Io): Promise<void> {
  const { name, agent, resource } = await client.session(id);
  const title = `${agent.namespace}/${agent.serviceAccount} on ${resource === undefined ? '-' : `${resource.namespace}/${resource.name}`}, ${name}`;
  let lines = 0;
  for await (const line of asciicast(castRecords(client.records(name)), { title, decode: decodeBytes, action })) {
    await writeLine(io.out, safeJson(line));
    lines++;
  }
  if (lines > 0) return;
  const what = action === undefined ? `session ${name}` : `action ${action} of session ${name}`;
  throw new CliError('NotFound', `no program of ${what} has recorded output`, { exit: EXIT.notFound });
}

async function* castRecords(records: AsyncIterable<SessionRecord>): AsyncGenerator<CastRecord> {
  for await (const record of records) if (isCast(record)) yield record;
}

/**
 * `sessions export --file`: what was kept of one file, as it is; to a terminal as text that does nothing. What is missing of it is said on
 * standard error.
 */
export async function exportFile(client: CollectorClient, id: string, seq: number, io: Io): Promise<void> {
  const { name } = await client.session(id);
  const record = await fileAt(client, name, seq);
  if (record?.file === undefined)
    throw new CliError('NotFound', `record ${seq} of session ${name} is no file of which content was kept`, {
      exit: EXIT.notFound,
    });
  let [next, isWhole] = [0, true];
  for await (const each of client.records(name)) {
    if (each.seq > seq) break;
    if (each.type !== 'content' || each.action !== record.action || each.file !== record.file) continue;
    if (each.offset !== next) isWhole = false;
    next = each.offset + each.bytes;
    const bytes = decodeBytes(each.data);
    if (io.terminal.out) await writeLine(io.out, visible(bytes.toString(), Number.POSITIVE_INFINITY));
    else await write(io.out, bytes);
  }
  if (!isWhole) io.err.write('It did not go by in order: the pieces are written as they came, and some may be missing.\n');
  if (record.truncated === true) io.err.write(`Only its beginning was kept, of ${record.bytes} bytes that went by.\n`);
}

async function fileAt(
  client: CollectorClient,
  name: string,
  seq: number,
): Promise<(SessionRecord & { type: 'file' }) | undefined> {
  for await (const record of client.outline(name)) if (record.seq === seq) return record.type === 'file' ? record : undefined;
  return undefined;
}

async function write(out: NodeJS.WritableStream, bytes: Buffer): Promise<void> {
  if (!out.write(bytes)) await once(out, 'drain');
}

/** `sessions replay`: what was asked, decided and seen, with times. */
export async function replaySession(
  client: CollectorClient,
  id: string,
  options: { all: boolean; output: 'table' | StreamOutput },
  io: Io,
): Promise<void> {
  const { name } = await client.session(id);
  const replay = new Replay(options);
  for await (const record of client.records(name)) {
    if (isStream(options.output)) await writeNext(io, options.output, record);
    else for (const line of replay.lines(record)) await writeLine(io.out, visible(line));
  }
  for (const line of replay.end()) await writeLine(io.out, visible(line));
}

/** Fails where a name was expected and none was given in a form that exists. */
export function demandId(id: string): string {
  if (/^s-[a-z2-7]{1,16}$/.test(id)) return id;
  throw usage(
    `"${id.slice(0, 40)}" is not the name of a session; they look like s-7hq2kd3mxw5tq4na, and a unique prefix is enough`,
  );
}

/** Fails for the beginning of a name: what cannot be undone is not done to what somebody may not have meant. */
export function demandWhole(id: string): string {
  if (id.length === WHOLE) return id;
  throw usage(`write the whole name of the session to end; chaperone sessions ls shows those that begin with ${id}`);
}
const WHOLE = 18;
