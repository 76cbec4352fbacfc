import { CODES, explain } from '@chaperone/api';
import { Command, Option } from 'commander';
import { CollectorClient, type Transport } from './collector/client.ts';
import { defaultData, openLocalTransport, readTrust } from './collector/local.ts';
import { accessFor, checkLines } from './commands/check.ts';
import { demandId, listSessions, type Output, replaySession, showSession } from './commands/sessions.ts';
import { readEvidenceFile, verify } from './commands/verify.ts';
import { CliError, EXIT } from './errors.ts';
import { agentOf, hostPort, pair } from './flags.ts';
import type { Io } from './io.ts';
import { createLogger } from './logger.ts';
import { startUp } from './up/up.ts';
import { VERSION } from './version.ts';

export interface ProgramOptions {
  readonly io: Io;
  /** chaperone, or kubectl chaperone. */
  readonly name: string;
  /** Resolves when the person or the system asks to stop. */
  readonly stopped: () => Promise<void>;
  /** Reaches the collector of a cluster. */
  readonly openCluster: (flags: ClusterFlags) => Promise<Transport>;
}

export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly cluster?: string;
  readonly user?: string;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly as?: string;
  readonly asGroup?: string[];
  readonly requestTimeout?: string;
  readonly chaperoneNamespace?: string;
}

interface CollectorFlags extends ClusterFlags {
  readonly data?: string;
}

/** Runs a command line; resolves with the exit code. Throws CliError and what asCliError can read. */
export async function runProgram(argv: readonly string[], options: ProgramOptions): Promise<number> {
  const { io } = options;
  let exit: number = EXIT.ok;
  const program = new Command(options.name)
    .description('Control and record what AI agents do.')
    .version(VERSION, '--version', 'Print the version')
    .helpOption('-h, --help', 'Show help')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({ writeOut: (text) => void io.out.write(text), writeErr: (text) => void io.err.write(text) });
  const ends = (code: number): void => {
    exit = code;
  };
  addUp(program, options);
  addPolicy(program, options, ends);
  addSessions(program, options);
  addVerify(program, options, ends);
  addExplain(program, options, ends);
  program
    .command('version')
    .description('Print the version of this client')
    .action(() => void io.out.write(`${VERSION}\n`));
  await program.parseAsync(argv, { from: 'user' });
  return exit;
}

function addUp(program: Command, { io, stopped }: ProgramOptions): void {
  program
    .command('up')
    .description('Run the proxy locally from a directory of YAML')
    .requiredOption('--manifests <DIR>', 'directory of AccessPolicy, ProtectedResource and Secret objects as YAML')
    .requiredOption('--agent <NAMESPACE/SERVICEACCOUNT>', 'the agent that connects')
    .option('--labels <k=v,…>', 'labels of the agent, for policies that select by them')
    .option(
      '--listen <NAMESPACE/NAME=HOST:PORT>',
      'where a resource is served (repeatable; default: a free port of 127.0.0.1)',
      collect,
      [],
    )
    .option('--data <DIR>', 'where keys and evidence are kept (default: ~/.local/state/chaperone)')
    .option('--console <HOST:PORT>', 'where the collector answers', '127.0.0.1:0')
    .addOption(
      new Option('--output <FORMAT>', 'json: one line when every listener is ready').choices(['text', 'json']).default('text'),
    )
    .addHelpText(
      'after',
      examples(
        'chaperone up --manifests examples/quickstart --agent agents/support-agent --labels app=support-agent',
        'chaperone up --manifests shop --agent agents/bot --listen data/orders-db=127.0.0.1:5433 --output json',
      ),
    )
    .action(
      async (flags: {
        manifests: string;
        agent: string;
        labels?: string;
        listen: string[];
        data?: string;
        console: string;
        output: string;
      }) => {
        const running = await startUp({
          manifests: flags.manifests,
          agent: agentOf('--agent', flags.agent, flags.labels),
          listen: new Map(flags.listen.map(listenEntry)),
          data: flags.data ?? defaultData(io.env),
          console: hostPort('--console', flags.console),
          logger: createLogger(io.err, io.now),
        });
        if (flags.output === 'json') {
          io.out.write(`${JSON.stringify(running.ready)}\n`);
        } else {
          for (const { resource, protocol, address } of running.ready.resources)
            io.out.write(`ready   ${resource}   ${protocol}   ${address}\n`);
          io.out.write(
            `collector   ${running.ready.collector}\nrules, masking and evidence here are the real ones, but nothing forces a program to use these ports; a cluster does\n`,
          );
        }
        await stopped();
        const { unacknowledged } = await running.stop();
        if (unacknowledged > 0)
          io.err.write(
            `${unacknowledged} segments were not stored in time; they are in the spool and follow at the next start\n`,
          );
      },
    );
}

