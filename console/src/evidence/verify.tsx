import type { ComponentChildren, JSX } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { asServerError, auth, download, type ServerError } from '../server.ts';
import { createStore, useStore } from '../store.ts';
import { bytesOf } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import { startVerifier } from '../verify/start.ts';
import type { Answer, Question } from '../verify/verification.ts';
import { FileVerdict, SessionVerdicts } from './verdicts.tsx';

/** Of what is verified here: it is held in memory where it comes from the collector. */
const MAX_BYTES = 512 * 1024 * 1024;
/** Of a trust file, a policy or a checkpoint: the longest policy has 1,024 lines of keys of 1.8 kB. */
const MAX_TRUST_BYTES = 2 * 1024 * 1024;

/** What a person brought to believe, for as long as the page is open: kept nowhere, and asked of nobody. */
const trustText = createStore('');
const policyText = createStore('');

type State =
  | { readonly step: 'asked' }
  | { readonly step: 'fetching' | 'verifying'; readonly bytes: number; readonly of?: number }
  | { readonly step: 'answered'; readonly name: string; readonly answer: Exclude<Answer, { kind: 'progress' }> }
  | { readonly step: 'refused'; readonly error: ServerError }
  | { readonly step: 'too large' };

/** Verifies a file that a person has, or `session` as the collector exports it, in the browser: nothing of it is sent anywhere. */
export function Verify({ session }: { session: string | undefined }): JSX.Element {
  const [file, setFile] = useState<File>();
  const [since, setSince] = useState<File>();
  const [state, setState] = useState<State>({ step: 'asked' });
  const [trust, policy] = [useStore(trustText), useStore(policyText)];
  const stop = useRef<() => void>(() => undefined);
  const end = (): void => stop.current();
  // What was asked for is another thing now, of which nothing was said; or nobody looks any more. Before anybody can press Verify.
  useLayoutEffect(() => {
    setState({ step: 'asked' });
    return end;
  }, [session, file, since, trust, policy]);
  const evidence = session === undefined ? file : session;
  const isRunning = state.step === 'fetching' || state.step === 'verifying';
  const verify = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (evidence === undefined || isRunning) return;
    const aborted = new AbortController();
    stop.current = () => aborted.abort();
    try {
      const blob = typeof evidence === 'string' ? await fetched(evidence, aborted.signal, setState) : evidence;
      if (blob.size > MAX_BYTES || (since?.size ?? 0) > MAX_TRUST_BYTES) {
        setState({ step: 'too large' });
        return;
      }
      const question: Question = {
        evidence: blob,
        trust,
        policy,
        ...(since === undefined ? {} : { since }),
        ...(session === undefined ? {} : { session }),
      };
      setState({ step: 'verifying', bytes: 0, of: blob.size });
      stop.current = startVerifier(question, (answer) =>
        setState(
          answer.kind === 'progress'
            ? { step: 'verifying', bytes: answer.bytes, of: blob.size }
            : { step: 'answered', name: typeof evidence === 'string' ? `${evidence}.evidence` : evidence.name, answer },
        ),
      );
    } catch (error) {
      const refused = asServerError(error);
      if (aborted.signal.aborted) return;
      setState(refused.code === 'LimitExceeded' ? { step: 'too large' } : { step: 'refused', error: refused });
    }
  };
  const cancel = (): void => {
    end();
    setState({ step: 'asked' });
  };
  return (
    <form class="verify" onSubmit={(event) => void verify(event)}>
      <p class="mute">
        All of it happens in this browser; nothing is sent anywhere. A verdict rests on your own copies of the trust file and the
        trust policy, which you took from the installation once. This page asks the collector for neither: it is what is checked.
        Who does not trust the page itself, which comes from the collector too, runs <code>chaperone verify</code> elsewhere.
      </p>
      <fieldset disabled={isRunning}>
        {session === undefined ? (
          <Picked label="Evidence file" onPick={setFile} />
        ) : (
          <p>
            Session <code>{session}</code>, as this collector exports it to you, which the log records.{' '}
            <a href="/evidence">Choose a file instead</a>
          </p>
        )}
        <Text
          label="Trust file"
          hint='{"origin": "…", "enrolmentKeys": ["…"]}'
          text={trust}
          onText={(text) => trustText.set(text)}
        />
        <Text label="Trust policy" hint="log …, witness …, quorum …" text={policy} onText={(text) => policyText.set(text)} />
        <Picked label="A checkpoint that you kept, if you have one" onPick={setSince} />
      </fieldset>
      <p>
        <button type="submit" class="primary" disabled={isRunning || evidence === undefined || trust === '' || policy === ''}>
          Verify
        </button>{' '}
        {isRunning && (
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        )}
      </p>
      {isRunning && <Progress state={state} />}
      <div role="status">
        <Outcome state={state} />
      </div>
      {state.step === 'answered' && state.answer.kind === 'verified' && <SessionVerdicts {...state.answer.verification} />}
    </form>
  );
}

