import { randomBytes } from 'node:crypto';
import { postJson } from '@chaperone/kube/post';
import { otlpSender, Tracer } from '@chaperone/policy/tracing';
import { attributeOf, type ReceivedSpan, Receiver } from '@chaperone/policy/tracing/test-support';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGoverned as startApi } from '../kubernetes/relay/governed.test-support.ts';
import { asJson, askThrough, startStandIn } from '../kubernetes/relay/stand-in.test-support.ts';
import { systemClock } from '../platform.ts';
import { type Governed, startGoverned } from '../postgres/relay/governed.test-support.ts';
import type { SessionRecorder } from '../recording/recorder.ts';
import { traced } from './traced.ts';

/** Names and values that the database, its statements and its answers have; no span may have one. */
const CANARIES = ['canary_table', 'canary_column', 'canary-value', 'canary-literal', 'canary-database-says', 'canary_alias'];
const SCHEMA = `create table canary_table (canary_column text, id int primary key);
insert into canary_table values ('canary-value', 1);
grant select, update, delete on canary_table to agent_role;`;
const ON = { resource: { namespace: 'data', name: 'orders-db' } };
const APPROVED = { approvers: { groups: ['dba'] }, timeout: '20s' };
const POLICY = {
  rules: [
    { name: 'read', effect: 'Allow', ...ON, sql: { statements: ['select'], relations: ['**'], functions: ['pg_catalog.*'] } },
    { name: 'fix', effect: 'RequireApproval', ...ON, sql: { statements: ['update'], relations: ['**'] }, approval: APPROVED },
    { name: 'never', effect: 'Deny', ...ON, sql: { statements: ['delete'], relations: ['**'] } },
  ],
  inference: 'allow',
};
const tracerTo = (receiver: Receiver, ratio = 1): Tracer =>
  new Tracer({ send: otlpSender(receiver.endpoint, postJson), resource: {}, ratio, random: randomBytes, everyMs: 20 });
const millis = ({ startTimeUnixNano: start, endTimeUnixNano: end }: ReceivedSpan): number =>
  Number((BigInt(end) - BigInt(start)) / 1_000_000n);

