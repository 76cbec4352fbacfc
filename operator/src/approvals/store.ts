import { AccessRequest, API_VERSION, ApprovalDecision, DECIDE_PAGE, type RequestSpec, type RequestStatus } from '@chaperone/api';
import {
  ApiError,
  FIELD_MANAGER,
  getObject,
  isConflict,
  isNotFound,
  KINDS,
  type Kube,
  type KubeObject,
  pathOf,
  type ResourceKind,
} from '@chaperone/kube';
import { type GivenDecision, givenOf } from '@chaperone/policy';
import { pageOf } from '../decide/config.ts';

export const POD_LABEL = 'chaperone.dev/pod-uid';
export const DIGEST_LABEL = 'chaperone.dev/digest';
/** When it was asked, by the clock that its expiry is counted by: the API server notes whole seconds by its own. */
export const ASKED_AT = 'chaperone.dev/asked-at';
/** Longest value of a label. */
const MAX_LABEL = 63;
const PAGE = 500;
/** Of what one list can hold: the decisions on a request, or all of a namespace where they cannot be selected; nobody waits for more. */
const MAX_PAGES = 40;
const ATTEMPTS = 6;
/** A sidecar waits for the answer. */
const TIMEOUT_MS = 5_000;

export interface At {
  readonly namespace: string;
  readonly name: string;
}
export const atOf = ({ metadata: { namespace = '', name } }: Pick<AccessRequest, 'metadata'>): At => ({ namespace, name });

/** Requests and decisions at the API server itself: nothing here is remembered, and what changed meanwhile is not overwritten. */
export class RequestStore {
  readonly #kube: Kube;
  readonly #signal: AbortSignal;
  readonly #decideOrigin: string | undefined;

  /** @param decideOrigin - where people decide with a signature; each request says so */
  constructor(kube: Kube, signal: AbortSignal, decideOrigin?: string) {
    this.#kube = kube;
    this.#signal = signal;
    this.#decideOrigin = decideOrigin;
  }

  async read(at: At): Promise<AccessRequest | undefined> {
    const object = await getObject(this.#kube, KINDS.accessRequests, at, { signal: this.#signal, timeoutMs: TIMEOUT_MS });
    return object === undefined ? undefined : AccessRequest.parse(object);
  }

  /** The new request; undefined where the name is taken. */
  async create(at: At, spec: RequestSpec, now: number): Promise<AccessRequest | undefined> {
    const labels = { [POD_LABEL]: spec.agent.podUid ?? '', [DIGEST_LABEL]: spec.digest.slice(0, MAX_LABEL) };
    const annotations = {
      [ASKED_AT]: new Date(now).toISOString(),
      ...(this.#decideOrigin !== undefined && { [DECIDE_PAGE]: pageOf(this.#decideOrigin, at) }),
    };
    try {
      const created = await this.#kube.request({
        method: 'POST',
        path: pathOf(KINDS.accessRequests, { namespace: at.namespace }),
        query: { fieldManager: FIELD_MANAGER },
        body: {
          apiVersion: API_VERSION,
          kind: KINDS.accessRequests.kind,
          metadata: { ...at, labels, annotations },
          spec,
        },
        signal: this.#signal,
        timeoutMs: TIMEOUT_MS,
      });
      return AccessRequest.parse(created);
    } catch (error) {
      if (isConflict(error)) return undefined;
      throw error;
    }
  }

  /** Every decision on a request that the API server has taken so far; those on others are not read. */
  async decisionsOn(at: At): Promise<GivenDecision[]> {
    const selector = `spec.request=${at.name}`;
    const found = await this.#list(KINDS.approvalDecisions, at.namespace, selector).catch((error: unknown) => {
      if (!(error instanceof ApiError) || error.status !== 400) throw error;
      // An API server that knows no such selector, or has the definition of before.
      return this.#list(KINDS.approvalDecisions, at.namespace);
    });
    return found
      .flatMap((object) => ApprovalDecision.safeParse(object).data ?? [])
      .filter(({ spec }) => spec.request === at.name)
      .map(givenOf);
  }

  /** Writes the status over exactly this version of the request. @throws ApiError Conflict where there is a newer one */
  async write(request: AccessRequest, status: RequestStatus): Promise<AccessRequest> {
    const { managedFields: _, ...metadata } = request.metadata;
    const written = await this.#kube.request({
      method: 'PUT',
      path: pathOf(KINDS.accessRequests, { ...atOf(request), subresource: 'status' }),
      query: { fieldManager: FIELD_MANAGER },
      body: { ...request, metadata, status },
      signal: this.#signal,
      timeoutMs: TIMEOUT_MS,
    });
    return AccessRequest.parse(written);
  }

  /**
   * Reads the request, writes the status that `next` makes of it, and begins anew where somebody else was faster. Where `next` returns
   * undefined, nothing is written. @returns The request as it is then; undefined where there is none.
   * @param read - the request, where it was read a moment ago: the API server refuses to write over a newer one
   */
  async change(
    at: At,
    next: (request: AccessRequest) => RequestStatus | undefined | Promise<RequestStatus | undefined>,
    read?: AccessRequest,
  ): Promise<AccessRequest | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const request = attempt === 1 && read !== undefined ? read : await this.read(at);
      if (request === undefined) return undefined;
      const status = await next(request);
      if (status === undefined) return request;
      try {
        return await this.write(request, status);
      } catch (error) {
        if (isNotFound(error)) return undefined;
        if (!isConflict(error) || attempt >= ATTEMPTS) throw error;
      }
    }
  }

  /** Says on a decision what became of it. One that is gone is no fault. */
  async tell(decision: At, status: { readonly counted: boolean; readonly why?: string | undefined }): Promise<void> {
    try {
      await this.#kube.request({
        method: 'PATCH',
        path: pathOf(KINDS.approvalDecisions, { ...decision, subresource: 'status' }),
        query: { fieldManager: FIELD_MANAGER },
        contentType: 'application/merge-patch+json',
        body: { status: { counted: status.counted, why: status.why ?? null } },
        signal: this.#signal,
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Deletes exactly this object. */
  async remove(kind: ResourceKind, { metadata }: Pick<AccessRequest, 'metadata'>): Promise<void> {
    try {
      await this.#kube.request({
        method: 'DELETE',
        path: pathOf(kind, atOf({ metadata })),
        body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid: metadata.uid } },
        signal: this.#signal,
      });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  async #list(kind: ResourceKind, namespace: string, fieldSelector?: string): Promise<KubeObject[]> {
    const items: KubeObject[] = [];
    let next: string | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const answer = await this.#kube.request<{ items?: KubeObject[] | null; metadata?: { continue?: string } }>({
        path: pathOf(kind, { namespace }),
        query: { limit: PAGE, continue: next, fieldSelector },
        signal: this.#signal,
        timeoutMs: TIMEOUT_MS,
      });
      items.push(...(answer.items ?? []));
      next = answer.metadata?.continue === '' ? undefined : answer.metadata?.continue;
      if (next === undefined) return items;
    }
    const where = fieldSelector === undefined ? '' : ` with ${fieldSelector}`;
    throw new Error(`namespace ${namespace} has more than ${MAX_PAGES * PAGE} ${kind.plural}${where}`);
  }
}
