import type { SessionSummary } from '@chaperone/evidence';
import type { JSX } from 'preact';

export type Look = 'allow' | 'deny' | 'held' | 'mask' | 'finding' | 'none' | 'live';
const GLYPHS: Readonly<Record<Look, string>> = {
  allow: '✓',
  deny: '⊘',
  held: '⧗',
  mask: '▒',
  finding: '⚠',
  none: '◌',
  live: '●',
};

/** A word with its glyph; neither colour nor glyph says anything alone. */
export function Mark({ look, word, quiet = false }: { look: Look; word: string; quiet?: boolean }): JSX.Element {
  return (
    <span class={`mark ${look}`}>
      <span aria-hidden="true">{GLYPHS[look]}</span>
      {quiet ? <span class="sr">{word}</span> : ` ${word}`}
    </span>
  );
}

/** A number with a glyph in place of its word, which readers hear. */
export function Tally({ look, count, word }: { look: Look; count: number; word: string }): JSX.Element | null {
  if (count === 0) return null;
  return (
    <span class={`mark ${look}`} title={`${count.toLocaleString('en')} ${word}`}>
      {count.toLocaleString('en')}
      <span aria-hidden="true" class="tally-glyph">
        {GLYPHS[look]}
      </span>
      <span class="sr"> {word}</span>
    </span>
  );
}

export function verdictLook(verdict: string): Look {
  if (verdict === 'allow') return 'allow';
  return verdict === 'approve' ? 'held' : 'deny';
}

export const VERDICT_WORDS: Readonly<Record<string, string>> = { allow: 'allowed', deny: 'denied', approve: 'held' };

/** What of a session's evidence is here. It is not checked by this page: that is said, never ticked. */
export function EvidenceMark({
  evidence,
  state,
  erased = false,
  onHold = false,
}: Pick<SessionSummary, 'evidence' | 'state'> & Partial<Pick<SessionSummary, 'erased' | 'onHold'>>): JSX.Element {
  if (!erased && !onHold) return <Received evidence={evidence} state={state} />;
  return (
    <>
      <Received evidence={evidence} state={state} />{' '}
      {erased ? <Mark look="finding" word="erased" /> : <Mark look="held" word="on hold" />}
    </>
  );
}

function Received({ evidence, state }: Pick<SessionSummary, 'evidence' | 'state'>): JSX.Element {
  if (evidence === 'altered') return <Mark look="deny" word="contradicted" />;
  if (evidence === 'incomplete') return <Mark look="finding" word="gap" />;
  if (state === 'interrupted') return <Mark look="finding" word="no end" />;
  if (state === 'open') return <Mark look="none" word="arriving" />;
  return <Mark look="allow" word="received" />;
}
