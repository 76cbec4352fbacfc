import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { CODES, readManifests } from '@chaperone/api';
import { describe, expect, it } from 'vitest';
import { runProgram } from '../cli/src/program.ts';

/** What the pages say must be so: links lead somewhere, commands parse, manifests are taken, paths exist. */
const root = resolve(import.meta.dirname, '..');
const PAGES = pages('.').toSorted();

interface Block {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

function pages(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return /^(node_modules|dist|conformance|\..*)$/.test(entry.name) ? [] : pages(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

const read = (page: string): string => readFileSync(join(root, page), 'utf8');

function blocks(page: string): Block[] {
  const found: Block[] = [];
  let open: { line: number; language: string; lines: string[] } | undefined;
  for (const [index, line] of read(page).split('\n').entries()) {
    const fence = /^\s*```(\w*)/.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === undefined) open = { line: index + 1, language: fence[1] ?? '', lines: [] };
    else {
      found.push({ page, line: open.line, language: open.language, text: open.lines.join('\n') });
      open = undefined;
    }
  }
  return found;
}

/** Prose alone: without blocks. */
const prose = (page: string): string => read(page).replaceAll(/^\s*```[\s\S]*?^\s*```/gm, '');
const inline = (page: string): string[] => [...prose(page).matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? '');

/** GitHub's anchor of a heading. */
const anchor = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[`*]/g, '')
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
const anchors = (page: string): string[] => [...read(page).matchAll(/^#{1,6} (.+)$/gm)].map((match) => anchor(match[1] ?? ''));

describe('links', () => {
  it.each(PAGES)('of %s lead to a file, and to a heading of it', (page) => {
    const broken = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1] ?? '')
      .filter((target) => !/^(https?|mailto):/.test(target))
      .filter((target) => {
        const [path = '', heading] = target.split('#');
        const file = path === '' ? page : relative(root, resolve(root, dirname(page), path));
        if (!existsSync(join(root, file))) return true;
        return heading !== undefined && !anchors(file).includes(heading);
      });
    expect(broken).toEqual([]);
  });
});

describe('paths', () => {
  const FOLDERS = readdirSync(root, { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && !entry.name.startsWith('.'),
  );
  const ours = new RegExp(`^(${FOLDERS.map(({ name }) => name).join('|')})/[\\w./-]+$`);

  it.each(PAGES)('that %s names exist', (page) => {
    const near = dirname(page);
    const missing = inline(page)
      .filter((word) => ours.test(word))
      .filter((word) => !existsSync(join(root, word)) && !existsSync(join(root, near, word)));
    expect(missing).toEqual([]);
  });

  it.each(PAGES)('in %s are never those of somebody’s machine', (page) => {
    expect(read(page).match(/(^|[\s"'`(])(\/work\/|\/home\/(?!jane\/)|\/root\/|\/Users\/|file:\/\/)\S*/g) ?? []).toEqual([]);
  });
});

/** One command of a shell line: its words, up to what the shell itself reads. */
function words(text: string): string[] {
  const found: string[] = [];
  for (const match of text.matchAll(/\s*(?:'([^']*)'|"([^"]*)"|(\|\||&&|[|<>;#(].*|[^\s'"|<>;]+))/gy)) {
    const [, single, double, plain] = match;
    if (plain !== undefined && /^([|<>;#(]|\|\||&&)/.test(plain)) break;
    found.push(single ?? double ?? plain ?? '');
  }
  return found;
}

/** The command lines of ours in a block of shell or in a word of prose. */
function commands(text: string): string[][] {
  const joined = text.replaceAll(/\\\n\s*/g, ' ');
  return [...joined.matchAll(/(?:^|[|;&(]\s*|\$ )\s*(?:kubectl )?chaperone ([^\n]*)/gm)].map((match) => words(match[1] ?? ''));
}

/** The first of two: an option that lacks its value takes it, and the second one tells. */
const SENTINEL = '--only-parsed';
const AFTER = '--value-missing';
const nowhere = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });

/**
 * The program's own parser reads the words; an option that nobody knows ends it before anything runs. Where it is the first
 * thing that parser complains of, all before it was right. Resolves with the complaint otherwise.
 */
async function complaint(argv: readonly string[], lenient: boolean): Promise<string | undefined> {
  let exit: number | undefined;
  try {
    await runProgram([...argv, SENTINEL, AFTER], {
      io: {
        out: nowhere(),
        err: nowhere(),
        in: Readable.from([]),
        env: {},
        now: () => 0,
        terminal: { in: false, out: false, err: false },
      },
      name: 'chaperone',
      stopped: () => Promise.resolve(),
      openCluster: () => Promise.reject(new Error('a page is only parsed')),
      exit: (code) => {
        exit = code;
      },
    });
  } catch (error) {
    const { message } = error as Error;
    if (message.startsWith('unknown option') && message.includes(SENTINEL)) return undefined;
    // Prose names a command without all that it wants.
    const unfinished = message.startsWith('required option') || message.includes(AFTER);
    return lenient && unfinished ? undefined : message;
  }
  // A verb that only has verbs below it answers with its help.
  return lenient && exit !== undefined ? undefined : 'it names no verb';
}

describe('commands', () => {
  const SHELL = new Set(['', 'sh', 'bash', 'shell', 'console']);

  it('are found where they stand', () => {
    expect(commands(`$ chaperone up --manifests a \\\n  --agent b/c\necho '{}' | chaperone policy check --x "1 2" < f`)).toEqual([
      ['up', '--manifests', 'a', '--agent', 'b/c'],
      ['policy', 'check', '--x', '1 2'],
    ]);
  });

  it('that do not exist are refused by the parser', async () => {
    await expect(complaint(['surgeon'], true)).resolves.toContain('surgeon');
    await expect(complaint(['sessions', 'ls', '--colour', 'red'], true)).resolves.toContain('--colour');
    await expect(complaint(['up', '--manifests', 'shop'], false)).resolves.toContain('--agent');
    await expect(complaint(['verify', '--policy'], false)).resolves.toContain('--value-missing');
    await expect(complaint(['sessions', 'ls', '-o', 'xml'], false)).resolves.toContain('xml');
    await expect(complaint(['sessions', 'ls', '-o', 'json'], false)).resolves.toBeUndefined();
  });

  it.each(PAGES)('in %s are ones that the program takes', async (page) => {
    const found = [
      ...blocks(page)
        .filter(({ language }) => SHELL.has(language))
        .flatMap(({ text }) => commands(text).map((argv) => ({ argv, lenient: false }))),
      ...inline(page).flatMap((text) => commands(text).map((argv) => ({ argv, lenient: true }))),
    ].filter(({ argv }) => argv.length > 0);
    const wrong: string[] = [];
    for (const { argv, lenient } of found) {
      const why = argv[0] === 'CODE' ? undefined : await complaint(argv, lenient);
      if (why !== undefined) wrong.push(`chaperone ${argv.join(' ')}: ${why}`);
    }
    expect(wrong).toEqual([]);
  });

  /** Conditions, errors, refusals of admission, the notes of the chart: who follows them must get somewhere. */
  it.each(['api/src', 'helm/templates', 'operator/src', 'sidecar/src', 'cli/src', 'collector/src'])(
    'that messages in %s send people to exist',
    async (folder) => {
      const PROSE = new Set(['container', 'containers', 'refused', 'works', 'runs', 'is', 'gives']);
      const texts = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.(ts|ya?ml|txt|tpl)$/.test(name) && !/\.test\.ts$|test-support/.test(name))
        .map((name) => read(join(folder, name)));
      const verbs = texts.flatMap((text) => [...text.matchAll(/\bchaperone ([a-z][a-z-]*)\b/g)].map((match) => match[1] ?? ''));
      const unknown: string[] = [];
      for (const verb of new Set(verbs)) {
        if (!PROSE.has(verb) && (await complaint([verb], true))?.startsWith('unknown verb')) unknown.push(verb);
      }
      expect(unknown).toEqual([]);
    },
  );

  it.each(PAGES)('of make and npm in %s exist', (page) => {
    const targets = [...readFileSync(join(root, 'Makefile'), 'utf8').matchAll(/^([a-z0-9]+):/gm)].map((match) => match[1]);
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const text = [...inline(page), ...blocks(page).map((block) => block.text)].join('\n');
    const made = [...text.matchAll(/(?:^|\s|\$ )make ([a-z0-9]+)/gm)].map((match) => match[1]);
    const run = [...text.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map((match) => match[1] ?? '');
    expect([made.filter((name) => !targets.includes(name)), run.filter((name) => !Object.hasOwn(scripts, name))]).toEqual([
      [],
      [],
    ]);
  });
});

describe('manifests', () => {
  it.each(PAGES)('in %s are taken as the API server takes them', (page) => {
    const problems = blocks(page)
      .filter(({ language, text }) => /^ya?ml$/.test(language) && /^\s*apiVersion: chaperone\.dev\//m.test(text))
      .flatMap(({ line, text }) => readManifests([{ path: `${page}:${line}`, text }]).problems);
    expect(problems).toEqual([]);
  });
});

describe('docs/reference/cli.md', () => {
  const PAGE = 'docs/reference/cli.md';

  it('has the headings that help pages send people to', () => {
    const sent = [...read('cli/src/testdata/help.txt').matchAll(/^More: (\S+?)(?:#(\S+))?$/gm)];
    expect(sent.length).toBeGreaterThan(10);
    for (const [, page, heading] of sent) {
      expect(page).toBe(PAGE);
      if (heading !== undefined) expect(anchors(PAGE)).toContain(heading);
    }
  });

  it('has every exit code with its meaning', async () => {
    let said = '';
    const out = new Writable({
      write: (chunk, _encoding, done) => {
        said += String(chunk);
        done();
      },
    });
    const io = {
      out,
      err: nowhere(),
      in: Readable.from([]),
      env: {},
      now: () => 0,
      terminal: { in: false, out: false, err: false },
    };
    const [stopped, openCluster] = [() => Promise.resolve(), () => Promise.reject(new Error('nobody asks'))];
    await runProgram(['explain', 'ExitCodes'], { io, name: 'chaperone', stopped, openCluster, exit: () => undefined });
    const rows = [...read(PAGE).matchAll(/^\| (\d+) \| (.+) \|$/gm)].map(([, code, text]) => `${code?.padStart(3)}  ${text}`);
    expect(rows.join('\n')).toBe(said.trimEnd());
  });
});

describe('codes', () => {
  it.each(PAGES)('that %s explains are in the table', (page) => {
    const named = [...read(page).matchAll(/chaperone explain ([A-Z][a-z]\w+)/g)].map((match) => match[1] ?? '');
    expect(named.filter((code) => code !== 'ExitCodes' && !Object.hasOwn(CODES, code))).toEqual([]);
  });
});
