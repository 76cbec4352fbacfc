import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto';
import { Agent as HttpsAgent } from 'node:https';
import { encodeNkey, type SignedCounter, type Signer } from '@chaperone/evidence';
import {
  CONTROL_PATHS,
  CONTROL_PROTOCOLS,
  type EnrolResponse,
  EnrolResponse as EnrolResponseSchema,
  enrolmentProof,
  type NatsAccess,
  NatsResponse,
  RequestView,
  type Snapshot,
  type CaptureRequest,
  type StreamLine,
  StreamLine as StreamLineSchema,
} from '@chaperone/policy';
import type { Clock, Logger } from '../platform.ts';
import { ApprovalError, type Approvals } from './approvals.ts';
import type { ControlPlane, Observation, Revoked } from './control-plane.ts';
import { newLeafKey } from './leaf-key.ts';
import { isBundle } from './operator-ca.ts';
import { call, linesOf, OperatorError, type OperatorEndpoint, readToken, send } from './operator-http.ts';

/** The operator says something at least every 20 s or so. */
const STALL_MS = 60_000;
const TIMEOUT_MS = 10_000;
const BACKOFF_MS = { first: 500, last: 30_000 } as const;
/** What the operator will not change its mind about soon. */
const FINAL: ReadonlySet<string> = new Set(['PodNotGoverned', 'PodNotInjected', 'NkeyMismatch', 'ProtocolUnsupported']);
const MAX_VALID_MS = 60 * 60_000;
const CHECK_MS = 250;
const REPORT_MS = 1_000;
const MAX_OBSERVATIONS = 64;

export interface OperatorControlOptions {
  readonly url: string;
  /** CA bundle that the operator's certificate is checked against until its first snapshot says another (PEM). */
  readonly ca: string;
  /** The operator said another, which counts from now on. */
  readonly onCa?: (bundle: string) => void;
  readonly tokenFile: string;
  readonly version: string;
  /** Protocols that are spoken, oldest first. Default: those of this release. */
  readonly protocols?: readonly number[];
  readonly nkey: Signer;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 0 to 1, for jitter. */
  readonly random?: () => number;
  readonly timings?: {
    readonly stallMs?: number;
    readonly timeoutMs?: number;
    readonly backoffMs?: { first: number; last: number };
  };
}

export interface OperatorControl extends ControlPlane {
  /** Resolves with the first enrolment; rejects when stopped before. */
  enrolled(): Promise<EnrolResponse>;
  /** Tells whether capture is proven; told again to an operator that this sidecar enrols with anew. */
  tellCapture(seen: CaptureRequest): void;
  /** Tells how much evidence there is; resolves once the operator keeps it. @throws OperatorError */
  tellCounter(signed: SignedCounter): Promise<void>;
  /** Broker access that is valid now: the last one, or a new one when two thirds of its time are over. @throws OperatorError */
  nats(): Promise<NatsAccess>;
  /** How it stands, for people: what is wrong, with its code, or undefined where the stream is up. */
  readonly problem: { readonly code: string; readonly message: string } | undefined;
}

/**
 * The control plane of a cluster. Enrols, then follows the operator's stream, for ever and with jittered backoff. A snapshot
 * holds for `validForMs` from the last line that was received; then {@link ControlPlane.current} is undefined, so no session
 * opens (PolicyStale), and after the same time again open ones are told to end. Policy, credentials and the TLS key are in
 * memory only. Nothing that is not in the protocol has an effect.
 */
export function openOperatorControl(options: OperatorControlOptions): OperatorControl {
  const control = new FromOperator(options);
  control.start();
  return control;
}

