import { X509Certificate } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { customResourceDefinitions } from '@chaperone/api';
import { ADMISSION, type Anything, type Facts, type Seen } from './facts.ts';
import { policyFindings, resourceFindings } from './objects.ts';
import { sideDoors } from './side-doors.ts';

/** What one check found. `ok` and `skip` need nobody; a `warn` does not stop agents or open anything; a `FAIL` does. */
export interface Finding {
  readonly check: string;
  readonly level: 'ok' | 'skip' | 'warn' | 'FAIL';
  /** A sentence, and, in brackets at its end, its code where it has one. */
  readonly message: string;
  readonly fix?: readonly string[];
}
type Check = (facts: Facts) => readonly Finding[];

const LEASE_MS = 45_000;
const CA_DAYS = 30;
const WAITING_MS = 60_000;
const DAY_MS = 86_400_000;
const MAX_LISTED = 5;
const CAPTURE = 'chaperone.dev/capture';

export const ok = (check: string, message: string): Finding => ({ check, level: 'ok', message });
export const warn = (check: string, message: string, ...fix: string[]): Finding => ({ check, level: 'warn', message, fix });
export const fail = (check: string, message: string, ...fix: string[]): Finding => ({ check, level: 'FAIL', message, fix });
const skip = (check: string, what: string): Finding => ({ check, level: 'skip', message: `you may not ${what}` });
export const listed = (names: readonly string[]): string =>
  `${names.slice(0, MAX_LISTED).join(', ')}${names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : ''}`;

/** Findings of what was seen, or the one that says what was not. */
export function of<T>(check: string, fact: Seen<T>, judge: (value: T) => readonly Finding[]): readonly Finding[] {
  return 'hidden' in fact ? [skip(check, fact.hidden)] : judge(fact.seen);
}
/** All is well unless something was found. */
export const orOk = (found: readonly Finding[], check: string, message: string): readonly Finding[] =>
  found.length > 0 ? found : [ok(check, message)];

const version: Check = (facts) =>
  of('version', facts.version, (text) => {
    const [, major = '0', minor = '0'] = /^v(\d+)\.(\d+)/.exec(text) ?? [];
    if (Number(major) > 1 || Number(minor) >= 30) return [ok('version', `Kubernetes ${text}`)];
    return [fail('version', `Kubernetes ${text} is too old: ValidatingAdmissionPolicy needs 1.30`, 'upgrade the API server')];
  });

const crds: Check = (facts) =>
  of('crds', facts.crds, (found) => {
    const ours = new Map(customResourceDefinitions().map((crd) => [crd.metadata.name, crd]));
    const missing = [...found].filter(([, crd]) => crd === undefined).map(([name]) => name);
    const other = [...found].filter(
      ([name, crd]) => crd !== undefined && !isDeepStrictEqual(schemaOf(crd), schemaOf(ours.get(name))),
    );
    const upgrade = 'helm upgrade with crds.enabled=true, of the version that this program is of';
    return orOk(
      [
        ...(missing.length === 0 ? [] : [fail('crds', `${listed(missing)} are missing (NotInstalled)`, upgrade)]),
        ...(other.length === 0
          ? []
          : [warn('crds', `${listed(other.map(([name]) => name))} are of another version than this program`, upgrade)]),
      ],
      'crds',
      `${found.size} CRDs are of this version`,
    );
  });

function schemaOf(crd: unknown): unknown {
  const { spec } = JSON.parse(JSON.stringify(crd)) as { spec: { versions: { schema: unknown }[] } };
  return spec.versions[0]?.schema;
}

/** It says beforehand what pods of a Deployment will be refused for, and refuses nothing itself. */
const WARNING = 'chaperone-templates';

const admission: Check = (facts) =>
  of('admission-policies', facts.admission, ({ policies, bindings }) => {
    const have = new Map(policies.map((policy) => [policy.metadata.name, policy]));
    const bound = new Map(bindings.map((binding) => [(binding['spec'] as { policyName?: string }).policyName, binding]));
    const reinstall = 'helm upgrade, which puts it back';
    const found = ADMISSION.flatMap((name): Finding[] => {
      const policy = have.get(name);
      if (policy === undefined)
        return [fail('admission-policies', `policy ${name} is missing; what it forbids is allowed`, reinstall)];
      const { failurePolicy } = policy['spec'] as { failurePolicy?: string };
      if (failurePolicy === 'Ignore' && name !== WARNING)
        return [
          fail(
            'admission-policies',
            `policy ${name} was edited: failurePolicy is Ignore, so that an error lets all through`,
            reinstall,
          ),
        ];
      const binding = bound.get(name);
      if (binding === undefined)
        return [fail('admission-policies', `policy ${name} has no binding; what it forbids is allowed`, reinstall)];
      const actions = (binding['spec'] as { validationActions?: string[] }).validationActions ?? [];
      if (!actions.includes('Deny') && name !== WARNING)
        return [
          fail(
            'admission-policies',
            `the binding of policy ${name} only says ${actions.join(' and ')}; it denies nothing`,
            reinstall,
          ),
        ];
      return [];
    });
    return orOk(found, 'admission-policies', `${ADMISSION.length} policies are installed, bound, and fail closed`);
  });

