import { type AccessRequest, shortDigest } from '@chaperone/api';
import { agentOf } from './news.ts';
import type { DenyValue } from './slack-message.ts';
import { plain, type PlainText, slackText } from './slack-text.ts';

/** Slack's own limits (docs.slack.dev, "View object" and Block Kit), in characters. */
const MAX = { title: 24, section: 3000, label: 2000, error: 1000 } as const;
/** Of a decision's reason. */
const MAX_REASON = 1024;

export const DENY_VIEW = 'chaperone_deny';
export const REASON_BLOCK = 'chaperone_reason';
export const REASON_INPUT = 'reason';

type ViewBlock =
  | { readonly type: 'section'; readonly text: PlainText }
  | {
      readonly type: 'input';
      readonly block_id: string;
      readonly optional: boolean;
      readonly label: PlainText;
      readonly element: {
        readonly type: 'plain_text_input';
        readonly action_id: string;
        readonly max_length: number;
        readonly focus_on_load: boolean;
      };
    };
export interface SlackView {
  readonly type: 'modal';
  readonly title: PlainText;
  readonly close: PlainText;
  readonly submit?: PlainText;
  readonly callback_id?: string;
  readonly private_metadata?: string;
  readonly blocks: readonly ViewBlock[];
}
/** What is answered to a window that was sent (docs.slack.dev, "Modals", response actions). */
export type ViewAnswer =
  | { readonly response_action: 'errors'; readonly errors: Readonly<Record<string, string>> }
  | { readonly response_action: 'update'; readonly view: SlackView };

/** Asks why. What the window is about comes back with it, and is believed no more than the button's. */
export function reasonView(request: AccessRequest, value: DenyValue, isRequired: boolean): SlackView {
  const { spec } = request;
  const what = `${agentOf(request)} asked: ${spec.sentence}, on ${spec.resource.namespace}/${spec.resource.name}.`;
  return {
    type: 'modal',
    callback_id: DENY_VIEW,
    private_metadata: JSON.stringify(value),
    title: plain('Deny the request', MAX.title),
    submit: plain('Deny', MAX.title),
    close: plain('Cancel', MAX.title),
    blocks: [
      { type: 'section', text: plain(what, MAX.section) },
      { type: 'section', text: plain(`${value.name}, digest ${shortDigest(spec.digest)}`, MAX.section) },
      {
        type: 'input',
        block_id: REASON_BLOCK,
        optional: !isRequired,
        label: plain('Why? The agent reads it.', MAX.label),
        element: { type: 'plain_text_input', action_id: REASON_INPUT, max_length: MAX_REASON, focus_on_load: true },
      },
    ],
  };
}

/** In place of the window: what became of it. */
export function doneAnswer(text: string): ViewAnswer {
  const blocks = [{ type: 'section', text: plain(text, MAX.section) }] as const;
  const view = { type: 'modal', title: plain('Denied', MAX.title), close: plain('Close', MAX.title), blocks } as const;
  return { response_action: 'update', view };
}

/** Within the window, which stays: why nothing came of it. */
export function errorAnswer(text: string): ViewAnswer {
  return { response_action: 'errors', errors: { [REASON_BLOCK]: slackText(text, MAX.error) } };
}
