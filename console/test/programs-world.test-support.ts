import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RecordBody } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { asked, finished, recordSession, resized, type Step, wrote } from '../../cli/src/recorded.test-support.ts';
import type { Site } from './browser.test-support.ts';
import { enrolment, trust } from './world.test-support.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');

/** What a real program wrote to a real terminal, and what it holds its screen to be just before it left. */
export interface Taped {
  readonly pieces: readonly { readonly at: number; readonly bytes: Buffer }[];
  readonly screen: readonly string[];
}

export async function tapeProgram(columns: number, rows: number): Promise<Taped> {
  await using directory = await temporaryDirectory('chaperone-taped-');
  const screen = join(directory.path, 'screen.json');
  const program = ['python3', join(TESTDATA, 'screen.py'), screen];
  const { stdout } = await promisify(execFile)('python3', [join(TESTDATA, 'record.py'), `${columns}`, `${rows}`, ...program]);
  const lines = stdout.trimEnd().split('\n');
  return {
    pieces: lines.map((line) => {
      const [at, data] = JSON.parse(line) as [number, string];
      return { at, bytes: Buffer.from(data, 'base64') };
    }),
    screen: JSON.parse(await readFile(screen, 'utf8')) as string[],
  };
}

/** What must do nothing when it is shown, each with words around it that are shown. */
export const HOSTILE_OUTPUT: Readonly<Record<string, string>> = {
  clipboard: 'a\u001b]52;c;aGFja2Vk\u0007b\u009d52;c;aGFja2Vk\u009cc',
  link: 'a\u001b]8;;https://evil.example/\u001b\\press\u001b]8;;\u001b\\b',
  title: 'a\u001b]0;✓ Approved by jon\u0007\u001b]2;x\u001b\\b',
  'device queries': 'a\u001b[c\u001b[>c\u001b[6n\u001b[?6n\u001b[5n\u001bZ\u0005\u001b[>q\u001b[18t\u001b[21t\u001b[?1$pb',
  'device control': 'a\u001bP+q544e\u001b\\b\u0090$qm\u009cc\u001b_Gf=100;AAAA\u001b\\d\u001b^pm\u001b\\e',
  'huge counts': 'a\u001b[2147483647b\u001b[999999999S\u001b[999999999L\u001b[1;1H\u001b[999999999Pok',
  'a string without end': 'a\u001b]0;never ends',
  'hidden characters': '\u0018user\u202egnp.exe\u200b \u2066x\u2069 \u001b[8mconcealed\u001b[0m \u001b[30;40mblack\u001b[0m',
  'many marks': `z${'\u0301'.repeat(5000)}y`,
  'looks like ours': '⟨U+202E RLO⟩ <b>bold</b> <script>window.hacked=1</script> javascript:alert(1) https://evil.example/',
};

/** The number of a line that is written last in each piece of the large recording. */
export const LARGE = { pieces: 820, everyMs: 500, linesInPiece: 1_000 } as const;
function* large(): Generator<Step> {
  yield asked({ action: 0, text: 'journalctl -f' });
  yield resized(0, 100, 30);
  let bytes = 0;
  for (let piece = 0; piece < LARGE.pieces; piece++) {
    const lines = Array.from(
      { length: LARGE.linesInPiece },
      (_, at) =>
        `\u001b[3${at % 8}m${piece * LARGE.linesInPiece + at}\u001b[0m web-3 kernel: something happened that somebody logs\r\n`,
    ).join('');
    bytes += lines.length;
    yield* wrote(0, 'terminal', lines, LARGE.everyMs);
  }
  yield finished(0, 'signal INT', { bytes });
}

const digest = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
const moved: RecordBody & { type: 'file' } = {
  type: 'file',
  action: 3,
  operation: 'write',
  path: '/etc/nginx/nginx.conf',
  bytes: 2_314,
  digest,
  outcome: 'ok',
};
const released: RecordBody = {
  type: 'approval',
  action: 2,
  request: 'ar-7f3kq2mzt4hcnw5e',
  digest: '',
  state: 'Released',
  waitedMs: 38_000,
  decisions: [
    { by: 'jane@corp', decision: 'Approve', reason: 'maintenance window', at: '2026-01-01T12:00:00Z', assurance: 'signed' },
  ],
};

/** The session that the pictures show: reading, refused, held, files, and a terminal. */
function plain({ pieces }: Taped): Step[] {
  return [
    asked({ action: 0, text: 'systemctl is-active nginx postgresql mailer' }),
    ...wrote(0, 'stdout', 'active\nactive\n', 80),
    ...wrote(0, 'stderr', 'Unit mailer.service is not loaded properly: Exec format error.\n', 40),
    ...wrote(0, 'stdout', 'failed\n', 300),
    finished(0, 'exit 3', { bytes: 84 }),
    asked({ action: 1, text: 'rm -rf /var/log/nginx', verdict: 'deny', after: 4_000 }),
    asked({ action: 2, text: 'systemctl restart nginx', verdict: 'approve', after: 2_500 }),
    { after: 38_000, body: released },
    finished(2, 'exit 0', { after: 900 }),
    asked({ action: 3, text: 'scp -t /etc/nginx', after: 3_000 }),
    { after: 120, body: moved },
    {
      after: 60,
      body: {
        ...moved,
        path: '/etc/nginx/conf.d/old.conf',
        operation: 'delete',
        bytes: 0,
        digest: undefined,
        outcome: 'No such file',
      },
    },
    finished(3, 'exit 0', { bytes: 12 }),
    asked({ action: 4, text: 'services --watch', after: 2_000 }),
    resized(4, 80, 24),
    ...pieces.flatMap(({ at, bytes }, index) => wrote(4, 'terminal', bytes, at - (pieces[index - 1]?.at ?? 0))),
    ...wrote(4, 'stdin', 'q', 5),
    finished(4, 'exit 0', { bytes: 9_000 }),
  ];
}

export interface Programs {
  readonly taped: Taped;
  readonly plain: string;
  readonly hostile: string;
  readonly large: string;
  readonly live: string;
}

export const SEQ_OF = { lines: 1, denied: 6, held: 7, file: 11, terminal: 14 } as const;

/** Sessions of programs, each written by the sidecar's recorder to the site's collector. */
export async function recordPrograms({ collector }: Pick<Site, 'collector'>): Promise<Programs> {
  const taped = await tapeProgram(80, 24);
  const record = (steps: Iterable<Step>, mods: { ago: number; end?: boolean }): Promise<string> =>
    recordSession({ collector, origin: trust.origin, enrolment, steps, ...mods });
  return {
    taped,
    plain: await record(plain(taped), { ago: 1_800_000 }),
    hostile: await record(
      Object.values(HOSTILE_OUTPUT).flatMap((text, action) => [
        asked({ action, text: `cat ${action}` }),
        resized(action, 100, 12),
        ...wrote(action, 'terminal', text, 10),
        finished(action, 'exit 0', { bytes: text.length }),
      ]),
      { ago: 7_200_000 },
    ),
    large: await record(large(), { ago: 10_800_000 }),
    live: await record(
      [
        asked({ action: 0, text: 'tail -f /var/log/nginx/error.log' }),
        resized(0, 90, 10),
        ...wrote(0, 'terminal', 'first line\r\n', 100),
        ...wrote(0, 'terminal', 'second line\r\n', 4_000),
      ],
      { ago: 60_000, end: false },
    ),
  };
}
