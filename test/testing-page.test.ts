import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CODES } from '@chaperone/api';
import { describe, expect, it } from 'vitest';
import { root, sources } from './sources.ts';
import { hasTest } from './titles.ts';

/** docs/testing/README.md says which test holds what: every test is in its table, and every command of its tables finds tests. */
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const page = read('docs/testing/README.md');
const CLUSTER = '-c e2e/vitest.config.ts ';
const files = sources('.')
  .filter((path) => /\.(test|e2e)\.ts$/.test(path))
  .toSorted();

interface Command {
  readonly text: string;
  /** What Vitest compares with paths; of a cluster's tests, with what is in e2e/src. */
  readonly filters: readonly string[];
  /** What `-t` compares with titles. */
  readonly title: string | undefined;
}

function section(heading: string): string {
  const [, text = ''] = page.split(`\n## ${heading}\n`);
  return text.split('\n## ')[0] ?? '';
}

/** The cells of a table's rows, without head and headings within. */
function rows(heading: string): string[][] {
  const cells = [...section(heading).matchAll(/^\| (.*) \|$/gm)].map(([, row = '']) => row.split(/ ?\| ?/));
  return cells.slice(1).filter((row) => !/^(-+\||\*\*)/.test(`${row[0]}|`) && !/^-*$/.test(row[0] ?? ''));
}

/** What is run by `npx vitest run TEXT`. */
function parse(text: string): Command {
  const [, path = '', title] = /^(.*?)(?: -t '([^']+)')?$/.exec(text) ?? [];
  const cluster = path.startsWith(CLUSTER);
  const words = (cluster ? path.slice(CLUSTER.length) : path).split(' ');
  return { text, filters: words.map((word) => (cluster ? `e2e/src/${word}` : word)), title };
}

/** The commands of Vitest in a cell: whatever is code there, is not a command of its own, and begins with a path. */
const commands = (cell: string): Command[] =>
  [...cell.matchAll(/`([^`]+)`/g)]
    .map(([, text = '']) => text)
    .filter((text) => text.startsWith(CLUSTER) || /^\w+\/\S/.test(text))
    .map(parse);

const under = (filter: string): string[] => files.filter((path) => path.startsWith(filter));

const PROMISES = 'Each promise and its command';
const promised = rows(PROMISES).flatMap(([, cell = '']) => commands(cell));

describe('each promise and its command', () => {
  it('is a table of promise, command, what it starts and seconds', () => {
    const odd = rows(PROMISES).filter(
      ([, command = '', , seconds = '', ...more]) =>
        more.length > 0 || (command !== 'the same file' && (commands(command).length !== 1 || !/^\d+$/.test(seconds))),
    );
    expect(odd).toEqual([]);
    expect(promised.length).toBeGreaterThan(60);
  });

  it('has a row for every test of the repository', () => {
    const filters = promised.filter(({ title }) => title === undefined).flatMap((command) => command.filters);
    expect(files.filter((path) => !filters.some((filter) => path.startsWith(filter)))).toEqual([]);
  });
});

const ALL: Readonly<Record<string, readonly Command[]>> = {
  ...Object.fromEntries(
    [PROMISES, 'Bad input', 'What an installation does, and its command'].map((heading) => [
      heading,
      rows(heading).flatMap(([, ...cells]) => cells.flatMap(commands)),
    ]),
  ),
  'Single tests': [...section('Single tests').matchAll(/^npx vitest (?:run )?(.+)$/gm)].map(([, text = '']) => parse(text)),
};

describe.each(Object.entries(ALL))('%s', (_heading, all) => {
  it('has commands', () => expect(all.length).toBeGreaterThan(2));

  it('names paths under which there are tests', () => {
    const wrong = all.filter(({ filters }) => filters.some((filter) => under(filter).length === 0));
    expect(wrong.map(({ text }) => text)).toEqual([]);
  });

  it('names tests that exist, in words that Vitest reads as they are', () => {
    const wrong = all.filter(
      ({ filters, title }) =>
        title !== undefined && (/[.*+?^$()[\]{}|\\]/.test(title) || !hasTest(filters.flatMap(under), title)),
    );
    expect(wrong.map(({ text }) => text)).toEqual([]);
  });
});

describe('bad input', () => {
  /** What somebody or something hands to an installation that it cannot use. */
  const INPUTS = [
    'broken manifests',
    'a policy for a resource that is missing',
    'a wrong password',
    'an upstream that cannot be reached',
    'a wrong CA',
    'garbage or HTTP at the port',
    '100 half-open connections',
    'a length of 1 GiB',
    'a statement of 20 MB',
    'an agent killed in the middle of a result',
    "a sidecar's token or enrolment in somebody else's hands, expired, of tomorrow, for another audience, of a pod that is gone",
    'a pod of 64 containers; one too large to be stored',
    'a governed namespace that is being deleted and cannot go',
    'an API server that restarts, sends clients away or cannot be reached by one operator',
    'the operator gone for a minute',
    'the broker gone for a minute',
    'the collector gone for a minute',
  ];

  it.each(INPUTS)('%s has a row: a test by its words, and what a person sees', (input) => {
    const row = rows('Bad input').find(([what]) => what === input) ?? [];
    expect(commands(row[1] ?? '').filter(({ title }) => title !== undefined).length).toBeGreaterThan(0);
    expect(row[2] ?? '').not.toBe('');
  });

  it('names codes that can be explained', () => {
    const codes = rows('Bad input').flatMap(([, , seen = '']) => [...seen.matchAll(/`(\w+)`/g)].map(([, code = '']) => code));
    expect(codes.filter((code) => !Object.hasOwn(CODES, code))).toEqual([]);
  });

  it('has no other rows', () => {
    expect(rows('Bad input').map(([what]) => what)).toEqual(INPUTS);
  });
});

it('a title is not found where there is none', () => {
  expect(hasTest(['sidecar/src/postgres/relay/relay.test.ts'], 'undoes what the same text did before')).toBe(true);
  expect(hasTest(['sidecar/src/postgres/relay/relay.test.ts'], 'HTTP')).toBe(true);
  for (const absent of ['undoes what the same text did after', 'public.customers.ssn', 'StatementTooLarge'])
    expect(hasTest(['sidecar/src/postgres/relay/relay.test.ts'], absent)).toBe(false);
});
