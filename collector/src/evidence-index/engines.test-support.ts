import { startPostgres, type TestPostgres } from '@chaperone/testing';
import { Client } from 'pg';
import { beforeAll } from 'vitest';
import type { IndexEngine } from './engine.ts';
import { openPostgres, type PostgresSettings } from './postgres.ts';

/** An index of its own, and the same one again when it was closed. Undefined: the file that a collector opens where it is told nothing. */
export type OpenIndex = () => Promise<IndexEngine | undefined>;

/** PostgreSQL for the tests of a file or describe that calls this. */
export function usePostgres(): { settings(): Promise<PostgresSettings>; server(): TestPostgres } {
  let server: TestPostgres;
  let databases = 0;
  beforeAll(async () => {
    server = await startPostgres();
    return () => server.stop();
  });
  const settingsOf = (database: string): PostgresSettings => ({
    host: server.host,
    port: server.port,
    ...server.superuser,
    database,
  });
  return {
    server: () => server,
    async settings() {
      const database = `evidence_${databases++}`;
      const client = new Client(settingsOf('postgres'));
      await client.connect();
      await client.query(`CREATE DATABASE ${database}`);
      await client.end();
      return settingsOf(database);
    },
  };
}

/** Both engines; each call of what they give is a new index. */
export const ENGINES: readonly { readonly engine: string; readonly use: () => () => Promise<OpenIndex> }[] = [
  { engine: 'a file', use: () => () => Promise.resolve(() => Promise.resolve(undefined)) },
  {
    engine: 'PostgreSQL',
    use: () => {
      const postgres = usePostgres();
      return async () => {
        const settings = await postgres.settings();
        return () => openPostgres(settings, 2_000);
      };
    },
  },
];
