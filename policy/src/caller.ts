import type { Access, AccessRule, Caller } from './access.ts';
import { digestOf } from './canonical.ts';

/**
 * The access as one caller has it: rules with `onBehalfOf` that speak of this caller become rules like any other, the rest of
 * them goes. Without a verified caller none stays, whatever its effect. Names are compared exactly. What comes out can be judged
 * without the caller; its digest tells accesses with other rules apart.
 */
export function accessOnBehalfOf(access: Access, caller: Caller | undefined): Access {
  if (access.rules.every((rule) => rule.onBehalfOf === undefined)) return access;
  const rules = access.rules.filter((rule) => speaksOf(rule, caller)).map(forAnybody);
  return { ...access, rules, digest: digestOf([access.digest, rules]) };
}

function speaksOf({ onBehalfOf }: AccessRule, caller: Caller | undefined): boolean {
  if (onBehalfOf === undefined) return true;
  if (caller === undefined) return false;
  const { users = [], groups = [] } = onBehalfOf;
  return users.includes(caller.user) || caller.groups.some((group) => groups.includes(group));
}

function forAnybody(rule: AccessRule): AccessRule {
  const { onBehalfOf, ...open } = rule;
  return onBehalfOf === undefined ? rule : open;
}
