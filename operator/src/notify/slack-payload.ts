import { z } from 'zod';
import type { SlackConfig } from './config.ts';
import { parseJson } from './json.ts';
import { DENY_ACTION, type DenyValue } from './slack-message.ts';
import { DENY_VIEW, REASON_BLOCK, REASON_INPUT } from './slack-modal.ts';

const id = z.string().min(1).max(64);
const Payload = z.looseObject({
  type: z.string().max(64),
  team: z.looseObject({ id }).nullish(),
  user: z.looseObject({ id, team_id: id.optional() }).optional(),
  channel: z.looseObject({ id }).optional(),
  response_url: z.string().max(2048).optional(),
  trigger_id: z.string().max(255).optional(),
  actions: z
    .array(z.looseObject({ type: z.string().max(64), action_id: z.string().max(255), value: z.string().max(2000).optional() }))
    .max(25)
    .optional(),
  view: z
    .looseObject({
      type: z.string().max(64),
      callback_id: z.string().max(255).optional(),
      private_metadata: z.string().max(3000).optional(),
      state: z.looseObject({ values: z.record(z.string().max(255), z.record(z.string().max(255), z.unknown())) }).optional(),
    })
    .optional(),
});
type Payload = z.infer<typeof Payload>;
const Value: z.ZodType<DenyValue> = z.strictObject({
  namespace: z.string().min(1).max(63),
  name: z.string().regex(/^ar-[a-z2-7]{16}$/),
  uid: id,
  digest: z.string().regex(/^[0-9a-f]{64}$/),
});
const ReasonInput = z.looseObject({ type: z.literal('plain_text_input'), value: z.string().max(3000).nullish() });

/** The button was pressed: somebody wants to deny. */
export interface Press {
  readonly kind: 'press';
  readonly user: string;
  readonly value: DenyValue;
  readonly responseUrl: string | undefined;
  readonly triggerId: string | undefined;
}
/** The window was sent: they do, for this reason. */
export interface Submission {
  readonly kind: 'submission';
  readonly user: string;
  readonly value: DenyValue;
  /** As it was written; empty: nothing was. */
  readonly reason: string;
}

type Home = Pick<SlackConfig, 'channel' | 'team'>;

/** What somebody of our workspace did with our button or window; `foreign` all else, undefined what is no payload of Slack's. */
export function readPayload(body: Buffer, home: Home): Press | Submission | 'foreign' | undefined {
  const fields = new URLSearchParams(body.toString('utf8')).getAll('payload');
  const payload = fields.length === 1 ? Payload.safeParse(parseJson(fields[0] ?? '')).data : undefined;
  return payload && (pressOf(payload, home) ?? submissionOf(payload, home) ?? 'foreign');
}

function pressOf(payload: Payload, home: Home): Press | undefined {
  const { type, user, channel, actions = [], response_url: responseUrl, trigger_id: triggerId } = payload;
  const [action] = actions;
  if (type !== 'block_actions' || user === undefined || action === undefined || actions.length > 1) return undefined;
  if (action.type !== 'button' || action.action_id !== DENY_ACTION) return undefined;
  if (channel?.id !== home.channel || !isOfTeam(payload, home)) return undefined;
  const value = Value.safeParse(parseJson(action.value ?? '')).data;
  return value && { kind: 'press', user: user.id, value, responseUrl, triggerId };
}

function submissionOf(payload: Payload, home: Home): Submission | undefined {
  const { type, user, view } = payload;
  if (type !== 'view_submission' || user === undefined || !isOfTeam(payload, home)) return undefined;
  if (view?.type !== 'modal' || view.callback_id !== DENY_VIEW) return undefined;
  const value = Value.safeParse(parseJson(view.private_metadata ?? '')).data;
  const input = ReasonInput.safeParse(view.state?.values[REASON_BLOCK]?.[REASON_INPUT]).data;
  return value && input && { kind: 'submission', user: user.id, value, reason: input.value ?? '' };
}

function isOfTeam({ team, user }: Payload, home: Home): boolean {
  return team?.id === home.team && (user?.team_id ?? home.team) === home.team;
}
