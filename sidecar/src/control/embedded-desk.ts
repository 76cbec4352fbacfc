import {
  type AccessRequest,
  API_VERSION,
  type ApprovalDecision,
  DecisionSpec,
  KEPT_LOCALLY,
  type RequestStatus,
} from '@chaperone/api';
import { isGranting, isOpen } from '@chaperone/api/requests';
import {
  accessIn,
  answers,
  type Asked,
  AskLimit,
  contentOf,
  counted,
  type EndRequest,
  ended,
  type GenerationOf,
  type GivenDecision,
  type Grant,
  grantOf,
  isDrifted,
  isSameTemplate,
  lapsed,
  lapseOf,
  looked,
  type LookedRequest,
  type Question,
  release,
  type ReleaseRequest,
  requestOf,
  type RequestContent,
  type RequestView,
  revoked,
  type Snapshot,
  viewOf,
} from '@chaperone/policy';
import { randomUUID } from 'node:crypto';
import type { Clock } from '../platform.ts';
import { ApprovalError, type Approvals } from './approvals.ts';

/** Requests that are kept, for people to look at; the oldest that are over go first. */
const MAX_REQUESTS = 1000;
const MAX_DECISIONS = 64;
const CHECK_MS = 250;

export interface EmbeddedDeskOptions {
  readonly snapshot: () => Snapshot | undefined;
  readonly clock: Clock;
}

interface Entry extends Asked {
  readonly name: string;
  content: RequestContent;
  readonly askedAt: number;
  readonly given: GivenDecision[];
  status: RequestStatus;
  version: number;
}

/** Why a decision is not taken. */
export class DecisionError extends Error {
  override readonly name = 'DecisionError';
  readonly code: 'RequestUnknown' | 'AlreadyDecided' | 'DecisionInvalid' | 'NotAnApprover';
  constructor(code: DecisionError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Where people are asked in embedded mode, in memory: the operator's ApprovalDesk does it with objects of the cluster, which it reads and
 * writes with others at once. What becomes of a request is decided by the same functions of `policy`. Requests end with the process, and
 * so does everything that waits for them.
 */
export class EmbeddedDesk implements Approvals {
  readonly #o: EmbeddedDeskOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #limit = new AskLimit();
  readonly #listeners = new Set<(view: RequestView) => void>();
  readonly #watchers = new Set<(request: AccessRequest) => void>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: EmbeddedDeskOptions) {
    this.#o = options;
    this.#timer = setInterval(() => this.review(), CHECK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  ask(question: Question): Promise<RequestView> {
    return Promise.resolve().then(() => this.#ask(question));
  }

  #ask(question: Question): RequestView {
    this.review();
    const known = this.#entries.get(question.name) ?? this.#same(question);
    if (known !== undefined) {
      if (known.spec.digest !== question.digest)
        throw new ApprovalError('ApprovalUnavailable', 'the name of the request is taken');
      if (known.name !== question.name) this.#put(known, { ...known.status, asked: (known.status.asked ?? 1) + 1 });
      return this.#view(known);
    }
    const now = this.#o.clock.now();
    const snapshot = this.#o.snapshot();
    const access = snapshot?.resources.find(
      ({ access: { resource } }) =>
        resource.namespace === question.resource.namespace && resource.name === question.resource.name,
    )?.access;
    if (snapshot === undefined || access === undefined)
      throw new ApprovalError('ApprovalUnavailable', 'the agent may not use the resource any more');
    const made = requestOf(question, snapshot.agent, access, now);
    if (!made.ok) throw new ApprovalError('ApprovalUnavailable', made.refusal.message);
    const { namespace } = snapshot.agent;
    const grant = this.#grantFor({ namespace, spec: made.spec }, now);
    const open = [...this.#entries.values()].filter(({ status }) => isOpen(status.state)).length;
    const limited = grant === undefined ? this.#limit.spend(snapshot.agent.serviceAccount, open, now) : undefined;
    if (limited !== undefined) throw new ApprovalError('ApprovalUnavailable', limited);
    const entry: Entry = {
      name: question.name,
      namespace,
      uid: randomUUID(),
      spec: grant === undefined ? made.spec : { ...made.spec, grantedBy: grant.request },
      content: {},
      askedAt: now,
      given: [],
      status: {},
      version: 0,
    };
    this.#entries.set(entry.name, entry);
    this.#forget();
    this.#put(entry, this.#counted(entry, now));
    return this.#view(entry);
  }

  /** What people granted with the approval of an earlier request. */
  #grantFor(asked: Pick<Asked, 'namespace' | 'spec'>, now: number): Grant | undefined {
    for (const entry of this.#entries.values()) {
      if (!isSameTemplate(entry, asked)) continue;
      const grant = grantOf(entry.name, entry, entry.status, entry.given, now);
      if (grant !== undefined) return grant;
    }
    return undefined;
  }

  /** The status by what was decided so far, on it and on what it was granted with. */
  #counted(entry: Entry, now: number): RequestStatus {
    const granting = this.#entries.get(entry.spec.grantedBy ?? '');
    const grant = granting && grantOf(granting.name, granting, granting.status, granting.given, now);
    return counted(entry, entry.status, entry.given, now, grant);
  }

