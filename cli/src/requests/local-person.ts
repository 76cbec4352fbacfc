import { userInfo } from 'node:os';
import type { AccessRequest } from '@chaperone/api';
import { groupsOf, type Viewer } from '@chaperone/api/requests';
import type { Person } from './desk.ts';

/** Somebody else, whom the person at this machine plays. */
export interface Played {
  readonly user: string;
  readonly groups: readonly string[];
}

/** Whoever may use the data directory of a `chaperone up`: it knows no people, so they stand for whoever is asked. */
export function localViewer(): Viewer {
  return {
    user: `local:${userInfo().username}`,
    groups: 'whoever is asked',
    note: 'for whoever is asked: chaperone up knows no people',
  };
}

/** Who answers a request of `chaperone up`: that person, or whom they play. */
export function localPerson(request: AccessRequest, played: Played | undefined): Person {
  if (played !== undefined) return { ...played, note: 'played by the person at this machine' };
  const viewer = localViewer();
  return { ...viewer, groups: groupsOf(request, viewer) };
}
