import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { fail, type Finding, listed, of, orOk, warn } from './checks.ts';
import type { Anything, Facts } from './facts.ts';

const keyOf = ({ metadata }: Anything): string => `${metadata.namespace ?? ''}/${metadata.name}`;
const conditionsOf = (object: Anything) => object.status?.conditions ?? [];

/** What every unhealthy condition says, in its own words. */
function unhealthy(check: string, kind: string, object: Anything): Finding[] {
  const bad = conditionsOf(object).filter(({ type, status }) => type !== 'Ready' && status === 'False');
  return bad.map(({ type, reason, message }) =>
    fail(check, `${kind} ${keyOf(object)}: ${type} is False: ${message} (${reason})`, `chaperone explain ${reason}`),
  );
}

export function resourceFindings(facts: Facts): readonly Finding[] {
  return of('resources', facts.resources, (resources) => {
    const found = resources.flatMap((resource): Finding[] => {
      const problems = unhealthy('resources', 'resource', resource);
      if (problems.length > 0) return problems;
      if (conditionsOf(resource).length === 0)
        return [
          fail(
            'resources',
            `resource ${keyOf(resource)} has no status: no operator has looked at it`,
            `kubectl -n ${facts.system} logs deployment/chaperone-operator`,
          ),
        ];
      return [];
    });
    return orOk(found, 'resources', `${resources.length} resources are healthy`);
  });
}

export function policyFindings(facts: Facts): readonly Finding[] {
  return of('policies', facts.policies, (policies) => {
    const found = policies.flatMap((policy): Finding[] => {
      const problems = unhealthy('policies', 'policy', policy);
      if (problems.length > 0) return problems;
      const { selectedPods, conditions = [] } = (policy.status ?? {}) as { selectedPods?: number; conditions?: unknown[] };
      if (conditions.length === 0)
        return [
          fail(
            'policies',
            `policy ${keyOf(policy)} has no status: no operator has looked at it`,
            `kubectl -n ${facts.system} logs deployment/chaperone-operator`,
          ),
        ];
      if (selectedPods === 0)
        return [
          warn(
            'policies',
            `policy ${keyOf(policy)} selects no pod that runs`,
            'compare spec.agents with the labels and ServiceAccount of your pods',
          ),
        ];
      return [];
    });
    return orOk(found, 'policies', `${policies.length} policies are in force`);
  });
}

type Rule = AccessPolicy['spec']['rules'][number];
interface Door {
  readonly host: string;
  readonly port: number;
}

/**
 * Ways by which one grant reaches the upstream of another resource beside its proxy: a forward through a host of SSH, a program or a
 * tunnel in a pod, an open channel to the same address. Sidecars refuse the first two by what the operator tells them; that the
 * policy lets them through at all is worth a look, since what runs behind such a door may dial on.
 */
export function sideDoors(facts: Facts): readonly Finding[] {
  return of('side-doors', facts.resources, (resources) =>
    of('side-doors', facts.policies, (policies) => {
      const all = resources as unknown as readonly ProtectedResource[];
      const guarded = all.filter(({ spec }) => spec.credentials !== undefined);
      const found = (policies as unknown as readonly AccessPolicy[]).flatMap((policy) =>
        policy.spec.rules.filter(({ effect }) => effect !== 'Deny').flatMap((rule) => doorsOf(policy, rule, all, guarded)),
      );
      return orOk(found, 'side-doors', 'no rule opens a way to a protected upstream beside its proxy');
    }),
  );
}

function doorsOf(
  policy: AccessPolicy,
  rule: Rule,
  all: readonly ProtectedResource[],
  guarded: readonly ProtectedResource[],
): Finding[] {
  const via = all.find(({ metadata }) => metadata.namespace === rule.resource.namespace && metadata.name === rule.resource.name);
  const others = guarded.filter(({ metadata }) => metadata !== via?.metadata);
  const reached = others.filter((resource) => opens(rule, via, upstreamOf(resource)));
  if (reached.length === 0) return [];
  const names = reached.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`);
  const what =
    rule.ssh?.forward !== undefined ? 'a forward' : rule.kubernetes !== undefined ? 'a way into pods' : 'an open channel';
  const where = `policy ${policy.metadata.namespace ?? ''}/${policy.metadata.name}, rule "${rule.name}"`;
  return [
    warn(
      'side-doors',
      `${where} lets through ${what} that reaches the upstream of ${listed(names)} beside its proxy`,
      'narrow the rule to hosts, namespaces and ports that lead elsewhere',
    ),
  ];
}

function upstreamOf({ spec }: ProtectedResource): Door {
  const { address } = spec.upstream;
  const at = address.lastIndexOf(':');
  return {
    host: address
      .slice(0, at)
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase(),
    port: Number(address.slice(at + 1)),
  };
}

const INTO_PODS: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward', '*']);

function opens(rule: Rule, via: ProtectedResource | undefined, to: Door): boolean {
  if (rule.ssh?.forward?.some((glob) => meets(glob, to)) === true) return true;
  if (rule.kubernetes?.verbs?.some((verb) => INTO_PODS.has(verb)) === true) {
    const [, namespace] = /^(?:[a-z0-9-]+\.)?[a-z0-9-]+\.([a-z0-9-]+)\.svc(\.|$)/.exec(to.host) ?? [];
    const { namespaces } = rule.kubernetes;
    return namespace !== undefined && (namespaces === undefined || namespaces.some((glob) => meetsName(glob, namespace)));
  }
  if (via?.spec.protocol !== 'tcp') return false;
  const own = upstreamOf(via);
  return own.host === to.host && own.port === to.port;
}

/** `host:port`, where `*.NAME` is any name below it and port `*` any. */
function meets(glob: string, { host, port }: Door): boolean {
  const at = glob.lastIndexOf(':');
  const wanted = glob.slice(at + 1);
  return (
    (wanted === '*' || Number(wanted) === port) &&
    meetsName(
      glob
        .slice(0, at)
        .replace(/^\[(.*)\]$/, '$1')
        .toLowerCase(),
      host,
    )
  );
}
function meetsName(glob: string, name: string): boolean {
  if (glob === '*' || glob === '**' || glob === name) return true;
  if (glob.startsWith('*')) return name.endsWith(glob.slice(1));
  return glob.endsWith('*') && name.startsWith(glob.slice(0, -1));
}
