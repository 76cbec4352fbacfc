import { fail, type Finding, of, orOk, warn } from './checks.ts';
import type { Anything, Facts } from './facts.ts';

const keyOf = ({ metadata }: Anything): string => `${metadata.namespace ?? ''}/${metadata.name}`;
const conditionsOf = (object: Anything) => object.status?.conditions ?? [];

/** Conditions that are there only while something is wrong, and how bad that is. */
const WRONG_WHILE_TRUE: Readonly<Record<string, 'FAIL' | 'warn'>> = {
  EvidenceMissing: 'FAIL',
  Conflicted: 'warn',
  Ineffective: 'warn',
};

/** What every unhealthy condition says, in its own words. */
function unhealthy(check: string, kind: string, object: Anything): Finding[] {
  return conditionsOf(object).flatMap(({ type, status, reason, message }) => {
    const explain = `chaperone explain ${reason}`;
    const level = status === 'True' ? WRONG_WHILE_TRUE[type] : undefined;
    if (level !== undefined)
      return [{ check, level, message: `${kind} ${keyOf(object)}: ${message} (${reason})`, fix: [explain] }];
    if (type === 'Ready' || status !== 'False') return [];
    return [fail(check, `${kind} ${keyOf(object)}: ${type} is False: ${message} (${reason})`, explain)];
  });
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
      if (problems.some(({ level }) => level === 'FAIL')) return problems;
      const { selectedPods, conditions = [] } = (policy.status ?? {}) as { selectedPods?: number; conditions?: unknown[] };
      if (conditions.length === 0)
        return [
          ...problems,
          fail(
            'policies',
            `policy ${keyOf(policy)} has no status: no operator has looked at it`,
            `kubectl -n ${facts.system} logs deployment/chaperone-operator`,
          ),
        ];
      if (selectedPods === 0)
        return [
          ...problems,
          warn(
            'policies',
            `policy ${keyOf(policy)} selects no pod that runs`,
            'compare spec.agents with the labels and ServiceAccount of your pods',
          ),
        ];
      return problems;
    });
    return orOk(found, 'policies', `${policies.length} policies are in force`);
  });
}
