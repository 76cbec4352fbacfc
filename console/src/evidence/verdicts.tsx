import type { JSX } from 'preact';
import { counted } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import { type Look, Mark } from '../ui/verdict.tsx';
import type { Verification } from '../verify/verification.ts';

const LOOKS: Readonly<Record<Verification['class'], Look>> = {
  sound: 'allow',
  endless: 'none',
  incomplete: 'finding',
  notWitnessed: 'finding',
  altered: 'deny',
};

/** What the verifier said of the file as a whole. What files say is hostile, their names too. */
export function FileVerdict({ name, word, class: kind, findings, counts }: Verification & { name: string }): JSX.Element {
  return (
    <>
      <p>
        <Recorded text={name} names /> <Mark look={LOOKS[kind]} word={word} />: <Recorded text={findings} frame={false} />
      </p>
      {counts.length > 0 && <p>{counts.map(([verdict, count]) => `${counted(count, 'session')} ${verdict}`).join(', ')}</p>}
    </>
  );
}

/** And of each session, what is wrong first. */
export function SessionVerdicts({ counts, sessions }: Verification): JSX.Element {
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  return (
    <>
      <ul class="verdicts-of" aria-label="Verdict of each session">
        {sessions.map((each) => (
          <li key={each.session}>
            <code>{each.session}</code> <Mark look={LOOKS[each.class]} word={each.word} />:{' '}
            <Recorded text={each.findings} frame={false} />
          </li>
        ))}
      </ul>
      {all > sessions.length && (
        <p class="mute">
          These are {sessions.length} of {all.toLocaleString('en')}, what is wrong first. <code>chaperone verify</code> tells all.
        </p>
      )}
    </>
  );
}
