import type { AccessRequest } from '@chaperone/api';
import { isOpen } from '@chaperone/api/requests';
import { tally } from '@chaperone/policy';
import { z } from 'zod';
import type { SlackConfig } from './config.ts';
import { NotifyError } from './errors.ts';
import { parseJson } from './json.ts';
import { agentOf, stateOf } from './news.ts';
import type { SlackClient } from './slack-client.ts';
import { DENY_ACTION, outcomeOf, pageOf } from './slack-message.ts';
import { kubernetesUser } from './slack-people.ts';
import { type Distrust, SlackVerifier } from './slack-signature.ts';

export const MAX_ACTION_BYTES = 64 * 1024;
/** Presses that are worked on at once. */
const MAX_AT_ONCE = 16;
/** The rule may want a reason, and a button has no room for one: this says truly where it comes from. */
const REASON = 'Denied in Slack, without further words.';

export interface SlackRequest {
  readonly method: string;
  readonly contentType: string | undefined;
  readonly timestamp: string | undefined;
  readonly signature: string | undefined;
  readonly body: Buffer;
}
export interface SlackResponse {
  readonly status: 200 | 400 | 401 | 405 | 413 | 415 | 503;
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
  readonly reason: string;
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
}
export type ActionResult = Distrust | 'Malformed' | 'Ignored' | 'Busy' | 'NoSecret' | 'Denied' | 'Late' | 'Refused' | 'Failed';

const id = z.string().min(1).max(64);
const Payload = z.looseObject({
  type: z.string().max(64),
  team: z.looseObject({ id }).nullish(),
  user: z.looseObject({ id, team_id: id.optional() }).optional(),
  channel: z.looseObject({ id }).optional(),
  response_url: z.string().max(2048).optional(),
  actions: z
    .array(z.looseObject({ type: z.string().max(64), action_id: z.string().max(255), value: z.string().max(2000).optional() }))
    .max(25)
    .optional(),
});
type Payload = z.infer<typeof Payload>;
const DenyValue = z.strictObject({
  namespace: z.string().min(1).max(63),
  name: z.string().regex(/^ar-[a-z2-7]{16}$/),
  uid: id,
  digest: z.string().regex(/^[0-9a-f]{64}$/),
});
type DenyValue = z.infer<typeof DenyValue>;

interface Press {
  readonly user: string;
  readonly responseUrl: string | undefined;
  readonly value: DenyValue;
}

/** What pressing a button in Slack does: Deny denies, the link is only followed, everything else is nothing. */
export class SlackActions {
  readonly #o: SlackActionsOptions;
  readonly #now: () => number;
  readonly #verifier = new SlackVerifier();
  readonly #working = new Set<Promise<void>>();

  constructor(options: SlackActionsOptions) {
    this.#o = options;
    this.#now = options.now ?? Date.now;
  }

