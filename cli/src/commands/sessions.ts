import { visible } from '@chaperone/api/text';
import type { SessionSummary } from '@chaperone/evidence';
import type { CollectorClient, SessionFilter } from '../collector/client.ts';
import { usage } from '../errors.ts';
import { age, counted, type Io, safeJson, table, writeLine } from '../io.ts';
import { Replay } from './replay.ts';

/** `sessions ls`: newest first. */
export async function listSessions(
  client: CollectorClient,
  filter: SessionFilter,
  { output, namespaces }: { output: 'table' | 'wide' | 'json' | 'name'; namespaces: boolean },
  io: Io,
): Promise<void> {
  const { items, truncated } = await client.list(filter);
  if (output === 'json') await writeLine(io.out, safeJson({ items, truncated }, 2));
  else if (output === 'name') for (const item of items) await writeLine(io.out, visible(item.name));
  else if (items.length === 0) io.err.write('No sessions found.\n');
  else await writeLine(io.out, sessionTable(items, output === 'wide', namespaces, io.now()));
  if (truncated) io.err.write(`${items.length} shown, there are more; --limit 0 for all\n`);
}

const COLUMNS = ['NAME', 'AGENT', 'RESOURCE', 'ACTIONS', 'DENIED', 'MASKED', 'STATE', 'EVIDENCE', 'STARTED'];
/** After the others, so that scripts that count columns go on working. */
const WIDE_COLUMNS = ['SERVICEACCOUNT', 'PROTOCOL', 'MODE', 'ENDED'];

function sessionTable(items: readonly SessionSummary[], wide: boolean, namespaces: boolean, now: number): string {
  const rows = items.map(({ agent, resource, ...item }) => [
    ...(namespaces ? [agent.namespace] : []),
    item.name,
    agent.pod ?? agent.serviceAccount,
    resource === undefined ? '-' : `${resource.namespace}/${resource.name}`,
    String(item.actions),
    String(item.denied),
    String(item.masked),
    item.state,
    item.evidence,
    age(item.startedAt, now),
    ...(wide ? [agent.serviceAccount, resource?.protocol ?? '-', item.mode ?? '-', age(item.endedAt, now)] : []),
  ]);
  return table([...(namespaces ? ['NAMESPACE'] : []), ...COLUMNS, ...(wide ? WIDE_COLUMNS : [])], rows);
}

/** `sessions show`: one session in sentences. */
export async function showSession(client: CollectorClient, id: string, output: 'table' | 'json', io: Io): Promise<void> {
  const session = await client.session(id);
  if (output === 'json') return writeLine(io.out, safeJson(session, 2));
  const { agent, resource, findings } = session;
  const size = `${counted(session.records, 'record')} in ${counted(session.segments, 'segment')}, ${session.bytes} bytes`;
  const lines: [string, string][] = [
    ['Name', session.name],
    ['Agent', `${agent.namespace}/${agent.pod ?? agent.serviceAccount} (ServiceAccount ${agent.serviceAccount})`],
    ['Resource', resource === undefined ? 'not known' : `${resource.namespace}/${resource.name} (${resource.protocol})`],
    ['Purpose', session.purpose ?? ''],
    ['Mode', session.mode ?? ''],
    ['State', session.state],
    ['Started', session.startedAt === undefined ? '' : new Date(session.startedAt).toISOString()],
    ['Ended', session.endedAt === undefined ? '' : new Date(session.endedAt).toISOString()],
    ['Actions', `${session.actions}, ${session.denied} denied, ${counted(session.masked, 'value')} masked`],
    ['Evidence', `${session.evidence}: ${size}`],
    ...findings.map(({ message, code, number }): [string, string] => ['Finding', `${message} (${code}, segment ${number})`]),
  ];
  for (const [name, value] of lines) if (value !== '') await writeLine(io.out, `${`${name}:`.padEnd(10)} ${visible(value)}`);
}

/** `sessions replay`: what was asked, decided and seen, with times. */
export async function replaySession(
  client: CollectorClient,
  id: string,
  options: { all: boolean; output: 'table' | 'json' },
  io: Io,
): Promise<void> {
  const { name } = await client.session(id);
  const replay = new Replay(options);
  for await (const record of client.records(name)) {
    if (options.output === 'json') await writeLine(io.out, safeJson(record));
    else for (const line of replay.lines(record)) await writeLine(io.out, visible(line));
  }
}

/** Fails where a name was expected and none was given in a form that exists. */
export function demandId(id: string): string {
  if (/^s-[a-z2-7]{1,16}$/.test(id)) return id;
  throw usage(
    `"${id.slice(0, 40)}" is not the name of a session; they look like s-7hq2kd3mxw5tq4na, and a unique prefix is enough`,
  );
}
