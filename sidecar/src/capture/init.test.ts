import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { installCapture, main, parseInitArgs, type Run } from './init.ts';
import { lastWords } from './last-words.ts';
import { ruleset } from './rules.ts';

const devices = { names: ['eth0'], gateways: ['10.244.0.1'] };

describe('arguments', () => {
  test('become rules that hold the gateway as a place from which the kubelet probes', () => {
    const input = parseInitArgs(
      ['--inbound-ports', '8080,9090', '--probed-ports', '8081', '--node-addresses', '10.0.0.4'],
      devices,
    );
    expect(input).toMatchObject({ uid: 24601, inboundPorts: [8080, 9090], nodeAddresses: ['10.0.0.4', '10.244.0.1'] });
  });

  test('make a mark that nft can read, every time', () => {
    for (let time = 0; time < 200; time++) expect(ruleset(parseInitArgs([], devices))).toMatch(/meta mark set [1-9]\d* accept/);
  });

  test.each([
    ['an argument that does not exist', ['--exclude-ports', '443']],
    ['a port in letters', ['--inbound-ports', 'http']],
    ['a uid in letters', ['--uid', 'root']],
  ])('%s is an error', (_what, args) => {
    expect(() => ruleset(parseInitArgs(args, devices))).toThrow(expect.objectContaining({ code: 'CaptureInputInvalid' }));
  });
});

/** A system on which the commands that match fail; what was run is in `ran`. */
function aSystem(failing?: RegExp): { run: Run; ran: string[] } {
  const ran: string[] = [];
  const run: Run = (program, args, text = '') => {
    const line = `${program} ${args.join(' ')}`;
    ran.push(text.includes('netdev') ? `${line} (frames)` : line);
    return failing?.test(ran.at(-1) ?? '') === true
      ? { status: 1, output: 'Operation not supported\nsecond line' }
      : { status: 0, output: '' };
  };
  return { run, ran };
}

describe('installing', () => {
  const input = parseInitArgs([], devices);

  test('goes without the frame table, and removes an old one, where the kernel has no such hook', () => {
    const { run, ran } = aSystem(/^nft -c/);
    expect(installCapture({ input, run })).toEqual({ guardsFrames: false });
    expect(ran.slice(1, 3)).toEqual(['nft delete table netdev chaperone', 'nft -f -']);
  });

  test.each([
    ['the rules', /^nft -f/],
    ['reading the rules back', /^nft list/],
    ['the route', /^ip route/],
    ['the IPv6 route', /^ip -6/],
  ])('fails where %s fail(s), in one line', (_what, failing) => {
    const { run } = aSystem(failing);
    expect(() => installCapture({ input, run })).toThrow(expect.objectContaining({ code: 'CaptureNotInstalled' }));
    expect(() => installCapture({ input, run })).not.toThrow(/second line/);
  });

  test('writes no IPv6 route where there is no IPv6', () => {
    const { run, ran } = aSystem(/^ip -6/);
    installCapture({ input, run, hasIpv6: false });
    expect(ran.filter((line) => line.startsWith('ip -6'))).toEqual([]);
  });
});

test('a failure ends with one sentence in the termination log and status 1', async () => {
  await using directory = await temporaryDirectory();
  const log = join(directory.path, 'termination-log');
  await writeFile(log, '');
  expect(main(['--exclude-ports', '443'], log)).toBe(1);
  expect(await readFile(log, 'utf8')).toMatch(
    /^chaperone-init: .*; the agent does not start ungoverned \(CaptureInputInvalid\)$/,
  );
});

test('a termination log that cannot be written is no second failure', () => {
  expect(() => lastWords('the end', '/nonexistent/termination-log')).not.toThrow();
});
