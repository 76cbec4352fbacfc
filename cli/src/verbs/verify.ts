import type { GivenOrder } from '@chaperone/evidence';
import type { Command } from 'commander';
import { usage } from '../errors.ts';
import type { VerbOptions } from '../program.ts';
import type { StreamOutput } from '../output.ts';
import { type CollectorFlags, outputOption, withClient, withCollector, withExamples } from './common.ts';

interface VerifyFlags extends CollectorFlags {
  readonly file?: string;
  readonly trust?: string;
  readonly complete?: boolean;
  readonly output: 'table' | StreamOutput;
}

export function addVerify(program: Command, options: VerbOptions): void {
  const command = withCollector(
    program.command('verify [ID]').description('Prove offline that evidence is complete and unchanged'),
  )
    .option('--file <FILE>', 'an exported file of segments, in place of a collector')
    .option('--trust <FILE>', 'JSON file with "origin" and "enrolmentKeys", in place of what the installation says')
    .option('--complete', 'exit with 3 also where the end of a session is not seen')
    .addOption(outputOption('verify', ['table', 'json', 'jsonl', 'yaml'], 'json, jsonl: one session a line'))
    .addHelpText(
      'after',
      '\nExits with 3 where evidence is altered or incomplete. A sound beginning without its end is "open" and exits with 0: the\nsession may go on, and that segments after it were cut off cannot be told from it; --complete makes it 3.',
    )
    .action((id: string | undefined, flags: VerifyFlags) => run(id, flags, options));
  withExamples(command, 'chaperone verify s-7hq2', 'chaperone verify --file session.evidence --trust trust.json');
}

async function run(id: string | undefined, flags: VerifyFlags, options: VerbOptions): Promise<void> {
  const [{ readEvidenceFile, report }, { demandId }, { readTrust }] = await Promise.all([
    import('../commands/verify.ts'),
    import('../commands/sessions.ts'),
    import('../collector/local.ts'),
  ]);
  const { file, trust, output, complete = false } = flags;
  const name = id === undefined ? undefined : demandId(id);
  const say = (found: Parameters<typeof report>[0], erasure?: GivenOrder): Promise<void> =>
    report(found, { output, paint: options.paint(), complete, erasure }, options);
  const { verifyChain, verifyEntries } = await import('@chaperone/evidence');
  if (file !== undefined) {
    if (trust === undefined) throw usage('--file needs --trust: what is in the evidence cannot vouch for itself');
    return say(verifyEntries(await readEvidenceFile(file, name), await readTrust(trust)));
  }
  if (name === undefined) throw usage('name a session, or a file with --file');
  await withClient(options, flags, async (client) => {
    const session = await client.session(name);
    const keys = trust === undefined ? await client.trust() : await readTrust(trust);
    const [segments, key] = [await client.segments(session.name), await client.dataKey(session.name)];
    await say(
      [verifyChain(session.name, segments, keys, key)],
      session.orders.findLast(({ kind }) => kind === 'erasure'),
    );
  });
}
