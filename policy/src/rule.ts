import type { AccessRule } from './access.ts';
import type { Effect } from './action.ts';
import { matchGlob, parseGlob } from './glob.ts';
import { isOfKubernetes, kubernetesCovers, kubernetesTouches } from './kubernetes-rule.ts';
import { isOfSsh, sshCovers, sshTouches } from './ssh-rule.ts';

/** Whether a rule denies what it touches: also one that asks nobody. */
export function denies({ effect, approval }: AccessRule): boolean {
  const { groups, users, all } = approval ?? { groups: [], users: [], all: [] };
  return effect === 'Deny' || (effect === 'RequireApproval' && groups.length + users.length + all.length === 0);
}

/**
 * A rule meets an effect in two ways, and what is unknown counts against the agent in both.
 *
 * `covers`: the rule surely speaks about all of the effect. Only then may it permit it.
 * `touches`: the rule may speak about some of it. That is enough to deny it or to ask a person.
 *
 * covers implies touches, but for `count(*)`, which reads no column at all. A view counts as itself: what it reads inside (via 'view') is met by no rule, as in PostgreSQL's
 * own privileges.
 */
export function covers(rule: AccessRule, effect: Effect): boolean {
  if (isOfSsh(effect)) return sshCovers(rule, effect);
  if (isOfKubernetes(effect)) return kubernetesCovers(rule, effect);
  return (
    rule.ssh === undefined && rule.kubernetes === undefined && verbMatches(rule, effect) && sqlCovers(rule.sql ?? {}, effect)
  );
}

function sqlCovers({ relations, columns, functions }: NonNullable<AccessRule['sql']>, effect: Effect): boolean {
  // A function runs code that nobody judged, so it wants to be named: a rule without `functions` permits none.
  if (effect.kind === 'function') return functions !== undefined && matchesAny(functions, effect.object, false);
  if (relations && !(effect.kind === 'relation' && matchesAny(relations, effect.object, false))) return false;
  if (columns) {
    const touched = effect.columns;
    if (!touched || (touched.length === 0 && !relations)) return false;
    if (!touched.every((column) => matchesAny(columns, column, false))) return false;
  }
  return relations !== undefined || columns !== undefined || functions === undefined;
}

export function touches(rule: AccessRule, effect: Effect): boolean {
  if (isOfSsh(effect)) return sshTouches(rule, effect);
  if (isOfKubernetes(effect)) return kubernetesTouches(rule, effect);
  if (!verbMatches(rule, effect)) return false;
  const { relations, columns, functions } = rule.sql ?? {};
  const aboutRelations = relations !== undefined || columns !== undefined;
  if (effect.kind === 'function') return functions ? matchesAny(functions, effect.object, true) : !aboutRelations;
  if (functions && !aboutRelations) return effect.object === '';
  if (effect.kind === 'relation' && relations && !matchesAny(relations, effect.object, true)) return false;
  // What is no relation (a schema, a role, everything at once) may reach any relation and any column.
  if (effect.kind === 'relation' && columns && effect.columns)
    return effect.columns.some((column) => matchesAny(columns, column, true));
  return true;
}

function verbMatches(rule: AccessRule, effect: Effect): boolean {
  const statements: readonly string[] | undefined = rule.sql?.statements;
  if (!statements) return true;
  if (statements.length === 0) return rule.effect !== 'Allow';
  return statements.includes('*') || statements.includes(effect.verb);
}

/** `unknown` is the answer for an empty name, an empty list and a pattern that cannot be read. */
function matchesAny(patterns: readonly string[], name: string, unknown: boolean): boolean {
  if (name === '' || patterns.length === 0) return unknown;
  return patterns.some((pattern) => {
    const glob = parseGlob(pattern);
    return glob ? matchGlob(glob, name) : unknown;
  });
}
