import type { Command } from 'commander';
import type { DecideOptions } from '../commands/decide.ts';
import { MAX_DECISION_REASON, reasonText } from '../flags.ts';
import type { DocumentOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { outputOption, withCluster, withExamples } from './common.ts';
import { type DeskFlags, withDesk } from './desk.ts';

interface ListFlags extends DeskFlags {
  readonly output: 'table' | DocumentOutput;
}
interface RevokeFlags extends DeskFlags {
  readonly reason?: string;
  readonly output: DecideOptions['output'];
}

export function addGrants(program: Command, options: VerbOptions): void {
  const grants = withExamples(
    program.command('grants').description('Read and end what approvals let run again'),
    'chaperone grants ls',
    'chaperone grants revoke ar-7f3k --reason "ticket closed"',
  );
  const ls = withCluster(grants.command('ls').description('List open grants, those that end soonest first'), 'grants', {
    as: 'play',
  })
    .addOption(outputOption('grants ls', ['table', 'json', 'yaml']))
    .action(async (flags: ListFlags) => {
      const { listGrants } = await import('../commands/grants.ts');
      await withDesk(options, flags, (desk) =>
        listGrants(desk, flags.allNamespaces === true ? undefined : (flags.namespace ?? desk.namespace), flags, options.io),
      );
    });
  withExamples(ls, 'chaperone grants ls', 'kubectl chaperone grants ls -A -o json');
  const revoke = withCluster(
    grants.command('revoke <NAME>').description('End a grant; the next execution is asked for again'),
    'grants',
    {
      isOne: true,
      as: 'play',
    },
  )
    .option('--reason <TEXT>', 'why')
    .addOption(outputOption('grants revoke', ['text', 'json', 'yaml']))
    .action(async (typed: string, flags: RevokeFlags) => {
      const [{ demandName }, { decide }] = await Promise.all([import('../requests/desk.ts'), import('../commands/decide.ts')]);
      const name = demandName(typed);
      const { namespace, output } = flags;
      const reason = flags.reason === undefined ? undefined : reasonText('--reason', flags.reason, MAX_DECISION_REASON);
      await withDesk(options, flags, (desk) =>
        decide(desk, { decision: 'Revoke', name, namespace, reason, wait: true, output }, options),
      );
    });
  withExamples(
    revoke,
    'chaperone grants revoke ar-7f3k',
    'kubectl chaperone grants revoke ar-7f3k -n agents --reason "ticket closed"',
  );
}
