import { type Command, Option } from 'commander';
import { hostPort } from '../flags.ts';
import type { VerbOptions } from '../program.ts';
import { withExamples } from './common.ts';

export function addWitness(program: Command, options: VerbOptions): void {
  const witness = withExamples(
    program.command('witness').description('Cosign the checkpoints of logs, so that nobody can show two histories'),
    'chaperone witness key --key witness.key --name witness.security.corp',
    'chaperone witness run --listen 0.0.0.0:8080 --key witness.key --state /var/lib/witness --policy logs.policy',
  );
  const key = witness
    .command('key')
    .description('Print the public key of a witness; with --name, make the key first')
    .requiredOption('--key <FILE>', 'the key, which nobody but the witness may read')
    .option('--name <NAME>', 'make a key with this name; the file must not be there yet')
    .addOption(
      new Option('--type <TYPE>', 'of a key that is made; ml-dsa-44 withstands quantum computers')
        .choices(['ed25519', 'ml-dsa-44'])
        .default('ed25519'),
    )
    .action(async (flags: { key: string; name?: string; type: 'ed25519' | 'ml-dsa-44' }) => {
      const { witnessKey } = await import('../commands/witness.ts');
      await witnessKey(flags, options);
    });
  withExamples(
    key,
    'chaperone witness key --key witness.key --name witness.security.corp',
    'chaperone witness key --key witness.key > witness.pub',
  );
  const run = witness
    .command('run')
    .description('Serve a witness (C2SP tlog-witness): POST /add-checkpoint')
    .requiredOption('--listen <HOST:PORT>', 'where logs ask for cosignatures')
    .requiredOption('--key <FILE>', 'the key that cosigns, as chaperone witness key makes one')
    .requiredOption('--state <DIR>', 'where it remembers what it has cosigned; keep it as long as the key')
    .requiredOption('--policy <FILE>', 'the logs that it knows, in a C2SP tlog-policy: lines log KEY')
    .action(async (flags: { listen: string; key: string; state: string; policy: string }) => {
      const listen = hostPort('--listen', flags.listen);
      const { runWitness } = await import('../commands/witness.ts');
      await runWitness({ ...flags, listen }, options);
    });
  withExamples(
    run,
    'chaperone witness run --listen 0.0.0.0:8080 --key witness.key --state /var/lib/witness --policy logs.policy',
    'chaperone witness run --listen 127.0.0.1:8080 --key witness.key --state state --policy logs.policy 2>> witness.log',
  );
}
