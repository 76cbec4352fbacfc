import { type AccessRequest, RequestSpec, type RequestStatus } from '@chaperone/api';
import { isGranting, isOpen } from '@chaperone/api/requests';
import {
  answers,
  askedOf,
  AskLimit,
  contentOf,
  counted,
  type EndRequest,
  ended,
  type GenerationOf,
  type Grant,
  grantOf,
  isSameTemplate,
  looked,
  type LookedRequest,
  type Question,
  release,
  type ReleaseRequest,
  requestOf,
  type RequestContent,
  type RequestView,
  viewOf,
} from '@chaperone/policy';
import type { SidecarHub } from '../sidecars/hub.ts';
import type { PodIdentity } from '../sidecars/identity.ts';
import { Refusal } from '../sidecars/refusal.ts';
import type { Contents } from './contents.ts';
import { OwnWrites } from './own-writes.ts';
import { ASKED_AT, type At, type RequestStore } from './store.ts';
import { Turns } from './turns.ts';

export interface DeskOptions {
  readonly store: RequestStore;
  readonly contents: Contents;
  readonly hub: Pick<SidecarHub, 'snapshotOf'>;
  /** As the informer has it: may be a moment behind. */
  readonly known: (at: At) => AccessRequest | undefined;
  /** All of a pod, as the informer has them. */
  readonly ofPod: (podUid: string) => readonly AccessRequest[];
  readonly generationOf: GenerationOf;
  readonly now: () => number;
}

/**
 * What sidecars ask for approvals. Who asks is whose token it is; whom to ask, and for how long, is what the operator itself gave that
 * pod last. What there is already is told from an informer and our own writes; what lets something run is read at the API server, and is
 * written there before it is told: two operators at once, or one after another, release no request twice.
 */
export class ApprovalDesk {
  readonly #o: DeskOptions;
  readonly #limit = new AskLimit();
  readonly #turns = new Turns();
  readonly #own = new OwnWrites();

  constructor(options: DeskOptions) {
    this.#o = options;
  }

  /** Asks people; the name of a question again, or the very same action again, is the request that is there. @throws Refusal */
  async ask(identity: PodIdentity, question: Question): Promise<RequestView> {
    const at = { namespace: identity.namespace, name: question.name };
    this.#enrolled(identity);
    const known = this.#o.known(at);
    if (known !== undefined) return this.#view(sameQuestion(known, identity, question));
    const { podUid } = identity;
    return await this.#turns.take(podUid, this.#o.now(), () => this.#ask(identity, question, at));
  }