  /** An open request of this agent for the very same action; of one that does not wait, also what was denied and is not over. */
  #same({ digest }: Question): Entry | undefined {
    const now = this.#o.clock.now();
    return [...this.#entries.values()].find((entry) => answers(entry, entry.status, digest, now));
  }

  async looked({ name, ...told }: LookedRequest): Promise<void> {
    await Promise.resolve();
    const entry = this.#find(name);
    const status = looked(entry, entry.status, told);
    if (status === undefined) return;
    entry.content = contentOf(told);
    this.#put(entry, status);
  }

  release({ name, digest }: ReleaseRequest): Promise<RequestView> {
    return Promise.resolve().then(() => {
      const entry = this.#find(name);
      const now = this.#o.clock.now();
      const freed = release(
        entry,
        isOpen(entry.status.state) ? this.#counted(entry, now) : entry.status,
        digest,
        now,
        this.#generationOf(),
      );
      if (!freed.ok) return { ...this.#view(entry), state: freed.state };
      this.#put(entry, freed.status);
      return this.#view(entry);
    });
  }

  async ended(end: EndRequest): Promise<void> {
    await Promise.resolve();
    const entry = this.#find(end.name);
    const status = ended(entry, entry.status, end, this.#o.clock.now());
    if (status !== undefined) this.#put(entry, status);
  }

  onChange(listener: (view: RequestView) => void): void {
    this.#listeners.add(listener);
  }

  /** As kubectl shows them, the newest first. */
  list(): AccessRequest[] {
    this.review();
    return [...this.#entries.values()].toReversed().map(objectOf);
  }

  /** Rows that the action would have met when they were looked at, masked, and all of its text where the request is too small for it. */
  contentOf(name: string): RequestContent | undefined {
    return this.#entries.get(name)?.content;
  }

  /** Calls with every request that is new or changed, until the function that it returns is called. */
  watch(watcher: (request: AccessRequest) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /**
   * Takes one person's answer, as the API server takes an ApprovalDecision: `by` and `groups` are whoever the caller has verified.
   * @throws DecisionError
   */
  decide(spec: unknown): { decision: ApprovalDecision; request: AccessRequest } {
    this.review();
    const parsed = DecisionSpec.safeParse(spec);
    if (!parsed.success) throw new DecisionError('DecisionInvalid', parsed.error.issues[0]?.message ?? 'this is no decision');
    // Admission's part in a cluster: here nobody has checked a signature.
    if (parsed.data.attestation !== undefined)
      throw new DecisionError('DecisionInvalid', 'an answer cannot be signed here; remove attestation');
    const entry = this.#entries.get(parsed.data.request);
    if (entry === undefined) throw new DecisionError('RequestUnknown', `no request ${parsed.data.request} is known here`);
    const now = this.#o.clock.now();
    const revokes = takes(entry, parsed.data.decision, now) === 'revocation';
    const given = { name: `${entry.name}-${randomUUID().slice(0, 8)}`, at: new Date(now).toISOString(), spec: parsed.data };
    entry.given.push(given);
    const status = revokes ? revoked(entry, entry.status, entry.given, now) : this.#counted(entry, now);
    this.#put(entry, status ?? entry.status);
    const taken = entry.status.decisions?.find(({ name }) => name === given.name);
    const decision: ApprovalDecision = {
      apiVersion: API_VERSION,
      kind: 'ApprovalDecision',
      metadata: { name: given.name, namespace: entry.namespace, creationTimestamp: given.at },
      spec: given.spec,
      status: { counted: taken?.counted ?? false, ...(taken?.why !== undefined && { why: taken.why }) },
    };
    return { decision, request: objectOf(entry) };
  }

  #find(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new ApprovalError('RequestUnknown', 'the request is not known');
    return entry;
  }

  /**
   * Ends what nobody should decide any more: its time is over, or a policy that asked is another by now, or none; and what was granted
   * that reaches nothing any more.
   */
  review(): void {
    const now = this.#o.clock.now();
    const generationOf = this.#generationOf();
    for (const entry of this.#entries.values()) {
      if (!isOpen(entry.status.state)) {
        const why = lapseOf(entry, generationOf, accessIn(this.#o.snapshot(), entry.spec.resource));
        const status = why === undefined ? undefined : lapsed(entry.status, why, now);
        if (status !== undefined) this.#put(entry, status);
        continue;
      }
      if (now > Date.parse(entry.spec.expiresAt)) this.#put(entry, this.#counted(entry, now));
      else if (isDrifted(entry, generationOf))
        this.#put(entry, ended(entry, entry.status, { state: 'Voided' }, now) ?? entry.status);
    }
  }

  #generationOf(): GenerationOf {
    const policies = this.#o.snapshot()?.resources.flatMap(({ access }) => access.policies) ?? [];
    return (policy) => policies.find((each) => each.namespace === policy.namespace && each.name === policy.name)?.generation;
  }

  #put(entry: Entry, status: RequestStatus): void {
    entry.status = status;
    if (!isOpen(status.state)) entry.content = {};
    entry.version++;
    const view = this.#view(entry);
    for (const listener of this.#listeners) listener(view);
    const object = objectOf(entry);
    for (const watcher of this.#watchers) watcher(object);
  }

  #view(entry: Entry): RequestView {
    const view = viewOf(entry.name, entry, entry.status, entry.askedAt, this.#o.clock.now());
    // No API server took them from anybody.
    return { ...view, decisions: view.decisions.map((decision) => ({ ...decision, assurance: 'local' })) };
  }

  #forget(): void {
    for (const [name, { status }] of this.#entries) {
      if (this.#entries.size <= MAX_REQUESTS) return;
      if (!isOpen(status.state)) this.#entries.delete(name);
    }
  }
}

/** What a decision is to a request by now. @throws DecisionError AlreadyDecided */
function takes({ name, status, given }: Entry, decision: DecisionSpec['decision'], now: number): 'answer' | 'revocation' {
  const isFull = given.length >= MAX_DECISIONS;
  if (!isFull && isOpen(status.state)) return 'answer';
  if (!isFull && decision === 'Deny' && isGranting(status, now)) return 'revocation';
  throw new DecisionError('AlreadyDecided', `${name} is over: ${status.state ?? 'Pending'}`);
}

function objectOf({ name, namespace, uid, askedAt, spec, status, version }: Entry): AccessRequest {
  return {
    apiVersion: API_VERSION,
    kind: 'AccessRequest',
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion: String(version),
      creationTimestamp: new Date(askedAt).toISOString(),
      annotations: { [KEPT_LOCALLY]: 'true' },
    },
    spec,
    status,
  };
}
