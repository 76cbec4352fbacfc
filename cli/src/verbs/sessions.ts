import type { Command } from 'commander';
import type { SessionFilter } from '../collector/client.ts';
import { count, durationMs, pair } from '../flags.ts';
import type { ProgramOptions } from '../program.ts';
import { type CollectorFlags, outputOption, withClient, withCollector, withExamples } from './common.ts';

/** The collector lists at most so many at once. */
const MAX_LISTED = 1000;

interface ListFlags extends CollectorFlags {
  readonly agent?: string;
  readonly resource?: string;
  readonly since?: string;
  readonly limit: string;
  readonly output: 'table' | 'wide' | 'json' | 'name';
}

interface ReadFlags extends CollectorFlags {
  readonly all?: boolean;
  readonly output: 'table' | 'json';
}

export function addSessions(program: Command, options: ProgramOptions): void {
  const sessions = withExamples(
    program.command('sessions').description('Find, read and follow sessions'),
    'chaperone sessions ls',
    'chaperone sessions replay s-7hq2',
  );
  const ls = withCollector(sessions.command('ls').description('List sessions, newest first'))
    .option('--agent <NAME>', 'of this agent (pod or ServiceAccount)')
    .option('--resource <NAMESPACE/NAME>', 'on this resource')
    .option('--since <DURATION>', 'begun in this time, for example 2h or 7d')
    .option('--limit <N>', `at most so many; 0: as many as can be listed (${MAX_LISTED})`, '50')
    .addOption(outputOption('how to print', ['table', 'wide', 'json', 'name']))
    .action((flags: ListFlags) => list(flags, options));
  withExamples(ls, 'chaperone sessions ls', 'kubectl chaperone sessions ls -n agents --resource data/orders-db -o json');
  const show = withCollector(sessions.command('show <ID>').description('Say all about one session'))
    .addOption(outputOption('how to print', ['table', 'json']))
    .action(async (id: string, flags: ReadFlags) => {
      const { demandId, showSession } = await import('../commands/sessions.ts');
      const name = demandId(id);
      await withClient(options, flags, (client) => showSession(client, name, flags.output, options.io));
    });
  withExamples(show, 'chaperone sessions show s-7hq2', 'chaperone sessions show s-7hq2 -o json');
  const replay = withCollector(sessions.command('replay <ID>').description('Tell a session as it happened: asked, decided, seen'))
    .option('--all', 'every recorded row', false)
    .addOption(outputOption('json: one record a line', ['table', 'json']))
    .action(async (id: string, flags: ReadFlags) => {
      const { demandId, replaySession } = await import('../commands/sessions.ts');
      const name = demandId(id);
      const shown = { all: flags.all === true, output: flags.output };
      await withClient(options, flags, (client) => replaySession(client, name, shown, options.io));
    });
  withExamples(replay, 'chaperone sessions replay s-7hq2', 'chaperone sessions replay s-7hq2 -o json');
}

async function list(flags: ListFlags, options: ProgramOptions): Promise<void> {
  const limit = count('--limit', flags.limit, 0, MAX_LISTED);
  const filter: SessionFilter = {
    limit: limit === 0 ? MAX_LISTED : limit,
    ...(flags.namespace === undefined || flags.allNamespaces === true ? {} : { namespace: flags.namespace }),
    ...(flags.agent === undefined ? {} : { agent: flags.agent }),
    ...(flags.resource === undefined ? {} : { resource: pair('--resource', flags.resource).join('/') }),
    ...(flags.since === undefined ? {} : { since: options.io.now() - durationMs('--since', flags.since) }),
  };
  const { listSessions } = await import('../commands/sessions.ts');
  const shown = { output: flags.output, namespaces: flags.allNamespaces === true };
  await withClient(options, flags, (client) => listSessions(client, filter, shown, options.io));
}
