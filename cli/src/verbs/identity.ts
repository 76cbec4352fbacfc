import type { Command } from 'commander';
import type { VerbOptions } from '../program.ts';
import { withExamples } from './common.ts';

export function addIdentity(program: Command, { io }: VerbOptions): void {
  withExamples(
    program
      .command('identity')
      .description('Print as whom a key of your own reads evidence; with --new, make the key first')
      .requiredOption('--key <FILE>', 'the key; or a file with the address of one in Vault (transit)')
      .option('--new', 'make a key; the file must not be there yet')
      .addHelpText(
        'after',
        '\nWho runs Chaperone puts what is printed into collector.recipients of the chart, or gives it to chaperone up --recipient.\nFor a key in Vault VAULT_TOKEN, VAULT_CACERT and VAULT_NAMESPACE are read as Vault’s own client reads them.',
      )
      .action(async (flags: { readonly key: string; readonly new?: boolean }) => {
        const { showIdentity } = await import('../identity/identity.ts');
        await showIdentity({ key: flags.key, isNew: flags.new === true }, io);
      }),
    'chaperone identity --key auditor.key --new',
    'VAULT_TOKEN=… chaperone identity --key vault.identity',
  );
}
