import { type AccessRequest, DecisionSpec } from '@chaperone/api';
import { isOpen, rulesThatAsk } from '@chaperone/api/requests';
import { tally } from '@chaperone/policy';
import type { SlackConfig } from './config.ts';
import { NotifyError } from './errors.ts';
import { agentOf, stateOf } from './news.ts';
import type { SlackClient } from './slack-client.ts';
import { type DenyValue, outcomeOf, pageOf } from './slack-message.ts';
import { doneAnswer, errorAnswer, reasonView, type ViewAnswer } from './slack-modal.ts';
import { type Press, readPayload, type Submission } from './slack-payload.ts';
import { kubernetesUser } from './slack-people.ts';
import { type Distrust, SlackVerifier } from './slack-signature.ts';

export const MAX_ACTION_BYTES = 64 * 1024;
/** Presses that are worked on at once. */
const MAX_AT_ONCE = 16;
/** Slack takes an answer to a window for 3 seconds (docs.slack.dev, "Modals"). */
const PATIENCE_MS = 2_500;
const LATE = 'This takes longer than Slack waits. It may be denied yet: look at the message before you try again.';
/** Stands for the reason while it is not written. */
const TO_COME = 'a reason';

export interface SlackRequest {
  readonly method: string;
  readonly contentType: string | undefined;
  readonly timestamp: string | undefined;
  readonly signature: string | undefined;
  readonly body: Buffer;
}
export interface SlackResponse {
  readonly status: 200 | 400 | 401 | 405 | 413 | 415 | 503;
  /** Sent as JSON, where there is one. */
  readonly body?: ViewAnswer;
}

/** A person's Deny, as chat knows it. Whoever takes it has to check their right by SubjectAccessReview. */
export interface ChatDecision {
  readonly request: { readonly namespace: string; readonly name: string };
  readonly uid: string;
  readonly digest: string;
  readonly decision: 'Deny';
  /** Name of the person in the cluster. */
  readonly by: string;
  /** Of the groups that the rules ask for, those that Slack says the person is in. */
  readonly groups: readonly string[];
  /** Undefined: none was given, where no rule wants one. */
  readonly reason: string | undefined;
}
export type ChatVerdict = { readonly ok: true } | { readonly ok: false; readonly why: string };

export interface SlackActionsOptions {
  readonly config: Pick<SlackConfig, 'channel' | 'team' | 'user' | 'groups' | 'consoleUrl'>;
  readonly signingSecret: () => Promise<string>;
  readonly client: SlackClient;
  /** The request as the API server has it now. */
  readonly read: (at: { readonly namespace: string; readonly name: string }) => Promise<AccessRequest | undefined>;
  readonly decide: (decision: ChatDecision) => Promise<ChatVerdict>;
  readonly onResult: (result: ActionResult) => void;
  readonly onError: (error: unknown) => void;
  readonly now?: (() => number) | undefined;
  readonly patienceMs?: number | undefined;
}
export type ActionResult =
  | Distrust
  | 'Malformed'
  | 'Ignored'
  | 'Busy'
  | 'NoSecret'
  | 'Opened'
  | 'Denied'
  | 'Late'
  | 'Refused'
  | 'Failed';

type Weighed =
  | { readonly request: AccessRequest; readonly decision: ChatDecision }
  | { readonly refused: 'Late' | 'Refused'; readonly text: string };

/** What pressing a button in Slack does: Deny asks for a reason and denies, the link is only followed, everything else is nothing. */
export class SlackActions {
  readonly #o: SlackActionsOptions;
  readonly #now: () => number;
  readonly #verifier = new SlackVerifier();
  readonly #working = new Set<Promise<void>>();