const profile: Check = (facts) =>
  of('profile', facts.profile, (object) =>
    object === undefined
      ? [
          fail(
            'profile',
            'InjectionProfile default is missing: every agent pod is denied',
            `kubectl -n ${facts.system} logs deployment/chaperone-operator`,
          ),
        ]
      : [ok('profile', 'InjectionProfile default is there')],
  );

interface Webhook {
  readonly failurePolicy?: string;
  readonly clientConfig?: { readonly caBundle?: string };
}
const webhook: Check = (facts) =>
  of('webhook', facts.webhook, (object) => {
    const upgrade = 'helm upgrade, which puts it back';
    if (object === undefined) return [fail('webhook', 'the webhook is missing: pods of governed namespaces are denied', upgrade)];
    const [first = {}] = (object['webhooks'] ?? []) as Webhook[];
    if (first.failurePolicy === 'Ignore') return [fail('webhook', 'the webhook was edited: failurePolicy is Ignore', upgrade)];
    const bundle = Buffer.from(first.clientConfig?.caBundle ?? '', 'base64').toString();
    if (bundle === '')
      return [
        fail(
          'webhook',
          'the webhook has no caBundle: every agent pod is denied',
          `kubectl -n ${facts.system} logs deployment/chaperone-operator`,
        ),
      ];
    if ('seen' in facts.ca && facts.ca.seen !== undefined && facts.ca.seen !== bundle)
      return [
        fail(
          'webhook',
          'caBundle of the webhook does not match ConfigMap chaperone-ca',
          'find who overwrites it: kubectl get mutatingwebhookconfiguration chaperone -o yaml --show-managed-fields',
        ),
      ];
    return [ok('webhook', 'the webhook is installed and fails closed')];
  });

/** What the API server says to two pods, neither of which is stored. */
const trial: Check = ({ trial: tried, system }) => {
  if (tried === undefined) return [{ check: 'trial', level: 'skip', message: 'no namespace is governed, so no pod was tried' }];
  const { namespace } = tried;
  const good = of('trial', tried.good, (verdict) => {
    if ('refused' in verdict)
      return [
        fail(
          'trial',
          `a pod that may run in ${namespace} is refused: ${verdict.refused}`,
          `kubectl -n ${system} get pods -l app.kubernetes.io/component=operator`,
        ),
      ];
    const { initContainers = [] } = verdict.admitted['spec'] as { initContainers?: { name: string }[] };
    return initContainers.some(({ name }) => name === 'chaperone-sidecar')
      ? [ok('trial', `a pod in ${namespace} is injected (tried, not stored)`)]
      : [fail('trial', `a pod in ${namespace} would start without its sidecar`, 'chaperone explain NotInjected')];
  });
  if (tried.bad === undefined) return good;
  const bad = of('trial', tried.bad, (verdict) =>
    'refused' in verdict
      ? [ok('trial', `a pod on the node’s network is refused in ${namespace} (tried, not stored)`)]
      : [
          fail(
            'trial',
            `a pod on the node’s network would be accepted in ${namespace}`,
            'helm upgrade, which puts the policies back',
          ),
        ],
  );
  return [...good, ...bad];
};

const leader: Check = (facts) =>
  of('leader', facts.lease, (lease) => {
    const { renewTime = '', holderIdentity = '' } = (lease?.['spec'] ?? {}) as { renewTime?: string; holderIdentity?: string };
    const age = facts.now - Date.parse(renewTime);
    const logs = `kubectl -n ${facts.system} logs deployment/chaperone-operator`;
    if (lease === undefined || holderIdentity === '' || Number.isNaN(age)) return [fail('leader', 'no operator leads', logs)];
    if (age > LEASE_MS) return [fail('leader', `nobody has held lease chaperone-operator for ${Math.round(age / 1000)} s`, logs)];
    return [ok('leader', `${holderIdentity} leads`)];
  });

