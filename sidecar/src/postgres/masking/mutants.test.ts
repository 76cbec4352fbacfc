import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { serialize } from 'node:v8';
import { partOn, POSTGRES_SERVERS, temporaryDirectory } from '@chaperone/testing';
import { expect, it } from 'vitest';
import { showsCanary } from './canary.test-support.ts';
import type { Recorded, Recording } from './replay.test-support.ts';
import { openSession, type Session } from './session.test-support.ts';
import { DAMAGES, type Expected, MUTANTS, PROBES } from './testdata/mutants.ts';
import { anAccess, SENSITIVE, statementsOf } from './testbed.test-support.ts';

const HERE = import.meta.dirname;
const SOURCE = join(HERE, '../..');
const TIMEOUT_MS = 80_000;

/** The two that differ most. */
const SERVERS = POSTGRES_SERVERS.filter(({ major }) => major === 18 || major === 14);

async function recorded(server: string): Promise<Recording> {
  const catalog: Recording['catalog'][number][] = [];
  await using session = await openSession({
    package: server,
    schema: 'schema.sql',
    user: 'agent',
    sensitive: SENSITIVE,
    more: `create table app.guarded(id int); alter table app.guarded enable row level security;
      create policy p on app.guarded using (app.echo('x') = 'x'); grant select on app.guarded to agent`,
    onCatalog: (rows) => catalog.push(...rows),
  });
  const statements: Recorded[] = [];
  // Probes first: most mutants fall by them, and the rest need not be looked at.
  for (const [sql, expected] of PROBES) statements.push(await record(session, sql, expected));
  const plain = await record(session, 'select ssn from app.customers', 'unread');
  for (const name of DAMAGES) {
    const tree = plain.tree.replace(/:resname\s+ssn/, () => `:resname ${name}`);
    expect(tree).not.toBe(plain.tree);
    statements.push({ ...plain, tree });
  }
  for (const sql of statementsOf('exfiltration.sql', session.major)) statements.push(await record(session, sql, undefined));
  return { major: session.major, catalog, access: anAccess(), statements: statements.filter(({ tree }) => tree !== '') };
}

async function record(session: Session, sql: string, expected: Expected | undefined): Promise<Recorded> {
  await session.rows('begin');
  const { result, tree } = await session.run(sql);
  await session.rows('rollback');
  if (result instanceof Error) {
    const { message, detail = '' } = result as Error & { detail?: string };
    return { sql, tree, fields: [], holds: [], inError: showsCanary(`${message} ${detail}`), expected };
  }
  const fields = result.fields.map(({ name, tableID, columnID, dataTypeID }) => ({
    name,
    tableOid: tableID,
    attributeNumber: columnID,
    typeOid: dataTypeID,
  }));
  const holds = fields.map((_, at) => result.rows.some((row) => showsCanary(row[at] ?? '')));
  return { sql, tree, fields, holds, inError: false, expected };
}

/** A copy of the room and of what it imports, with one file changed. */
async function copy(folder: string, change?: { file: string; find: string; replace: string }): Promise<void> {
  for (const room of ['masking', 'postgres/masking']) {
    const to = join(folder, 'src', room);
    await mkdir(to, { recursive: true });
    await cp(join(SOURCE, room), to, { recursive: true, filter: (path) => !/test/.test(path.slice(SOURCE.length)) });
  }
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  await symlink(dirname(dirname(createRequire(import.meta.url).resolve('pg/package.json'))), join(folder, 'node_modules'));
  if (change === undefined) return;
  const path = join(folder, 'src/postgres/masking', change.file);
  const text = await readFile(path, 'utf8');
  expect([change.find, text.split(change.find).length - 1]).toEqual([change.find, 1]);
  await writeFile(
    path,
    text.replace(change.find, () => change.replace),
  );
}

it.each(SERVERS)('every mutant of the walker is killed by what $server did', async ({ package: server, major }) => {
  const [newest] = POSTGRES_SERVERS;
  const part = new Set(partOn(major, MUTANTS));
  const own = MUTANTS.filter((mutant) => part.has(mutant) || mutant.except?.includes(newest.major) === true);
  const mutants = own.filter(({ except = [] }) => !except.includes(major));
  await using temporary = await temporaryDirectory();
  const folders = ['sound', ...mutants.map((_, at) => `mutant-${at}`)].map((name) => join(temporary.path, name));
  for (const [at, folder] of folders.entries()) await copy(folder, mutants[at - 1]);
  const file = join(temporary.path, 'recording');
  await writeFile(file, serialize(await recorded(server)));
  const { stdout } = await promisify(execFile)(process.execPath, [join(HERE, 'replay.test-support.ts'), file, ...folders], {
    timeout: TIMEOUT_MS,
  });
  const [sound, ...verdicts] = JSON.parse(stdout) as (string | null)[];
  expect(sound).toBe(null);
  expect(mutants.filter((_, at) => verdicts[at] === null).map(({ name }) => name)).toEqual([]);
  expect(verdicts.length).toBeGreaterThanOrEqual(major === newest.major ? 30 : 8);
});
