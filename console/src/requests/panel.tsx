import type { AccessRequest } from '@chaperone/api';
import { heldEffects, rulesThatAsk, typedObject } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { serverNow } from '../server.ts';
import { counted } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import type { Decision } from './attempt.ts';
import type { LiveViewer } from './live.ts';

const MAX_REASON = 1024;
/** Presses that come with what opened the panel, or while things moved, do not count, and are seen not to. */
const ARM_MS = 400;
/** What the collector takes for a reason. */
const SAYS_SOMETHING = /[\p{L}\p{N}]/u;

export interface PanelProps {
  readonly request: AccessRequest;
  readonly viewer: LiveViewer;
  readonly decision: Decision;
  /** Why nothing can be sent now. */
  readonly blocked: string | undefined;
  readonly isSending: boolean;
  readonly onSend: (reason: string) => void;
  readonly onCancel: () => void;
}

/** The second act of a decision: why, and the button that says what it does. Enter sends nothing; Ctrl or ⌘ and Enter does. */
export function Panel({ request, viewer, decision, blocked, isSending, onSend, onCancel }: PanelProps): JSX.Element {
  const id = useId();
  const [reason, setReason] = useState('');
  const [typed, setTyped] = useState('');
  const [missing, setMissing] = useState<'reason' | 'name'>();
  const reasonField = useRef<HTMLTextAreaElement>(null);
  const nameField = useRef<HTMLInputElement>(null);
  const isArmed = useArmed(JSON.stringify([decision, request.status]));
  const wantsReason = rulesThatAsk(request, viewer, serverNow()).some((rule) => rule.reason);
  // What is counted meanwhile takes no field from under the hand that types in it.
  const [name] = useState(() => (decision === 'Approve' ? typedObject(request) : undefined));
  useLayoutEffect(() => reasonField.current?.focus({ preventScroll: true }), []);

  const send = (): void => {
    if (!isArmed || isSending || blocked !== undefined) return;
    if (name !== undefined && typed.trim() !== name) {
      setMissing('name');
      nameField.current?.focus();
    } else if (wantsReason && !SAYS_SOMETHING.test(reason)) {
      setMissing('reason');
      reasonField.current?.focus();
    } else onSend(reason.replace(/\s+/g, ' ').trim());
  };
  const press = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') onCancel();
    else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send();
    // A form would take Enter in its one line for a press.
    else if (event.key !== 'Enter' || event.target !== nameField.current) return;
    event.preventDefault();
  };
  const disabled = !isArmed || isSending || blocked !== undefined;
  return (
    <section class={`panel ${decision.toLowerCase()}`} aria-labelledby={`${id}-title`} onKeyDown={press}>
      <h2 id={`${id}-title`}>{decision === 'Approve' ? <Question request={request} /> : 'Deny it?'}</h2>
      <div class="fields">
        {name !== undefined && (
          <label>
            <span>
              This is not approved by a press: type <Recorded text={name} /> to approve it
            </span>
            <input
              ref={nameField}
              value={typed}
              autocomplete="off"
              autocapitalize="off"
              spellcheck={false}
              onInput={(event) => setTyped(event.currentTarget.value)}
              {...(missing === 'name' ? { 'aria-invalid': true, 'aria-describedby': `${id}-missing` } : {})}
            />
          </label>
        )}
        <label>
          <span>Reason{wantsReason ? ' (the rule wants one; the agent reads it)' : ' (the agent reads it; may be empty)'}</span>
          <textarea
            ref={reasonField}
            rows={2}
            value={reason}
            maxLength={MAX_REASON}
            onInput={(event) => setReason(event.currentTarget.value)}
            {...(missing === 'reason' ? { 'aria-invalid': true, 'aria-describedby': `${id}-missing` } : {})}
          />
        </label>
        <p class="missing" id={`${id}-missing`} role="alert">
          {missing === 'name' && 'That is not the name.'}
          {missing === 'reason' && 'The rule wants a reason.'}
        </p>
      </div>
      <p class="finality">
        {blocked ?? finality(request, decision)}
        <span class="sr"> Control and Enter sends it, Escape leaves it undecided.</span>
      </p>
      <div class="panel-buttons">
        <button type="button" class={decision === 'Approve' ? 'primary' : 'danger'} disabled={disabled} onClick={send}>
          {isSending ? 'Waiting for the server' : confirmText(request, decision)}{' '}
          <kbd aria-hidden="true" class="inline">
            Ctrl+Enter
          </kbd>
        </button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </section>
  );
}

function useArmed(what: string): boolean {
  const [armed, setArmed] = useState<string>();
  useEffect(() => {
    const timer = setTimeout(() => setArmed(what), ARM_MS);
    return () => clearTimeout(timer);
  }, [what]);
  return armed === what;
}

/** Whether one more approval is enough, as far as the votes tell. */
function isLast({ spec, status }: AccessRequest): boolean {
  const [given = 0, needed = 1] = (status?.votes ?? '0/1').split('/').map(Number);
  return needed - given <= 1 && spec.rules.length === 1 && spec.rules.every(({ all }) => all.length === 0);
}

function Question({ request }: { request: AccessRequest }): JSX.Element {
  const { mode } = request.spec;
  if (!isLast(request)) return <>Approve it once?</>;
  return <>{mode === 'hold' ? 'Run it now, once?' : 'Let it run, once, when the agent repeats it?'}</>;
}

function confirmText(request: AccessRequest, decision: Decision): string {
  const [first, ...others] = heldEffects(request);
  const verb = first === undefined || !/^[a-z ]{1,40}$/.test(first.verb) ? 'it' : first.verb.toUpperCase();
  const count = request.status?.preview?.count;
  const what = `${verb}${others.length > 0 ? ` and ${others.length} more` : count === undefined ? '' : ` on ${counted(count, 'row')}`}`;
  if (decision === 'Deny') return `Deny ${what}`;
  return `${isLast(request) && request.spec.mode === 'hold' ? 'Run' : 'Approve'} ${what}`;
}

function finality(request: AccessRequest, decision: Decision): string {
  if (decision === 'Deny') return 'This cannot be taken back. The agent is told at once, with the reason.';
  if (isLast(request)) return 'This cannot be taken back once it runs. Exactly what is shown runs, once.';
  return 'Others have to approve it too. You may still deny it while nothing ran.';
}