  constructor(options: SlackActionsOptions) {
    this.#o = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Answers a press at once, and a window that was sent once it is decided or Slack would wait no longer (3 seconds). What becomes of it
   * is told to the person alone. Never throws.
   */
  async handle(request: SlackRequest): Promise<SlackResponse> {
    const [status, result, deed] = await this.#judge(request);
    if (deed === undefined) {
      this.#o.onResult(result);
      return { status };
    }
    if (deed.kind === 'press') {
      this.#start(this.#press(deed));
      return { status };
    }
    const { promise, resolve } = Promise.withResolvers<ViewAnswer>();
    const timer = setTimeout(() => resolve(errorAnswer(LATE)), this.#o.patienceMs ?? PATIENCE_MS);
    this.#start(this.#submit(deed, resolve));
    const body = await promise;
    clearTimeout(timer);
    return { status, body };
  }

  /** Resolves when what was pressed so far is done. */
  async idle(): Promise<void> {
    await Promise.all(this.#working);
  }

  #start(work: Promise<ActionResult>): void {
    const done = work.then(this.#o.onResult).finally(() => this.#working.delete(done));
    this.#working.add(done);
  }

  async #judge(request: SlackRequest): Promise<readonly [SlackResponse['status'], ActionResult, (Press | Submission)?]> {
    if (request.method !== 'POST') return [405, 'Malformed'];
    if (request.body.length > MAX_ACTION_BYTES) return [413, 'Malformed'];
    if (this.#working.size >= MAX_AT_ONCE) return [503, 'Busy'];
    let secret: string;
    try {
      secret = await this.#o.signingSecret();
    } catch (error) {
      this.#o.onError(error);
      return [503, 'NoSecret'];
    }
    const distrust = this.#verifier.refuse(request, secret, this.#now());
    if (distrust !== undefined) return [401, distrust];
    if (request.contentType?.split(';')[0]?.trim().toLowerCase() !== 'application/x-www-form-urlencoded')
      return [415, 'Malformed'];
    const deed = readPayload(request.body, this.#o.config);
    if (deed === undefined) return [400, 'Malformed'];
    return deed === 'foreign' ? [200, 'Ignored'] : [200, 'Denied', deed];
  }

  /** Asks for the reason, of whom it could count. */
  async #press(press: Press): Promise<ActionResult> {
    const { user, value, triggerId } = press;
    let failed = 'Slack did not say who you are';
    try {
      const weighed = await this.#weigh(user, value, TO_COME);
      if ('refused' in weighed) return await this.#tell(press, weighed.refused, weighed.text);
      const { request, decision } = weighed;
      const asking = rulesThatAsk(request, { user: decision.by, groups: decision.groups }, this.#now());
      failed = 'Slack opened no window for the reason';
      if (triggerId === undefined) throw new NotifyError('Refused', 'a press has no trigger_id');
      const isRequired = asking.some(({ reason }) => reason);
      await this.#o.client.open(triggerId, reasonView(request, value, isRequired));
      return 'Opened';
    } catch (error) {
      return await this.#tell(press, 'Failed', this.#failure(error, failed, value));
    }
  }

  /** Denies, if it still may; `answer` is given before anything is waited for any more. Nothing that the press was judged by is believed. */
  async #submit({ user, value, reason: written }: Submission, answer: (answer: ViewAnswer) => void): Promise<ActionResult> {
    try {
      const reason = written.trim() === '' ? undefined : written.trim();
      if (!DecisionSpec.shape.reason.safeParse(reason).success) {
        answer(errorAnswer('Not denied: write the reason on one line, in at most 1024 characters.'));
        return 'Refused';
      }
      const weighed = await this.#weigh(user, value, reason);
      if ('refused' in weighed) {
        answer(errorAnswer(weighed.text));
        return weighed.refused;
      }
      const { request, decision } = weighed;
      const verdict = await this.#o.decide(decision);
      if (!verdict.ok) {
        answer(errorAnswer(`Not denied: ${verdict.why}.`));
        return 'Refused';
      }
      answer(doneAnswer(`Your Deny of ${value.name} is recorded, as ${decision.by}. ${agentOf(request)} is told.`));
      return 'Denied';
    } catch (error) {
      answer(errorAnswer(this.#failure(error, 'Slack did not say who you are', value)));
      return 'Failed';
    }
  }

  #failure(error: unknown, ofSlack: string, value: DenyValue): string {
    this.#o.onError(error);
    const why = error instanceof NotifyError ? ofSlack : 'the cluster did not take it';
    return `Not denied: ${why}. Try again, or open ${pageOf(value, this.#o.config.consoleUrl)}`;
  }

  /** What this person's Deny would be, if it would count. */
  async #weigh(user: string, { namespace, name, uid, digest }: DenyValue, reason: string | undefined): Promise<Weighed> {
    const { config, client, read } = this.#o;
    const person = await kubernetesUser(client, user, config);
    if (!person.ok) return { refused: 'Refused', text: `Not denied: ${person.why}.` };
    const request = await read({ namespace, name });
    if (request?.metadata.uid !== uid || request.spec.digest !== digest)
      return { refused: 'Late', text: `${name} is gone. There is nothing to deny.` };
    if (!isOpen(request.status?.state)) return { refused: 'Late', text: `${name} is already decided. ${outcomeOf(request)}` };
    const groups = await person.groups(request);
    const at = { namespace, name };
    const decision: ChatDecision = { request: at, uid, digest, decision: 'Deny', by: person.user, groups, reason };
    const why = this.#uncounted(request, decision);
    if (why === undefined) return { request, decision };
    return { refused: 'Refused', text: `Not denied: ${why}. ${whoMay(request)} ${pageOf(at, config.consoleUrl)}` };
  }

  /** Why the decision would not count, by the rule that counts it. */
  #uncounted({ metadata, spec }: AccessRequest, { by, groups, ...decision }: ChatDecision): string | undefined {
    const given = {
      name: 'slack',
      at: new Date(this.#now()).toISOString(),
      spec: {
        request: decision.request.name,
        requestUid: decision.uid,
        digest: decision.digest,
        decision: decision.decision,
        by,
        groups: [...groups],
        ...(decision.reason !== undefined && { reason: decision.reason }),
      },
    };
    const asked = { namespace: metadata.namespace ?? '', uid: metadata.uid ?? '', spec };
    const [counted] = tally(asked, [given]).decisions;
    return counted?.counted === true ? undefined : (counted?.why ?? 'it would not count');
  }

  async #tell({ responseUrl }: Press, result: ActionResult, text: string): Promise<ActionResult> {
    if (responseUrl !== undefined) await this.#o.client.whisper(responseUrl, text).catch(this.#o.onError);
    return result;
  }
}

function whoMay(request: AccessRequest): string {
  const { rules } = request.spec;
  const groups = [...new Set(rules.flatMap((rule) => [...rule.groups, ...rule.all]))].map((group) => `group ${group}`);
  const users = [...new Set(rules.flatMap((rule) => rule.users))];
  const names = [...groups, ...users].slice(0, 8);
  return names.length === 0 ? `It ${stateOf(request) === 'Pending' ? 'waits' : 'is decided'}.` : `It asks ${names.join(', ')}.`;
}
