import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allowing, type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, say } from './raw-client.test-support.ts';

const POLICY = { limits: { statementDuration: '1s' }, ...allowing({ statements: ['select'], relations: ['public.*'] }) };
const { parse, bind, execute, sync } = say;

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: 'create table plain (n int)', policy: POLICY });
});
afterAll(() => governed[Symbol.asyncDispose]());

async function heard(text: string, ...messages: readonly Buffer[]): Promise<Heard[]> {
  await using agent = await RawClient.open(governed.port);
  await agent.ask(parse(text, 'p', [701]), sync());
  return await agent.ask(...messages);
}
const said = (all: readonly Heard[]): string[] =>
  all.filter(([type]) => type === 'E' || type === 'C').map(([, first]) => first ?? '');
const SLEEP = 'select 1 from pg_sleep($1)';

describe('statements of one pipeline', () => {
  test('are not cancelled where each of them ends in time', async () => {
    const each = [bind('p', '', ['0.4']), execute()];
    expect(said(await heard(SLEEP, ...each, ...each, ...each, ...each, sync()))).toEqual(Array(4).fill('SELECT 1'));
  });

  test('say that the policy has a limit, where the second of them reaches it', async () => {
    const all = await heard(SLEEP, bind('p', '', ['0']), execute(), bind('p', '', ['4']), execute(), sync());
    expect(said(all)).toEqual(['SELECT 1', '54000']);
  });
});
