import { type Access, judge, type Verdict } from '@chaperone/policy';
import { ELSEWHERE, type RawRequest } from '../actions/index.ts';
import { Plan } from '../masking/index.ts';
import { prepare, verdictOn } from './prepare.ts';

/** A request to the Kubernetes API, as `chaperone policy check` reads it. */
export interface KubernetesRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** A text stands for these very bytes, any other value for its JSON. */
  readonly body?: unknown;
  /** Default: JSON; of PATCH a JSON Patch where the body is a list, else a merge patch. */
  readonly contentType?: string | undefined;
}

export interface KubernetesAnswer {
  readonly verdict: Verdict;
  /** What explains the code, where no rule decided. */
  readonly detail?: string;
  /** Its first line as the API server would get it, where it may go there. */
  readonly upstream?: string;
}

/**
 * Judges a request by itself, by the same reading as a session of `chaperone up` does: of the cluster it knows nothing, so that no pod
 * there is governed.
 */
export function checkKubernetesOffline(request: KubernetesRequest, access: Access): KubernetesAnswer {
  const { method, path, body, contentType } = request;
  const bytes = Buffer.from(body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body));
  const type = contentType ?? (method !== 'PATCH' ? 'application/json' : PATCHES[Array.isArray(body) ? 'list' : 'object']);
  const headers: RawRequest['headers'] = [
    ...(body === undefined ? [] : [['content-type', type] as const]),
    // Without an upgrade they are nothing that the API server answers.
    ...(STREAM.test(path) ? UPGRADES[method === 'GET' ? 'websocket' : 'spdy'] : []),
  ];
  const raw = { method, target: path, headers, hasBody: body !== undefined };
  const prepared = prepare(raw, bytes, { surroundings: ELSEWHERE, plan: new Plan(access) });
  if (prepared.kind === 'unfit') {
    const { detail } = prepared.refusal;
    return { verdict: verdictOn(prepared), ...(detail !== undefined && { detail }) };
  }
  const verdict = judge(access, prepared.action);
  return { verdict, ...(verdict.verdict !== 'deny' && { upstream: `${prepared.request.method} ${prepared.request.target}` }) };
}

const STREAM = /\/(exec|attach|portforward)(\?|$)/;
const PATCHES = { list: 'application/json-patch+json', object: 'application/merge-patch+json' } as const;
const UPGRADES = {
  websocket: [
    ['upgrade', 'websocket'],
    ['sec-websocket-protocol', 'v5.channel.k8s.io'],
  ],
  spdy: [
    ['upgrade', 'SPDY/3.1'],
    ['x-stream-protocol-version', 'v4.channel.k8s.io'],
  ],
} as const;
