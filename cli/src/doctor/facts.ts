import { customResourceDefinitions } from '@chaperone/api';
import { z } from 'zod';
import { type ApiServer, ApiStatusError, isStatus } from '../cluster/api-server.ts';

/** What could be looked at, or the sentence part that says what this person may not do. */
export type Seen<T> = { readonly seen: T } | { readonly hidden: string };

const Condition = z.object({
  type: z.string(),
  status: z.string(),
  reason: z.string().default(''),
  message: z.string().default(''),
});
export const Anything = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    creationTimestamp: z.string().optional(),
    deletionTimestamp: z.string().optional(),
  }),
  status: z.looseObject({ conditions: z.array(Condition).optional() }).optional(),
});
/** An object of the API as far as it is read here. */
export type Anything = z.infer<typeof Anything>;

/** Policies of admission that the chart installs; `chaperone-network-policies` and `chaperone-node-proxy` may be switched off. */
export const ADMISSION = [
  'chaperone-pod-create',
  'chaperone-pod-update',
  'chaperone-pod-connect',
  'chaperone-pod-binding',
  'chaperone-namespace',
  'chaperone-services',
  'chaperone-tokens',
  'chaperone-templates',
  'chaperone-approval-decision',
  'chaperone-approval-operator',
  'chaperone-evidence-login',
  'chaperone-session-kill',
] as const;

/** What a namespace holds that is governed. */
export interface GovernedFacts {
  readonly pods: Seen<readonly Anything[]>;
  readonly ca: Seen<string | undefined>;
  readonly networkPolicy: Seen<Anything | undefined>;
}
/** What the API server says to a pod that is not stored; undefined where nobody could be asked. */
export type Verdict = { readonly admitted: Anything } | { readonly refused: string };

export interface Trial {
  readonly namespace: string;
  readonly good: Seen<Verdict>;
  /** Undefined where the good one was not admitted: whatever refuses that refuses this too, and says nothing. */
  readonly bad: Seen<Verdict> | undefined;
}

export interface Facts {
  readonly now: number;
  /** Where the chart is. */
  readonly system: string;
  readonly version: Seen<string>;
  readonly crds: Seen<ReadonlyMap<string, Anything | undefined>>;
  readonly webhook: Seen<Anything | undefined>;
  readonly admission: Seen<{ readonly policies: readonly Anything[]; readonly bindings: readonly Anything[] }>;
  readonly profile: Seen<Anything | undefined>;
  readonly lease: Seen<Anything | undefined>;
  readonly workloads: Seen<readonly Anything[]>;
  /** The DaemonSet that writes pods' rules from their nodes, where there is one. */
  readonly nodeAgent: Seen<Anything | undefined>;
  readonly ca: Seen<string | undefined>;
  readonly namespaces: Seen<readonly Anything[]>;
  readonly governed: ReadonlyMap<string, GovernedFacts>;
  readonly resources: Seen<readonly Anything[]>;
  readonly policies: Seen<readonly Anything[]>;
  /** Of a pod that may run, and of one that may not, in the first governed namespace. */
  readonly trial: Trial | undefined;
}

const List = z.object({ metadata: z.object({ continue: z.string().optional() }).default({}), items: z.array(Anything) });
const Version = z.object({ gitVersion: z.string() });
/** Pages of 500; a list that goes on is looked at no further, and nothing that is said of it is wrong for that. */
const MAX_PAGES = 20;
/** Governed namespaces that are looked into. */
const MAX_NAMESPACES = 200;
const GOVERNED = 'chaperone.dev/inject=enabled';
const ADMISSION_API = '/apis/admissionregistration.k8s.io/v1';
const OURS = '/apis/chaperone.dev/v1alpha1';

/** Looks at a cluster with the rights that there are. Reads only: the pods that it asks about are never stored. */
export async function gatherFacts(api: ApiServer, system: string, now: number): Promise<Facts> {
  const look = lookerAt(api);
  const inSystem = `/namespaces/${system}`;
  const namespaces = await look.list('/api/v1/namespaces', 'list namespaces', { labelSelector: GOVERNED });
  const names = 'seen' in namespaces ? namespaces.seen.map(({ metadata }) => metadata.name).slice(0, MAX_NAMESPACES) : [];
  const [first] = names;
  const facts = {
    now,
    system,
    version: await look.ask('/version', Version, 'read the version', ({ gitVersion }) => gitVersion),
    crds: await crdsOf(look),
    webhook: await look.get(`${ADMISSION_API}/mutatingwebhookconfigurations/chaperone`, 'read mutatingwebhookconfigurations'),
    admission: both(
      await look.list(`${ADMISSION_API}/validatingadmissionpolicies`, 'list validatingadmissionpolicies'),
      await look.list(`${ADMISSION_API}/validatingadmissionpolicybindings`, 'list validatingadmissionpolicybindings'),
      (policies, bindings) => ({ policies, bindings }),
    ),
    profile: await look.get(`${OURS}/injectionprofiles/default`, 'read injectionprofiles.chaperone.dev'),
    lease: await look.get(`/apis/coordination.k8s.io/v1${inSystem}/leases/chaperone-operator`, `read leases of ${system}`),
    workloads: both(
      await look.list(`/apis/apps/v1${inSystem}/deployments`, `list deployments of ${system}`),
      await look.list(`/apis/apps/v1${inSystem}/statefulsets`, `list statefulsets of ${system}`),
      (one, other) => [...one, ...other],
    ),
    nodeAgent: await look.get(`/apis/apps/v1${inSystem}/daemonsets/chaperone-node`, `read daemonsets of ${system}`),
    ca: await caOf(look, system),
    namespaces,
    governed: new Map<string, GovernedFacts>(),
    resources: await look.list(`${OURS}/protectedresources`, 'list protectedresources of all namespaces'),
    policies: await look.list(`${OURS}/accesspolicies`, 'list accesspolicies of all namespaces'),
    trial: first === undefined ? undefined : await tryPods(look, first),
  };
  for (const name of names) {
    facts.governed.set(name, {
      pods: await look.list(`/api/v1/namespaces/${name}/pods`, `list pods of ${name}`),
      ca: await caOf(look, name),
      networkPolicy: await look.get(
        `/apis/networking.k8s.io/v1/namespaces/${name}/networkpolicies/chaperone-agents`,
        `read networkpolicies of ${name}`,
      ),
    });
  }
  return facts;
}

