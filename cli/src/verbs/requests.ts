import type { RequestState } from '@chaperone/api';
import { nearest } from '@chaperone/api/text';
import type { Command } from 'commander';
import type { DecideOptions } from '../commands/decide.ts';
import type { ListOptions, RequestsOutput } from '../commands/requests.ts';
import { usage } from '../errors.ts';
import { count, durationMs, MAX_DECISION_REASON, reasonText } from '../flags.ts';
import type { DocumentOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { outputOption, withCluster, withExamples } from './common.ts';
import { type DeskFlags, withDesk } from './desk.ts';
import { addRequestsVerify } from './requests-verify.ts';

const MAX_LIMIT = 1_000_000;

interface ListFlags extends DeskFlags {
  readonly state?: string;
  readonly watch?: boolean;
  readonly limit: string;
  readonly output: RequestsOutput;
}
interface ShowFlags extends DeskFlags {
  readonly output: 'table' | DocumentOutput;
}
interface DecideFlags extends DeskFlags {
  readonly digest?: string;
  readonly for?: string;
  readonly reason?: string;
  readonly wait: boolean;
  readonly output: DecideOptions['output'];
}

export function addRequests(program: Command, options: VerbOptions): void {
  const requests = withExamples(
    program.command('requests').description('Read and verify approval requests'),
    'chaperone requests ls --state Pending',
    'chaperone requests show ar-7f3k',
  );
  const ls = withCluster(requests.command('ls').description('List requests, newest first'), 'requests', { as: 'play' })
    .option('--state <STATE,…>', 'in these states, for example Pending or Denied,Expired')
    .option('-w, --watch', 'go on with every change')
    .option('--limit <N>', 'at most so many; 0: all', '50')
    .addOption(outputOption('requests ls', ['table', 'wide', 'json', 'jsonl', 'yaml', 'name']))
    .action((flags: ListFlags) => list(flags, options));
  withExamples(ls, 'chaperone requests ls', 'kubectl chaperone requests ls -n agents --state Pending --watch');
  const show = withCluster(requests.command('show <NAME>').description('Say all about one request'), 'requests', {
    isOne: true,
    as: 'play',
  })
    .addOption(outputOption('requests show', ['table', 'json', 'yaml']))
    .action(async (typed: string, flags: ShowFlags) => {
      const [{ demandName }, { showRequest }] = await Promise.all([
        import('../requests/desk.ts'),
        import('../commands/requests.ts'),
      ]);
      const name = demandName(typed);
      await withDesk(options, flags, (desk) =>
        showRequest(desk, name, { output: flags.output, namespace: flags.namespace }, options.io),
      );
    });
  withExamples(show, 'chaperone requests show ar-7f3k', 'chaperone requests show ar-7f3k -o json');
  addRequestsVerify(requests, options);
}

export function addDecisions(program: Command, options: VerbOptions): void {
  const approve = decision(program.command('approve <NAME>').description('Let one held action run, once'), 'Approve', options);
  approve.option('--digest <DIGEST>', 'what was shown, without a terminal to show it on: 9c1f-44ab, or the whole one');
  approve.option(
    '--for <DURATION>',
    'let the same agent do the same again with other values, for example 30m, where its rule allows it',
  );
  withExamples(approve, 'chaperone approve ar-7f3k', 'chaperone approve ar-7f3k --digest 9c1f-44ab --reason "ticket checked"');
  const deny = decision(program.command('deny <NAME>').description('Refuse it'), 'Deny', options);
  withExamples(deny, 'chaperone deny ar-7f3k --reason "wrong ticket"', 'kubectl chaperone deny ar-7f3k -n agents');
}

function decision(command: Command, decided: DecideOptions['decision'], options: VerbOptions): Command {
  return withCluster(command, 'requests', { isOne: true, as: 'play' })
    .option('--reason <TEXT>', 'why; the agent reads it')
    .option('--no-wait', 'do not wait to see what becomes of it')
    .addOption(outputOption(command.name(), ['text', 'json', 'yaml']))
    .action(async (typed: string, flags: DecideFlags) => {
      const [{ demandName }, { decide }] = await Promise.all([import('../requests/desk.ts'), import('../commands/decide.ts')]);
      const name = demandName(typed);
      const { namespace, digest, wait, output } = flags;
      const reason = flags.reason === undefined ? undefined : reasonText('--reason', flags.reason, MAX_DECISION_REASON);
      const grantFor = flags.for === undefined ? undefined : Math.ceil(durationMs('--for', flags.for) / 1000);
      await withDesk(options, flags, (desk) =>
        decide(desk, { decision: decided, name, namespace, digest, grantFor, reason, wait, output }, options),
      );
    });
}

async function list(flags: ListFlags, options: VerbOptions): Promise<void> {
  const limit = count('--limit', flags.limit, 0, MAX_LIMIT);
  const [{ listRequests, watchRequests }, { REQUEST_STATES }] = await Promise.all([
    import('../commands/requests.ts'),
    import('@chaperone/api'),
  ]);
  const states = flags.state === undefined ? undefined : statesOf(flags.state, REQUEST_STATES);
  const shown: ListOptions = {
    output: flags.output,
    limit: limit === 0 ? Number.POSITIVE_INFINITY : limit,
    namespaces: flags.allNamespaces === true,
    paint: options.paint(),
  };
  await withDesk(options, flags, (desk) => {
    const namespace = flags.allNamespaces === true ? undefined : (flags.namespace ?? desk.namespace);
    const run = flags.watch === true ? watchRequests : listRequests;
    return run(desk, { namespace, states }, shown, options.io);
  });
}

/** Pending,Denied: in any case. @throws CliError Usage */
function statesOf(text: string, known: readonly RequestState[]): RequestState[] {
  return text.split(',').map((typed) => {
    const state = known.find((each) => each.toLowerCase() === typed.trim().toLowerCase());
    if (state !== undefined) return state;
    const near = nearest(typed, known);
    const hint = near === undefined ? `they are ${known.join(', ')}` : `did you mean "${near}"?`;
    throw usage(`there is no state "${typed.slice(0, 40)}"; ${hint}`);
  });
}
