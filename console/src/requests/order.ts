import type { AccessRequest } from '@chaperone/api';
import { rulesThatAsk, stateOf, type Viewer } from '@chaperone/api/requests';

export const SECTIONS = ['you', 'others', 'decided'] as const;
/** Whose turn it is. */
export type Section = (typeof SECTIONS)[number];

/** Whether this person's approval is given already. */
export function hasApproved({ status }: AccessRequest, { user }: Viewer): boolean {
  return status?.decisions?.some(({ by, decision, counted }) => by === user && decision === 'Approve' && counted) ?? false;
}

export function sectionOf(request: AccessRequest, viewer: Viewer & { readonly decides?: boolean }, now: number): Section {
  if (stateOf(request) !== 'Pending') return 'decided';
  if (hasApproved(request, viewer)) return 'others';
  return rulesThatAsk(request, viewer, now).length > 0 ? 'you' : 'others';
}

/** What waits: the least time left first. What is decided: the newest first. Neither moves while it is looked at. */
export function ordered(requests: readonly AccessRequest[], section: Section): AccessRequest[] {
  const at = (request: AccessRequest): number =>
    section === 'decided' ? -timeOf(request.status?.decidedAt) : timeOf(request.spec.expiresAt);
  return requests.toSorted((a, b) => at(a) - at(b) || (a.metadata.name < b.metadata.name ? -1 : 1));
}

function timeOf(at: string | undefined): number {
  return Date.parse(at ?? '') || 0;
}

/** Time left as text: 2 h 05 min, 12 min, 4:09, 0:00. */
export function leftText(ms: number): string {
  if (Number.isNaN(ms)) return 'unknown time';
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
  return minutes >= 5 ? `${minutes} min` : `${minutes}:${String(seconds % 60).padStart(2, '0')}`;
}

export interface Gathered {
  /** Rows that are drawn; what was drawn stays, whatever became of it. */
  readonly rows: readonly AccessRequest[];
  /** New ones that wait until nothing moves under a pointer, or until they are asked for. */
  readonly fresh: number;
}

/** Which rows a list draws, of those that belong to it and those that it has drawn: `drawn` is undefined at first. */
export function gather(
  requests: readonly AccessRequest[],
  section: Section,
  belongs: (request: AccessRequest) => boolean,
  drawn: ReadonlySet<string | undefined> | undefined,
  busy: boolean,
): Gathered {
  const isDrawn = ({ metadata }: AccessRequest): boolean => drawn?.has(metadata.uid) === true;
  const all = requests.filter((request) => isDrawn(request) || belongs(request));
  const rows = drawn !== undefined && busy ? all.filter(isDrawn) : all;
  return { rows: ordered(rows, section), fresh: all.length - rows.length };
}
