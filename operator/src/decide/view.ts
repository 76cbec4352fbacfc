import { createHash } from 'node:crypto';
import { type AccessRequest, type Approvers, shortDigest } from '@chaperone/api';
import { draw, type Piece } from '@chaperone/api/hostile';
import { canonicalJson } from '@chaperone/policy';

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
  readonly rows: readonly (readonly [label: string, value: Drawn])[];
}

export function viewOf({ metadata, spec }: AccessRequest): View {
  const { agent, resource, preview } = spec;
  const { namespace = '', name, uid = '' } = metadata;
  const row = (label: string, value: string, names = false): [string, Drawn] => [label, drawn(value, { names })];
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
      row('Purpose', agent.purpose),
      ...(agent.onBehalfOf === undefined
        ? []
        : [row('On behalf of', `${agent.onBehalfOf.user} (verified by ${agent.onBehalfOf.issuer})`)]),
      row('Resource', `${resource.namespace}/${resource.name} (${spec.protocol})`),
      ...(Buffer.byteLength(spec.text) < spec.textBytes
        ? [row('Text', `this is the beginning of ${spec.textBytes} bytes, or was masked`)]
        : []),
      ...(spec.parameters ?? []).map((value, at) => row(`$${at + 1}`, value)),
      ...spec.effects.map(({ verb, object, via, verdict }) => row('Effect', `${verb} ${object} (${via}): ${verdict}`, true)),
      row('Rows', rowsText(preview)),
      ...(spec.transaction ? [row('Locks', 'part of an open transaction, whose locks are held meanwhile')] : []),
      ...spec.rules.map((rule) => row('Rule', ruleText(rule))),
      row('Session', `${spec.session}, action ${spec.action}`),
      row('Expires', spec.expiresAt),
    ],
  };
}

/** A view as it is sent, and as its digest is taken of: equal requests give equal text. */
export function viewText(request: AccessRequest): { readonly text: string; readonly shown: string } {
  const text = canonicalJson(viewOf(request));
  return { text, shown: createHash('sha256').update(text, 'utf8').digest('hex') };
}

function rowsText(preview: AccessRequest['spec']['preview']): string {
  if (preview?.count !== undefined) return `${preview.count} matched when it was asked for`;
  return `nobody looked at the rows that it meets${preview?.why === undefined ? '' : `: ${preview.why}`}`;
}

function ruleText({ policy, rule, generation, groups, users, minimum, all, assurance = 'kubernetes' }: Approvers): string {
  const whom = [...groups.map((group) => `group ${group}`), ...users.map((user) => `user ${user}`)].join(', ');
  const each = all.length === 0 ? '' : `, and one of each of ${all.join(', ')}`;
  return `${policy.namespace}/${policy.name} "${rule}", generation ${generation}: ${minimum} of ${whom}${each}; ${assurance}`;
}

function drawn(text: string, options: { readonly lines?: boolean; readonly names?: boolean }): Drawn {
  return draw(text, options).map(plain);
}

function plain(piece: Piece): Drawn[number] {
  if (piece.kind === 'line') return ['text', '\n'];
  if (piece.kind === 'tab') return ['text', '\t'];
  return [piece.kind, piece.text];
}