function addPolicy(program: Command, { io }: ProgramOptions, ends: (code: number) => void): void {
  const policy = program.command('policy').description('Test policies');
  policy
    .command('check')
    .description('Judge actions read as JSON lines')
    .requiredOption('--manifests <DIR>', 'directory of YAML objects')
    .requiredOption('--agent <NAMESPACE/SERVICEACCOUNT>', 'the agent that would act')
    .requiredOption('--resource <NAMESPACE/NAME>', 'the resource it would act on')
    .option('--labels <k=v,…>', 'labels of the agent')
    .addOption(new Option('--output <FORMAT>', 'answers are always JSON lines').choices(['json']).default('json'))
    .addHelpText(
      'after',
      examples(
        `echo '{"sql":"drop table tickets"}' | chaperone policy check --manifests examples/quickstart --agent agents/support-agent --labels app=support-agent --resource data/orders-db`,
        'chaperone policy check --manifests shop --agent agents/bot --resource data/orders-db < actions.jsonl',
      ),
    )
    .action(async (flags: { manifests: string; agent: string; resource: string; labels?: string }) => {
      const agent = agentOf('--agent', flags.agent, flags.labels);
      const resource = pair('--resource', flags.resource).join('/');
      ends(await checkLines(await accessFor(flags.manifests, agent, resource), io));
    });
}

function addSessions(program: Command, options: ProgramOptions): void {
  const { io } = options;
  const sessions = program.command('sessions').description('Find, read and follow sessions');
  withCollector(sessions.command('ls').description('List sessions, newest first'))
    .option('--agent <NAME>', 'of this agent (pod or ServiceAccount)')
    .option('--resource <NAMESPACE/NAME>', 'on this resource')
    .option('--limit <N>', 'at most so many', '50')
    .addOption(new Option('-o, --output <FORMAT>', 'how to print').choices(['table', 'wide', 'json', 'name']).default('table'))
    .addHelpText(
      'after',
      examples('chaperone sessions ls', 'kubectl chaperone sessions ls -n agents --resource data/orders-db -o json'),
    )
    .action(async (flags: CollectorFlags & { agent?: string; resource?: string; limit: string; output: Output }) => {
      await withClient(options, flags, (client) =>
        listSessions(
          client,
          {
            limit: Number(flags.limit),
            ...(flags.namespace === undefined || flags.allNamespaces ? {} : { namespace: flags.namespace }),
            ...(flags.agent === undefined ? {} : { agent: flags.agent }),
            ...(flags.resource === undefined ? {} : { resource: pair('--resource', flags.resource).join('/') }),
          },
          flags.output,
          flags.allNamespaces === true,
          io,
        ),
      );
    });
  withCollector(sessions.command('show <ID>').description('Say all about one session'))
    .addOption(new Option('-o, --output <FORMAT>', 'how to print').choices(['table', 'json']).default('table'))
    .addHelpText('after', examples('chaperone sessions show s-7hq2', 'chaperone sessions show s-7hq2 -o json'))
    .action(async (id: string, flags: CollectorFlags & { output: Output }) => {
      await withClient(options, flags, (client) => showSession(client, demandId(id), flags.output, io));
    });
  withCollector(sessions.command('replay <ID>').description('Tell a session as it happened: asked, decided, seen'))
    .option('--all', 'every recorded row', false)
    .addOption(new Option('-o, --output <FORMAT>', 'json: one record a line').choices(['table', 'json']).default('table'))
    .addHelpText('after', examples('chaperone sessions replay s-7hq2', 'chaperone sessions replay s-7hq2 -o json'))
    .action(async (id: string, flags: CollectorFlags & { all: boolean; output: Output }) => {
      await withClient(options, flags, (client) => replaySession(client, demandId(id), flags, io));
    });
}

