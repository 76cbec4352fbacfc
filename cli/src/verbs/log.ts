import type { Command } from 'commander';
import type { DocumentOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { type CollectorFlags, outputOption, withClient, withCollector, withExamples } from './common.ts';

interface LogFlags extends CollectorFlags {
  readonly key?: string;
  readonly since?: string;
  readonly save?: string;
  readonly output: 'table' | DocumentOutput;
}

interface ReindexFlags {
  readonly data?: string;
  readonly output: 'table' | DocumentOutput;
}

export function addLog(program: Command, options: VerbOptions): void {
  const log = withExamples(
    program.command('log').description('The transparency log that every stored segment is in'),
    'chaperone log verify --key log.key --since checkpoint',
    'chaperone log checkpoint',
  );
  const verify = withCollector(
    log.command('verify').description('Read the log whole and prove it against a key, and an older checkpoint'),
  )
    .option('--key <KEY>', 'the key of the log, or a file with it, in place of what the collector says')
    .option('--since <FILE>', 'a checkpoint that was kept: the log has to go on from it')
    .option('--save <FILE>', 'keep the checkpoint here where the log is sound')
    .addOption(outputOption('log verify', ['table', 'json', 'yaml']))
    .addHelpText(
      'after',
      '\nExits with 3 where an entry is not what was signed, or the log does not go on from the older checkpoint.',
    )
    .action((flags: LogFlags) =>
      withClient(options, flags, async (client) => {
        const { reportLog, verifyLog } = await import('../commands/log.ts');
        const found = await verifyLog(client, flags);
        await reportLog(found, { output: flags.output, paint: options.paint() }, options);
      }),
    );
  withExamples(
    verify,
    'chaperone log verify --save checkpoint',
    'chaperone log verify --key log.key --since checkpoint --save checkpoint',
  );
  const reindex = log
    .command('reindex')
    .description('Build the index of a data directory again from the evidence and the log; nothing else may use it meanwhile')
    .option('--data <DIR>', 'the data directory of a local chaperone up')
    .addOption(outputOption('log reindex', ['table', 'json', 'yaml']))
    .addHelpText(
      'after',
      '\nExits with 3 where a stored object is not what its name says. On a cluster a collector whose index is gone builds it at its start.',
    )
    .action(async (flags: ReindexFlags) => {
      const [{ reindexData }, { defaultData }] = await Promise.all([
        import('../commands/reindex.ts'),
        import('../collector/local.ts'),
      ]);
      await reindexData(flags.data ?? defaultData(options.io.env), flags.output, options);
    });
  withExamples(reindex, 'chaperone log reindex', 'chaperone log reindex --data shop-data -o json');
  for (const [name, description, read] of [
    ['key', 'Print the key that signs checkpoints', 'logKey'],
    ['checkpoint', 'Print the newest checkpoint, a signed note', 'logCheckpoint'],
  ] as const) {
    const command = withCollector(log.command(name).description(description)).action((flags: CollectorFlags) =>
      withClient(options, flags, async (client) => {
        options.io.out.write(await client[read]());
      }),
    );
    withExamples(command, `chaperone log ${name}`, `chaperone log ${name} > log.${name}`);
  }
}
