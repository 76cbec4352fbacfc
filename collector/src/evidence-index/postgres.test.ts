import { temporaryDirectory } from '@chaperone/testing';
import { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createTokenAccess } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { aPod, aSession, silent, readers, trust } from '../evidence.fixture.ts';
import type { IndexEngine } from './engine.ts';
import { usePostgres } from './engines.test-support.ts';
import { openPostgres, type PostgresSettings, WRITER_LOCK } from './postgres.ts';

const postgres = usePostgres();

async function aCollector(index?: IndexEngine): Promise<Collector> {
  const directory = await temporaryDirectory();
  const access = createTokenAccess('t');
  const options = { directory: directory.path, trust, readers, access, logger: silent };
  const collector = await createCollector({ ...options, ...(index === undefined ? {} : { index }) });
  onTestFinished(async () => {
    await collector.close();
    await directory[Symbol.asyncDispose]();
  });
  return collector;
}

async function dump(collector: Collector): Promise<unknown> {
  return JSON.parse(JSON.stringify(await collector.dump(), (key, value: unknown) => (key === 'received_at' ? 0 : value)));
}

async function query(settings: PostgresSettings, text: string): Promise<unknown[]> {
  const client = new Client(settings);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

const first = (segments = 1): Buffer => aSession({ segments }).sealed[0]?.parcel ?? Buffer.alloc(0);

describe('an index in PostgreSQL', () => {
  test('holds what one in a file holds, to the letter', async () => {
    const [file, server] = [await aCollector(), await aCollector(await openPostgres(await postgres.settings()))];
    const pod = aPod();
    const sessions = [aSession({ pod }), aSession({ segments: 7, text: 'drop table "ünï_cödé"' }), aSession({ close: false })];
    const segments = sessions.flatMap(({ sealed }) => sealed.toReversed()).map(({ parcel }) => parcel);
    segments.push(
      ...aSession({ segments: 5 })
        .sealed.toSpliced(2, 1)
        .map(({ parcel }) => parcel),
    );
    const outcomes = [];
    for (const parcel of segments) outcomes.push([await file.ingest(parcel), await server.ingest(parcel)]);
    for (const [one, other] of outcomes) expect(other).toEqual(one);
    expect(await dump(server)).toEqual(await dump(file));
  });

  test('has one writer: a second one is refused in words, and may begin when the first is gone', async () => {
    const settings = await postgres.settings();
    const one = await openPostgres(settings);
    await expect(openPostgres(settings, 0)).rejects.toMatchObject({ code: 'IndexUnreadable', message: /another collector/ });
    const waiting = openPostgres(settings, 20_000);
    await one.close();
    await (await waiting).close();
  });

  test('takes nothing in while another holds it, after its own connections were cut', async () => {
    const settings = await postgres.settings();
    const collector = await aCollector(await openPostgres(settings));
    await query(
      settings,
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()',
    );
    const other = new Client(settings);
    await other.connect();
    onTestFinished(() => other.end());
    await expect
      .poll(async () => (await other.query(`SELECT pg_try_advisory_lock(${WRITER_LOCK}) AS held`)).rows)
      .toEqual([{ held: true }]);
    await expect(collector.ingest(first())).rejects.toThrow();
    await other.query('SELECT pg_advisory_unlock_all()');
    await expect.poll(() => collector.ingest(first()).catch(() => undefined)).toMatchObject({ kind: 'stored' });
  });

  test('of another version, or half built when its collector died, is built again at the next start', async () => {
    const settings = await postgres.settings();
    const engine = await openPostgres(settings);
    expect(engine.empty).toBe(true);
    await engine.close();
    const again = await openPostgres(settings);
    expect(again.empty).toBe(true);
    await again.complete();
    await again.close();
    const built = await openPostgres(settings);
    expect(built.empty).toBe(false);
    await built.close();
    await query(settings, "COMMENT ON TABLE commands IS 'evidence index 1'");
    const old = await openPostgres(settings);
    expect(old.empty).toBe(true);
    await old.close();
  });

  test('that cannot be reached, or lets nobody in, is said without the password', async () => {
    const settings = await postgres.settings();
    const wrong = { ...settings, password: 'not-the-password' };
    const refused = await openPostgres(wrong, 0).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'IndexUnreadable' });
    expect(String(refused)).not.toContain('not-the-password');
    await expect(openPostgres({ ...settings, port: 1 }, 0)).rejects.toMatchObject({ code: 'IndexUnreadable' });
  });
});
