import { type Command, Option } from 'commander';
import { agentOf, callerOf, pair } from '../flags.ts';
import type { VerbOptions } from '../program.ts';
import { withExamples } from './common.ts';
import { addPolicyDiff, addPolicySuggest } from './policy-adoption.ts';

interface CheckFlags {
  readonly manifests: string;
  readonly agent: string;
  readonly resource: string;
  readonly labels?: string;
  readonly onBehalfOf?: string;
  readonly groups?: string;
}

export function addPolicy(program: Command, options: VerbOptions): void {
  const { io, exit } = options;
  const policy = program.command('policy').description('Test policies, and find out which ones are wanted');
  const check = policy
    .command('check')
    .description('Judge actions read as JSON lines')
    .requiredOption('--manifests <DIR>', 'directory of YAML objects')
    .requiredOption('--agent <NAMESPACE/SERVICEACCOUNT>', 'the agent that would act')
    .requiredOption('--resource <NAMESPACE/NAME>', 'the resource it would act on')
    .option('--labels <k=v,…>', 'labels of the agent')
    .option('--on-behalf-of <USER>', 'user whom a verified token would name; rules with onBehalfOf count for nobody else')
    .option('--groups <a,b,…>', 'groups of that user')
    .addOption(new Option('-o, --output <FORMAT>', 'answers are always JSON lines').choices(['json']).default('json'))
    .addHelpText(
      'after',
      '\nA line is {"sql":"…"}, {"command":"…"} for SSH, {"method":"…","path":"…","body":…} for the Kubernetes API.\n\nExits with 0 when every line was an action and was answered, whatever the verdicts; with 2 where one was none; with 1\nwhere the manifests cannot be used. Parts of policies that have no effect are warned of on standard error.',
    )
    .action(async (flags: CheckFlags) => {
      const agent = agentOf('--agent', flags.agent, flags.labels);
      const resource = pair('--resource', flags.resource).join('/');
      const caller = callerOf(flags.onBehalfOf, flags.groups);
      const { checkLines, grantedTo } = await import('../commands/check.ts');
      exit(await checkLines(await grantedTo(flags.manifests, agent, resource, io), io, caller));
    });
  addPolicyDiff(policy, options);
  addPolicySuggest(policy, options);
  const shop = '--manifests examples/quickstart --agent agents/support-agent --labels app=support-agent';
  withExamples(
    check,
    `echo '{"sql":"drop table tickets"}' | chaperone policy check ${shop} --resource data/orders-db`,
    `echo '{"command":"systemctl restart nginx"}' | chaperone policy check --manifests hosts --agent agents/bot --resource data/web-1`,
  );
  withExamples(
    policy,
    `chaperone policy check ${shop} --resource data/orders-db < actions.jsonl`,
    'chaperone policy check --manifests clusters --agent agents/bot --resource data/staging < requests.jsonl',
  );
}
