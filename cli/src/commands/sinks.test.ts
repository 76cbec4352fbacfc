import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { SinkStatus } from '@chaperone/evidence';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { processIo } from '../io.ts';
import { AGENT, Program, QUICKSTART, run } from '../program.test-support.ts';
import { readSinks } from '../up/sinks.ts';
import { listSinks } from './sinks.ts';

async function aFile(sinks: string): Promise<{ path: string; file: string; write: (text: string) => void }> {
  const { path, [Symbol.asyncDispose]: dispose } = await temporaryDirectory();
  onTestFinished(() => dispose());
  const file = join(path, 'sinks.yaml');
  const write = (said: string): void => writeFileSync(file, said);
  write(sinks);
  return { path, file, write };
}

test('chaperone up delivers as a file says, sinks ls tells how far, also when it has ended, and resend what is to be sent again', async () => {
  const { path, file } = await aFile('sinks:\n- {name: siem, otlp: {url: "https://127.0.0.1:1/v1/logs"}}\n');
  const data = join(path, 'data');
  {
    await using up = new Program([
      'up',
      '--manifests',
      QUICKSTART,
      ...AGENT,
      '--data',
      data,
      '--sinks',
      file,
      '--output',
      'json',
    ]);
    await up.firstLine();
    const found = await eventually('the sink', async () => {
      const { out, code } = await run(['sinks', 'ls', '--data', data]);
      return code === 0 && out.includes('waiting') ? out : undefined;
    });
    expect(found).toMatch(
      /^NAME +KIND +STATE +ENTRIES +BEHIND +DELIVERED +DEAD +ERROR *\nsiem +otlp +waiting +0\/0 +- +0 +0 +-\n$/,
    );
    expect(await run(['sinks', 'resend', 'siem', '--data', data])).toMatchObject({
      code: 0,
      out: 'sink/siem: 0 dead letters sent\n',
    });
  }
  const after = JSON.parse((await run(['sinks', 'ls', '--data', data, '-o', 'json'])).out) as { items: SinkStatus[] };
  expect(after.items).toEqual([expect.objectContaining({ name: 'siem', state: 'off' })]);
  expect((await run(['sinks', 'resend', 'siem', '--data', data])).code).toBe(5);
});

test('what a receiver said and what an event is called leave the terminal as it is', async () => {
  const deadLetters = Array.from({ length: 22 }, (_, at) => ({
    id: `log#${at}\u001b[31m\n`,
    leaf: at,
    at: 0,
    cause: 'HTTP \u001b400',
  }));
  const sink: SinkStatus = {
    name: 'siem',
    kind: 'syslog',
    state: 'failing',
    cursor: 3,
    size: 9,
    lagSeconds: 7_200,
    delivered: 5,
    deadLetters,
    error: { code: 'SinkUnreachable', message: 'gone\u001b[2J', at: 1, tries: 4 },
  };
  const out = new PassThrough();
  await listSinks({ sinks: () => Promise.resolve({ items: [sink] }) }, 'table', { ...processIo(), out, now: () => 60_000 });
  out.end();
  const said = await text(out);
  // oxlint-disable-next-line eslint/no-control-regex -- what must not be there
  expect(said).not.toMatch(/[\0-\x09\x0b-\x1f]/);
  expect(said.split('\n')).toHaveLength(2 + 20 + 1 + 1);
  expect(said).toMatch(/siem +syslog +failing +3\/9 +2h +5 +22 +gone/);
  expect(said).toContain('siem: and 2 more events; -o json has all\n');
});

test('the example of the guide is read, with one of each kind', async () => {
  const guide = readFileSync(new URL('../../../docs/guides/siem.md', import.meta.url), 'utf8');
  const { file } = await aFile(/```yaml\n(sinks:\n[^]*?)```/.exec(guide)?.[1] ?? '');
  expect((await readSinks(file)).map(({ name }) => name)).toEqual(['siem', 'splunk', 'otel', 'hook', 'bus', 'lake']);
});

test('chaperone up says what is wrong with a file of sinks before it starts', async () => {
  const { path, file, write } = await aFile('sinks:\n- name: siem\n  syslog: {address: "siem.corp:6514", caFile: ca.crt}\n');
  expect(await readSinks(file)).toMatchObject([{ name: 'siem', syslog: { caFile: join(path, 'ca.crt') } }]);
  write('sinks: [');
  await expect(readSinks(file)).rejects.toMatchObject({ code: 'SinksInvalid' });
  await expect(readSinks(join(path, 'none'))).rejects.toMatchObject({ code: 'NotFound' });
  write('sinks: [{name: a}]');
  const { err, code } = await run(['up', '--manifests', path, '--agent', 'a/b', '--data', join(path, 'd'), '--sinks', file]);
  expect([code, err]).toEqual([1, expect.stringMatching(/sinks\[0\]: has not one of .*\(SinksInvalid\)/)]);
});
