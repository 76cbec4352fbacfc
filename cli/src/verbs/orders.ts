import type { Command } from 'commander';
import { MAX_ORDER_REASON, reasonText } from '../flags.ts';
import type { DocumentOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { type CollectorFlags, outputOption, withClient, withCollector, withExamples } from './common.ts';

interface OrderFlags extends CollectorFlags {
  readonly reason: string;
  readonly output: 'text' | DocumentOutput;
}

export function addOrders(program: Command, options: VerbOptions): void {
  const order = (parent: Command, verb: string, kind: 'erasure' | 'hold' | 'release', description: string): Command =>
    withCollector(parent.command(`${verb} <ID>`).description(description))
      .requiredOption('--reason <TEXT>', 'why; kept beside the log, and shown to whoever sees the session')
      .addOption(outputOption(`${parent === program ? '' : `${parent.name()} `}${verb}`, ['text', 'json', 'yaml']))
      .action(async (id: string, flags: OrderFlags) => {
        const [{ demandId }, { giveOrder }] = await Promise.all([
          import('../commands/sessions.ts'),
          import('../commands/orders.ts'),
        ]);
        const session = demandId(id);
        const reason = reasonText('--reason', flags.reason, MAX_ORDER_REASON);
        await withClient(options, flags, (client) =>
          giveOrder(client, session, { kind, reason, output: flags.output }, options.io),
        );
      });
  withExamples(
    order(program, 'erase', 'erasure', 'Make what was recorded of a session unreadable for good; proofs stay valid'),
    'chaperone erase s-7hq2kd3mxw5tq4na --reason "request 4711 under Art. 17"',
    'kubectl chaperone erase s-7hq2kd3mxw5tq4na -n agents --reason "request 4711 under Art. 17"',
  );
  const hold = withExamples(
    program.command('hold').description('Keep sessions from being erased'),
    'chaperone hold add s-7hq2 --reason "case 23-118"',
    'chaperone hold release s-7hq2 --reason "case 23-118 is closed"',
  );
  withExamples(
    order(hold, 'add', 'hold', 'Keep a session from being erased, by anybody and by time'),
    'chaperone hold add s-7hq2 --reason "case 23-118"',
    'kubectl chaperone hold add s-7hq2 -n agents --reason "case 23-118"',
  );
  withExamples(
    order(hold, 'release', 'release', 'Let a session be erased again'),
    'chaperone hold release s-7hq2 --reason "case 23-118 is closed"',
    'kubectl chaperone hold release s-7hq2 -n agents --reason "case 23-118 is closed"',
  );
}
