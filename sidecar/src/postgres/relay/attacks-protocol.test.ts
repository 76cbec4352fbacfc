import { setTimeout as sleep } from 'node:timers/promises';
import { POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { showsCanary } from '../masking/canary.test-support.ts';
import { encodeBind } from '../wire/index.ts';
import { startAttacked } from './attacked.test-support.ts';
import type { Governed } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SECRET = 'select ssn from app.customers';
const { parse, bind, execute, close, sync, flush, query } = say;
const described = say.describe;

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
/** FunctionCall of a function with one integer, binary both ways. */
function call(oid: number): Buffer {
  const body = Buffer.alloc(20);
  body.writeInt32BE(oid);
  body.writeInt16BE(1, 4);
  body.writeInt16BE(1, 6);
  body.writeInt16BE(1, 8);
  body.writeInt32BE(4, 10);
  body.writeInt32BE(1, 14);
  body.writeInt16BE(1, 18);
  return message('F', body);
}
const formats = (...resultFormats: (0 | 1)[]): Buffer =>
  encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats });
const withText = (type: string, text: Buffer): Buffer => message(type, text);

let governed: Governed;
let leak: number;
describe.each(POSTGRES_SERVERS.filter(({ major }) => major === 18 || major === 14))('on $server', ({ package: server }) => {
  beforeAll(async () => {
    governed = await startAttacked(server);
    const admin = await governed.direct();
    leak = Number((await admin.query(`select 'app.leak'::regproc::oid::int as oid`)).rows[0].oid);
    await admin.end();
  });
  afterAll(async () => governed?.[Symbol.asyncDispose]());

  describe('messages', () => {
    let agent: RawClient;
    beforeEach(async () => {
      agent = await RawClient.open(governed.port);
    });
    afterEach(async () => agent[Symbol.asyncDispose]());

    /** Says it and gives the types of all that came; the connection may end. */
    const heard = async (...messages: readonly Buffer[]): Promise<string> => {
      agent.send(...messages);
      const ends = messages.filter((one) => 'SQF'.includes(String.fromCharCode(one[0] ?? 0))).length;
      const all = await agent.ready(Math.max(1, ends));
      expect(showsCanary(agent.text)).toBe(false);
      return all.map(([type]) => type).join('');
    };

    it('a function call of the protocol is refused, and answers nothing', async () => {
      expect(await heard(call(leak))).toBe('EZ');
      expect(await heard(query('begin'), call(leak), query('rollback'))).toContain('E');
      expect(agent.heard.some(([type]) => type === 'V')).toBe(false);
    });

    /** The server compares 63 bytes of a name: two that differ behind them are one to it. */
    const long = 'n'.repeat(63);
    const CLEAN = 'select name from app.customers';
    const sameNames: Record<string, readonly Buffer[]> = {
      statement: [
        parse(CLEAN, `${long}a`),
        close('statement', `${long}b`),
        parse(SECRET, `${long}b`),
        bind(`${long}a`),
        execute(),
        sync(),
        bind(`${long}a`),
        execute(),
        sync(),
      ],
      portal: [
        parse(CLEAN, 'clean'),
        parse(SECRET, 'secret'),
        bind('clean', `${long}a`),
        close('portal', `${long}b`),
        bind('secret', `${long}b`),
        execute(`${long}a`),
        sync(),
      ],
      'of a few bytes more in UTF-8': [parse(CLEAN, 'ä'.repeat(32))],
    };
    it.each(Object.entries(sameNames))('names that the server does not tell apart end the session: %s', async (_, messages) => {
      agent.send(...messages);
      const last = (await agent.until(() => agent.closed)).at(-1);
      expect(last).toEqual(['E', '08P01', expect.stringContaining('(ProtocolViolation)')]);
      expect(showsCanary(agent.text)).toBe(false);
    });
    it('names of 63 bytes are told apart', async () => {
      expect(await heard(parse(CLEAN, long), parse(SECRET, `${long.slice(1)}m`), bind(long), execute(), sync())).toMatch(
        /^112D+CZ$/,
      );
    });

    const pipelines: Record<string, readonly Buffer[]> = {
      'a refused statement is bound by its name': [
        parse('listen x', 'a'),
        bind('a'),
        execute(),
        sync(),
        bind('a'),
        execute(),
        sync(),
      ],
      'a refusal in the middle of a pipeline': [
        parse(SECRET, 'a'),
        bind('a'),
        execute(),
        parse('do $$ begin end $$', 'b'),
        bind('b'),
        execute(),
        bind('a'),
        execute(),
        sync(),
        bind('a'),
        execute(),
        sync(),
      ],
      'an error in the middle of a pipeline': [
        parse(SECRET, 'a'),
        parse('select 1/0', 'b'),
        bind('b'),
        execute(),
        bind('a'),
        execute(),
        sync(),
        bind('a'),
        execute(),
        sync(),
      ],
      'a name that is used again for another text': [
        parse('select name from app.customers', 'a'),
        close('statement', 'a'),
        parse(SECRET, 'a'),
        bind('a'),
        execute(),
        sync(),
      ],
      'the unnamed statement changes between its portals': [
        parse('select name from app.customers'),
        bind('', 'p'),
        parse(SECRET),
        bind('', 'q'),
        execute('p', 1),
        execute('q', 1),
        execute('p'),
        execute('q'),
        sync(),
      ],
      'a portal that is run by one row at a time': [
        parse(SECRET),
        bind('', 'p'),
        execute('p', 1),
        execute('p', 1),
        execute('p', 1),
        execute('p'),
        sync(),
      ],
      'a portal in another order than it was described': [
        parse(SECRET, 'a'),
        parse('select id from app.customers', 'b'),
        described('statement', 'b'),
        bind('a', 'p'),
        bind('b', 'q'),
        described('portal', 'q'),
        execute('p'),
        execute('q'),
        sync(),
      ],
      'formats of which each column has its own': [
        parse('select ssn, ssn, to_jsonb(ssn), ssn::bytea from app.customers'),
        formats(0, 1, 1, 1),
        execute(),
        sync(),
      ],
      'statements of simple queries among those of the extended': [
        parse(SECRET, 'a'),
        bind('a', 'p'),
        flush(),
        query('select 1'),
        bind('a'),
        execute(),
        sync(),
      ],
      'a portal after its transaction': [
        query('begin'),
        parse(SECRET, 'a'),
        bind('a', 'p'),
        sync(),
        query('commit'),
        execute('p'),
        sync(),
      ],
      'a parameter takes the place of the value': [
        parse('select ssn from app.customers where ssn > $1'),
        bind('', '', ['0']),
        execute(),
        sync(),
        parse('select coalesce($1, ssn) from app.customers', '', [25]),
        bind('', '', [null]),
        execute(),
        sync(),
      ],
      'a Sync between every message': [
        parse(SECRET, 'a'),
        sync(),
        bind('a', 'p'),
        sync(),
        execute('p'),
        sync(),
        described('portal', 'p'),
        sync(),
      ],
    };
    it.each(Object.entries(pipelines))('%s', async (_, messages) => {
      expect(await heard(...messages)).toMatch(/Z$/);
    });

    it.each([
      ['a NUL within a query', withText('Q', Buffer.from(`select 1\0, ssn from app.customers\0`))],
      ['a query without its end', withText('Q', Buffer.from(SECRET))],
      [
        'bytes that are one character elsewhere',
        withText('Q', Buffer.from(`select '\x95\x5c', ssn from app.customers --'\0`, 'latin1')),
      ],
      ['a statement’s text with a NUL', withText('P', Buffer.from(`a\0select 1\0, ssn from app.customers\0\0\0`))],
      ['data of a copy that nobody asked for', withText('d', Buffer.from('1\tx\n'))],
      ['a message that does not exist', withText('y', Buffer.from(SECRET))],
      ['a password where none was asked for', withText('p', Buffer.from('x\0'))],
      ['a server’s message', withText('T', Buffer.alloc(2))],
    ])('%s does not reach the server as anything else', async (_, bytes) => {
      const answer = await heard(bytes, sync());
      expect(answer).not.toContain('D');
    });

    it('another session’s notifications are not for this one', async () => {
      expect(await heard(query('listen news'))).toBe('EZ');
      const admin = await governed.direct();
      await admin.query(`select pg_notify('news', ssn) from app.customers`);
      await admin.end();
      const other = await RawClient.open(governed.port);
      await other.ask(query('select app.tells(1)'));
      await other[Symbol.asyncDispose]();
      await sleep(50);
      expect(await heard(query('select 1'))).toBe('TDCZ');
    });
  });

  describe('startup packets', () => {
    it.each([
      ['options', '-c debug_print_rewritten=off'],
      ['options', '-c client_min_messages=error'],
      ['options', '-c standard_conforming_strings=off'],
      ['options', '-c search_path=app'],
      ['options', '-c role=postgres'],
      ['options', '--debug_print_rewritten=off'],
      ['replication', 'database'],
      ['replication', 'true'],
      ['role', 'postgres'],
      ['session_authorization', 'postgres'],
      ['search_path', 'app'],
      ['client_encoding', 'SJIS'],
      ['client_min_messages', 'error'],
      ['standard_conforming_strings', 'off'],
      ['debug_print_rewritten', 'off'],
      ['debug_pretty_print', 'on'],
      ['bytea_output', 'escape'],
      ['_pq_.command', '1'],
      ['local_preload_libraries', 'x'],
      ['database', 'control'],
      ['user', 'postgres'],
    ])('%s=%s opens no way', async (name, value) => {
      const agent = await RawClient.open(governed.port, { [name]: value });
      if (!agent.closed) {
        await agent.ask(query(SECRET));
        await agent.ask(query(`select 'a\\'', ssn from app.customers --'`));
        const who = await agent.ask(query('select current_user, current_database()'));
        expect(who.find(([type]) => type === 'D') ?? ['D', 'agent_role', 'orders']).toEqual(['D', 'agent_role', 'orders']);
      }
      expect(showsCanary(agent.text)).toBe(false);
      await agent[Symbol.asyncDispose]();
    });
  });
});
