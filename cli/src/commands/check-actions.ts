import { FILE_OPERATIONS } from '@chaperone/api';
import type { KubernetesRequest, SshRequest } from '@chaperone/sidecar';
import { z } from 'zod';

/** Why a line is no action of the protocol, and how one is written. */
export interface NoAction {
  readonly problem: string;
}

const NOT_JSON = 'the line is not JSON; write for example';

/** @param action - a line's JSON; undefined: it is none */
export function readSql(action: unknown): { readonly sql: string } | NoAction {
  if (action === undefined) return { problem: `${NOT_JSON} {"sql":"select 1"}` };
  const sql = typeof action === 'object' && action !== null && 'sql' in action ? action.sql : undefined;
  return typeof sql === 'string' ? { sql } : { problem: 'the line has no "sql"; for protocol postgres write {"sql":"select 1"}' };
}

/** How each request is written. */
const EXAMPLES = {
  command: '{"command":"systemctl restart nginx"}',
  file: `{"file":{"operation":"read","path":"/srv/app/a.log"}}, with one of ${FILE_OPERATIONS.join(', ')}`,
  forward: '{"forward":"db.internal:5432"}',
  subsystem: '{"subsystem":"netconf"}',
  shell: '{"shell":true}',
} as const;

/** What is not listed is no part of a request: a typing error must not make another one of it. */
const REQUESTS: Readonly<Record<keyof typeof EXAMPLES, z.ZodType<SshRequest>>> = {
  command: z.strictObject({ command: z.string(), terminal: z.boolean().optional() }),
  file: z.strictObject({ file: z.strictObject({ operation: z.enum(FILE_OPERATIONS), path: z.string() }) }),
  forward: z.strictObject({ forward: z.string() }),
  subsystem: z.strictObject({ subsystem: z.string() }),
  shell: z.strictObject({ shell: z.literal(true) }),
};
const KINDS = Object.keys(EXAMPLES) as (keyof typeof EXAMPLES)[];

/** @param action - a line's JSON; undefined: it is none */
export function readSsh(action: unknown): SshRequest | NoAction {
  if (action === undefined) return { problem: `${NOT_JSON} ${EXAMPLES.command}` };
  const kind = KINDS.find((name) => typeof action === 'object' && action !== null && Object.hasOwn(action, name));
  if (kind === undefined) {
    const names = KINDS.map((name) => `"${name}"`).join(', ');
    return { problem: `the line has none of ${names}; for protocol ssh write for example ${EXAMPLES.command}` };
  }
  const read = REQUESTS[kind].safeParse(action);
  return read.success ? read.data : { problem: `its "${kind}" is not one, or something is beside it; write ${EXAMPLES[kind]}` };
}

const KUBERNETES_EXAMPLE = '{"method":"GET","path":"/api/v1/namespaces/shop/pods"}';
const KubernetesLine = z.strictObject({
  method: z.string(),
  path: z.string(),
  body: z.json().optional(),
  contentType: z.string().optional(),
});

/** @param action - a line's JSON; undefined: it is none */
export function readKubernetes(action: unknown): KubernetesRequest | NoAction {
  if (action === undefined) return { problem: `${NOT_JSON} ${KUBERNETES_EXAMPLE}` };
  const read = KubernetesLine.safeParse(action);
  if (read.success) return read.data;
  return {
    problem: `the line is not "method" and "path", with "body" and "contentType" where there is a body; for protocol kubernetes write for example ${KUBERNETES_EXAMPLE}`,
  };
}
