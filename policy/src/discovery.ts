import type { Access, AccessRule } from './access.ts';
import { type ApiType, kubernetesNamesGroup, kubernetesSpeaksOf } from './kubernetes-rule.ts';
import { denies } from './rule.ts';

/**
 * Whether an agent may use a verb on some object of a resource: the owner grants it, a rule lets it through or asks, for whatever
 * names and namespaces, and none denies it for all of them. It says what is shown of an API, and is no judgement.
 */
export function mayUse({ ceiling: { statements }, rules, mode }: Access, api: ApiType, verb: string): boolean {
  if (!statements.includes('*') && !statements.includes(verb)) return false;
  if (mode === 'Audit') return true;
  return rules.some((rule) => lets(rule, api, verb)) && !rules.some((rule) => deniesAll(rule, api, verb));
}

/** Whether an agent may use anything of a group of the API, as far as the group alone tells it. */
export function mayUseGroup({ rules, mode }: Access, group: string): boolean {
  if (mode === 'Audit') return true;
  return rules.some((rule) => !denies(rule) && rule.kubernetes !== undefined && kubernetesNamesGroup(rule.kubernetes, group));
}

function lets(rule: AccessRule, api: ApiType, verb: string): boolean {
  const { kubernetes } = rule;
  const isWhole = kubernetes?.verbs !== undefined && kubernetes.resources !== undefined;
  return !denies(rule) && isWhole && kubernetesSpeaksOf(kubernetes, api, verb);
}

function deniesAll(rule: AccessRule, api: ApiType, verb: string): boolean {
  if (!denies(rule)) return false;
  const { kubernetes } = rule;
  if (kubernetes === undefined) return true;
  const { verbs, resources, namespaces, names } = kubernetes;
  const isAboutAll = (verbs !== undefined || resources !== undefined) && namespaces === undefined && names === undefined;
  return isAboutAll && kubernetesSpeaksOf(kubernetes, api, verb);
}
