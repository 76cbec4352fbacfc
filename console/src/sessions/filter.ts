import type { Place } from '../router.ts';
import { address } from '../router.ts';

/** How far back the list goes, by its name in the address. */
export const SPANS: Readonly<Record<string, { readonly label: string; readonly ms?: number }>> = {
  '1h': { label: 'Last hour', ms: 3_600_000 },
  '24h': { label: 'Last 24 hours', ms: 86_400_000 },
  '7d': { label: 'Last 7 days', ms: 7 * 86_400_000 },
  '30d': { label: 'Last 30 days', ms: 30 * 86_400_000 },
  all: { label: 'All time' },
};
export const VERDICTS: Readonly<Record<string, string>> = {
  '': 'Any verdict',
  denied: '⊘ Something denied',
  masked: '▒ Values masked',
  clean: '✓ Nothing of either',
};

/** What the list is narrowed to. What was typed stands behind #, where no server and no log sees it. */
export interface ListFilter {
  readonly span: string;
  /** NAMESPACE/NAME, or empty */
  readonly agent: string;
  readonly resource: string;
  /** Whom the agent acted for. */
  readonly person: string;
  readonly verdict: string;
  readonly text: string;
}
export const NO_FILTER: ListFilter = { span: 'all', agent: '', resource: '', person: '', verdict: '', text: '' };

export function filterOf({ query, fragment }: Pick<Place, 'query' | 'fragment'>): ListFilter {
  const span = query.get('time') ?? '';
  const verdict = query.get('verdict') ?? '';
  return {
    span: Object.hasOwn(SPANS, span) ? span : 'all',
    agent: query.get('agent') ?? '',
    resource: query.get('resource') ?? '',
    person: query.get('person') ?? '',
    verdict: Object.hasOwn(VERDICTS, verdict) ? verdict : '',
    text: (fragment.get('q') ?? '').slice(0, 500),
  };
}

export function addressOf({ span, agent, resource, person, verdict, text }: ListFilter): string {
  return address('/sessions', { time: span === 'all' ? '' : span, agent, resource, person, verdict }, { q: text });
}

/** The filter as the API takes it, in an address or a body. */
export function queryOf({ span, agent, resource, person, verdict }: ListFilter, now: number): Record<string, string> {
  const ms = SPANS[span]?.ms;
  const [namespace = '', name = ''] = agent.split('/');
  return {
    ...(ms === undefined ? {} : { since: String(now - ms) }),
    ...(agent === '' ? {} : { namespace, agent: name }),
    ...(resource === '' ? {} : { resource }),
    ...(person === '' ? {} : { person }),
    ...(verdict === '' ? {} : { verdict }),
  };
}
