import { type Command, Option } from 'commander';
import type { SessionFilter } from '../collector/client.ts';
import type { KillOptions } from '../commands/kill.ts';
import type { ListOutput } from '../commands/sessions.ts';
import { usage } from '../errors.ts';
import { count, durationMs, pair, reasonText } from '../flags.ts';
import type { DocumentOutput, StreamOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { type CollectorFlags, outputOption, withClient, withCluster, withCollector, withExamples } from './common.ts';
import { type DeskFlags, withDesk } from './desk.ts';

const MAX_LIMIT = 1_000_000;
/** Characters that a SessionKill takes. */
const MAX_KILL_REASON = 256;

interface ListFlags extends CollectorFlags {
  readonly agent?: string;
  readonly resource?: string;
  readonly person?: string;
  readonly since?: string;
  readonly limit: string;
  readonly output: ListOutput;
}

interface ShowFlags extends CollectorFlags {
  readonly output: 'table' | DocumentOutput;
}

interface ReplayFlags extends CollectorFlags {
  readonly all?: boolean;
  readonly output: 'table' | StreamOutput;
}

interface ExportFlags extends CollectorFlags {
  readonly format: 'asciicast';
  readonly file?: string;
  readonly action?: string;
}

interface KillFlags extends DeskFlags {
  readonly reason: string;
  readonly output: KillOptions['output'];
}

export function addSessions(program: Command, options: VerbOptions): void {
  const sessions = withExamples(
    program.command('sessions').description('Find and read sessions'),
    'chaperone sessions ls',
    'chaperone sessions replay s-7hq2',
  );
  const ls = withCollector(sessions.command('ls').description('List sessions, newest first'))
    .option('--agent <NAME>', 'of this agent (pod or ServiceAccount)')
    .option('--resource <NAMESPACE/NAME>', 'on this resource')
    .option('--person <USER>', 'in which the agent acted for them, as a verified token said')
    .option('--since <DURATION>', 'begun in this time, for example 2h or 7d')
    .option('--limit <N>', 'at most so many; 0: all', '50')
    .addOption(outputOption('sessions ls', ['table', 'wide', 'json', 'jsonl', 'yaml', 'name']))
    .action((flags: ListFlags) => list(flags, options));
  withExamples(ls, 'chaperone sessions ls', 'kubectl chaperone sessions ls -n agents --resource data/orders-db -o json');
  const show = withCollector(sessions.command('show <ID>').description('Say all about one session'))
    .addOption(outputOption('sessions show', ['table', 'json', 'yaml']))
    .action(async (id: string, flags: ShowFlags) => {
      const { demandId, showSession } = await import('../commands/sessions.ts');
      const name = demandId(id);
      await withClient(options, flags, (client) =>
        showSession(client, name, { output: flags.output, paint: options.paint(), again: options.again }, options.io),
      );
    });
  withExamples(show, 'chaperone sessions show s-7hq2', 'chaperone sessions show s-7hq2 -o json');
  const replay = withCollector(sessions.command('replay <ID>').description('Tell a session as it happened: asked, decided, seen'))
    .option('--all', 'every recorded row', false)
    .addOption(outputOption('sessions replay', ['table', 'json', 'jsonl', 'yaml'], 'json, jsonl: one record a line'))
    .action(async (id: string, flags: ReplayFlags) => {
      const { demandId, replaySession } = await import('../commands/sessions.ts');
      const name = demandId(id);
      const shown = { all: flags.all === true, output: flags.output };
      await withClient(options, flags, (client) => replaySession(client, name, shown, options.io));
    });
  const exported = withCollector(
    sessions
      .command('export <ID>')
      .description('Write what programs showed, for players of terminals, or what was kept of a file'),
  )
    .addOption(new Option('--format <FORMAT>', 'of what is written').choices(['asciicast']).default('asciicast'))
    .option('--action <N>', 'of this action alone, by the number that sessions show has')
    .option('--file <SEQ>', 'what was kept of this file, by the SEQ that sessions show has; to a terminal as text, escaped')
    .action(async (id: string, flags: ExportFlags) => {
      const { demandId, exportFile, exportSession } = await import('../commands/sessions.ts');
      const name = demandId(id);
      if (flags.file !== undefined) {
        if (flags.action !== undefined)
          throw usage('--file names one file, and --action what programs showed; write one of them');
        const file = count('--file', flags.file, 0, Number.MAX_SAFE_INTEGER);
        return withClient(options, flags, (client) => exportFile(client, name, file, options.io));
      }
      const action = flags.action === undefined ? undefined : count('--action', flags.action, 0, Number.MAX_SAFE_INTEGER);
      return withClient(options, flags, (client) => exportSession(client, name, action, options.io));
    });
  withExamples(
    exported,
    'chaperone sessions export s-7hq2 > session.cast',
    'kubectl chaperone sessions export s-7hq2 -n agents --file 15 > app.conf',
  );
  const kill = withCluster(sessions.command('kill <ID>').description('End a session at once; its agent reads why'), 'sessions', {
    isOne: true,
    as: 'play',
  })
    .requiredOption('--reason <TEXT>', 'why; the agent reads it')
    .addOption(outputOption('sessions kill', ['text', 'json', 'yaml']))
    .action(async (id: string, flags: KillFlags) => {
      const [{ demandId, demandWhole }, { killSession }] = await Promise.all([
        import('../commands/sessions.ts'),
        import('../commands/kill.ts'),
      ]);
      const session = demandWhole(demandId(id));
      const reason = reasonText('--reason', flags.reason, MAX_KILL_REASON);
      await withDesk(options, flags, (desk) => killSession(desk, { session, reason, output: flags.output }, options.io));
    });
  withExamples(
    kill,
    'chaperone sessions kill s-7hq2kd3mxw5tq4na --reason "reads the wrong customers"',
    'kubectl chaperone sessions kill s-7hq2kd3mxw5tq4na -n agents --reason "reads the wrong customers"',
  );
  withExamples(replay, 'chaperone sessions replay s-7hq2', 'chaperone sessions replay s-7hq2 -o json');
}

async function list(flags: ListFlags, options: VerbOptions): Promise<void> {
  const limit = count('--limit', flags.limit, 0, MAX_LIMIT);
  const filter: SessionFilter = {
    limit: limit === 0 ? Number.POSITIVE_INFINITY : limit,
    ...(flags.namespace === undefined || flags.allNamespaces === true ? {} : { namespace: flags.namespace }),
    ...(flags.agent === undefined ? {} : { agent: flags.agent }),
    ...(flags.resource === undefined ? {} : { resource: pair('--resource', flags.resource).join('/') }),
    ...(flags.person === undefined ? {} : { person: flags.person }),
    ...(flags.since === undefined ? {} : { since: options.io.now() - durationMs('--since', flags.since) }),
  };
  const { listSessions } = await import('../commands/sessions.ts');
  const shown = { output: flags.output, namespaces: flags.allNamespaces === true, paint: options.paint() };
  await withClient(options, flags, (client) => listSessions(client, filter, shown, options.io));
}
