import { Client } from 'pg';
import { expect, it } from 'vitest';
import { startPostgres } from './postgres.ts';

it('starts a real server that asks for a password', async () => {
  await using server = await startPostgres();
  const client = new Client({ host: server.host, port: server.port, ...server.superuser, database: 'postgres' });
  await client.connect();
  const { rows } = await client.query('select current_setting($1) as version', ['server_version_num']);
  expect(Math.floor(Number(rows[0].version) / 10000)).toBe(server.major);
  await client.end();
  const wrong = new Client({
    host: server.host,
    port: server.port,
    user: 'postgres',
    password: 'wrong',
    database: 'postgres',
  });
  await expect(wrong.connect()).rejects.toThrow(/password authentication failed/);
});
