import { Argument, type Command } from 'commander';
import type { ReportKind } from '@chaperone/evidence';
import { usage } from '../errors.ts';
import type { VerbOptions } from '../program.ts';
import type { DocumentOutput } from '../output.ts';
import { holdersOf } from './verify.ts';
import { type CollectorFlags, outputOption, withClient, withCollector, withExamples } from './common.ts';

/** As REPORT_KINDS of the evidence package has them, which a test compares: help loads nothing. */
export const KINDS = [
  'population',
  'access',
  'approvals',
  'denials',
  'masking',
  'gaps',
  'reads',
  'keys',
] as const satisfies ReportKind[];

interface ReportFlags extends CollectorFlags {
  readonly from?: string;
  readonly to?: string;
  readonly agent?: string;
  readonly policy?: string;
  readonly trust?: string;
  readonly identity?: string;
  readonly output: 'table' | 'csv' | DocumentOutput;
}

export function addReport(program: Command, options: VerbOptions): void {
  const command = withCollector(
    program.command('report').description('What auditors ask first, of a period, from evidence that is verified on the way'),
  )
    .addArgument(new Argument('<REPORT>', 'what to report').choices(KINDS))
    .argument('[FILE]', 'an evidence file of a period, in place of what a collector has; then no network is used')
    .option('--from <TIME>', 'of what was stored from this time on')
    .option('--to <TIME>', 'until before this time; without it, now')
    .option('--agent <NAME>', 'of this agent (pod or ServiceAccount) alone')
    .option('--policy <FILE>', 'which logs are believed and which witnesses have to cosign (C2SP tlog-policy)')
    .option('--trust <FILE>', 'JSON file with "origin" and "enrolmentKeys", in place of what the installation says')
    .option('--identity <FILE>', 'a key of your own, for a file whose keys were wrapped to it (chaperone identity)')
    .addOption(
      outputOption('report', ['table', 'csv', 'json', 'yaml'], 'how to print; csv: rows alone, the rest to standard error'),
    )
    .addHelpText(
      'after',
      `
  population  every session, with a digest that an export of the same time gives too
  access      which agent did what where, by which rule of which generation of policies
  approvals   what people said of held actions, who signed, and how that is known
  denials     what was refused, or would have been
  masking     what was hidden from whom, by label
  gaps        sessions that are interrupted, incomplete, altered or erased; declared gaps; holds
  reads       who read evidence: when, how much, of which session or time
  keys        registrations and keys that signed, and those that are believed

Times are as those of export, and rights too: records are reported of sessions that you may replay. A report names controls
that it supports evidence for; it says of nothing that it complies with them.`,
    )
    .action((kind: ReportKind, file: string | undefined, flags: ReportFlags) => run(kind, file, flags, options));
  withExamples(
    command,
    'chaperone report population --from 2026-11-01 --to 2026-12-01 -o csv > november.csv',
    'chaperone report denials november.evidence --policy trust.policy --trust trust.json',
  );
}

async function run(kind: ReportKind, file: string | undefined, flags: ReportFlags, options: VerbOptions): Promise<void> {
  const [{ writeReport }, { evidenceFile, ownPolicy, readPolicy }, { periodOf }, { readTrust }] = await Promise.all([
    import('../commands/report.ts'),
    import('../commands/verify.ts'),
    import('./export.ts'),
    import('../collector/local.ts'),
  ]);
  const { from, to, agent, namespace, policy, trust, output } = flags;
  if (agent?.includes('/') === true)
    throw usage('--agent is the name of a pod or ServiceAccount; its namespace is for --namespace');
  const filter = { ...(namespace === undefined ? {} : { namespace }), ...(agent === undefined ? {} : { agent }) };
  if (file !== undefined) {
    if (from !== undefined || to !== undefined) throw usage('--from and --to are for a collector; a file is of one period');
    if (policy === undefined || trust === undefined)
      throw usage(`${file} needs --policy and --trust: what is in the evidence cannot vouch for itself`);
    const believed = { ...(await readTrust(trust)), policy: await readPolicy(policy), ...(await holdersOf(flags, options)) };
    return options.exit(await writeReport(evidenceFile(file), believed, { kind, filter, output }, options.io));
  }
  if (flags.identity !== undefined) throw usage('--identity is for files that were exported with --wrapped');
  if (from === undefined) throw usage('write --from TIME and perhaps --to TIME, or name an evidence file of a period');
  const period = periodOf(from, to, options.io.now());
  await withClient(options, flags, async (client) => {
    const keys = trust === undefined ? await client.trust() : await readTrust(trust);
    const believed = { ...keys, policy: policy === undefined ? await ownPolicy(client) : await readPolicy(policy) };
    options.exit(await writeReport(await client.evidence(period), believed, { kind, filter, period, output }, options.io));
  });
}
