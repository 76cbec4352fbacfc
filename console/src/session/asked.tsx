import { assuranceWords, clientText, objectText, resourceText } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { Change } from '../ui/change.tsx';
import { bytesOf, lengthOf, offsetOf } from '../time.ts';
import { Recorded, RecordedBlock } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';
import { Mark, verdictLook, VERDICT_WORDS } from '../ui/verdict.tsx';
import { type ActionRecord, type ApprovalRecord, standingOf } from './entries.ts';

/** What was asked, what was decided and by whom, and what it would do. */
export function Asked({ record, approval }: { record: ActionRecord; approval: ApprovalRecord | undefined }): JSX.Element {
  return (
    <>
      <Decision record={record} approval={approval} />
      {approval !== undefined && <People approval={approval} />}
      {record.text === undefined ? (
        <p class="notice">
          <Mark look="none" word={`The text was not kept: ${bytesOf(record.bytes)}.`} />
        </p>
      ) : (
        <RecordedBlock
          text={record.text}
          title={new TextEncoder().encode(record.text).length < record.bytes ? 'As it was recorded, of' : 'As it was asked'}
          bytes={record.bytes}
        />
      )}
      {record.kubernetes !== undefined && <Call call={record.kubernetes} />}
      <Parameters values={record.parameters} />
      <Effects record={record} />
    </>
  );
}

function Decision({ record, approval }: { record: ActionRecord; approval: ApprovalRecord | undefined }): JSX.Element {
  const { verdict, rule, reason, code, wouldDeny, at, mono } = record;
  const standing = standingOf(record, approval);
  return (
    <div class={`decision ${standing.look}`}>
      <p>
        <Mark {...standing} />
        {rule !== undefined && (
          <>
            {' '}
            by rule <Recorded text={rule} names />
          </>
        )}{' '}
        <span class="mute">
          {offsetOf(mono)} · <Time at={at} date="always" />
        </span>
      </p>
      {verdict !== 'allow' && (
        <p>
          <Recorded text={reason} /> <span class="mute">{code}</span>
        </p>
      )}
      {wouldDeny !== undefined && (
        <p>
          <Mark look="finding" word="Audit: enforced, this would be denied:" /> <Recorded text={wouldDeny.reason} />{' '}
          <span class="mute">{wouldDeny.code}</span>
        </p>
      )}
    </div>
  );
}

/** `, signed with a passkey`; nothing where the record does not say it. */
function sureWords(decision: { readonly assurance?: string | undefined; readonly via?: string | undefined }): string {
  const words = assuranceWords(decision);
  return words === undefined ? '' : `, ${words}`;
}

/** What people said, and that it ran only then. */
function People({ approval: { request, state, waitedMs, decisions, change } }: { approval: ApprovalRecord }): JSX.Element {
  return (
    <section>
      <h3>Approval</h3>
      <p>
        <Mark look={standingOf({ verdict: 'approve' }, { state }).look} word={state} /> after {lengthOf(waitedMs)}
        {request !== undefined && (
          <>
            {' '}
            · <Recorded text={request} names />
          </>
        )}
      </p>
      <ul class="facts">
        {decisions.map(({ by, decision, reason, ...sure }, at) => (
          <li key={at}>
            <Mark look={decision === 'Approve' ? 'allow' : 'deny'} word={decision} quiet /> by <Recorded text={by} names />
            {sureWords(sure)}
            {reason !== undefined && (
              <>
                {': '}
                <Recorded text={reason} />
              </>
            )}
          </li>
        ))}
      </ul>
      {change !== undefined && change.length > 0 && <Change lines={change} />}
    </section>
  );
}

/** What a request to the Kubernetes API is about. */
function Call({ call }: { call: NonNullable<ActionRecord['kubernetes']> }): JSX.Element {
  return (
    <section>
      <h3>Call</h3>
      <ul class="facts">
        <li>
          <Recorded text={call.verb} names frame={false} /> <Recorded text={resourceText(call)} names />{' '}
          <Recorded text={objectText(call)} names />
        </li>
        <li>
          <span class="mute">client, by its own word</span> <Recorded text={clientText(call)} />
          {call.run !== undefined && call.userAgent !== undefined && (
            <>
              {' '}
              <Recorded text={call.userAgent} />
            </>
          )}
        </li>
      </ul>
    </section>
  );
}

function Parameters({ values }: { values: readonly (string | null)[] | undefined }): JSX.Element | null {
  if (values === undefined || values.length === 0) return null;
  return (
    <section>
      <h3>Values</h3>
      <ul class="facts">
        {values.map((value, at) => (
          <li key={at}>
            <span class="mute">${at + 1}</span>{' '}
            {value === null ? <span class="none">NULL</span> : <Recorded text={value.replace(/^[tb]:/, '')} />}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Effects({ record: { effects } }: { record: ActionRecord }): JSX.Element | null {
  if (effects.length === 0) return null;
  return (
    <section>
      <h3>Effects</h3>
      <ul class="facts">
        {effects.map(({ verb, object, via, verdict, rule }, at) => (
          <li key={at}>
            <Mark look={verdictLook(verdict)} word={VERDICT_WORDS[verdict] ?? verdict} quiet /> {verb}{' '}
            {object !== '' && <Recorded text={object} names />}{' '}
            {via !== 'direct' && <span class="mute">through a {via === 'nested' ? 'nested statement' : via}</span>}
            {rule !== undefined && (
              <span class="mute">
                {' '}
                rule <Recorded text={rule} names frame={false} />
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
