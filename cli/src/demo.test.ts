import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { expect, test } from 'vitest';
import { Program, psql, run } from './program.test-support.ts';

const DEMO = join(import.meta.dirname, '../../scripts/demo.ts');

/** Starts the demo with a folder of its own for what is temporary; PostgreSQL's own user must get through it. */
async function startDemo(folder: string, ...flags: readonly string[]): Promise<Program> {
  await chmod(folder, 0o755);
  return new Program(flags, { command: [process.execPath, DEMO], env: { TMPDIR: folder } });
}
const left = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).filter((name) => !name.startsWith('chaperone-postgres-'));
/** Processes that work in the folder. */
const processes = async (folder: string): Promise<string> =>
  (await run(['-f', `^[^ ]*(node|postgres).*${folder}`], { command: ['pgrep'] })).out;

test('make demo KEEP=1 shows all, serves a client of one’s own, and leaves nothing behind', async () => {
  await using temporary = await temporaryDirectory();
  const folder = temporary.path;
  await using demo = await startDemo(folder, '--keep');
  const [, address] = await eventually(
    'the demo to wait',
    () => /psql "host=(\S+) port=\d+.*\n[\s\S]*Ctrl-C ends it/.exec(demo.out) ?? undefined,
    120_000,
  );
  const port = /port=(\d+)/.exec(demo.out)?.[1];
  expect((await psql(`${address}:${port}`, 'select name, ssn from customers where id = 1')).out).toBe(
    'Ada Lovelace|*******6789\n',
  );
  expect(demo.out).toMatch(/accessrequest\/ar-\w+ approved \(1 of 1\) · ran at [\d:]{8}: UPDATE 1\n[^$]*agent> UPDATE 1\n/);
  expect(demo.out).toMatch(/accessrequest\/ar-\w+ denied\n[^$]*Reviewer: "refunded already"\n/);
  const listed = / (\S+\/bin\/chaperone sessions ls --data \S+)$/m.exec(demo.out)?.[1] ?? '';
  expect((await run(['-c', listed], { command: ['bash'] })).out.match(/^s-/gm)).toHaveLength(3);
  const ask = /^ {3}(psql .* -c "update .*")$/m.exec(demo.out)?.[1] ?? '';
  const asked = run(['-c', ask], { command: ['bash'] });
  const pending = / (\S+ requests ls --data \S+)$/m.exec(demo.out)?.[1] ?? '';
  await eventually('the request', async () =>
    (await run(['-c', pending], { command: ['bash'] })).out.includes('Pending') ? true : undefined,
  );
  const deny = /^ {3}(\S+ deny "\$\(.*\)" .*)$/m.exec(demo.out)?.[1] ?? '';
  expect(await run(['-c', deny], { command: ['bash'] })).toMatchObject({ code: 0 });
  expect((await asked).err).toContain('Reviewer: "not today"');
  const pasted = [...demo.out.matchAll(/^ {3}\$ (\S.*)$/gm)].map(([, command = '']) => command);
  const reading = pasted.filter((command) => !/ (approve|deny) /.test(command));
  expect(reading.length).toBeGreaterThan(3);
  for (const command of reading) expect(await run(['-c', command], { command: ['bash'] })).toMatchObject({ code: 0 });
  expect(await demo.signal('SIGINT')).toMatchObject({ code: 0, err: '' });
  expect([await left(folder), await processes(folder)]).toEqual([[], '']);
});

test('make demo leaves nothing behind where it is interrupted', async () => {
  await using temporary = await temporaryDirectory();
  const folder = temporary.path;
  await using demo = await startDemo(folder);
  await eventually('its first step', () => (demo.out.includes('1. A real PostgreSQL') ? true : undefined));
  expect(await demo.signal('SIGTERM')).toMatchObject({ code: 130, err: '' });
  expect([await left(folder), await processes(folder)]).toEqual([[], '']);
});
