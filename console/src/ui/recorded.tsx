import { draw, type Piece } from '@chaperone/api/hostile';
import type { ComponentChildren, JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { bytesOf, counted } from '../time.ts';
import { CopyMenu } from './copy.tsx';

/** What is drawn at once of a text; more comes when it is asked for. */
const SLICE = 64 * 1024;

export interface RecordedProps {
  readonly text: string;
  /** It is the name of something: a letter that is not ASCII is worth a look. */
  readonly names?: boolean;
  readonly frame?: boolean;
  /** It opens to the whole text elsewhere: line feeds are a sign, not written out. */
  readonly preview?: boolean;
}

/**
 * Recorded text in a line of ours: in its own frame, isolated, with everything unseen written out. The one way that anything an agent,
 * a database or a pod said reaches the page.
 */
export function Recorded({ text, names = false, frame = true, preview = false }: RecordedProps): JSX.Element {
  const pieces = useMemo(() => draw(text, { names, lines: preview }), [text, names, preview]);
  return (
    <bdi class={frame ? 'recorded' : 'recorded bare'} dir="ltr">
      {pieces.map(drawPiece)}
    </bdi>
  );
}

/** Recorded text whose lines are lines, for a place that is in its frame and type already. */
export function RecordedLines({ text }: { text: string }): JSX.Element {
  const pieces = useMemo(() => draw(text, { lines: true }), [text]);
  return <>{pieces.map((piece, key) => (piece.kind === 'line' ? '\n' : drawPiece(piece, key)))}</>;
}

function drawPiece(piece: Piece, key: number): ComponentChildren {
  switch (piece.kind) {
    case 'text':
      return piece.text;
    case 'rtl':
      return (
        <bdi key={key} dir="rtl">
          {piece.text}
        </bdi>
      );
    case 'mixed':
      return (
        <span key={key} class="mixed" title={`letters of several scripts: ${codePoints(piece.text)}`}>
          {piece.text}
        </span>
      );
    case 'escape':
      return (
        <span key={key} class="escape">
          {piece.text}
        </span>
      );
    case 'tab':
      return (
        <span key={key} class="tab">
          {'\t'}
        </span>
      );
    default:
      // The sign is drawn by the style: no text can have it.
      return <span key={key} class="feed" />;
  }
}

function codePoints(text: string): string {
  return Array.from(text)
    .filter((letter) => letter > '\u007f')
    .map((letter) => `U+${(letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`)
    .join(' ');
}

/** Recorded text as a block: every line numbered, wrapped and never cut; what is hidden in it is counted below. */
export function RecordedBlock({ text, title, bytes }: { text: string; title: string; bytes: number }): JSX.Element {
  const [shown, setShown] = useState(SLICE);
  const part = text.length > shown ? text.slice(0, shown).replace(/[\ud800-\udbff]$/, '') : text;
  const pieces = useMemo(() => draw(part, { lines: true }), [part]);
  const lines = useMemo(() => inLines(pieces), [pieces]);
  return (
    <figure class="block">
      <figcaption>
        <span>
          {title}: {bytesOf(bytes)}, {counted(lines.length, 'line')}
        </span>
        <CopyMenu text={text} />
      </figcaption>
      <ol class="lines recorded" dir="ltr">
        {lines.map((line, at) => (
          // Lines have no name but their place.
          <li key={at}>{line.length === 0 ? '\u200b' : line.map(drawPiece)}</li>
        ))}
      </ol>
      <Hidden pieces={pieces} />
      {part.length < text.length && (
        <p class="more">
          {counted(part.length, 'character')} of {text.length.toLocaleString('en')} shown.{' '}
          <button type="button" onClick={() => setShown(shown + SLICE)}>
            Show more
          </button>
        </p>
      )}
    </figure>
  );
}

function inLines(pieces: readonly Piece[]): Piece[][] {
  const lines: Piece[][] = [[]];
  for (const piece of pieces)
    if (piece.kind === 'line') lines.push([]);
    else lines.at(-1)?.push(piece);
  // A text that ends with a line feed has no further line.
  if (lines.length > 1 && lines.at(-1)?.length === 0) lines.pop();
  return lines;
}

const DIRECTION = new Set([0x61c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069]);

function Hidden({ pieces }: { pieces: readonly Piece[] }): JSX.Element | null {
  let [direction, other] = [0, 0];
  for (const piece of pieces)
    if (piece.kind === 'escape') {
      if (DIRECTION.has(piece.codePoint)) direction += piece.count;
      else other += piece.count;
    }
  const mixed = pieces.filter(({ kind }) => kind === 'mixed').length;
  if (direction + other + mixed === 0) return null;
  const said = [
    ...(direction === 0 ? [] : [counted(direction, 'direction-changing character')]),
    ...(other === 0 ? [] : [counted(other, 'hidden or special character')]),
    ...(mixed === 0 ? [] : [`${counted(mixed, 'word')} in letters of several scripts`]),
  ];
  return (
    <p class="hidden-note">
      <span aria-hidden="true">⚠</span> {said.join(', ')}
      {direction + other === 0 ? ', underlined' : ', written out between ⟨ and ⟩'}
    </p>
  );
}
