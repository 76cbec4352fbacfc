import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeErrorResponse, encodeParameterStatus, encodeReadyForQuery } from '../wire/index.ts';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { Meddler, type Meddling, raw, row, TRIGGER } from './meddler.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const CANARY = 'canary-9930';
const SCHEMA = `
create table people (id int, name text, ssn text);
insert into people values (1, 'Ada', '${CANARY}');
grant select on people to agent_role;`;
const POLICY = {
  rules: [
    {
      name: 'read',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select'], relations: ['public.people'] },
    },
  ],
};
const RESOURCE = { sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }] };

let real: Governed;
let governed: Governed;
let meddler: Meddler;
beforeAll(async () => {
  real = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
  meddler = await Meddler.before(real.postgres.port);
  governed = await real.anew({ upstream: meddler.address });
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
  await meddler?.[Symbol.asyncDispose]();
  await real?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  meddler.meddling = {};
});

const { parse, bind, execute, sync, query, describe: described } = say;
const SELECT = `select ssn as "${TRIGGER}" from people`;
const forged = (fields: Readonly<Record<string, string>>): Buffer => {
  const bytes = encodeErrorResponse({ S: 'LOG', V: 'LOG', C: '00000', ...fields });
  bytes.write('N');
  return bytes;
};

async function afterAnAttack(meddling: Meddling): Promise<RawClient> {
  meddler.meddling = meddling;
  const agent = await RawClient.open(governed.port);
  agent.send(query(SELECT));
  await agent.until((heard) => agent.closed || heard.at(-1)?.[0] === 'Z').then((heard) => agent.heard.push(...heard));
  return agent;
}

describe('a server that was taken over', () => {
  it.each([
    ['sends a row before anything was asked', row(CANARY)],
    ['says it is ready once more', encodeReadyForQuery('I')],
    ['sends CopyData', raw('d', CANARY)],
    ['opens a copy', raw('H', Buffer.alloc(3))],
    ['opens a copy in both directions', raw('W', Buffer.alloc(3))],
    ['asks for a password', raw('R', 0, 3)],
    ['answers a call nobody made', raw('V', CANARY)],
    ['changes how text is read', encodeParameterStatus('standard_conforming_strings', 'off')],
    ['changes the encoding', encodeParameterStatus('client_encoding', 'SJIS')],
    ['sends a message of an impossible length', Buffer.from([0x44, 0xff, 0xff, 0xff, 0xff])],
    ['sends a message of a gigabyte that is no row', Buffer.from([0x54, 0x3f, 0xff, 0xff, 0x00])],
    ['sends a type that does not exist', raw('?', CANARY)],
    ['sends a second row description', raw('T', 0)],
  ])('%s: the session ends and the agent is told nothing else', async (_, inject) => {
    await using agent = await afterAnAttack({ inject });
    expect(agent.heard).toEqual([['E', '57P01', expect.stringContaining('(SessionEnded)')]]);
    expect(agent.closed).toBe(true);
    expect(agent.text).not.toContain(CANARY);
  });

  it.each([
    ['more columns than it described', (chunk: Buffer) => replaceRow(chunk, row(CANARY, CANARY))],
    ['fewer columns than it described', (chunk: Buffer) => replaceRow(chunk, row())],
    ['a value longer than its row', (chunk: Buffer) => replaceRow(chunk, raw('D', 1, 0, 9999, CANARY))],
    ['bytes behind the last value', (chunk: Buffer) => replaceRow(chunk, raw('D', 1, 0, 1, `x${CANARY}`))],
    [
      'a copy in place of rows',
      (chunk: Buffer) => replaceRow(chunk, Buffer.concat([raw('H', Buffer.alloc(3)), raw('d', CANARY)])),
    ],
  ])('sends %s: nothing of it is shown', async (_, change) => {
    await using agent = await afterAnAttack({ change });
    expect(agent.heard.at(-1)).toEqual(['E', '57P01', expect.stringContaining('(SessionEnded)')]);
    expect(agent.text).not.toContain(CANARY);
  });

  it.each([
    ['a LOG notice that is no tree', { M: CANARY, R: 'exec_stmt_raise' }],
    ['a tree from RAISE', { M: 'rewritten parse tree:', R: 'exec_stmt_raise', D: '({QUERY})' }],
    ['a tree that cannot be read', { M: 'rewritten parse tree:', R: 'elog_node_display', D: `({QUERY ${CANARY}` }],
  ])('adds %s: it is hidden, and the rows stay masked', async (_, fields) => {
    await using agent = await afterAnAttack({ inject: forged(fields) });
    expect(agent.text).not.toContain(CANARY);
    expect(agent.closed).toBe(false);
  });

  it('passes no notification on', async () => {
    await using agent = await afterAnAttack({ inject: raw('A', Buffer.alloc(4), `x\0${CANARY}\0`) });
    expect(agent.text).not.toContain(CANARY);
    expect(agent.heard.map(([type]) => type).join('')).toBe('TDCZ');
  });

  it.each([
    ['between two messages', Buffer.alloc(0)],
    ['within a header', Buffer.from([0x44, 0])],
    ['within a row', Buffer.from([0x44, 0, 0, 0, 40, 0, 1, 0])],
  ])('closes %s: the agent is told', async (_, inject) => {
    await using agent = await afterAnAttack({ inject, cut: true, silence: true });
    expect(agent.heard).toEqual([['E', '57P01', expect.stringContaining('(SessionEnded)')]]);
  });
});

describe('a server that never answers', () => {
  it('holds nothing once its agent has left', async () => {
    meddler.meddling = { silence: true };
    const agents = await Promise.all(Array.from({ length: 5 }, () => RawClient.open(governed.port)));
    for (const agent of agents) agent.send(parse(SELECT), described('statement'), bind(), execute(), sync());
    await eventually('the sessions to open', () => (governed.sessions.open >= 5 ? true : undefined));
    for (const agent of agents) agent.socket.destroy();
    await eventually('the sessions to end', () => (governed.sessions.open === 0 ? true : undefined));
    await eventually('the connections to end', () => (meddler.sessions === 0 ? true : undefined));
  });
});

/** Puts something in the place of the only row. */
function replaceRow(chunk: Buffer, by: Buffer): Buffer {
  const at = chunk.indexOf(Buffer.from([0x44, 0, 0, 0]));
  if (at < 0 || !chunk.includes(CANARY)) return chunk;
  const end = at + 1 + chunk.readInt32BE(at + 1);
  return Buffer.concat([chunk.subarray(0, at), by, chunk.subarray(end)]);
}
