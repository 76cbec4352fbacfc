import type { KeyHolder } from '@chaperone/evidence';
import type { Command } from 'commander';
import { usage } from '../errors.ts';
import type { VerbOptions } from '../program.ts';
import type { StreamOutput } from '../output.ts';
import { type CollectorFlags, outputOption, withClient, withCollector, withExamples } from './common.ts';

interface VerifyFlags extends CollectorFlags {
  readonly policy?: string;
  readonly trust?: string;
  readonly identity?: string;
  readonly since?: string;
  readonly complete?: boolean;
  readonly partial?: boolean;
  readonly output: 'table' | StreamOutput;
}

const SESSION = /^s-[a-z2-7]{1,16}$/;

export function addVerify(program: Command, options: VerbOptions): void {
  const command = withCollector(
    program
      .command('verify [ID|FILE]')
      .description('Prove that evidence is complete, unchanged and in the log, of a file offline'),
  )
    .option('--policy <FILE>', 'which logs are believed and which witnesses have to cosign (C2SP tlog-policy)')
    .option('--trust <FILE>', 'JSON file with "origin" and "enrolmentKeys", in place of what the installation says')
    .option('--identity <FILE>', 'a key of your own, for a file whose keys were wrapped to it (chaperone identity)')
    .option('--since <FILE>', 'a checkpoint that was kept: the log of the file has to go on from it')
    .option('--complete', 'exit with 8 also where the end of a session is not seen')
    .option('--partial', 'exit with 0 also where sessions of a period are left out whole')
    .addOption(
      outputOption('verify', ['table', 'json', 'jsonl', 'yaml'], 'json, jsonl: of a file a line, then one session a line'),
    )
    .addHelpText(
      'after',
      '\nOf a file nothing is believed but what --policy and --trust hold, and no network is used.\n\nExits with 3 where evidence is altered, 9 where the log or its witnesses do not prove it, 8 where some of it is missing; of\nseveral the first of these. A sound beginning without its end is "open" and exits with 0: the session may go on, and that\nsegments after it were cut off cannot be told from it; --complete makes it 8.',
    )
    .action((what: string | undefined, flags: VerifyFlags) => run(what, flags, options));
  withExamples(
    command,
    'chaperone verify november.evidence --policy trust.policy --trust trust.json --since checkpoint',
    'chaperone verify s-7hq2',
  );
}

/** Who reads keys that a file has as they were wrapped: nobody, unless somebody says so. */
export async function holdersOf(
  { identity }: Pick<VerifyFlags, 'identity'>,
  { io }: Pick<VerbOptions, 'io'>,
): Promise<{ readonly holders?: readonly KeyHolder[] }> {
  if (identity === undefined) return {};
  const { readIdentities } = await import('../identity/identity.ts');
  return { holders: await readIdentities(identity, io.env) };
}

async function run(what: string | undefined, flags: VerifyFlags, options: VerbOptions): Promise<void> {
  const [{ contentOf, evidenceFile, judge, ownPolicy, readPolicy, report }, { readTrust }] = await Promise.all([
    import('../commands/verify.ts'),
    import('../collector/local.ts'),
  ]);
  const { policy, trust, output, complete = false, partial = false } = flags;
  if (what === undefined) throw usage('name a session, or a file that chaperone export wrote');
  const since = flags.since === undefined ? {} : { since: await contentOf(flags.since) };
  const shown = { output, paint: options.paint(), complete, partial };
  if (!SESSION.test(what)) {
    if (policy === undefined || trust === undefined)
      throw usage(`${what} needs --policy and --trust: what is in the evidence cannot vouch for itself`);
    const believed = {
      ...(await readTrust(trust)),
      policy: await readPolicy(policy),
      ...since,
      ...(await holdersOf(flags, options)),
    };
    return report(await judge(evidenceFile(what), believed), { ...shown, file: what }, options);
  }
  if (flags.identity !== undefined) throw usage('--identity is for files that were exported with --wrapped');
  if (flags.since !== undefined) throw usage('--since is for files; chaperone log verify --since reads the whole log');
  await withClient(options, flags, async (client) => {
    const session = await client.session(what);
    const keys = trust === undefined ? await client.trust() : await readTrust(trust);
    const believed = { ...keys, policy: policy === undefined ? await ownPolicy(client) : await readPolicy(policy) };
    await report(await judge(await client.sessionEvidence(session.name), believed), shown, options);
  });
}
