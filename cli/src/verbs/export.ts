import { type Command, Option } from 'commander';
import type { ExportQuery } from '../collector/client.ts';
import { usage } from '../errors.ts';
import { instant } from '../flags.ts';
import type { DocumentOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { type CollectorFlags, withClient, withCollector, withExamples } from './common.ts';

const OUTPUTS = ['text', 'json', 'yaml'] as const;

interface ExportFlags extends CollectorFlags {
  readonly session?: string;
  readonly from?: string;
  readonly to?: string;
  readonly since?: string;
  readonly wrapped?: boolean;
  /** -o */
  readonly o?: string;
  readonly output: 'text' | DocumentOutput;
}

export function addExport(program: Command, options: VerbOptions): void {
  const command = withCollector(
    program.command('export').description('Write evidence to one file that proves itself offline (chaperone verify FILE)'),
  )
    .option('--session <ID>', 'this session, each segment with its proof from the log')
    .option('--from <TIME>', 'all that was stored from this time on, and the log of it without a gap')
    .option('--to <TIME>', 'until before this time; without it, now')
    .option('--since <FILE>', 'a checkpoint that was kept: prove that the log goes on from it')
    .option('--wrapped', 'data keys as they were wrapped: who holds a key of their own reads the file (verify --identity)')
    .option('-o <FILE>', 'where to write; "-": standard output; without it SESSION.evidence, or the time')
    .addOption(new Option('--output <FORMAT>', 'how to say what was written').choices(OUTPUTS).default('text'))
    .addHelpText(
      'after',
      '\nTimes are like 2026-11-01 (UTC) or 2026-11-01T08:00:00+01:00, by the clock of the collector when evidence came.\nSessions of namespaces that you may not export are left out, and the file says that they are there.\n\nThe file holds the data keys of sessions that you may replay: whoever has it reads what these recorded. Of other\nsessions, and of those that were erased, it proves all but that. With --wrapped it holds the keys of all sessions that you may\nexport as they were wrapped: who holds one of those keys reads them, with verify and report --identity FILE.',
    )
    .action((flags: ExportFlags) => run(flags, options));
  withExamples(
    command,
    'chaperone export --session s-7hq2',
    'kubectl chaperone export -A --from 2026-11-01 --to 2026-12-01 --since checkpoint -o november.evidence',
  );
}

async function run(flags: ExportFlags, options: VerbOptions): Promise<void> {
  const [{ exportEvidence, sizeOf }, { demandId }] = await Promise.all([
    import('../commands/export.ts'),
    import('../commands/sessions.ts'),
  ]);
  const { session, from, to, o: file, output } = flags;
  if (file !== undefined && (OUTPUTS as readonly string[]).includes(file))
    throw usage(`-o names a file here; for the form of what is said write --output ${file}, and for such a file -o ./${file}`);
  if ((session === undefined) === (from === undefined)) throw usage('write --session ID, or --from TIME and perhaps --to TIME');
  if (from === undefined && to !== undefined) throw usage('--to ends what --from begins');
  const more = {
    ...(flags.since === undefined ? {} : { since: await sizeOf(flags.since) }),
    ...(flags.wrapped === true ? { wrapped: true } : {}),
  };
  const name = session === undefined ? undefined : demandId(session);
  await withClient(options, flags, async (client) => {
    if (name !== undefined) {
      const whole = (await client.session(name)).name;
      const target = { file: file ?? `${whole}.evidence`, output };
      return exportEvidence(client, { session: whole, ...more }, target, options.io);
    }
    const asked = periodOf(from ?? '', to, options.io.now());
    const target = { file: file ?? `${day(asked.from)}-to-${day(asked.to)}.evidence`, output };
    await exportEvidence(client, { ...asked, ...more }, target, options.io);
  });
}

/** Two times in order; throws CliError Usage. */
export function periodOf(from: string, to: string | undefined, now: number): Extract<ExportQuery, { from: number }> {
  const times = { from: instant('--from', from), to: to === undefined ? now + 1 : instant('--to', to) };
  if (times.from >= times.to) throw usage(to === undefined ? '--from is later than now' : '--from is not before --to');
  return times;
}

/** 2026-11-30T170000Z: colons are not for names of files. */
function day(at: number): string {
  return new Date(at)
    .toISOString()
    .replace('T00:00:00.000Z', '')
    .replaceAll(':', '')
    .replace(/\.\d{3}/, '');
}
