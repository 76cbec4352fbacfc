import { ADMISSION_CODES } from './codes/admission.ts';
import { AGENT_CODES } from './codes/agent.ts';
import { CLI_CODES } from './codes/cli.ts';
import { DECISION_CODES } from './codes/decisions.ts';
import { DECIDE_CODES } from './codes/decide.ts';
import type { CodeEntry, Retry } from './codes/entry.ts';
import { EVIDENCE_CODES } from './codes/evidence.ts';
import { KUBERNETES_CODES } from './codes/kubernetes.ts';
import { POLICY_CODES } from './codes/policies.ts';
import { REQUEST_CODES } from './codes/requests.ts';
import { RESOURCE_CODES } from './codes/resources.ts';
import { RUNTIME_CODES } from './codes/runtime.ts';
import { SIGN_IN_CODES } from './codes/sign-in.ts';
import { SINK_CODES } from './codes/sinks.ts';
import { UPSTREAM_CODES } from './codes/upstream.ts';
import { nearest } from './text.ts';

export type { Audience, CodeEntry, Retry } from './codes/entry.ts';

/** The table by the place where people meet a code; every code stands in one of them. */
export const CODE_GROUPS = [
  { title: 'What agents are told', codes: AGENT_CODES },
  { title: 'What clients of the Kubernetes API are told beside', codes: KUBERNETES_CODES },
  { title: 'Conditions of a ProtectedResource', codes: RESOURCE_CODES },
  { title: 'Upstream of a ProtectedResource', codes: UPSTREAM_CODES },
  { title: 'Conditions of an AccessPolicy', codes: POLICY_CODES },
  { title: 'Admission of pods', codes: ADMISSION_CODES },
  { title: 'Admission of approvals', codes: REQUEST_CODES },
  { title: 'The page where people decide', codes: DECIDE_CODES },
  { title: 'Sidecar, operator and collector', codes: RUNTIME_CODES },
  { title: 'Sinks', codes: SINK_CODES },
  { title: 'Signing in to the console', codes: SIGN_IN_CODES },
  { title: 'Command line', codes: CLI_CODES },
  { title: 'Findings in evidence', codes: EVIDENCE_CODES },
  { title: 'Findings in decisions', codes: DECISION_CODES },
] as const satisfies readonly { title: string; codes: Readonly<Record<string, CodeEntry>> }[];

/**
 * One word per situation, the same in conditions, events, errors, agents' texts, metrics and `chaperone explain`. Codes are only
 * ever added: scripts match them.
 */
export const CODES = {
  ...AGENT_CODES,
  ...KUBERNETES_CODES,
  ...RESOURCE_CODES,
  ...UPSTREAM_CODES,
  ...POLICY_CODES,
  ...ADMISSION_CODES,
  ...REQUEST_CODES,
  ...DECIDE_CODES,
  ...RUNTIME_CODES,
  ...SINK_CODES,
  ...SIGN_IN_CODES,
  ...CLI_CODES,
  ...EVIDENCE_CODES,
  ...DECISION_CODES,
} as const;
export type Code = keyof typeof CODES;

/** The advice of a code as a sentence. */
export const RETRY_ADVICE: Readonly<Record<Retry, string>> = {
  'do-not-retry': 'Do not retry; the answer stays the same.',
  wait: 'Wait; it goes on by itself.',
  'repeat-unchanged': 'Repeat it unchanged.',
  'change-it': 'Change it, then try again.',
  'try-later': 'Try later; the request was not at fault.',
  none: 'Nothing is to be retried.',
};

export type Explanation =
  | { readonly found: true; readonly code: Code; readonly entry: CodeEntry }
  | { readonly found: false; readonly suggestion?: Code };

/** The row of a code, whatever its case; for anything else the code that was probably meant. */
export function explain(word: string): Explanation {
  const codes = Object.keys(CODES) as Code[];
  const code = codes.find((each) => each.toLowerCase() === word.toLowerCase());
  if (code !== undefined) return { found: true, code, entry: CODES[code] };
  const suggestion = nearest(word, codes) as Code | undefined;
  return { found: false, ...(suggestion === undefined ? {} : { suggestion }) };
}