class FromOperator implements OperatorControl {
  readonly #o: OperatorControlOptions;
  #endpoint: OperatorEndpoint;
  readonly #leaf = newLeafKey();
  readonly #privateKey: KeyObject;
  readonly #stopping = new AbortController();
  /** A session waits for its counter: the connection is kept for the next one. */
  readonly #kept = new HttpsAgent({ keepAlive: true, maxSockets: 1 });
  readonly #onSnapshot: ((snapshot: Snapshot) => void)[] = [];
  readonly #onRevoke: ((revoked: Revoked) => void)[] = [];
  readonly #onRequest: ((view: RequestView) => void)[] = [];
  readonly #first = Promise.withResolvers<EnrolResponse>();
  readonly #observations = new Map<string, Observation>();
  readonly #timers: NodeJS.Timeout[] = [];
  #snapshot: Snapshot | undefined;
  #heardAt = 0;
  #validForMs = 0;
  #toldStale = false;
  /** With the authority that was trusted when it was asked for. */
  #nats: { access: NatsAccess; receivedAt: number; ca: string } | undefined;
  #enrolled = false;
  #reporting = false;
  #capture: CaptureRequest | undefined;
  /** What of it the operator has. */
  #captureTold: CaptureRequest | undefined;
  #problem: OperatorControl['problem'] = { code: 'OperatorUnreachable', message: 'the operator has not answered yet' };
  /** The problem that the log has last. */
  #told: string | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: OperatorControlOptions) {
    this.#o = options;
    this.#privateKey = createPrivateKey(this.#leaf.pem);
    const { url, ca, tokenFile, timings } = options;
    this.#endpoint = { url, ca, tokenFile, timeoutMs: timings?.timeoutMs ?? TIMEOUT_MS };
    this.#first.promise.catch(() => undefined);
  }

  get tlsKey(): string {
    return this.#leaf.pem;
  }
  get problem(): OperatorControl['problem'] {
    return this.#problem;
  }
  current(): Snapshot | undefined {
    return this.#age() <= this.#validForMs ? this.#snapshot : undefined;
  }
  onSnapshot(listener: (snapshot: Snapshot) => void): void {
    this.#onSnapshot.push(listener);
    const snapshot = this.current();
    if (snapshot !== undefined) listener(snapshot);
  }
  onRevoke(listener: (revoked: Revoked) => void): void {
    this.#onRevoke.push(listener);
  }
  enrolled(): Promise<EnrolResponse> {
    return this.#first.promise;
  }

  report(observation: Observation): void {
    const key = `${observation.resource.namespace}/${observation.resource.name} ${observation.type}`;
    this.#observations.delete(key);
    if (this.#observations.size < MAX_OBSERVATIONS) this.#observations.set(key, observation);
  }

  tellCapture(seen: CaptureRequest): void {
    this.#capture = seen;
    void this.#sendReports();
  }

  async tellCounter({ certificate, counter }: SignedCounter): Promise<void> {
    const { signal } = this.#stopping;
    await call(this.#endpoint, CONTROL_PATHS.counter, { body: { certificate, counter }, signal, agent: this.#kept });
  }

  closed(session: string): void {
    call(this.#endpoint, CONTROL_PATHS.closed, { body: { session }, signal: this.#stopping.signal }).catch((error: unknown) =>
      // Whoever ended it is told that nobody has said yet that it is over, and looks at its record.
      this.#o.logger.info('the end of a session was not told', { code: error instanceof OperatorError ? error.code : 'Unknown' }),
    );
  }

  readonly approvals: Approvals = {
    ask: (question) => this.#requested(CONTROL_PATHS.ask, question),
    looked: (told) => this.#tellOf(CONTROL_PATHS.looked, told),
    release: (request) => this.#requested(CONTROL_PATHS.release, request),
    ended: (end) => this.#tellOf(CONTROL_PATHS.ended, end),
    onChange: (listener) => {
      this.#onRequest.push(listener);
    },
  };

  async #tellOf(path: string, body: unknown): Promise<void> {
    await call(this.#endpoint, path, { body, signal: this.#stopping.signal }).catch(asApprovalError);
  }

  async #requested(path: string, body: unknown): Promise<RequestView> {
    const { signal } = this.#stopping;
    const view = await call(this.#endpoint, path, { body, schema: RequestView, signal }).catch(asApprovalError);
    return view ?? asApprovalError(new OperatorError('Garbage', 'the operator answered nothing'));
  }

  async nats(): Promise<NatsAccess> {
    const known = this.#nats;
    const now = this.#o.clock.now();
    const { ca } = this.#endpoint;
    const isDue = known === undefined || now >= known.receivedAt + ((known.access.expiresAt - known.receivedAt) * 2) / 3;
    // Without a log to believe it is of little use: that is asked for until it is known. Where somebody else signs, the broker's
    // certificate is soon another too.
    if (!isDue && known.access.log !== undefined && known.ca === ca) return known.access;
    const body = { nkey: encodeNkey(this.#o.nkey.publicKey) };
    const access = await call(this.#endpoint, CONTROL_PATHS.nats, { body, schema: NatsResponse, signal: this.#stopping.signal });
    if (access === undefined) throw new OperatorError('Garbage', 'the operator gave no broker access');
    this.#nats = { access, receivedAt: now, ca };
    return access;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#kept.destroy();
    for (const timer of this.#timers) clearInterval(timer);
    this.#first.reject(new OperatorError('Unreachable', 'stopped before it was enrolled'));
    await this.#running;
  }

  start(): void {
    this.#running = this.#follow();
    this.#timers.push(setInterval(() => this.#checkAge(), CHECK_MS).unref());
    this.#timers.push(setInterval(() => void this.#sendReports(), REPORT_MS).unref());
  }

  #age(): number {
    return this.#o.clock.monotonic() - this.#heardAt;
  }

  /** Enrol, stream, and again. */
  async #follow(): Promise<void> {
    const { first, last } = this.#o.timings?.backoffMs ?? BACKOFF_MS;
    let waitMs = first;
    while (!this.#stopping.signal.aborted) {
      let retryAfterS: number | undefined;
      try {
        if (!this.#enrolled) await this.#enrol();
        waitMs = first;
        await this.#stream();
      } catch (error) {
        const known =
          error instanceof OperatorError ? error : new OperatorError('Unreachable', 'the control plane failed', { cause: error });
        if (this.#stopping.signal.aborted) return;
        if (known.code === 'NotEnrolled') this.#enrolled = false;
        if (FINAL.has(known.code)) {
          waitMs = last;
          this.#lose(known.message);
        }
        retryAfterS = known.retryAfterS;
        this.#tell(known);
      }
      const jittered = waitMs * (0.5 + (this.#o.random ?? Math.random)() / 2);
      await this.#pause(Math.max(jittered, Math.min(60, retryAfterS ?? 0) * 1_000));
      waitMs = Math.min(last, waitMs * 2);
    }
  }

  /** The operator itself says that this pod has no rights. */
  #lose(message: string): void {
    if (this.#snapshot === undefined) return;
    this.#snapshot = undefined;
    for (const listener of this.#onRevoke) listener({ code: 'SessionEnded', reason: message });
  }

  #tell({ code, message }: OperatorError): void {
    const shown = ['Unreachable', 'Stalled', 'Garbage', 'Unavailable', 'Busy', 'NotLeader'].includes(code)
      ? 'OperatorUnreachable'
      : code;
    if (this.#told !== shown) this.#o.logger.warn('control plane', { code: shown, message });
    this.#told = shown;
    this.#problem = { code: shown, message };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#stopping;
      const timer = setTimeout(done, ms);
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      }
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }

  /** In the newest protocol that the operator speaks too: it may be of the release before, or after. */
  async #enrol(): Promise<void> {
    const protocols = this.#o.protocols ?? CONTROL_PROTOCOLS;
    for (const [at, protocol] of protocols.toReversed().entries()) {
      try {
        await this.#enrolIn(protocol);
        return;
      } catch (error) {
        const isRefused = error instanceof OperatorError && error.code === 'ProtocolUnsupported';
        if (!isRefused || at === protocols.length - 1) throw error;
      }
    }
  }

  async #enrolIn(protocol: number): Promise<void> {
    const token = await readToken(this.#endpoint);
    const tlsPublicKey = this.#leaf.publicKey.export({ type: 'spki', format: 'pem' });
    const proof = this.#o.nkey.sign(Buffer.from(enrolmentProof(token, tlsPublicKey)));
    const body = {
      protocol,
      version: this.#o.version,
      tlsPublicKey,
      nkey: encodeNkey(this.#o.nkey.publicKey),
      nkeyProof: Buffer.from(proof).toString('base64'),
    };
    const { signal } = this.#stopping;
    const answer = await call(this.#endpoint, CONTROL_PATHS.enrol, { body, schema: EnrolResponseSchema, token, signal });
    if (answer?.protocol !== protocol)
      throw new OperatorError('Garbage', 'the operator answered in no protocol that it was asked in');
    this.#adopt(answer.snapshot);
    this.#nats = { access: answer.nats, receivedAt: this.#o.clock.now(), ca: this.#endpoint.ca };
    this.#enrolled = true;
    this.#captureTold = undefined;
    this.#first.resolve(answer);
  }

  async #stream(): Promise<void> {
    const response = await send(this.#endpoint, { method: 'GET', path: CONTROL_PATHS.stream, signal: this.#stopping.signal });
    let revoked = false;
    for await (const line of linesOf(response, StreamLineSchema, this.#o.timings?.stallMs ?? STALL_MS)) {
      this.#problem = undefined;
      this.#told = undefined;
      revoked = line.type === 'revoke' ? revoked || line.session === undefined : false;
      this.#hear(line);
    }
    // The stream of a deleted pod ends with a revocation; what it granted must not outlive it.
    if (revoked) this.#snapshot = undefined;
  }

  #hear(line: StreamLine): void {
    if (line.type === 'snapshot') return this.#adopt(line.snapshot);
    if (line.type === 'heartbeat') {
      const wasStale = this.current() === undefined;
      this.#renew(line.validForMs);
      const snapshot = this.current();
      if (wasStale && snapshot !== undefined) for (const listener of this.#onSnapshot) listener(snapshot);
      return;
    }
    if (line.type === 'request') {
      for (const listener of this.#onRequest) listener(line.request);
      return;
    }
    const { code, reason, session, by } = line;
    const named = { ...(session !== undefined && { session }), ...(by !== undefined && { by }) };
    for (const listener of this.#onRevoke) listener({ code, reason, ...named });
  }

  #renew(validForMs: number): void {
    this.#heardAt = this.#o.clock.monotonic();
    this.#validForMs = Math.min(MAX_VALID_MS, Math.max(0, validForMs));
    this.#toldStale = false;
  }

  /** Who is trusted already says whom to trust next, before that one answers. @throws OperatorError Garbage */
  #trust(ca: string): void {
    if (ca === this.#endpoint.ca) return;
    if (!isBundle(ca)) throw new OperatorError('Garbage', 'the snapshot has no certificate authority');
    this.#endpoint = { ...this.#endpoint, ca };
    this.#o.onCa?.(ca);
  }

  /** @throws OperatorError Garbage where the certificate is not for our key, or no authority is named. */
  #adopt(snapshot: Snapshot): void {
    if (!belongsTo(snapshot.certificate, this.#privateKey))
      throw new OperatorError('Garbage', 'the certificate in the snapshot is not for the key of this pod');
    this.#trust(snapshot.ca);
    this.#snapshot = snapshot;
    this.#renew(snapshot.validForMs);
    for (const listener of this.#onSnapshot) listener(snapshot);
    void this.#acknowledge(snapshot.revision);
  }

  async #acknowledge(revision: string): Promise<void> {
    try {
      await call(this.#endpoint, CONTROL_PATHS.ack, { body: { revision }, signal: this.#stopping.signal });
    } catch (error) {
      // The operator shows this pod as not programmed, which is what people look at; the next snapshot is acknowledged anew.
      this.#o.logger.info('a snapshot was not acknowledged', { code: error instanceof OperatorError ? error.code : 'Unknown' });
    }
  }

  /** Tells open sessions to end once the snapshot has been stale for as long as it was valid. */
  #checkAge(): void {
    if (this.#snapshot === undefined || this.#toldStale || this.#age() <= 2 * this.#validForMs) return;
    this.#toldStale = true;
    const reason = 'the policy was not renewed by the operator in time';
    for (const listener of this.#onRevoke) listener({ code: 'PolicyStale', reason });
  }

  async #sendReports(): Promise<void> {
    const capture = this.#capture === this.#captureTold ? undefined : this.#capture;
    const batch = [...this.#observations];
    if (this.#reporting || !this.#enrolled || (capture === undefined && batch.length === 0)) return;
    this.#reporting = true;
    try {
      if (capture !== undefined) {
        await call(this.#endpoint, CONTROL_PATHS.capture, { body: capture, signal: this.#stopping.signal });
        this.#captureTold = capture;
      }
      if (batch.length === 0) return;
      const observations = batch.map(([, { message, ...rest }]) => ({ ...rest, message: message.slice(0, 512) }));
      await call(this.#endpoint, CONTROL_PATHS.report, { body: { observations }, signal: this.#stopping.signal });
      for (const [key, told] of batch) if (this.#observations.get(key) === told) this.#observations.delete(key);
    } catch {
      // Kept for the next round; newer observations replace older ones meanwhile.
    } finally {
      this.#reporting = false;
    }
  }
}

function asApprovalError(error: unknown): never {
  if (error instanceof OperatorError && (error.code === 'ApprovalUnavailable' || error.code === 'RequestUnknown'))
    throw new ApprovalError(error.code, error.message, { cause: error });
  throw new ApprovalError('Unreachable', 'whoever decides does not answer', { cause: error });
}

function belongsTo(certificate: string, key: KeyObject): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(key);
  } catch {
    return false;
  }
}