const workloads: Check = (facts) =>
  of('parts', facts.workloads, (objects) => {
    const wanted = ['chaperone-operator', 'chaperone-collector', 'chaperone-nats'];
    const found = wanted.flatMap((name): Finding[] => {
      const object = objects.find(({ metadata }) => metadata.name === name);
      // A broker of one's own is none of the chart's.
      if (object === undefined)
        return name === 'chaperone-nats' ? [] : [fail('parts', `${name} is not installed in ${facts.system}`, 'helm upgrade')];
      const { replicas = 1 } = object['spec'] as { replicas?: number };
      const { readyReplicas = 0 } = (object.status ?? {}) as { readyReplicas?: number };
      const look = `kubectl -n ${facts.system} describe pods -l app.kubernetes.io/component=${name.replace('chaperone-', '')}`;
      if (readyReplicas === 0) return [fail('parts', `${name}: 0 of ${replicas} pods are ready${CONSEQUENCE[name] ?? ''}`, look)];
      return readyReplicas < replicas ? [warn('parts', `${name}: ${readyReplicas} of ${replicas} pods are ready`, look)] : [];
    });
    return orOk(found, 'parts', 'operator, collector and broker are ready');
  });
const CONSEQUENCE: Readonly<Record<string, string>> = {
  'chaperone-operator': '; no agent pod starts, and sidecars go on with the policy they have until it is stale',
  'chaperone-collector': '; evidence waits with the broker',
  'chaperone-nats': '; evidence waits in the agents’ spools, which fill up',
};

/** Asks nothing where rules are written by the pods themselves, and nobody installed an agent of nodes. */
const nodeAgent: Check = (facts) =>
  of('node-agent', facts.nodeAgent, (daemonSet) => {
    const asking = namespacesByNode(facts);
    if (daemonSet === undefined)
      return asking.length === 0
        ? []
        : [
            fail(
              'node-agent',
              `pods of ${listed(asking)} have their rules written by the node, and DaemonSet chaperone-node is not installed: none starts`,
              'helm upgrade with capture.nodeAgent.enabled=true',
            ),
          ];
    const { desiredNumberScheduled: nodes = 0, numberReady: ready = 0 } = (daemonSet.status ?? {}) as {
      desiredNumberScheduled?: number;
      numberReady?: number;
    };
    const look = `kubectl -n ${facts.system} describe pods -l app.kubernetes.io/component=node`;
    return ready < nodes
      ? [
          fail(
            'node-agent',
            `chaperone-node is ready on ${ready} of ${nodes} nodes; on the others no pod of mode node starts`,
            look,
          ),
        ]
      : [ok('node-agent', `chaperone-node is ready on ${nodes} nodes`)];
  });

/** Governed namespaces that ask for it, or have a pod of that shape. */
function namespacesByNode({ namespaces: seen, governed }: Facts): string[] {
  const asking = 'seen' in seen ? seen.seen.filter(({ metadata }) => metadata.annotations?.[CAPTURE] === 'node') : [];
  const having = [...governed].filter(
    ([, { pods: found }]) =>
      'seen' in found && found.seen.some((pod) => ((pod['spec'] ?? {}) as PodSpec).initContainers?.[0]?.name === SIDECAR),
  );
  return [...new Set([...asking.map(({ metadata }) => metadata.name), ...having.map(([name]) => name)])];
}

const certificate: Check = (facts) =>
  of('ca', facts.ca, (pem) => {
    const logs = `kubectl -n ${facts.system} logs deployment/chaperone-operator`;
    if (pem === undefined) return [fail('ca', `ConfigMap chaperone-ca of ${facts.system} is missing`, logs)];
    const ends = Math.max(...pemBlocks(pem).map((block) => Date.parse(new X509Certificate(block).validTo)));
    const days = Math.floor((ends - facts.now) / DAY_MS);
    if (!(days >= 0)) return [fail('ca', 'the CA has ended: no agent trusts its sidecar', logs)];
    return days < CA_DAYS
      ? [warn('ca', `the CA ends in ${days} days, and the operator has made no other`, logs)]
      : [ok('ca', `the CA holds for ${days} days`)];
  });
const pemBlocks = (pem: string): string[] => pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];

