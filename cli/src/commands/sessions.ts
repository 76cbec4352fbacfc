import { CliError, EXIT } from '../errors.ts';
import { age, type Io, table } from '../io.ts';
import type { CollectorClient, SessionFilter } from '../collector/client.ts';
import type { SessionSummary } from '@chaperone/evidence';
import { Replay } from './replay.ts';

export type Output = 'table' | 'wide' | 'json' | 'name';

const LIST_LIMIT = 50;

/** `sessions ls`: newest first. */
export async function listSessions(
  client: CollectorClient,
  filter: SessionFilter,
  output: Output,
  allNamespaces: boolean,
  io: Io,
): Promise<void> {
  const { items, truncated } = await client.list({ limit: LIST_LIMIT, ...filter });
  if (output === 'json') io.out.write(`${JSON.stringify({ items, truncated }, null, 2)}\n`);
  else if (output === 'name') for (const item of items) io.out.write(`${item.name}\n`);
  else if (items.length === 0) io.err.write('No sessions found.\n');
  else io.out.write(`${sessionTable(items, output === 'wide', allNamespaces, io.now())}\n`);
  if (truncated) io.err.write(`${items.length} shown; --limit N for more\n`);
}

function sessionTable(items: readonly SessionSummary[], wide: boolean, namespaces: boolean, now: number): string {
  const head = [
    ...(namespaces ? ['NAMESPACE'] : []),
    'NAME',
    'AGENT',
    'RESOURCE',
    'ACTIONS',
    'DENIED',
    'MASKED',
    'STATE',
    'EVIDENCE',
    ...(wide ? ['MODE'] : []),
    'STARTED',
  ];
  const rows = items.map((item) => [
    ...(namespaces ? [item.agent.namespace] : []),
    item.name,
    item.agent.pod ?? item.agent.serviceAccount,
    item.resource === undefined ? '-' : `${item.resource.namespace}/${item.resource.name}`,
    String(item.actions),
    String(item.denied),
    String(item.masked),
    item.state,
    item.evidence,
    ...(wide ? [item.mode ?? '-'] : []),
    age(item.startedAt, now),
  ]);
  return table(head, rows);
}

/** `sessions show`: one session in sentences. */
export async function showSession(client: CollectorClient, id: string, output: Output, io: Io): Promise<void> {
  const session = await client.session(id);
  if (output === 'json') {
    io.out.write(`${JSON.stringify(session, null, 2)}\n`);
    return;
  }
  const { agent, resource } = session;
  const lines: [string, string][] = [
    ['Name', session.name],
    ['Agent', `${agent.namespace}/${agent.pod ?? agent.serviceAccount} (ServiceAccount ${agent.serviceAccount})`],
    ['Resource', resource === undefined ? 'not known' : `${resource.namespace}/${resource.name} (${resource.protocol})`],
    ['Purpose', session.purpose ?? ''],
    ['Mode', session.mode ?? ''],
    ['State', session.state],
    ['Started', session.startedAt === undefined ? '' : new Date(session.startedAt).toISOString()],
    ['Ended', session.endedAt === undefined ? '' : new Date(session.endedAt).toISOString()],
    ['Actions', `${session.actions}, ${session.denied} denied, ${session.masked} values masked`],
    ['Evidence', `${session.evidence}: ${session.records} records in ${session.segments} segments, ${session.bytes} bytes`],
    ...session.findings.map((finding): [string, string] => [
      'Finding',
      `${finding.message} (${finding.code}, segment ${finding.number})`,
    ]),
  ];
  for (const [name, value] of lines.filter(([, text]) => text !== '')) io.out.write(`${`${name}:`.padEnd(10)} ${value}\n`);
}

/** `sessions replay`: what was asked, decided and seen, with times. */
export async function replaySession(
  client: CollectorClient,
  id: string,
  options: { all: boolean; output: Output },
  io: Io,
): Promise<void> {
  const { name } = await client.session(id);
  const replay = new Replay(options);
  for await (const record of client.records(name)) {
    if (options.output === 'json') io.out.write(`${JSON.stringify(record)}\n`);
    else for (const line of replay.lines(record)) io.out.write(`${line}\n`);
  }
}

/** Fails where a name was expected and none was given in a form that exists. */
export function demandId(id: string): string {
  if (/^s-[a-z2-7]{1,16}$/.test(id)) return id;
  throw new CliError(
    'Usage',
    `"${id.slice(0, 40)}" is not the name of a session; they look like s-7hq2kd3mxw5tq4na, and a unique prefix is enough`,
    { exit: EXIT.usage },
  );
}
