import type { CodeTable } from './entry.ts';

/** Reasons of the conditions of an AccessPolicy, and why no access comes out of policies. */
export const POLICY_CODES = {
  ApproversMissing: {
    audience: ['platform'],
    what: 'A rule asks for approval and names nobody who could give it.',
    why: 'A question to nobody must not mean yes; until it is mended the rule denies.',
    fix: 'Add approval.approvers with groups or users to the rule.',
    retry: 'none',
    example: 'rule "fix" needs approval but names nobody; add spec.rules[1].approval.approvers. Until then it denies',
  },
  PolicyInvalid: {
    audience: ['platform'],
    what: 'A value of the policy cannot be read.',
    why: 'It passed the schema of an older or newer version; a policy that is not understood permits nothing.',
    fix: 'Mend the field that the message names.',
    retry: 'none',
    example: 'rule "read" has a pattern that cannot be read; write schema.relation, for example public.tickets',
  },
  PurposeMissing: {
    audience: ['platform', 'agent'],
    what: 'The policy wants a purpose and the pod states none.',
    why: 'spec.purposeFrom.required is true, and every record says what for.',
    fix: 'Add the annotation to the pod’s template.',
    retry: 'change-it',
    example: 'the pod states no purpose in its annotation chaperone.dev/purpose',
    postgres: { sqlstate: '28000', severity: 'FATAL' },
  },
  ResourceNotNamed: {
    audience: ['platform', 'agent'],
    what: 'Policies select the agent, and none of their rules names this resource.',
    why: 'Nothing that no rule covers is allowed.',
    fix: 'Add a rule with this resource to an AccessPolicy that selects the agent.',
    retry: 'do-not-retry',
    example: 'no rule for agents/support-agent names data/orders-db',
    postgres: { sqlstate: '42501', severity: 'FATAL' },
  },
  RefsResolved: {
    audience: ['platform'],
    what: 'Everything that the object names exists and may be named.',
    why: 'References to other objects are judged here and not when the object is written, so that objects can be applied in any order.',
    fix: 'Nothing to mend.',
    retry: 'none',
    example: 'all resources of the rules exist and are granted',
  },
  ResourceNotFound: {
    audience: ['platform'],
    what: 'Rules name a ProtectedResource that does not exist.',
    why: 'Those rules can cover nothing; the others work.',
    fix: 'Mend namespace and name of the rule’s resource.',
    retry: 'none',
    example:
      'rules "read" and "fix" name data/order-db, which does not exist; granted to this namespace: data/orders-db. Other rules work',
  },
  RuleShadowed: {
    audience: ['platform'],
    what: 'A rule can never decide.',
    why: 'A Deny rule covers all that it covers, and any matching Deny wins.',
    fix: 'Narrow the Deny rule or remove the other.',
    retry: 'none',
    example: 'rule "fix" can never decide: rule "never" denies all it covers',
  },
  Programmed: {
    audience: ['platform'],
    what: 'Every sidecar that the policy concerns runs this generation.',
    why: 'Each of them acknowledged it.',
    fix: 'Nothing to mend.',
    retry: 'none',
    example: '3 of 3 sidecars run generation 12',
  },
  Programming: {
    audience: ['platform'],
    what: 'Some sidecars do not run this generation yet.',
    why: 'A change reaches them within a second while they are connected.',
    fix: 'Wait; if it stays, look at the pod that was not heard and its sidecar’s log.',
    retry: 'wait',
    example: '2 of 3 sidecars run generation 12; support-agent-6d9 was last heard 35 s ago',
  },
  NoAgentsYet: {
    audience: ['platform'],
    what: 'No running pod is selected.',
    why: 'Labels or ServiceAccount differ, or no such pod runs.',
    fix: 'Compare spec.agents with the pods’ labels and serviceAccountName.',
    retry: 'none',
    example:
      'no running pod matches app=support-agent with ServiceAccount support-agent; 1 pod has the labels but ServiceAccount default',
  },
  SidecarsOutdated: {
    audience: ['platform'],
    what: 'Some sidecars are too old for what the policy says.',
    why: 'They deny what they cannot enforce.',
    fix: 'Start the pods anew: kubectl rollout restart deploy/NAME -n NAMESPACE',
    retry: 'none',
    example:
      '2 of 3 sidecars run 1.1 and cannot enforce spec.rules[3].mcp, so they deny it; run kubectl rollout restart deploy/bot -n agents',
  },
} as const satisfies CodeTable;
