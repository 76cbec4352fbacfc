import type { AccessRequest } from '@chaperone/api';
import { heldEffects, isOpen, minutesText, rulesThatAsk, typedObject } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { serverNow } from '../server.ts';
import { counted } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import type { Act, Saying } from './attempt.ts';
import { GrantChoice } from './grant-choice.tsx';
import type { LiveViewer } from './live.ts';

const MAX_REASON = 1024;
/** Presses that come with what opened the panel, or while things moved, do not count, and are seen not to. */
const ARM_MS = 400;
/** What the collector takes for a reason. */
const SAYS_SOMETHING = /[\p{L}\p{N}]/u;

export interface PanelProps {
  readonly request: AccessRequest;
  readonly viewer: LiveViewer;
  readonly decision: Act;
  /** Why nothing can be sent now. */
  readonly blocked: string | undefined;
  readonly isSending: boolean;
  readonly onSend: (saying: Saying) => void;
  readonly onCancel: () => void;
}

/** The second act of a decision: why, and the button that says what it does. Enter sends nothing; Ctrl or ⌘ and Enter does. */
export function Panel({ request, viewer, decision, blocked, isSending, onSend, onCancel }: PanelProps): JSX.Element {
  const id = useId();
  const [reason, setReason] = useState('');
  const [typed, setTyped] = useState('');
  const [grantFor, setGrantFor] = useState(0);
  const [missing, setMissing] = useState<'reason' | 'name'>();
  const reasonField = useRef<HTMLTextAreaElement>(null);
  const nameField = useRef<HTMLInputElement>(null);
  const isArmed = useArmed(JSON.stringify([decision, request.status]));
  const wantsReason = rulesThatAsk(request, viewer, serverNow()).some((rule) => rule.reason);
  // What is counted meanwhile takes no field from under the hand that types in it.
  const [name] = useState(() => (decision === 'Approve' ? typedObject(request) : undefined));
  useLayoutEffect(() => (nameField.current ?? reasonField.current)?.focus({ preventScroll: true }), []);

  const send = (): void => {
    if (!isArmed || isSending || blocked !== undefined) return;
    if (name !== undefined && typed.trim() !== name) {
      setMissing('name');
      nameField.current?.focus();
    } else if (wantsReason && !SAYS_SOMETHING.test(reason)) {
      setMissing('reason');
      reasonField.current?.focus();
    } else onSend({ reason: reason.replace(/\s+/g, ' ').trim(), grantFor });
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
      <h2 id={`${id}-title`}>{questionText(request, decision, grantFor)}</h2>
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
          <span>Reason{reasonText(decision, wantsReason)}</span>
          <textarea
            ref={reasonField}
            rows={2}
            value={reason}
            maxLength={MAX_REASON}
            onInput={(event) => setReason(event.currentTarget.value)}
            {...(missing === 'reason' ? { 'aria-invalid': true, 'aria-describedby': `${id}-missing` } : {})}
          />
        </label>
        {decision === 'Approve' && (
          <GrantChoice request={request} isLast={isLast(request)} chosen={grantFor} onChoose={setGrantFor} />
        )}
        <p class="missing" id={`${id}-missing`} role="alert">
          {missing === 'name' && 'That is not the name.'}
          {missing === 'reason' && 'The rule wants a reason.'}
        </p>
      </div>
      <p class="finality">
        {blocked ?? finality(request, decision, grantFor)}
        <span class="sr"> Control and Enter sends it, Escape leaves it undecided.</span>
      </p>
      <div class="panel-buttons">
        <button type="button" class={decision === 'Approve' ? 'primary' : 'danger'} disabled={disabled} onClick={send}>
          {isSending ? 'Waiting for the server' : confirmText(request, decision, grantFor)}{' '}
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

function questionText(request: AccessRequest, decision: Act, grantFor: number): string {
  if (decision === 'Deny') return 'Deny it?';
  if (decision === 'Revoke') return 'End what it grants?';
  const often = grantFor === 0 ? 'once' : `and the same for ${minutesText(grantFor)}`;
  if (!isLast(request)) return `Approve it, ${often}?`;
  return request.spec.mode === 'hold' ? `Run it now, ${often}?` : `Let it run, ${often}, when the agent repeats it?`;
}

function reasonText(decision: Act, isWanted: boolean): string {
  const reader = decision === 'Revoke' ? 'people read it' : 'the agent reads it';
  return isWanted ? ` (the rule wants one; ${reader})` : ` (${reader}; may be empty)`;
}

function confirmText(request: AccessRequest, decision: Act, grantFor: number): string {
  if (decision === 'Revoke') return 'Revoke it';
  const [first, ...others] = heldEffects(request);
  const verb = first === undefined || !/^[a-z ]{1,40}$/.test(first.verb) ? 'it' : first.verb.toUpperCase();
  const count = request.status?.preview?.count;
  const what = `${verb}${others.length > 0 ? ` and ${others.length} more` : count === undefined ? '' : ` on ${counted(count, 'row')}`}`;
  if (decision === 'Deny') return `Deny ${what}`;
  const again = grantFor === 0 ? '' : `, and the same for ${minutesText(grantFor)}`;
  return `${isLast(request) && request.spec.mode === 'hold' ? 'Run' : 'Approve'} ${what}${again}`;
}

function finality(request: AccessRequest, decision: Act, grantFor: number): string {
  if (decision === 'Revoke')
    return `The next execution is asked for again. ${isOpen(request.status?.state) ? 'What has not run yet will not.' : 'What ran stays as it is.'}`;
  if (decision === 'Deny') return 'This cannot be taken back. The agent is told at once, with the reason.';
  if (!isLast(request)) return 'Others have to approve it too. You may still deny it while nothing ran.';
  if (grantFor > 0) return 'What runs cannot be taken back. What is granted can be ended at any time, on the page Grants.';
  return 'This cannot be taken back once it runs. Exactly what is shown runs, once.';
}
