import { userInfo } from 'node:os';
import type { AccessRequest } from '@chaperone/api';
import { groupsNamed, type Person } from './desk.ts';

/** Somebody else, whom the person at this machine plays. */
export interface Played {
  readonly user: string;
  readonly groups: readonly string[];
}

/**
 * Who answers a request of `chaperone up`: it knows no people, so whoever may use its data directory stands for whoever is asked, or
 * plays somebody.
 */
export function localPerson(request: AccessRequest, played: Played | undefined): Person {
  if (played !== undefined) return { ...played, note: 'played by the person at this machine' };
  return {
    user: `local:${userInfo().username}`,
    groups: groupsNamed(request),
    note: 'for whoever is asked: chaperone up knows no people',
  };
}
