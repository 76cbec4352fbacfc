import type { Access, AccessRule } from './access.ts';
import { compare } from './canonical.ts';
import { denies } from './rule.ts';
import { kubernetesObjects, kubernetesVerbs } from './kubernetes-rule.ts';
import { sshObjects, sshVerbs } from './ssh-rule.ts';

/** An agent reads these: few and short. */
const MAX_PHRASES = 5;
const MAX_NAMES = 5;

/**
 * What the agent may do instead, from its own rules: at most five phrases such as `SELECT on public.tickets,
 * public.customers` or `UPDATE on public.tickets after approval`. Verbs outside the owner's grant, and verbs that a rule
 * denies everywhere, are left out. It is a hint, not a judgement.
 */
export function allowedHere(access: Access): string[] {
  const names = new Map<string, Set<string>>();
  for (const rule of access.rules.filter((each) => !denies(each))) {
    const approval = rule.effect === 'RequireApproval' ? ' after approval' : '';
    for (const verb of verbsOf(rule, access)) {
      const key = `${verb.toUpperCase()}\n${approval}`;
      const held = names.get(key) ?? new Set<string>();
      names.set(key, held);
      for (const name of objectsOf(rule, verb)) held.add(name);
    }
  }
  return [...names]
    .toSorted(([a], [b]) => compare(a, b))
    .filter(([, objects]) => objects.size > 0)
    .slice(0, MAX_PHRASES)
    .map(([key, objects]) => {
      const [verb = '', approval = ''] = key.split('\n');
      if (verb === 'SHELL') return `${verb}${approval}`;
      return `${verb}${verb === 'EXEC' ? '' : ' on'} ${listed([...objects].toSorted(compare))}${approval}`;
    });
}

function verbsOf(rule: AccessRule, access: Access): string[] {
  const ceiling = access.ceiling.statements;
  const asked = verbsAsked(rule);
  const verbs = asked.includes('*') ? ceiling : asked.filter((verb) => ceiling.includes('*') || ceiling.includes(verb));
  return verbs.filter((verb) => !access.rules.some((each) => deniesEverywhere(each, verb)));
}

function verbsAsked({ sql, ssh, kubernetes }: AccessRule): readonly string[] {
  if (kubernetes !== undefined) return kubernetesVerbs(kubernetes);
  return ssh === undefined ? (sql?.statements ?? ['*']) : sshVerbs(ssh);
}

function deniesEverywhere(rule: AccessRule, verb: string): boolean {
  if (rule.ssh !== undefined || rule.kubernetes !== undefined) return false;
  const { statements, relations, columns, functions } = rule.sql ?? {};
  if (!denies(rule) || relations || columns || functions) return false;
  const denied: readonly string[] = statements ?? ['*'];
  return denied.includes('*') || denied.includes(verb);
}

function objectsOf(rule: AccessRule, verb: string): readonly string[] {
  if (rule.ssh !== undefined) return sshObjects(rule.ssh, verb);
  if (rule.kubernetes !== undefined) return kubernetesObjects(rule.kubernetes, verb);
  const { relations, columns, functions } = rule.sql ?? {};
  if (verb === 'execute') return functions ?? [];
  if (columns) return columns;
  if (relations) return relations;
  return functions ? [] : ['any relation'];
}

function listed(names: readonly string[]): string {
  if (names.includes('any relation')) return 'any relation';
  return names.length > MAX_NAMES
    ? `${names.slice(0, MAX_NAMES).join(', ')} and ${names.length - MAX_NAMES} more`
    : names.join(', ');
}