describe('a session with a database', () => {
  let receiver: Receiver;
  let tracer: Tracer;
  let governed: Governed;
  beforeAll(async () => {
    receiver = await Receiver.start();
    tracer = tracerTo(receiver);
    const resource = { sensitive: [{ label: 'pii.canary', columns: ['public.canary_table.canary_column'] }] };
    governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource, clock: systemClock, tracer });
  });
  afterAll(async () => {
    await governed[Symbol.asyncDispose]();
    await receiver[Symbol.asyncDispose]();
  });
  const decided = async (decision: 'Approve' | 'Deny'): Promise<void> => {
    const request = await eventually('a request', () => governed.desk.list().find(({ status }) => status?.state === 'Pending'));
    governed.desk.decide({
      request: request.metadata.name,
      requestUid: request.metadata.uid,
      digest: request.spec.digest,
      decision,
      by: 'jane@corp',
      groups: ['dba'],
    });
  };

  test('is one trace: what was decided on each statement, how long it was held, how long the upstream took; and no word of any', async () => {
    const client = await governed.connect();
    const run = (sql: string): Promise<unknown> => client.query(sql).catch((error: unknown) => error);
    await run("select canary_column as canary_alias from canary_table where id <> 77 and 'canary-literal' <> ''");
    await run("select ('canary-database-says' || id)::int from canary_table");
    await run('delete from canary_table');
    const update = "update canary_table set canary_column = 'canary-literal' where id = 1";
    await Promise.all([run(update), decided('Approve')]);
    await Promise.all([run(update), decided('Deny')]);
    await client.end();
    const root = await eventually('the session', () => receiver.spans.find(({ name }) => name === 'session'));
    await tracer.stop(0).catch(() => undefined);
    const { spans } = receiver;
    const statements = spans.filter(({ parentSpanId }) => parentSpanId === root.spanId);
    const childrenOf = ({ spanId }: ReceivedSpan): string[] =>
      spans.filter(({ parentSpanId }) => parentSpanId === spanId).map(({ name }) => name);
    const shown = statements.map((span) => [
      span.name,
      attributeOf(span, 'chaperone.verdict'),
      attributeOf(span, 'chaperone.rule'),
      attributeOf(span, 'error.type'),
      childrenOf(span).join(' '),
    ]);
    expect(shown).toEqual([
      ['select', 'allow', 'read', undefined, 'upstream'],
      ['select', 'allow', 'read', '22P02', 'upstream'],
      ['delete', 'deny', 'never', 'DeniedByRule', ''],
      ['update', 'approve', 'fix', undefined, 'approval upstream'],
      ['update', 'approve', 'fix', 'Denied', 'approval'],
    ]);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect(root.parentSpanId).toBeUndefined();
    for (const span of spans) {
      expect(attributeOf(span, 'chaperone.session')).toMatch(/^s-/);
      expect(attributeOf(span, 'db.system.name')).toBe('postgresql');
      expect(millis(span)).toBeLessThanOrEqual(millis(root) + 1);
    }
    expect(statements.map((span) => attributeOf(span, 'db.operation.name'))).toContain('UPDATE');
    expect(receiver.problems).toEqual([]);
    for (const canary of [...CANARIES, 'jane', 'agent_role', governed.postgres.superuser.password])
      expect(receiver.bytes.includes(canary), canary).toBe(false);
  });

  test('goes on as ever where the receiver is away, and what did not get out is counted', async () => {
    const away = await Receiver.start();
    await away[Symbol.asyncDispose]();
    const lost = new Tracer({
      send: async () => ({ kind: 'again', why: 'away', afterMs: 0 }),
      resource: {},
      ratio: 1,
      random: randomBytes,
    });
    await using other = await governed.anew({ tracer: lost });
    const client = await other.connect();
    expect((await client.query('select id from canary_table')).rows).toEqual([{ id: 1 }]);
    await client.end();
    await lost.stop(10);
    await expect.poll(() => lost.dropped).toBeGreaterThan(0);
  });
});

test('a session that is not among those that are traced keeps its recorder as it is', () => {
  const recorder: SessionRecorder = { session: 's-1', append: () => Promise.resolve(), close: () => Promise.resolve() };
  const tracer = new Tracer({ send: () => Promise.reject(new Error('sent')), resource: {}, ratio: 0, random: randomBytes });
  const opened = { session: 's-1', resource: { namespace: 'data', name: 'db', protocol: 'postgres' } } as never;
  expect(traced(recorder, { tracer, clock: systemClock, sinceMs: 0, opened })).toBe(recorder);
});

test('what a client of the Kubernetes API says that its request belongs to is a link, and neither trace nor parent', async () => {
  await using receiver = await Receiver.start();
  await using standIn = await startStandIn();
  const tracer = tracerTo(receiver);
  const rules = [{ name: 'all', effect: 'Allow', kubernetes: { verbs: ['get'], resources: ['**'] } }] as const;
  await using governed = await startApi({
    upstream: standIn.address,
    ca: standIn.ca,
    credential: { token: 'of-the-owner' },
    rules: rules as never,
    tracer,
  });
  standIn.answers(asJson({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'canary-name' } }));
  const theirs = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
  const path = '/api/v1/namespaces/shop/configmaps/canary-name';
  await askThrough(governed, path, { headers: { traceparent: `00-${theirs.traceId}-${theirs.spanId}-01` } });
  await askThrough(governed, path, { headers: { traceparent: 'canary-header' } });
  await expect.poll(() => receiver.spans.filter(({ name }) => name === 'get').length).toBe(2);
  const [linked, other] = receiver.spans.filter(({ name }) => name === 'get');
  expect(linked?.links).toEqual([theirs]);
  expect(other?.links).toBeUndefined();
  expect(receiver.spans.map(({ traceId }) => traceId)).not.toContain(theirs.traceId);
  expect(receiver.bytes).not.toMatch(/canary|of-the-owner/);
  expect(receiver.problems).toEqual([]);
});
