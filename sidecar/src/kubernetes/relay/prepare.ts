import { visible } from '@chaperone/api';
import type { Action, Verdict } from '@chaperone/policy';
import {
  apiAction,
  type Body,
  denial,
  type Opening,
  openingOf,
  type PathRequest,
  type RawRequest,
  readBody,
  readFieldSelector,
  readRequest,
  type Refused,
  type ResourceRequest,
  selectedLabels,
  type Surroundings,
} from '../actions/index.ts';
import { readJson } from '../actions/json.ts';
import {
  type Bounds,
  lookingAtHidden,
  maskWrittenBack,
  type Operation,
  type Plan,
  selectsHidden,
  shownPatch,
  shownValue,
} from '../masking/index.ts';
import { type RequestRefusal, unreadable } from './texts.ts';

/** A request in the form in which it would go upstream, to be judged. */
export interface Prepared {
  readonly kind: 'prepared';
  readonly request: ResourceRequest | PathRequest;
  readonly body: Body | undefined;
  readonly action: Action;
  /** Of what leaves HTTP for a connection of its own. */
  readonly opening?: Opening;
}
/** What no rule decides on: it goes nowhere. */
export interface Unfit {
  readonly kind: 'unfit';
  readonly refusal: RequestRefusal;
  readonly action: Action;
  readonly request?: ResourceRequest | PathRequest;
  readonly body?: Body | undefined;
  readonly opening?: Opening;
}

const NO_EFFECT: Action = { effects: [] };
/** Beyond what a record shows; what is longer nobody approves. */
const WHOLE: Bounds = { lines: 4_000, width: 8_192 };
const MAX_METHOD = 32;

export interface Knowing {
  readonly surroundings: Surroundings;
  readonly plan: Plan;
  /** Of the pod that it opens a connection into. Default: false */
  readonly isProtected?: boolean;
}

/** Reads a request with its body, and finds what is refused whatever rules say. Pure. */
export function prepare(raw: RawRequest, bytes: Buffer, { surroundings, plan, isProtected = false }: Knowing): Prepared | Unfit {
  const request = readRequest(raw);
  if (request.kind === 'refused') return { kind: 'unfit', refusal: unreadable(request), action: NO_EFFECT };
  if (request.kind === 'path') return { kind: 'prepared', request, body: undefined, action: apiAction(request, undefined) };
  if (request.upgrade !== undefined) return prepareOpening(request, surroundings, isProtected);
  const body = request.body === undefined ? undefined : readBody(bytes, request.body);
  if (isRefused(body)) return { kind: 'unfit', refusal: unreadable(body), action: apiAction(request, undefined), request };
  const action = apiAction(request, body);
  const refusal = refusalOf(request, surroundings, body) ?? looksAtHidden(request, body, plan) ?? writesMask(request, body, plan);
  return refusal === undefined ? { kind: 'prepared', request, body, action } : { kind: 'unfit', refusal, action, request, body };
}

function isRefused(body: Body | Refused | undefined): body is Refused {
  return body?.kind === 'refused';
}

function prepareOpening(request: ResourceRequest, surroundings: Surroundings, isProtected: boolean): Prepared | Unfit {
  const { group, resource, namespace, name } = request;
  const opening = openingOf(request, isProtected);
  const { action } = opening;
  const isOfPod = group === '' && resource === 'pods' && namespace !== '' && name !== '';
  const refusal = isOfPod ? refusalOf(request, surroundings, undefined) : NO_POD;
  return refusal === undefined
    ? { kind: 'prepared', request, body: undefined, action, opening }
    : { kind: 'unfit', refusal, action, request, opening };
}

/** Other kinds have connections of their own, in protocols of their own. */
const NO_POD: RequestRefusal = {
  code: 'NotAnalysable',
  reason: 'it asks for a connection into what is no pod',
  detail: 'Upgrade',
  status: 403,
};

function refusalOf(request: ResourceRequest, surroundings: Surroundings, body: Body | undefined): RequestRefusal | undefined {
  const denied = denial(request, surroundings, body);
  return denied && { code: 'NeverAllowed', reason: denied.why, detail: denied.code };
}

/** What would tell of a hidden value whether it is one that was guessed, or put it where it is not hidden. */
function looksAtHidden(request: ResourceRequest, body: Body | undefined, plan: Plan): RequestRefusal | undefined {
  const one = (name: string): string => request.parameters.get(name)?.[0] ?? '';
  const { fields = [] } = readFieldSelector(one('fieldSelector')) ?? {};
  if (selectsHidden(plan, request, { fields, labels: selectedLabels(one('labelSelector')) }))
    return {
      code: 'InferenceLimited',
      reason: 'a selector compares a masked field',
      instead: 'select by fields that are shown.',
    };
  switch (body?.kind === 'operations' ? lookingAtHidden(plan, request, body.operations) : undefined) {
    case 'compared':
      return {
        code: 'InferenceLimited',
        reason: 'a JSON Patch compares a masked field',
        instead: 'use add, replace and remove, and test fields that are shown.',
      };
    case 'moved':
      return {
        code: 'LabelledValueWrite',
        reason: 'a JSON Patch copies or moves within an object that has masked fields',
        instead: 'use add, replace and remove.',
      };
    default:
      return undefined;
  }
}

function writesMask(request: ResourceRequest, body: Body | undefined, plan: Plan): RequestRefusal | undefined {
  if (body === undefined) return undefined;
  const value = body.kind === 'object' ? body.value : body.operations;
  const path = maskWrittenBack(value, request.verb === 'update' ? plan.object(request) : undefined);
  if (path === undefined) return undefined;
  return { code: 'MaskedValueWrite', reason: `a mask stands at ${visible(path, 200)}` };
}

/** The verdict on what no rule decides on, for its record and its agent. */
export function verdictOn({ refusal, action }: Unfit): Verdict {
  const { code, reason = '' } = refusal;
  const effects = action.effects.map(({ verb, object, via }) => ({ verb, object, via, verdict: 'deny' as const }));
  return { verdict: 'deny', code, reason, effects };
}

/** The request as records and people see it: its first line, and its body in lines that read like YAML, masked. */
export function shownRequest(raw: RawRequest, { request, body, opening }: Prepared | Unfit, plan: Plan): readonly string[] {
  if (opening !== undefined) return [opening.text];
  if (request === undefined) return [`${raw.method.slice(0, MAX_METHOD)} ${raw.target}`];
  const line = `${request.method} ${request.target}`;
  if (request.kind === 'path' || body === undefined) return [line];
  if (body.kind === 'object') return [line, ...shownValue(plan, request, body.value, WHOLE)];
  return [line, ...shownPatch(plan, request, readJson(body.send) as unknown as Operation[], WHOLE)];
}

/** Whether nothing of what `shownRequest` gave was left out. */
export function isWhole(lines: readonly string[]): boolean {
  return !lines.some((line) => line.endsWith('…') || line.startsWith('… '));
}
