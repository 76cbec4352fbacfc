import type { CodeTable } from './entry.ts';

/** Admission of requests for approval and of decisions on them. */
export const REQUEST_CODES = {
  DecisionNotOwn: {
    audience: ['platform', 'owner'],
    what: 'An ApprovalDecision names a person, or groups, other than its author and theirs.',
    why: 'Whose answer counts is what admission has checked: nobody answers in another’s name.',
    fix: 'Set spec.by to your user name, and spec.groups to those of your groups that the rule asks; kubectl auth whoami says both.',
    retry: 'change-it',
    example: 'set spec.by to your own user name, jane@corp',
  },
  DecisionNotAttested: {
    audience: ['platform', 'owner'],
    what: 'Somebody other than the operator writes an ApprovalDecision with a proof that it was signed, or a note by which way it came.',
    why: 'What counts as signed is what the operator has checked on its own page.',
    fix: 'Remove spec.attestation and the annotation chaperone.dev/attested-by, or open the page that chaperone requests show names.',
    retry: 'change-it',
    example:
      'remove spec.attestation; only Chaperone’s operator says that an answer was signed, where people sign it on its page',
  },
  DecisionByWorkload: {
    audience: ['platform', 'owner'],
    what: 'A ServiceAccount of the agents’ own namespace wants to decide on a request there.',
    why: 'Agents run under the ServiceAccounts of their namespace: one would approve what another asks.',
    fix: 'Let a person decide, or a ServiceAccount of another namespace whom the rule names.',
    retry: 'do-not-retry',
    example: 'a ServiceAccount of this namespace decides on no request here, as its agents run under them; a person has to',
  },
  KillNotOwn: {
    audience: ['platform', 'owner'],
    what: 'A SessionKill names a person other than its author.',
    why: 'Who ended a session is what admission has checked: nobody does so in another’s name.',
    fix: 'Set spec.by to your user name; kubectl auth whoami says it.',
    retry: 'change-it',
    example: 'set spec.by to your own user name, jane@corp',
  },
  RequestByOperatorOnly: {
    audience: ['platform', 'operator'],
    what: 'Somebody other than the operator wants to write an AccessRequest, its status or the status of a decision.',
    why: 'People approve what they are shown: a request that anybody could write, or call approved, would prove nothing.',
    fix: 'Answer the request with an ApprovalDecision. Requests are removed a day after they are over, and with their namespace.',
    retry: 'do-not-retry',
    example: 'only Chaperone’s operator may delete accessrequests; answer a request with an ApprovalDecision',
  },
} as const satisfies CodeTable;