const namespaces: Check = (facts) =>
  of('namespaces', facts.namespaces, (list) =>
    list.length === 0
      ? [warn('namespaces', 'no namespace is governed', 'kubectl label namespace NAMESPACE chaperone.dev/inject=enabled')]
      : [...facts.governed].flatMap(([name, { ca, networkPolicy }]) => [
          ...of('namespaces', ca, (pem) =>
            pem !== undefined && (!('seen' in facts.ca) || facts.ca.seen === pem)
              ? [ok('namespaces', `${name} has the CA`)]
              : [
                  fail(
                    'namespaces',
                    `ConfigMap chaperone-ca of ${name} is missing or old: its pods cannot start, or trust no sidecar`,
                    `kubectl -n ${facts.system} logs deployment/chaperone-operator`,
                  ),
                ],
          ),
          ...of('network-policy', networkPolicy, (policy) =>
            policy !== undefined
              ? [
                  ok(
                    'network-policy',
                    `${name} has NetworkPolicy chaperone-agents; whether anybody enforces it cannot be seen from here`,
                  ),
                ]
              : [
                  warn(
                    'network-policy',
                    `${name} has no NetworkPolicy chaperone-agents; the second line is missing`,
                    'set networkPolicy.enabled of the chart',
                  ),
                ],
          ),
        ]),
  );

interface PodSpec {
  readonly initContainers?: readonly { readonly name: string; readonly image?: string }[];
}
interface PodStatus {
  readonly phase?: string;
  readonly initContainerStatuses?: readonly {
    readonly name: string;
    readonly ready?: boolean;
    readonly started?: boolean;
    readonly state?: Record<string, { message?: string; reason?: string }>;
  }[];
}
const SIDECAR = 'chaperone-sidecar';
const pods: Check = (facts) =>
  [...facts.governed].flatMap(([namespace, { pods: seen }]) =>
    of('pods', seen, (list) => {
      const alive = list.filter(
        ({ metadata, status }) =>
          metadata.deletionTimestamp === undefined && !['Succeeded', 'Failed'].includes(String(status?.['phase'])),
      );
      return orOk(
        alive.flatMap((pod) => podFindings(pod, facts)),
        'pods',
        `${alive.length} pods of ${namespace} are governed`,
      );
    }),
  );

function podFindings(pod: Anything, facts: Facts): Finding[] {
  const name = `pod ${pod.metadata.namespace ?? ''}/${pod.metadata.name}`;
  const anew = `kubectl delete pod ${pod.metadata.name} -n ${pod.metadata.namespace ?? ''}`;
  const { initContainers = [] } = (pod['spec'] ?? {}) as PodSpec;
  const sidecar = initContainers.find((container) => container.name === SIDECAR);
  if (sidecar === undefined) {
    const what = `${name} has no sidecar: it started before its namespace was governed, and nothing holds it (PodNotInjected)`;
    return [fail('pods', what, anew)];
  }
  const image = imageOfProfile(facts);
  const isOutdated = image !== undefined && image !== sidecar.image;
  const outdated = warn(
    'pods',
    `${name} runs the sidecar of another release (SidecarsOutdated)`,
    `restart its workload, or ${anew}`,
  );
  return [...(isOutdated ? [outdated] : []), ...sidecarFindings(pod, name, facts.now)];
}

/** Whether the sidecar let its agent in, and lets it go on. */
function sidecarFindings(pod: Anything, name: string, now: number): Finding[] {
  const logs = `kubectl logs ${pod.metadata.name} -c ${SIDECAR} -n ${pod.metadata.namespace ?? ''}`;
  const { initContainerStatuses = [] } = (pod.status ?? {}) as PodStatus;
  const status = initContainerStatuses.find((container) => container.name === SIDECAR);
  if (status?.started === true) {
    const what = `the sidecar of ${name} opens no session: its policy is stale, or its capture not proven`;
    return status.ready === false ? [fail('pods', what, logs)] : [];
  }
  const age = now - Date.parse(pod.metadata.creationTimestamp ?? '');
  if (!(age > WAITING_MS)) return [];
  const [last] = Object.values(status?.state ?? {});
  const why = last?.message ?? last?.reason;
  const since = `${name} waits for its sidecar for ${Math.round(age / 60_000)} min`;
  return [fail('pods', `${since}${why === undefined ? '' : `: ${why}`} (SidecarNotReady)`, logs)];
}

function imageOfProfile({ profile: seen }: Facts): string | undefined {
  if (!('seen' in seen) || seen.seen === undefined) return undefined;
  const { containers = [] } = seen.seen['spec'] as { containers?: { name: string; image?: string }[] };
  return containers.find(({ name }) => name === SIDECAR)?.image;
}

/** In the order in which one depends on another. */
const CHECKS: readonly Check[] = [
  version,
  crds,
  profile,
  webhook,
  admission,
  trial,
  leader,
  workloads,
  nodeAgent,
  certificate,
  namespaces,
  pods,
  resourceFindings,
  policyFindings,
  sideDoors,
];

export const runChecks = (facts: Facts): readonly Finding[] => CHECKS.flatMap((check) => check(facts));
