import { type Command, Option } from 'commander';
import type { CollectorClient } from '../collector/client.ts';
import type { ClusterFlags, Transport } from '../collector/transport.ts';
import { CliError, usage } from '../errors.ts';
import type { Io } from '../io.ts';
import type { ProgramOptions } from '../program.ts';

/** Every help page begins with two examples. */
export function withExamples(command: Command, ...lines: readonly [string, string]): Command {
  return command.addHelpText('before', `Examples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`);
}

const PAGE = 'docs/reference/cli.md';

/** Every help page ends with where to read more; called when all verbs are there. */
export function withPages(program: Command): void {
  program.addHelpText('after', `\nMore: ${PAGE}`);
  const below = (command: Command, path: readonly string[]): void => {
    command.addHelpText('after', `\nMore: ${PAGE}#${path.join('-')}`);
    for (const each of command.commands) below(each, [...path, each.name()]);
  };
  for (const command of program.commands) below(command, [command.name()]);
}

/** Gathers the values of a flag that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** The first choice is the default. `verb` stands in the complaint about another. */
export function outputOption(verb: string, choices: readonly [string, ...string[]], description = 'how to print'): Option {
  const parse = (value: string): string => {
    if (choices.includes(value)) return value;
    throw usage(`${verb} has no output "${value.slice(0, 40)}"; it has ${choices.join(', ')}`);
  };
  return new Option('-o, --output <FORMAT>', description).choices(choices).argParser(parse).default(choices[0]);
}

export interface CollectorFlags extends ClusterFlags {
  readonly data?: string;
}

/** The flags of verbs that ask a collector. */
export function withCollector(command: Command): Command {
  return withCluster(command, 'sessions')
    .option('--chaperone-namespace <NAMESPACE>', 'where the chart is installed')
    .option('--collector <URL>', 'a collector, in place of a tunnel to it (or CHAPERONE_COLLECTOR)')
    .option('--collector-ca <FILE>', 'the CA of its certificate (or CHAPERONE_COLLECTOR_CA; else those of this machine)');
}

interface ClusterWords {
  /** The verb is about one of them. */
  readonly isOne?: boolean;
  readonly as?: 'impersonate' | 'play';
  /** A local chaperone up has none of them. */
  readonly isRemote?: boolean;
}

/** The flags of verbs about a cluster or a local `chaperone up`. kubectl passes none of its own on to plugins, so they stand here. */
export function withCluster(
  command: Command,
  things: string,
  { isOne = false, as = 'impersonate', isRemote = false }: ClusterWords = {},
): Command {
  if (!isRemote) command.option('--data <DIR>', 'the data directory of a local chaperone up');
  const inNamespaces = command.option('-n, --namespace <NAMESPACE>', `${things} of agents in this namespace`);
  if (!isOne) inNamespaces.option('-A, --all-namespaces', `${things} of agents in every namespace`);
  return inNamespaces
    .option('--context <NAME>', 'context of the kubeconfig')
    .option('--cluster <NAME>', 'cluster of the kubeconfig')
    .option('--user <NAME>', 'user of the kubeconfig')
    .option('--kubeconfig <FILE>', 'kubeconfig file')
    .option('--as <USER>', as === 'impersonate' ? 'user to impersonate' : 'user to impersonate, or to play at a chaperone up')
    .option('--as-group <GROUP>', 'group to impersonate (repeatable)', collect)
    .option('--as-uid <UID>', 'UID to impersonate')
    .option('--request-timeout <DURATION>', 'time for one request', '30s');
}

/** Gives the verb a collector: the local one with --data, the cluster's as `kubectl chaperone` or where a flag names one. */
export async function withClient(
  options: ProgramOptions,
  flags: CollectorFlags,
  use: (client: CollectorClient) => Promise<void>,
): Promise<void> {
  const { CollectorClient } = await import('../collector/client.ts');
  await using transport = await openTransport(options, flags);
  await use(new CollectorClient(transport));
}

/** Whether a flag is about a cluster; one that is incomplete is complained of there. */
function namesCluster(flags: CollectorFlags): boolean {
  const { context, cluster, user, as, asGroup, asUid, kubeconfig, namespace, collector, collectorCa } = flags;
  const about = [context, cluster, user, as, asGroup, asUid, kubeconfig, namespace, collector, collectorCa];
  return about.some((flag) => flag !== undefined);
}

async function openTransport({ io, name, openCluster }: ProgramOptions, flags: CollectorFlags): Promise<Transport> {
  const { defaultData, openLocalTransport } = await import('../collector/local.ts');
  if (flags.data !== undefined) {
    if (flags.collector !== undefined) throw usage('--data and --collector name different collectors');
    const { context, cluster, user, as, asGroup, asUid, kubeconfig } = flags;
    if ([context, cluster, user, as, asGroup, asUid, kubeconfig].some((flag) => flag !== undefined))
      throw usage('--data is evidence on this machine, and flags of a kubeconfig are about a cluster; leave one of them out');
    return openLocalTransport(flags.data);
  }
  const chosen = withEnvironment(flags, io.env);
  if (name !== 'chaperone' || namesCluster(chosen)) return openCluster(chosen);
  try {
    return await openLocalTransport(defaultData(io.env));
  } catch (error) {
    if (!(error instanceof CliError) || io.env['KUBECONFIG'] === undefined) throw error;
    return openCluster(chosen);
  }
}

/** A flag counts before its variable; a CA is looked for where there is a collector to prove itself by it. */
function withEnvironment(flags: CollectorFlags, env: Io['env']): CollectorFlags {
  const said = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const collector = flags.collector ?? said('CHAPERONE_COLLECTOR');
  if (collector === undefined) return flags;
  const collectorCa = flags.collectorCa ?? said('CHAPERONE_COLLECTOR_CA');
  return { ...flags, collector, ...(collectorCa === undefined ? {} : { collectorCa }) };
}
