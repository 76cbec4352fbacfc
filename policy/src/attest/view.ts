import { createHash } from 'node:crypto';
import type { AccessRequest } from '@chaperone/api';
import { draw, type Piece } from '@chaperone/api/hostile';
import {
  cutWords,
  fullWords,
  grantScope,
  grantSteps,
  isOfKubernetes,
  metLabel,
  purposeWords,
  recentWords,
  rowsWords,
  ruleWords,
  scopeWords,
  shortDigest,
  shortTemplate,
  TRANSACTION_WORDS,
  unlookedWords,
  type Words,
} from '@chaperone/api/requests';
import { canonicalJson } from '../canonical.ts';

/** Foreign text as the page draws it: each piece is shown as what it is, and nothing else is ever drawn. */
export type Drawn = readonly (readonly [kind: 'text' | 'rtl' | 'mixed' | 'escape', text: string])[];

/** All that the page draws of a request and that a signature covers; what runs by itself, as time does, is not in it. */
export interface View {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly digest: string;
  /** As the command line prints it: 9c1f-44ab */
  readonly short: string;
  readonly sentence: Drawn;
  readonly text: Drawn;
  readonly rows: readonly Row[];
  /** For how long the same may be let run again, of which the person chooses, s; none where it may not. */
  readonly grants: readonly number[];
}
type Row = readonly [label: string, value: Drawn];

export function viewOf(request: AccessRequest): View {
  const { metadata, spec, status } = request;
  const { agent, resource } = spec;
  const { namespace = '', name, uid = '' } = metadata;
  const grants = grantSteps(spec);
  const row = (label: string, value: string, names = false): Row => [label, drawn(value, { names })];
  return {
    namespace,
    name,
    uid,
    digest: spec.digest,
    short: shortDigest(spec.digest),
    sentence: drawn(spec.sentence, { names: true }),
    text: drawn(spec.text, { lines: true }),
    rows: [
      row('Agent', `${namespace}/${agent.pod ?? agent.serviceAccount} (ServiceAccount ${agent.serviceAccount})`),
      ...said('For', purposeWords(request)),
      row('Resource', `${resource.namespace}/${resource.name} (${spec.protocol})`),
      ...said('Text', [cutWords(request)]),
      ...(spec.parameters ?? []).map((value, at) => row(`$${at + 1}`, value)),
      ...said('Values', [fullWords(spec.parameters, 'values')]),
      ...spec.effects.map(({ verb, object, via, verdict }) => row('Effect', `${verb} ${object} (${via}): ${verdict}`, true)),
      ...said('Effects', [fullWords(spec.effects, 'effects')]),
      ...said(metLabel(request), status?.preview === undefined ? [unlookedWords(request)] : rowsWords(request)),
      ...said('Locks', [spec.transaction ? TRANSACTION_WORDS : undefined]),
      ...said('Before', recentWords(request)),
      ...said(
        'Rule',
        spec.rules.map((rule) => [{ foreign: `${rule.policy.namespace}/${rule.policy.name}` }, ' ', ...ruleWords(rule)]),
      ),
      row('Session', `${spec.session}, action ${spec.action}`),
      row('Expires', spec.expiresAt),
      ...grantRows(request, grants),
    ],
    grants,
  };
}

/** What an approval for some time would be for. */
function grantRows(request: AccessRequest, grants: readonly number[]): Row[] {
  const { agent, template = '', templateText = '' } = request.spec;
  if (grants.length === 0) return [];
  return [
    ...said('Again', [
      grantScope(request),
      scopeWords(request),
      agent.podUid === undefined ? undefined : ['pod with the UID ', { foreign: agent.podUid }],
      `sealed ${isOfKubernetes(request) ? '' : 'without its values '}as ${shortTemplate(template)}, the first 64 bits of its template`,
    ]),
    [isOfKubernetes(request) ? 'Again' : 'Again, any ?', drawn(templateText, { lines: true })],
  ];
}

/**
 * A view as it is sent, and as its digest is taken of: equal requests give equal text. Other words here give other digests, so that
 * decisions of before can only be checked by the version that drew them.
 */
export function viewText(request: AccessRequest): { readonly text: string; readonly shown: string } {
  const text = canonicalJson(viewOf(request));
  return { text, shown: createHash('sha256').update(text, 'utf8').digest('hex') };
}

/** The digests of what somebody may have been shown who answers now: what it meets may have been told after the page was drawn. */
export function shownLately(request: AccessRequest): string[] {
  const { preview: _, ...status } = request.status ?? {};
  return [request, { ...request, status }].map((each) => viewText(each).shown);
}

/** A row for each of what is to be said: our own words are drawn as they are, what somebody else chose as names. */
function said(label: string, lines: readonly (Words | string | undefined)[]): Row[] {
  return lines
    .filter((words) => words !== undefined)
    .map((words): Row => {
      const parts: Words = typeof words === 'string' ? [words] : words;
      return [
        label,
        parts.flatMap((word): Drawn => (typeof word === 'string' ? [['text', word]] : drawn(word.foreign, { names: true }))),
      ];
    });
}

export function drawn(text: string, options: { readonly lines?: boolean; readonly names?: boolean }): Drawn {
  return draw(text, options).map(plain);
}

function plain(piece: Piece): Drawn[number] {
  if (piece.kind === 'line') return ['text', '\n'];
  if (piece.kind === 'tab') return ['text', '\t'];
  return [piece.kind, piece.text];
}