  async #ask(identity: PodIdentity, question: Question, at: At): Promise<RequestView> {
    const { store, now } = this.#o;
    const mine = this.#own.over(this.#o.ofPod(identity.podUid), identity.podUid, now());
    const named = mine.find(({ metadata }) => metadata.name === at.name);
    if (named !== undefined) return this.#view(sameQuestion(named, identity, question));
    const again = mine.find((request) => answers(request, request.status ?? {}, question.digest, now()));
    if (again !== undefined) return await this.#again(again);
    const asked = now();
    const spec = this.#specOf(identity, question, asked);
    const open = mine.filter(({ status }) => isOpen(status?.state)).length;
    const grant = await this.#grantFor(spec, mine);
    const limited = grant === undefined ? this.#limit.spend(identity.podUid, open, asked) : undefined;
    if (limited !== undefined) throw new Refusal('ApprovalUnavailable', limited);
    const created =
      (await store.create(at, grant === undefined ? spec : { ...spec, grantedBy: grant.request }, asked)) ??
      (await store.read(at));
    if (created === undefined) throw new Refusal('Unavailable', 'the request was removed at once');
    sameQuestion(created, identity, question);
    const begun = await store.change(
      at,
      (request) =>
        request.status?.state === undefined ? counted(askedOf(request), request.status ?? {}, [], now(), grant) : undefined,
      created,
    );
    if (begun === undefined) throw new Refusal('Unavailable', 'the request was removed at once');
    return this.#view(this.#wrote(begun));
  }

  #wrote(request: AccessRequest): AccessRequest {
    this.#own.add(request, this.#o.now());
    return request;
  }

  /** The agent asks for what people look at already; it is told how that stands. */
  async #again({ metadata: { namespace = '', name } }: AccessRequest): Promise<RequestView> {
    const request = await this.#o.store.change({ namespace, name }, ({ status = {} }) =>
      isOpen(status.state) ? { ...status, asked: (status.asked ?? 1) + 1 } : undefined,
    );
    if (request === undefined) throw new Refusal('Unavailable', 'the request was removed meanwhile');
    return this.#view(this.#wrote(request));
  }

  /** What people granted with the approval of one of the pod's requests, as the API server has it now. */
  async #grantFor(spec: RequestSpec, mine: readonly AccessRequest[]): Promise<Grant | undefined> {
    for (const granting of mine) {
      const { namespace = '', name } = granting.metadata;
      if (!isSameTemplate({ namespace, spec: granting.spec }, { namespace, spec })) continue;
      if (!isGranting(granting.status ?? {}, this.#o.now())) continue;
      const current = await this.#o.store.read({ namespace, name });
      const grant = current === undefined ? undefined : await this.#grantOf(current, { namespace, name });
      if (grant !== undefined) return grant;
    }
    return undefined;
  }

  async #grantOf(granting: AccessRequest, at: At): Promise<Grant | undefined> {
    const given = await this.#o.store.decisionsOn(at);
    return grantOf(at.name, askedOf(granting), granting.status ?? {}, given, this.#o.now());
  }

  /** Of a request that was granted: what it was granted with, if that still stands. */
  async #granted({ metadata: { namespace = '' }, spec: { grantedBy } }: AccessRequest): Promise<Grant | undefined> {
    if (grantedBy === undefined) return undefined;
    const at = { namespace, name: grantedBy };
    const granting = await this.#o.store.read(at);
    return granting === undefined ? undefined : await this.#grantOf(granting, at);
  }

  #specOf(identity: PodIdentity, question: Question, now: number): RequestSpec {
    const { agent, resources } = this.#enrolled(identity);
    const { namespace, name } = question.resource;
    const access = resources.find(
      ({ access: { resource } }) => resource.namespace === namespace && resource.name === name,
    )?.access;
    if (access === undefined) throw new Refusal('ApprovalUnavailable', 'the agent may not use the resource any more');
    const made = requestOf(question, agent, access, now);
    if (!made.ok) throw new Refusal(made.refusal.code, made.refusal.message);
    const parsed = RequestSpec.safeParse(made.spec);
    if (parsed.success) return parsed.data;
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new Refusal('ApprovalUnavailable', `what is asked for is not as an AccessRequest has it at spec.${where}`);
  }

  /** Lets an approved action run. Released is answered once, after it was written down. @throws Refusal */
  async release(identity: PodIdentity, { name, digest }: ReleaseRequest): Promise<RequestView> {
    this.#enrolled(identity);
    const at = { namespace: identity.namespace, name };
    const over = this.#over(identity, at);
    if (over !== undefined) return { ...this.#view(over), state: this.#free(over, over.status ?? {}, digest).answer };
    return await this.#turns.take(identity.podUid, this.#o.now(), () => this.#release(identity, at, digest));
  }

  async #release(identity: PodIdentity, at: At, digest: string): Promise<RequestView> {
    const { store, now } = this.#o;
    let answer: RequestView['state'] = 'Pending';
    const request = await store.change(at, async (current) => {
      own(current, identity);
      // A Deny that the API server has taken counts, whether an informer has brought it or not.
      const given = await store.decisionsOn(at);
      const before = current.status ?? {};
      const grant = await this.#granted(current);
      const freed = this.#free(current, counted(askedOf(current), before, given, now(), grant), digest);
      answer = freed.answer;
      return freed.status.state === before.state ? undefined : freed.status;
    });
    if (request === undefined) throw new Refusal('RequestUnknown', 'the request is not known');
    return { ...this.#view(this.#wrote(request)), state: answer };
  }

  /** What is answered, and what the request is from then on. */
  #free(request: AccessRequest, status: RequestStatus, digest: string): { answer: RequestView['state']; status: RequestStatus } {
    const asked = askedOf(request);
    const freed = release(asked, status, digest, this.#o.now(), this.#o.generationOf);
    if (freed.ok) return { answer: 'Released', status: freed.status };
    const voided = freed.state === 'Voided' ? ended(asked, status, { state: 'Voided' }, this.#o.now()) : undefined;
    return { answer: freed.state, status: voided ?? status };
  }

  /** Takes down what a request would meet: once, while it is open. @throws Refusal */
  async looked(identity: PodIdentity, { name, ...told }: LookedRequest): Promise<void> {
    const { contents } = this.#o;
    let kept: string | undefined;
    const undo = (): void => {
      if (kept !== undefined) contents.forget(kept);
      kept = undefined;
    };
    const next = (current: AccessRequest): RequestStatus | undefined => {
      undo();
      const status = looked(askedOf(current), current.status ?? {}, told);
      if (status === undefined) return undefined;
      // Before it is written: what ends the request from then on ends this too.
      kept = current.metadata.uid ?? '';
      contents.keep(kept, contentOf(told));
      return status;
    };
    await this.#change(identity, name, next).catch((error: unknown) => {
      undo();
      throw error;
    });
  }

  /** What approvers may see beside a request as it is now; a sentence where it is not there any more; undefined: there is nothing. */
  contentOf(request: AccessRequest): RequestContent | string | undefined {
    return this.#o.contents.of(request);
  }

  /** Takes down how a request ended for the one who asked. What cannot be changes nothing. @throws Refusal */
  async ended(identity: PodIdentity, end: EndRequest): Promise<void> {
    await this.#change(identity, end.name, (current) => ended(askedOf(current), current.status ?? {}, end, this.#o.now()));
  }

  /** Changes a request of this pod, in its turn. @throws Refusal */
  async #change(identity: PodIdentity, name: string, next: (current: AccessRequest) => RequestStatus | undefined): Promise<void> {
    this.#enrolled(identity);
    const at = { namespace: identity.namespace, name };
    await this.#turns.take(identity.podUid, this.#o.now(), async () => {
      const request = await this.#o.store.change(at, (current) => next(own(current, identity)));
      if (request === undefined) throw new Refusal('RequestUnknown', 'the request is not known');
      this.#wrote(request);
    });
  }

  /** What the informer knows to be over stays so, and needs no question to the API server. */
  #over(identity: PodIdentity, at: At): AccessRequest | undefined {
    const known = this.#o.known(at);
    return known === undefined || isOpen(known.status?.state) ? undefined : own(known, identity);
  }

  #enrolled({ podUid }: PodIdentity): NonNullable<ReturnType<SidecarHub['snapshotOf']>> {
    const snapshot = this.#o.hub.snapshotOf(podUid);
    if (snapshot === undefined) throw new Refusal('NotEnrolled', 'enrol first');
    return snapshot;
  }

  #view(request: AccessRequest): RequestView {
    return requestView(request, this.#o.now());
  }
}

/** What the one who asked is told of a request. */
export function requestView({ metadata, spec, status = {} }: AccessRequest, now: number): RequestView {
  const askedAt = Date.parse(metadata.annotations?.[ASKED_AT] ?? metadata.creationTimestamp ?? '');
  return viewOf(metadata.name, { spec }, status, Number.isNaN(askedAt) ? now : askedAt, now);
}

/** Another pod's request is not known to this one. */
function own(request: AccessRequest, { podUid }: PodIdentity): AccessRequest {
  if (request.spec.agent.podUid !== podUid) throw new Refusal('RequestUnknown', 'the request is not known');
  return request;
}

/** The request under the name of a question, which must be this pod's, and for what the question is for. */
function sameQuestion(request: AccessRequest, { podUid }: PodIdentity, { digest }: Question): AccessRequest {
  if (request.spec.agent.podUid !== podUid || request.spec.digest !== digest)
    throw new Refusal('ApprovalUnavailable', 'the name of the request is taken');
  return request;
}
