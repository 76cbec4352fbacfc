import type { Command } from 'commander';
import type { SessionSource, Wanted } from '../adoption/seen.ts';
import { asCliError, CliError, usage } from '../errors.ts';
import { agentOf, durationMs } from '../flags.ts';
import type { DocumentOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { type CollectorFlags, outputOption, withClient, withCollector, withExamples } from './common.ts';

interface EvidenceFlags extends CollectorFlags {
  readonly agent?: string;
  readonly since?: string;
  readonly evidence?: string;
}
interface DiffFlags extends EvidenceFlags {
  readonly labels?: string;
  readonly output: 'table' | DocumentOutput;
}
interface SuggestFlags extends EvidenceFlags {
  readonly agent: string;
  readonly name?: string;
  readonly exact?: boolean;
  readonly includeApproved?: boolean;
}

/** Exit code of a diff that could not be made, as of diff: 1 says that there are differences. */
const TROUBLE = 2;
/** Of the name of an object, which is longer than that of a ServiceAccount may be with what is added. */
const MAX_NAME = 253;

export function addPolicyDiff(policy: Command, options: VerbOptions): void {
  const diff = withEvidence(
    policy.command('diff <OLD> <NEW>').description('List recorded actions that would be judged differently'),
    'of this agent; default: of every agent',
  )
    .option('--labels <k=v,…>', 'labels of the agents, which records do not have')
    .addOption(outputOption('policy diff', ['table', 'json', 'yaml']))
    .addHelpText(
      'after',
      '\nOLD and NEW are directories or files of manifests; a ProtectedResource that one leaves out is taken from the other. What is let\nthrough further comes first. Rules and grants are judged; masking, limits, inference and recording are not.\n\nExits with 0 where every action is judged alike, 1 where some are not, 2 where it cannot be told of some, or something went\nwrong.',
    )
    .action(async (before: string, after: string, flags: DiffFlags) => {
      try {
        const wanted = wantedOf(flags, options);
        const labels = flags.labels === undefined ? undefined : agentOf('--agent', flags.agent ?? 'any/any', flags.labels).labels;
        const shown = { before, after, wanted, labels, output: flags.output, paint: options.paint() };
        const { diffPolicies } = await import('../adoption/diff.ts');
        await withSources(options, flags, wanted, async (sources) =>
          options.exit(await diffPolicies(sources, shown, options.io)),
        );
      } catch (error) {
        const { code, message, fix, why } = asCliError(error);
        throw new CliError(code, message, { cause: error, fix, why, exit: TROUBLE });
      }
    });
  withExamples(
    diff,
    'chaperone policy diff shop shop-new --since 7d',
    'kubectl chaperone policy diff policies suggested.yaml --agent agents/support-agent -n agents -o json',
  );
}

export function addPolicySuggest(policy: Command, options: VerbOptions): void {
  const suggest = withEvidence(
    policy.command('suggest').description('Write the narrowest policy that covers what an agent did'),
    'the agent',
    true,
  )
    .option('--name <NAME>', 'of the policy; default: SERVICEACCOUNT-suggested')
    .option('--exact', 'no patterns: every name as it was seen')
    .option('--include-approved', 'what people approved as RequireApproval, with those who approved')
    .addHelpText(
      'after',
      '\nCovered is what was allowed, or let through by Audit; in comments stands how often, and what is not covered. In commands, and\nin names of Kubernetes, * stands for one part of one word where three values or more differ in it: never for a program, never\nin an option or a path. A directory is named where three of its files or more were used alike.',
    )
    .action(async (flags: SuggestFlags) => {
      const wanted = wantedOf(flags, options);
      const agent = agentOf('--agent', flags.agent, undefined);
      const { namespace, serviceAccount } = agent;
      const name = flags.name ?? `${serviceAccount}-suggested`;
      if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name) || name.length > MAX_NAME)
        throw usage('--name is written in lower-case letters, digits and -');
      const { suggestPolicy } = await import('../adoption/suggest.ts');
      const { exact = false, includeApproved = false } = flags;
      const asked = { agent: { namespace, serviceAccount }, name, exact, includeApproved, ...wanted };
      await withSources(options, flags, wanted, (sources) =>
        suggestPolicy(sources, { ...asked, agent: { namespace, serviceAccount } }, options.io),
      );
    });
  withExamples(
    suggest,
    'chaperone policy suggest --agent agents/support-agent --since 7d > suggested.yaml',
    'chaperone policy suggest --agent agents/infra-agent --evidence november.evidence --exact',
  );
}

function withEvidence(command: Command, agent: string, isDemanded = false): Command {
  const described = isDemanded
    ? command.requiredOption('--agent <NAMESPACE/SERVICEACCOUNT>', agent)
    : command.option('--agent <NAMESPACE/SERVICEACCOUNT>', agent);
  return withCollector(
    described
      .option('--since <DURATION>', 'of sessions begun in this time, for example 2h or 7d; default: of all')
      .option('--evidence <FILE>', 'of a file that chaperone export wrote, in place of a collector; chaperone verify proves it'),
  );
}

function wantedOf({ agent, since }: EvidenceFlags, { io }: VerbOptions): Wanted {
  return {
    ...(agent === undefined ? {} : { agent: agentOf('--agent', agent, undefined) }),
    ...(since === undefined ? {} : { since: io.now() - durationMs('--since', since) }),
  };
}

async function withSources(
  options: VerbOptions,
  flags: EvidenceFlags,
  wanted: Wanted,
  use: (sources: AsyncIterable<SessionSource>) => Promise<void>,
): Promise<void> {
  const { collectedSessions, filedSessions } = await import('../adoption/sources.ts');
  const { evidence, namespace, allNamespaces } = flags;
  if (evidence !== undefined) {
    if (flags.data !== undefined || flags.collector !== undefined)
      throw usage('--evidence is a file, and --data and --collector name a collector; leave one of them out');
    return use(filedSessions(evidence));
  }
  // A cluster asks for a namespace; that of the agent is the one that is meant.
  const within = namespace ?? wanted.agent?.namespace;
  const asked = options.name === 'chaperone' || within === undefined ? flags : { ...flags, namespace: within };
  await withClient(options, asked, (client) =>
    use(collectedSessions(client, wanted, allNamespaces === true ? undefined : namespace)),
  );
}
