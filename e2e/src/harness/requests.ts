import { eventually } from '@chaperone/testing';
import type { Agent } from './agent.ts';
import type { Cluster } from './cluster.ts';
import type { Result } from './run.ts';
import { AGENTS, DATA } from './shop.ts';

/** What of the objects is looked at, as kubectl prints it. */
export interface AccessRequest {
  readonly metadata: { readonly name: string; readonly uid?: string };
  readonly spec: { readonly digest: string; readonly agent: { readonly pod?: string } };
  readonly status?: { readonly state?: string };
}
export interface Decision {
  readonly decision: 'Approve' | 'Deny';
  readonly by: string;
  readonly groups: readonly string[];
  readonly reason?: string;
}

/** The shop's agents may read; a change of a ticket is for people of the group dba to approve. */
export function heldPolicy(namespace = AGENTS, timeout = '5m') {
  const orders = { namespace: DATA, name: 'orders-db' };
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'support-agent', namespace },
    spec: {
      agents: { podSelector: { matchLabels: { app: 'support-agent' } }, serviceAccounts: ['support-agent'] },
      purpose: 'answer support tickets',
      rules: [
        {
          name: 'read',
          effect: 'Allow',
          resource: orders,
          sql: { statements: ['select'], relations: ['public.tickets', 'public.customers'] },
        },
        {
          name: 'fix',
          effect: 'RequireApproval',
          resource: orders,
          sql: { statements: ['update'], relations: ['public.tickets'] },
          approval: { approvers: { groups: ['dba'] }, timeout },
        },
      ],
    },
  };
}

export async function listRequests(cluster: Cluster): Promise<AccessRequest[]> {
  const { items } = JSON.parse(await cluster.demand(['get', 'accessrequests', '-n', AGENTS, '-o', 'json'])) as {
    items: AccessRequest[];
  };
  return items;
}

export async function readRequest(cluster: Cluster, name: string): Promise<AccessRequest> {
  return JSON.parse(await cluster.demand(['get', 'accessrequest', name, '-n', AGENTS, '-o', 'json'])) as AccessRequest;
}

export async function untilItIs(cluster: Cluster, name: string, wanted: string): Promise<true> {
  const is = async (): Promise<boolean> => (await readRequest(cluster, name)).status?.state === wanted;
  return await eventually(`${name} to be ${wanted}`, async () => ((await is()) ? true : undefined));
}

/** Adds `mark` to a ticket's status, which shows how often that ran. */
export function hold(cluster: Cluster, agent: Agent, mark: string): ReturnType<typeof holding> {
  return holding(cluster, () => agent.psql(`update tickets set status = status || '${mark}' where id = 1`));
}

/** Starts what a rule holds. @returns What is asked of people, and what the agent's client says in the end. */
export async function holding(
  cluster: Cluster,
  start: () => Promise<Result>,
): Promise<{ asked: AccessRequest; result: Promise<Result> }> {
  const known = new Set((await listRequests(cluster)).map(({ metadata }) => metadata.name));
  const result = start();
  const isAsked = ({ metadata, status }: AccessRequest): boolean => !known.has(metadata.name) && status?.state === 'Pending';
  const asked = await Promise.race([
    eventually('a request for approval', async () => (await listRequests(cluster)).find(isAsked)),
    result.then((said) => {
      throw new Error(`nobody was asked; the client said ${JSON.stringify(said)}`);
    }),
  ]);
  return { asked, result };
}

/** Approves it by the command line, as Jane of `group`. */
export async function approve(cluster: Cluster, { metadata, spec }: AccessRequest, group: string): Promise<Result> {
  const digest = `${spec.digest.slice(0, 4)}-${spec.digest.slice(4, 8)}`;
  const jane = ['-n', AGENTS, '--as', 'jane@corp', '--as-group', group];
  return await cluster.chaperone('approve', metadata.name, '--digest', digest, ...jane);
}

/** An ApprovalDecision on it by Jane, who is in the group dba, unless `mods` say otherwise. */
export function decisionOn({ metadata, spec }: AccessRequest, name: string, mods: Partial<Decision> = {}) {
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ApprovalDecision',
    metadata: { name, namespace: AGENTS },
    spec: {
      request: metadata.name,
      requestUid: metadata.uid ?? '',
      digest: spec.digest,
      decision: 'Approve',
      by: 'jane@corp',
      groups: ['dba'],
      ...mods,
    },
  };
}
