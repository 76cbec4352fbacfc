import type { Command } from 'commander';
import type { DocumentOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { type CollectorFlags, outputOption, withClient, withCollector, withExamples } from './common.ts';

interface SinkFlags extends CollectorFlags {
  readonly output: 'table' | DocumentOutput;
}

export function addSinks(program: Command, options: VerbOptions): void {
  const sinks = withExamples(
    program.command('sinks').description('Where events go: how far each receiver is, and what it refused'),
    'chaperone sinks ls',
    'chaperone sinks resend siem',
  );
  const list = withCollector(
    sinks.command('ls').alias('list').description('How far each sink is, its last error and its dead letters'),
  )
    .addOption(outputOption('sinks ls', ['table', 'json', 'yaml']))
    .addHelpText('after', '\nSinks have the events of every namespace: it takes the right to list sessions in all of them.')
    .action((flags: SinkFlags) =>
      withClient(options, flags, async (client) => {
        const { listSinks } = await import('../commands/sinks.ts');
        await listSinks(client, flags.output, options.io);
      }),
    );
  withExamples(list, 'chaperone sinks ls', 'kubectl chaperone sinks ls -o json');
  const resend = withCollector(
    sinks.command('resend <NAME>').description('Send the dead letters of a sink again, those that are erased since excepted'),
  )
    .addOption(outputOption('sinks resend', ['text', 'json', 'yaml']))
    .addHelpText('after', '\nIt takes the right to export sessions in every namespace.')
    .action((name: string, flags: SinkFlags) =>
      withClient(options, flags, async (client) => {
        const { resendLetters } = await import('../commands/sinks.ts');
        await resendLetters(client, name, flags.output, options.io);
      }),
    );
  withExamples(resend, 'chaperone sinks resend siem', 'kubectl chaperone sinks resend siem');
}