function fetched(session: string, signal: AbortSignal, hear: (state: State) => void): Promise<Blob> {
  hear({ step: 'fetching', bytes: 0 });
  const path = `/v1/evidence?session=${encodeURIComponent(session)}`;
  return download(path, MAX_BYTES, signal, (bytes) => hear({ step: 'fetching', bytes }));
}

function Progress({ state }: { state: State & { step: 'fetching' | 'verifying' } }): JSX.Element {
  const { step, bytes, of } = state;
  const word = step === 'fetching' ? 'Fetching' : 'Verifying';
  return (
    <p>
      <progress aria-label={word} {...(of === undefined ? {} : { value: bytes, max: of })} />{' '}
      <span class="mute">
        {word}: {bytesOf(bytes)}
        {of !== undefined && ` of ${bytesOf(of)}`}
      </span>
    </p>
  );
}

const UNREAD: Readonly<Record<string, string>> = {
  trust: 'The trust file cannot be used:',
  policy: 'The trust policy cannot be used:',
  since: 'The checkpoint that was kept cannot be used:',
  evidence: 'Nothing was verified:',
};

function Outcome({ state }: { state: State }): JSX.Element | null {
  const place = useStore(auth)?.place ?? '';
  if (state.step === 'too large')
    return (
      <Failed>
        It is larger than the {bytesOf(MAX_BYTES)} that this page takes (a checkpoint: {bytesOf(MAX_TRUST_BYTES)}).{' '}
        <code>chaperone verify</code> takes any size.
      </Failed>
    );
  if (state.step === 'refused')
    return (
      <Failed>
        The collector did not export it: {state.error.message} ({state.error.code}). <code>chaperone export{place}</code> says
        more.
      </Failed>
    );
  if (state.step !== 'answered') return null;
  const { name, answer } = state;
  if (answer.kind === 'verified') return <FileVerdict name={name} {...answer.verification} />;
  return (
    <Failed>
      {UNREAD[answer.what]} <Recorded text={answer.message} frame={false} />
    </Failed>
  );
}

function Failed({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <p class="notice">
      <span aria-hidden="true">⚠</span> {children}
    </p>
  );
}

function Picked({ label, onPick }: { label: string; onPick: (file: File | undefined) => void }): JSX.Element {
  return (
    <label>
      <span>{label}</span>
      <input type="file" onChange={({ currentTarget }) => onPick(currentTarget.files?.[0])} />
    </label>
  );
}

interface TextProps {
  readonly label: string;
  readonly hint: string;
  readonly text: string;
  readonly onText: (text: string) => void;
}

/** A text that is pasted, or read from a file into the same place, where it can be looked at. */
function Text({ label, hint, text, onText }: TextProps): JSX.Element {
  const id = useId();
  const [wrong, setWrong] = useState('');
  const pick = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    const read = file.size > MAX_TRUST_BYTES ? undefined : await file.text().catch(() => undefined);
    setWrong(read === undefined ? 'This file is too large, or cannot be read.' : '');
    if (read !== undefined) onText(read);
  };
  return (
    <div>
      <label for={id}>{label}</label>
      <textarea
        id={id}
        rows={3}
        spellcheck={false}
        autocomplete="off"
        placeholder={hint}
        maxLength={MAX_TRUST_BYTES}
        value={text}
        onInput={({ currentTarget }) => onText(currentTarget.value)}
      />
      <input
        type="file"
        aria-label={`${label}, from a file`}
        onChange={({ currentTarget }) => void pick(currentTarget.files?.[0])}
      />
      <span role="status">{wrong}</span>
    </div>
  );
}