type Looker = ReturnType<typeof lookerAt>;

/** The object, or undefined where it is not there. */
async function orAbsent<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}
async function seen<T>(what: string, ask: () => Promise<T>): Promise<Seen<T>> {
  try {
    return { seen: await ask() };
  } catch (error) {
    if (isStatus(error, 401, 403)) return { hidden: what };
    throw error;
  }
}

function lookerAt(api: ApiServer) {
  const pages = async (path: string, query: Readonly<Record<string, string>>): Promise<Anything[]> => {
    const items: Anything[] = [];
    let next = '';
    for (let page = 0; page < MAX_PAGES; page++) {
      const more = { limit: '500', ...query, ...(next === '' ? {} : { continue: next }) };
      const list = await orAbsent(() => api.request(List, { path, query: more }));
      items.push(...(list?.items ?? []));
      next = list?.metadata.continue ?? '';
      if (next === '') break;
    }
    return items;
  };
  return {
    list: (path: string, what: string, query: Readonly<Record<string, string>> = {}) => seen(what, () => pages(path, query)),
    get: (path: string, what: string) => seen(what, () => orAbsent(() => api.request(Anything, { path }))),
    ask: <T, R>(path: string, schema: z.ZodType<T>, what: string, of: (answer: T) => R) =>
      seen(what, async () => of(await api.request(schema, { path }))),
    dryRun: (namespace: string, pod: object): Promise<Seen<Verdict>> =>
      seen(`create pods of ${namespace} as a dry run`, async () => {
        const request = {
          method: 'POST',
          path: `/api/v1/namespaces/${namespace}/pods`,
          query: { dryRun: 'All' },
          body: pod,
        } as const;
        try {
          return { admitted: await api.request(Anything, request) };
        } catch (error) {
          // Who may not create pods learns nothing of admission; who may is told what it says.
          if (!(error instanceof ApiStatusError) || /cannot create resource "pods"/.test(error.message)) throw error;
          return { refused: error.message };
        }
      }),
  };
}

function both<A, B, R>(one: Seen<A>, other: Seen<B>, join: (a: A, b: B) => R): Seen<R> {
  if ('hidden' in one) return one;
  return 'hidden' in other ? other : { seen: join(one.seen, other.seen) };
}

async function tryPods(look: Looker, namespace: string): Promise<Trial> {
  const good = await look.dryRun(namespace, aPod({}));
  const passes = 'seen' in good && 'admitted' in good.seen;
  return { namespace, good, bad: passes ? await look.dryRun(namespace, aPod({ hostNetwork: true })) : undefined };
}

async function crdsOf(look: Looker): Promise<Facts['crds']> {
  const found = new Map<string, Anything | undefined>();
  for (const { metadata } of customResourceDefinitions()) {
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`;
    const crd = await look.get(path, 'read customresourcedefinitions');
    if ('hidden' in crd) return crd;
    found.set(metadata.name, crd.seen);
  }
  return { seen: found };
}

async function caOf(look: Looker, namespace: string): Promise<Seen<string | undefined>> {
  const map = await look.get(`/api/v1/namespaces/${namespace}/configmaps/chaperone-ca`, `read configmaps of ${namespace}`);
  return 'hidden' in map ? map : { seen: (map.seen?.['data'] as Record<string, string> | undefined)?.['ca.crt'] };
}

/** A pod as an agent's may be, or with something more; its image is never pulled. */
function aPod(more: object): object {
  const securityContext = {
    runAsUser: 1000,
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  };
  const container = { name: 'agent', image: 'chaperone.invalid/doctor', securityContext };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'chaperone-doctor-' },
    spec: {
      containers: [{ ...container, securityContext: { ...securityContext, seccompProfile: { type: 'RuntimeDefault' } } }],
      ...more,
    },
  };
}
