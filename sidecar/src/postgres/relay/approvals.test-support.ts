import type { AccessRequest, DecisionSpec } from '@chaperone/api';
import { eventually } from '@chaperone/testing';
import type { Client, DatabaseError } from 'pg';
import { systemClock } from '../../platform.ts';
import { type Governed, startGoverned } from './governed.test-support.ts';

const SCHEMA = `
create table tickets (id int primary key, status text not null default 'open', ssn text);
insert into tickets select n, 'open', '123-45-678' || n from generate_series(1, 9) n;
create table notes (body text);
grant select, insert, update, delete on tickets, notes to agent_role;`;
const ON = { resource: { namespace: 'data', name: 'orders-db' } };
export const fix = (approval: object = {}): object => ({
  name: 'fix',
  effect: 'RequireApproval',
  ...ON,
  sql: { statements: ['update', 'delete'], relations: ['public.*'] },
  approval: { approvers: { groups: ['dba'] }, timeout: '60s', ...approval },
});
const ALLOW = {
  name: 'rest',
  effect: 'Allow',
  ...ON,
  sql: { statements: ['select', 'insert'], relations: ['**'], functions: ['pg_catalog.*'] },
};
export const policy = (...rules: object[]): object => ({
  rules: [ALLOW, ...(rules.length === 0 ? [fix()] : rules)],
  inference: 'allow',
});

export let governed: Governed;
/** Another proxy for each test, since people are asked no more than so often. */
export let here: Governed;
const open: Client[] = [];
/** Of the owner of the database; `governed` ends it. */
let owner: Client;

/** The server of a file of tests, with tickets whose column ssn is labelled. */
export async function start(more = ''): Promise<void> {
  governed = await startGoverned({
    schema: `${SCHEMA}${more}`,
    policy: policy(),
    resource: { sensitive: [{ label: 'pii.ssn', columns: ['public.tickets.ssn'] }] },
    clock: systemClock,
  });
  owner = await governed.direct();
}

export async function fresh(rules: object = policy(), resource?: object, upstream?: string): Promise<void> {
  here = await governed.anew({
    policy: rules,
    ...(resource !== undefined && { resource }),
    ...(upstream !== undefined && { upstream }),
  });
}

/** Lets go of what one test opened and undoes what it changed. */
export async function clear(): Promise<void> {
  for (const client of open.splice(0)) await client.end().catch(() => undefined);
  await here[Symbol.asyncDispose]();
  await asOwner(`update tickets set status = 'open'`);
}

/** Runs SQL as the owner of the database. */
export async function asOwner(sql: string): Promise<void> {
  await owner.query(sql);
}

export async function agent(): Promise<{ client: Client; notices: string[] }> {
  const client = await here.connect();
  client.on('error', () => undefined);
  const notices: string[] = [];
  client.on('notice', ({ message }) => void notices.push(message ?? ''));
  open.push(client);
  return { client, notices };
}

export const pending = (): Promise<AccessRequest> =>
  eventually('a request', () => here.desk.list().find(({ status }) => status?.state === 'Pending'));
/** Once somebody has looked at what it would meet. */
export const looked = (): Promise<AccessRequest> =>
  eventually('a look', () => here.desk.list().find(({ status }) => status?.state === 'Pending' && status.preview !== undefined));
export const decide = (request: AccessRequest, mods: Partial<DecisionSpec> = {}): ReturnType<Governed['desk']['decide']> =>
  here.desk.decide({
    request: request.metadata.name,
    requestUid: request.metadata.uid,
    digest: request.spec.digest,
    decision: 'Approve',
    by: 'jane@corp',
    groups: ['dba'],
    ...mods,
  });
export async function approve(mods: Partial<DecisionSpec> = {}, asked = pending()): Promise<AccessRequest> {
  const request = await asked;
  decide(request, mods);
  return request;
}
export const stateOf = (request: AccessRequest): string | undefined =>
  here.desk.list().find(({ metadata }) => metadata.name === request.metadata.name)?.status?.state;
export async function statusOf(id: number): Promise<string> {
  const { rows } = await owner.query<{ status: string }>('select status from tickets where id = $1', [id]);
  return rows[0]?.status ?? '';
}
export async function failure(promise: Promise<unknown>): Promise<DatabaseError> {
  return promise.then(
    () => {
      throw new Error('it ran');
    },
    (error: DatabaseError) => error,
  );
}
export const kinds = (): string[] =>
  here.records.map(({ record }) =>
    record.type === 'action' ? `action ${record.verdict}` : record.type === 'approval' ? `approval ${record.state}` : record.type,
  );

/** Resolves once the agent's role waits for a lock at the server, with nobody beside it who looks for people; or does not. */
export async function lockWait(waits: boolean): Promise<void> {
  const watch = await governed.direct();
  const activity = `select wait_event_type as waits from pg_stat_activity where usename = 'agent_role'`;
  const asked = async (): Promise<true | undefined> => {
    const { rows } = await watch.query<{ waits: string | null }>(activity);
    const locked = rows.filter(({ waits: how }) => how === 'Lock').length;
    return (waits ? rows.length === 1 && locked === 1 : locked === 0) ? true : undefined;
  };
  await eventually('the wait for a lock, or its end', asked);
  await watch.end();
}