  /** Answers at once, as Slack waits 3 seconds; what becomes of it is told to the person alone. Never throws. */
  async handle(request: SlackRequest): Promise<SlackResponse> {
    const [status, result, press] = await this.#judge(request);
    if (press === undefined) {
      this.#o.onResult(result);
      return { status };
    }
    const work = this.#work(press).then(this.#o.onResult, (error: unknown) => {
      this.#o.onError(error);
      this.#o.onResult('Failed');
    });
    const done = work.finally(() => this.#working.delete(done));
    this.#working.add(done);
    return { status };
  }

  /** Resolves when what was pressed so far is done. */
  async idle(): Promise<void> {
    await Promise.all(this.#working);
  }

  async #judge(request: SlackRequest): Promise<readonly [SlackResponse['status'], ActionResult, Press?]> {
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
    const payload = parsePayload(request.body);
    if (payload === undefined) return [400, 'Malformed'];
    const press = pressOf(payload, this.#o.config);
    return press === undefined ? [200, 'Ignored'] : [200, 'Denied', press];
  }

  async #work(press: Press): Promise<ActionResult> {
    const { value } = press;
    try {
      const [result, text] = await this.#decide(press);
      await this.#tell(press, text);
      return result;
    } catch (error) {
      this.#o.onError(error);
      const why = error instanceof NotifyError ? 'Slack did not say who you are' : 'the cluster did not take it';
      await this.#tell(press, `Not denied: ${why}. Try again, or open ${pageOf(value, this.#o.config.consoleUrl)}`);
      return 'Failed';
    }
  }

  async #decide({ user, value: { namespace, name, uid, digest } }: Press): Promise<readonly [ActionResult, string]> {
    const { config, client, read, decide } = this.#o;
    const person = await kubernetesUser(client, user, config);
    if (!person.ok) return ['Refused', `Not denied: ${person.why}.`];
    const request = await read({ namespace, name });
    if (request?.metadata.uid !== uid || request.spec.digest !== digest)
      return ['Late', `${name} is gone. There is nothing to deny.`];
    if (!isOpen(request.status?.state)) return ['Late', `${name} is already decided. ${outcomeOf(request)}`];
    const groups = await person.groups(request);
    const decision: ChatDecision = {
      request: { namespace, name },
      uid,
      digest,
      decision: 'Deny',
      by: person.user,
      groups,
      reason: REASON,
    };
    const why = this.#uncounted(request, decision);
    if (why !== undefined)
      return ['Refused', `Not denied: ${why}. ${whoMay(request)} ${pageOf({ namespace, name }, config.consoleUrl)}`];
    const verdict = await decide(decision);
    if (!verdict.ok) return ['Refused', `Not denied: ${verdict.why}.`];
    return ['Denied', `Your Deny of ${name} is recorded, as ${person.user}. ${agentOf(request)} is told.`];
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
        reason: decision.reason,
      },
    };
    const asked = { namespace: metadata.namespace ?? '', uid: metadata.uid ?? '', spec };
    const [counted] = tally(asked, [given]).decisions;
    return counted?.counted === true ? undefined : (counted?.why ?? 'it would not count');
  }

  async #tell({ responseUrl }: Press, text: string): Promise<void> {
    if (responseUrl === undefined) return;
    await this.#o.client.whisper(responseUrl, text).catch(this.#o.onError);
  }
}

function parsePayload(body: Buffer): Payload | undefined {
  const fields = new URLSearchParams(body.toString('utf8')).getAll('payload');
  return fields.length === 1 ? Payload.safeParse(parseJson(fields[0] ?? '')).data : undefined;
}

/** A press of our Deny, in our channel, by somebody of our workspace; undefined for all else. */
function pressOf(payload: Payload, config: SlackActionsOptions['config']): Press | undefined {
  const { type, user, actions = [], response_url: responseUrl } = payload;
  const [action] = actions;
  if (type !== 'block_actions' || user === undefined || action === undefined || actions.length > 1) return undefined;
  if (action.type !== 'button' || action.action_id !== DENY_ACTION || !isHere(payload, config)) return undefined;
  const value = DenyValue.safeParse(parseJson(action.value ?? '')).data;
  return value === undefined ? undefined : { user: user.id, responseUrl, value };
}

function isHere(payload: Payload, { team, channel }: SlackActionsOptions['config']): boolean {
  const home = payload.user?.team_id ?? team;
  return payload.team?.id === team && payload.channel?.id === channel && home === team;
}

function whoMay(request: AccessRequest): string {
  const { rules } = request.spec;
  const groups = [...new Set(rules.flatMap((rule) => [...rule.groups, ...rule.all]))].map((group) => `group ${group}`);
  const users = [...new Set(rules.flatMap((rule) => rule.users))];
  const names = [...groups, ...users].slice(0, 8);
  return names.length === 0 ? `It ${stateOf(request) === 'Pending' ? 'waits' : 'is decided'}.` : `It asks ${names.join(', ')}.`;
}
