import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { StatementError } from './errors.ts';
import { MAX_STATEMENT_BYTES, StatementParser } from './parser.ts';
import { StatementCache } from './statement-cache.ts';

const parser = new StatementParser();
afterAll(() => parser.close());

const codeOf = (text: string | Buffer, by = parser): Promise<string> =>
  by.classify(Buffer.from(text)).then(
    (statements) => statements.map(({ kind }) => kind).join(' '),
    (error: unknown) => (error instanceof StatementError ? error.code : 'another error'),
  );
/** A chain that overflows any stack: the parser leaves C code by an exception and is not to be trusted after. */
const chain = (terms: number): string => `select 1${'+1'.repeat(terms)}`;
const BREAKS = chain(400_000);

describe('StatementParser', () => {
  it.each<[string, string | Buffer, string]>([
    ['a query', 'select 1', 'query'],
    ['several statements', 'begin; select 1; commit', 'transaction query transaction'],
    ['nothing', '', ''],
    ['only space', ' \n', ''],
    ['what is no SQL', 'selec 1', 'StatementSyntax'],
    ['an open string', "select 'a", 'StatementSyntax'],
    ['a NUL byte', 'select 1\0; drop table t', 'StatementInvalid'],
    ['bytes that are no UTF-8', Buffer.from("select '\x95\\'", 'latin1'), 'StatementInvalid'],
    ['an overlong encoding', Buffer.from([0x73, 0xc0, 0xa7]), 'StatementInvalid'],
    ['a text of the greatest length', `select '${'x'.repeat(MAX_STATEMENT_BYTES - 9)}'`, 'query'],
    ['a text one byte longer', `select '${'x'.repeat(MAX_STATEMENT_BYTES - 8)}'`, 'StatementTooLarge'],
    ['deep parentheses', `select ${'('.repeat(50_000)}1${')'.repeat(50_000)}`, 'StatementSyntax'],
  ])('answers on %s', async (_, text, expected) => {
    expect(await codeOf(text)).toBe(expected);
  });

  it('says where a text cannot be parsed, and nothing of it', async () => {
    const error = await parser
      .classify(Buffer.from("select 'é' canary canary"))
      .catch((thrown: unknown) => thrown as StatementError);
    expect(error).toMatchObject({ code: 'StatementSyntax', position: 19 });
    expect(JSON.stringify(error, ['message', 'stack', 'cause'])).not.toContain('canary');
  });

  it.each([
    ['select a from t where b = 1', 'select a from t where b = 22'],
    [" select a from t where b = 'x' ; ", " select a from t where b = 'a longer one, with ***' ; "],
    ["select set_config('a', b, c = 'x') from t where d = 'y'", "select set_config('a', b, c = 'x') from t where d = 'zz'"],
    ["select a from t where b = 'x' for update", "select a from t where b = 'é''s' for update"],
  ])('reads one instance of a template as it reads it without having seen another: %s', async (first, second) => {
    await using fresh = new StatementParser();
    await using experienced = new StatementParser();
    await experienced.classify(Buffer.from(first));
    expect(await experienced.classify(Buffer.from(second))).toEqual(await fresh.classify(Buffer.from(second)));
  });

  it('goes on answering after forty long chains', async () => {
    await using own = new StatementParser({ maxCacheEntries: 0 });
    for (let run = 0; run < 40; run++) expect(await codeOf(`${chain(10_000)}+${run}`, own)).toBe('query');
    expect(await codeOf('select 1', own)).toBe('query');
  });

  it('fails a text that breaks the parser alone, and goes on with the ones that wait', async () => {
    await using own = new StatementParser();
    const answers = await Promise.all(['select 1', BREAKS, 'select 2', BREAKS, 'select 3'].map((sql) => codeOf(sql, own)));
    expect(answers).toEqual(['query', 'StatementNotParsed', 'query', 'StatementNotParsed', 'query']);
    expect(own.restarted).toBe(2);
  });

  it('throws the thread away when it takes too long', async () => {
    await using own = new StatementParser({ watchdogMs: 1 });
    expect(await codeOf(`select ${'1,'.repeat(100_000)}1`, own)).toBe('StatementNotParsed');
    expect(own.restarted).toBe(1);
  });

  it('fails what waits when no thread starts in time, and tries anew for the next', async () => {
    await using own = new StatementParser({ startMs: 1 });
    expect(await Promise.all([codeOf('select 1', own), codeOf('select 2', own)])).toEqual([
      'StatementNotParsed',
      'StatementNotParsed',
    ]);
  });

  it('bounds what waits', async () => {
    await using own = new StatementParser({ maxQueue: 2 });
    const answers = await Promise.all(['select 1', 'select 2', 'select 3'].map((sql) => codeOf(sql, own)));
    expect(answers).toEqual(['query', 'query', 'ParserBusy']);
  });

  it('is warm before the first text comes, and only once', async () => {
    await using cold = new StatementParser();
    cold.warm();
    cold.warm();
    expect(await cold.classify(Buffer.from('select 1'))).toHaveLength(1);
    expect(cold.restarted).toBe(0);
    await cold.close();
    cold.warm();
    await expect(cold.classify(Buffer.from('select 2'))).rejects.toThrow('closed');
  });

  it('fails what waits when it is closed, and everything after', async () => {
    const own = new StatementParser();
    const waiting = [codeOf('select 1', own), codeOf('select 2', own)];
    await own.close();
    expect(await Promise.all(waiting)).toEqual(['ParserClosed', 'ParserClosed']);
    expect(await codeOf('select 3', own)).toBe('ParserClosed');
    await own.close();
  });

  it('keeps classes by the exact text', async () => {
    await using own = new StatementParser();
    const first = await own.classify(Buffer.from('select 1'));
    expect(await own.classify(Buffer.from('select 1'))).toBe(first);
    expect(await own.classify(Buffer.from('select 1 '))).not.toBe(first);
  });

  it('answers any bytes with a class or a StatementError', async () => {
    const token = fc.constantFrom(
      'select',
      'from',
      'explain',
      'copy',
      '(',
      ')',
      ';',
      ',',
      "'a'",
      '"b"',
      '$1',
      '1',
      'set',
      '=',
      'on',
      'to',
      'stdout',
      '*',
    );
    const sql = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      fc.string({ unit: 'binary', maxLength: 30 }).map((text) => Buffer.from(text)),
      fc.array(token, { maxLength: 12 }).map((tokens) => Buffer.from(tokens.join(' '))),
    );
    await fc.assert(
      fc.asyncProperty(sql, async (bytes) => {
        expect(await codeOf(bytes)).not.toBe('another error');
      }),
      { numRuns: 1_500 },
    );
    expect(await codeOf('select 1')).toBe('query');
    expect(parser.restarted).toBe(0);
  });
});

describe('StatementCache', () => {
  it('drops what was not used for longest, by entries and by bytes', () => {
    const cache = new StatementCache(2, 10_000);
    for (const sql of ['a', 'b']) cache.set(sql, []);
    cache.get('a');
    cache.set('c', []);
    expect(['a', 'b', 'c'].filter((sql) => cache.get(sql))).toEqual(['a', 'c']);
    cache.set('x'.repeat(1_500), []);
    expect(cache.size.bytes).toBeLessThanOrEqual(10_000);
    cache.set('y'.repeat(5_000), []);
    expect(cache.get('y'.repeat(5_000))).toBeUndefined();
  });
});
