import type { Command } from 'commander';
import { usage } from '../errors.ts';
import type { VerbOptions } from '../program.ts';
import type { DocumentOutput } from '../output.ts';
import { collect, outputOption, withExamples } from './common.ts';

interface BackupFlags {
  readonly to?: string;
  readonly recipient?: string[];
  readonly data?: string;
  readonly output: 'text' | DocumentOutput;
}

interface RestoreFlags {
  readonly from: string;
  readonly key: string;
  readonly data?: string;
  readonly since?: string[];
  readonly withoutCheckpoint?: boolean;
  readonly check?: boolean;
  readonly output: 'text' | DocumentOutput;
}

export function addBackup(program: Command, options: VerbOptions): void {
  const backup = program
    .command('backup')
    .description('Write keys, log and evidence of a data directory to one encrypted file; nothing else may use it meanwhile')
    .option('--to <FILE|DIR>', 'where to write; nothing is written over')
    .option('--recipient <KEY>', 'whom to encrypt it to, as chaperone backup key prints it (repeatable)', collect)
    .option('--data <DIR>', 'the data directory of a local chaperone up')
    .addOption(outputOption('backup', ['text', 'json', 'yaml']))
    .addHelpText(
      'after',
      '\nThe log is verified whole before. The file has every key of the directory: keep it, and the key that opens it, apart from\neach other. A session that is erased later can still be read from it.',
    )
    .action(async (flags: BackupFlags) => {
      const { to, recipient: recipients = [], data, output } = flags;
      if (to === undefined) throw usage('write --to FILE, or --to DIR');
      if (recipients.length === 0) throw usage('write --recipient KEY; chaperone backup key --key FILE --new makes one');
      const [{ writeBackup }, { defaultData }] = await Promise.all([
        import('../commands/backup.ts'),
        import('../collector/local.ts'),
      ]);
      const { io } = options;
      await writeBackup({ data: data ?? defaultData(io.env), to, recipients, now: io.now }, output, io);
    });
  withExamples(
    backup,
    'chaperone backup --to /mnt/backups --recipient x25519:… --data shop-data',
    'chaperone backup key --key backup.key --new',
  );
  const key = backup
    .command('key')
    .description('Print whom a key of backups opens them for; with --new, make the key first')
    .requiredOption('--key <FILE>', 'the key, which nobody but who restores may read')
    .option('--new', 'make it; the file must not be there yet')
    .action(async (flags: { readonly key: string; readonly new?: boolean }) => {
      const { backupKey } = await import('../commands/backup.ts');
      await backupKey({ key: flags.key, isNew: flags.new === true }, options.io);
    });
  withExamples(key, 'chaperone backup key --key backup.key --new', 'chaperone backup key --key backup.key');
}

export function addRestore(program: Command, options: VerbOptions): void {
  const command = program
    .command('restore')
    .description('Put a backup where a data directory was, so that its log goes on as one history')
    .requiredOption('--from <FILE>', 'the backup')
    .requiredOption('--key <FILE>', 'the key that it was made for')
    .option('--data <DIR>', 'where to put it: not there, empty, or with evidence/objects and without its keys')
    .option('--since <FILE>', 'the newest checkpoint that was kept: the log has to go on from it (repeatable)', collect)
    .option('--without-checkpoint', 'nobody has one: what came after the backup is gone, and nobody can see that')
    .option('--check', 'read the backup to its end and say what it is; nothing is written')
    .addOption(outputOption('restore', ['text', 'json', 'yaml']))
    .addHelpText(
      'after',
      '\nNothing that is there is written over, and nothing is there before all of it is proven. Exits with 3 where the backup\ncannot be believed (BackupUnusable), or its log is behind a checkpoint or the store (LogBehind).',
    )
    .action(async (flags: RestoreFlags) => {
      const [{ readBackup }, { defaultData }] = await Promise.all([
        import('../commands/backup.ts'),
        import('../collector/local.ts'),
      ]);
      const { from, key, data, since = [], withoutCheckpoint = false, check = false, output } = flags;
      if (since.length > 0 && withoutCheckpoint)
        throw usage('--since gives a checkpoint, and --without-checkpoint says there is none');
      const { io } = options;
      const target = data ?? defaultData(io.env);
      await readBackup({ from, key, data: target, since, withoutCheckpoint, isCheck: check }, output, io);
    });
  withExamples(
    command,
    'chaperone restore --from shop.backup --key backup.key --since checkpoint --data shop-data',
    'chaperone restore --from shop.backup --key backup.key --check',
  );
}
