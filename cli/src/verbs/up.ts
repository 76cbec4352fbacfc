import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { usage } from '../errors.ts';
import { agentOf, hostPort, listenMap } from '../flags.ts';
import { safeJson } from '@chaperone/api/text';
import { placeOf } from '../place.ts';
import type { ProgramOptions } from '../program.ts';
import type { ReadyResource } from '../up/up.ts';
import { collect, withExamples } from './common.ts';

interface UpFlags {
  readonly manifests: string;
  readonly agent: string;
  readonly labels?: string;
  readonly listen?: readonly string[];
  readonly data?: string;
  readonly console: string;
  readonly sinks?: string;
  readonly recipient?: readonly string[];
  readonly output: 'text' | 'json';
}

export function addUp(program: Command, options: ProgramOptions): void {
  const command = program
    .command('up')
    .description('Run the proxy locally from a directory of YAML')
    .requiredOption('--manifests <DIR>', 'directory of AccessPolicy, ProtectedResource and Secret objects as YAML')
    .requiredOption('--agent <NAMESPACE/SERVICEACCOUNT>', 'the agent that connects')
    .option('--labels <k=v,…>', 'labels of the agent, for policies that select by them')
    .option('--listen <NAMESPACE/NAME=HOST:PORT>', 'where a resource is served (repeatable; else a free local port)', collect)
    .option('--data <DIR>', 'where keys and evidence are kept (default: ~/.local/state/chaperone)')
    .option('--console <HOST:PORT>', 'where the collector and its web page answer', '127.0.0.1:0')
    .option('--recipient <KEY>', 'who reads what is recorded too, by a key of their own (repeatable)', collect)
    .option('--sinks <FILE>', 'where events go, as YAML: collector.sinks of the chart, with files in place of Secrets')
    .addOption(
      new Option('-o, --output <FORMAT>', 'json: one line when every listener is ready')
        .choices(['text', 'json'])
        .default('text'),
    )
    .action((flags: UpFlags) => up(flags, options));
  withExamples(
    command,
    'chaperone up --manifests examples/quickstart --agent agents/support-agent --labels app=support-agent',
    'chaperone up --manifests shop --agent agents/bot --listen data/orders-db=127.0.0.1:5433 --output json',
  );
}

/** Throws CliError Usage. */
function demandRecipient(name: string): string {
  if (/^(x25519:[\w-]{43}|rsa-oaep:[\w-]{300,1000})$/.test(name)) return name;
  throw usage('--recipient is x25519: or rsa-oaep: and a public key, as chaperone identity prints it');
}

async function up(flags: UpFlags, { io, stopped }: ProgramOptions): Promise<void> {
  const agent = agentOf('--agent', flags.agent, flags.labels);
  const listen = listenMap('--listen', flags.listen ?? []);
  const console = hostPort('--console', flags.console);
  const json = flags.output === 'json';
  // A signal during the start is heeded when the start is done, so that nothing is left half made.
  const stop = stopped();
  const [{ startUp }, { defaultData }, { jsonLogger, textLogger }] = await Promise.all([
    import('../up/up.ts'),
    import('../collector/local.ts'),
    import('../up/logger.ts'),
  ]);
  // Whoever pastes it may be in another directory.
  const place = placeOf({ data: flags.data === undefined ? undefined : resolve(flags.data) });
  const running = await startUp({
    manifests: flags.manifests,
    agent,
    listen,
    data: flags.data ?? defaultData(io.env),
    place,
    console,
    recipients: (flags.recipient ?? []).map(demandRecipient),
    ...(flags.sinks === undefined ? {} : { sinks: flags.sinks }),
    logger: json ? jsonLogger(io.err, io.now) : textLogger(io.err),
    onOpened: (resource) =>
      void io.err.write(json ? `${safeJson({ event: 'ready', ...resource })}\n` : `${readyLine(resource)}\n`),
  });
  const { resources, collector, console: page } = running.ready;
  if (json) {
    const shown = resources.map(({ resource, protocol, address }) => ({ resource, protocol, address }));
    io.out.write(`${safeJson({ ready: true, resources: shown, collector, console: page })}\n`);
  } else {
    const lines = resources.map(readyLine);
    io.out.write(
      `${lines.join('\n')}\nconsole ${page}${page === collector ? '' : `   works once, for 10 minutes; another: chaperone console${place}`}\nrules, masking and evidence here are the real ones, but nothing forces a program to use ${lines.length === 1 ? 'this port' : 'these ports'}; a cluster does\n`,
    );
  }
  await stop;
  const { unacknowledged } = await running.stop();
  if (unacknowledged > 0)
    io.err.write(`${unacknowledged} segments were not stored in time; they are in the spool and follow at the next start\n`);
}

function readyLine({ resource, protocol, address, client, notReady }: ReadyResource): string {
  const state = notReady === undefined ? 'ready  ' : 'waiting';
  return [`${state} ${resource}`, protocol, address, client, notReady].filter((part) => part !== undefined).join('   ');
}