function addVerify(program: Command, options: ProgramOptions, ends: (code: number) => void): void {
  withCollector(program.command('verify [ID]').description('Prove that the evidence of a session is complete and unchanged'))
    .option('--file <FILE>', 'an exported file of segments, in place of a collector')
    .option('--trust <FILE>', 'JSON file with "origin" and "enrolmentKeys", in place of what the installation says')
    .addOption(new Option('-o, --output <FORMAT>', 'how to print').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      `${examples('chaperone verify s-7hq2', 'chaperone verify --file session.evidence --trust trust.json')}\nExits with 3 where evidence is altered or incomplete.\n`,
    )
    .action(
      async (id: string | undefined, flags: CollectorFlags & { file?: string; trust?: string; output: 'table' | 'json' }) => {
        if (flags.file !== undefined) {
          if (flags.trust === undefined)
            throw new CliError('Usage', '--file needs --trust: what is in the evidence cannot vouch for itself', {
              exit: EXIT.usage,
            });
          ends(verify(await readEvidenceFile(flags.file), await readTrust(flags.trust), flags.output, options.io));
          return;
        }
        if (id === undefined) throw new CliError('Usage', 'name a session, or a file with --file', { exit: EXIT.usage });
        await withClient(options, flags, async (client) => {
          const { name } = await client.session(demandId(id));
          const trust = flags.trust === undefined ? await client.trust() : await readTrust(flags.trust);
          ends(verify([{ session: name, segments: await client.segments(name) }], trust, flags.output, options.io));
        });
      },
    );
}

function addExplain(program: Command, { io }: ProgramOptions, ends: (code: number) => void): void {
  program
    .command('explain [CODE]')
    .description('Say what a code means and how to mend it')
    .addHelpText('after', examples('chaperone explain NoRuleAllows', 'chaperone explain'))
    .action((code: string | undefined) => {
      if (code === undefined) {
        io.out.write(`${Object.keys(CODES).join('\n')}\n`);
        return;
      }
      if (code === 'ExitCodes') {
        io.out.write(
          `${Object.entries(EXIT)
            .map(([name, value]) => `${String(value).padStart(3)}  ${name}`)
            .join('\n')}\n`,
        );
        return;
      }
      const found = explain(code);
      if (!found.found) {
        const hint = found.suggestion === undefined ? '' : `; did you mean "${found.suggestion}"?`;
        throw new CliError('NotFound', `there is no code ${code.slice(0, 60)}${hint}`, { exit: EXIT.notFound });
      }
      const { what, why, fix, example } = found.entry;
      io.out.write(`${found.code}\n\n  what     ${what}\n  why      ${why}\n  fix      ${fix}\n  example  ${example}\n`);
      ends(EXIT.ok);
    });
}

function withCollector(command: Command): Command {
  return command
    .option('--data <DIR>', 'the data directory of a local chaperone up')
    .option('-n, --namespace <NAMESPACE>', 'sessions of agents in this namespace')
    .option('-A, --all-namespaces', 'sessions of agents in every namespace')
    .option('--context <NAME>', 'context of the kubeconfig')
    .option('--cluster <NAME>', 'cluster of the kubeconfig')
    .option('--user <NAME>', 'user of the kubeconfig')
    .option('--kubeconfig <FILE>', 'kubeconfig file')
    .option('--as <USER>', 'user to impersonate')
    .option('--as-group <GROUP>', 'group to impersonate (repeatable)', collect, [])
    .option('--request-timeout <DURATION>', 'time for one request', '30s')
    .option('--chaperone-namespace <NAMESPACE>', 'where the chart is installed');
}

/** With --data the local collector; as `kubectl chaperone`, or without a local one, the cluster's. */
async function withClient(
  options: ProgramOptions,
  flags: CollectorFlags,
  use: (client: CollectorClient) => Promise<void>,
): Promise<void> {
  await using transport = await openTransport(options, flags);
  await use(new CollectorClient(transport));
}

async function openTransport({ io, name, openCluster }: ProgramOptions, flags: CollectorFlags): Promise<Transport> {
  if (flags.data !== undefined) return openLocalTransport(flags.data);
  const wantsCluster =
    name !== 'chaperone' || flags.context !== undefined || flags.kubeconfig !== undefined || flags.namespace !== undefined;
  if (wantsCluster) return openCluster(flags);
  try {
    return await openLocalTransport(defaultData(io.env));
  } catch (error) {
    if (!(error instanceof CliError) || io.env['KUBECONFIG'] === undefined) throw error;
    return openCluster(flags);
  }
}

function listenEntry(value: string): [string, { host: string; port: number }] {
  const at = value.indexOf('=');
  if (at < 1)
    throw new CliError('Usage', `--listen is written NAMESPACE/NAME=HOST:PORT; "${value.slice(0, 80)}" is not`, {
      exit: EXIT.usage,
    });
  return [pair('--listen', value.slice(0, at)).join('/'), hostPort('--listen', value.slice(at + 1))];
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
