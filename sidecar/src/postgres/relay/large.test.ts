import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeCopyDone } from '../wire/index.ts';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const MIB = 1024 * 1024;
const RESOURCE = { namespace: 'data', name: 'orders-db' };
const SCHEMA = `
create table files (id int, content text, owner text);
alter table files alter column content set storage plain;
insert into files (id, content, owner) values (1, 'small', 'ada');
create table sink (line text);
grant select on files to agent_role;
grant select, insert on sink to agent_role;`;
const POLICY = {
  rules: [
    { name: 'read', effect: 'Allow', resource: RESOURCE, sql: { statements: ['select'], relations: ['public.*'] } },
    { name: 'load', effect: 'Allow', resource: RESOURCE, sql: { statements: ['insert', 'copy'], relations: ['public.sink'] } },
  ],
};

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({
    schema: SCHEMA,
    policy: POLICY,
    resource: { sensitive: [{ label: 'who', columns: ['public.files.owner'] }] },
  });
});
afterAll(() => governed[Symbol.asyncDispose]());

/** Reads a value of so many MiB by psql. @returns The most memory that this process, with the proxy in it, had meanwhile. */
async function peakWhilePassing(mib: number): Promise<number> {
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5);
  // Client and counter are processes of their own, so that what they hold does not count.
  const target = `host=127.0.0.1 port=${governed.port} dbname=orders user=bot`;
  const command = `psql -X -w -At -c "select repeat('x', ${mib * MIB}) from files" "${target}" | wc -c`;
  const counter = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
  const bytes = Number(await text(counter.stdout));
  clearInterval(watch);
  expect(bytes).toBe(mib * MIB + 1);
  return peak;
}

describe('a very large value', () => {
  test('passes where nothing of its row is masked, in memory that does not grow with it', async () => {
    const smaller = await peakWhilePassing(64);
    expect((await peakWhilePassing(256)) - smaller).toBeLessThan(64 * MIB);
  });

  test('beside a masked column ends the session, and says why', async () => {
    await using agent = await RawClient.open(governed.port);
    await agent.ask(say.query('select owner, id from files'));
    agent.send(say.query(`select owner, repeat('x', ${64 * MIB}) from files`));
    const heard = await agent.until(() => agent.closed);
    expect(heard.at(-1)).toEqual(['E', '57P01', expect.stringContaining('has more than 16 MiB and can not be held')]);
    expect(agent.text).not.toContain('ada');
  });

  test('is taken by COPY where it comes as one message', async () => {
    await using agent = await RawClient.open(governed.port);
    agent.send(say.query('copy sink from stdin'));
    await agent.until((heard) => heard.at(-1)?.[0] === 'G');
    const line = Buffer.alloc(5 * MIB, 'y');
    line.write('\n', line.length - 1);
    const head = Buffer.from([0x64, 0, 0, 0, 0]);
    head.writeUInt32BE(line.length + 4, 1);
    agent.send(head, line, encodeCopyDone());
    await agent.until((heard) => heard.at(-1)?.[0] === 'Z');
    const owner = await governed.direct();
    expect((await owner.query('select length(line) from sink')).rows).toEqual([{ length: 5 * MIB - 1 }]);
    await owner.end();
  });
});
