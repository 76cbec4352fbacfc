import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { theme } from '../../preferences.ts';
import { useStore } from '../../store.ts';
import { bytesOf, counted } from '../../time.ts';
import { RecordedLines } from '../../ui/recorded.tsx';
import { PALETTES } from './palette.ts';
import type { Run, Screen } from './screen.ts';
import type { Piece } from './stage.ts';

/** A terminal's screen: text in cells, which nobody can press and which leads nowhere. */
export function ScreenView({ screen }: { screen: Screen }): JSX.Element {
  const palette = PALETTES[useDark() ? 'dark' : 'light'];
  const rows = screen.draw(palette);
  const hidden = rows.flat().filter(({ look }) => /concealed|unseen/.test(look)).length;
  return (
    <>
      <div
        class="term recorded"
        role="region"
        tabIndex={0}
        aria-label={`Terminal, ${screen.columns} columns, ${screen.rows} rows`}
      >
        <div class="term-screen" dir="ltr" style={{ '--columns': screen.columns }}>
          {rows.map((runs, at) => (
            // Rows have no name but their place.
            <div class="term-row" key={at}>
              {runs.map(drawRun)}
            </div>
          ))}
        </div>
      </div>
      {hidden > 0 && (
        <p class="hidden-note">
          <span aria-hidden="true">⚠</span> Underlined in this colour: {counted(hidden, 'place')} with what a terminal does not
          show.
        </p>
      )}
    </>
  );
}

function drawRun({ text, cells, ink, ground, look, unseen }: Run, key: number): JSX.Element | string {
  const style = {
    ...(ink === undefined ? {} : { color: ink }),
    ...(ground === undefined ? {} : { background: ground }),
    ...(look.includes('placed') ? { width: `${cells}ch` } : {}),
  };
  return (
    <span key={key} class={look} style={style} {...(unseen === '' ? {} : { title: `not seen: ${unseen}` })}>
      {text}
    </span>
  );
}

/** What a program without a terminal wrote: lines, of which those to stderr are told apart. */
export function LinesView({ log, cut }: { log: readonly Piece[]; cut: number }): JSX.Element {
  return (
    <div class="term lines-out recorded" role="region" tabIndex={0} aria-label="Output" dir="ltr">
      {cut > 0 && <p class="term-note">{bytesOf(cut)} before this are not shown at this moment; go back to see them.</p>}
      {log.map(({ stream, text }, at) => (
        <div key={at} class={`piece ${stream}`}>
          {stream === 'stderr' && <span class="piece-name">stderr</span>}
          <span class="piece-text">
            <RecordedLines text={text.endsWith('\n') ? text.slice(0, -1) : text} />
          </span>
        </div>
      ))}
    </div>
  );
}

const DARK = '(prefers-color-scheme: dark)';

function useDark(): boolean {
  const chosen = useStore(theme);
  const [dark, setDark] = useState(() => matchMedia(DARK).matches);
  useEffect(() => {
    const query = matchMedia(DARK);
    const follow = (): void => setDark(query.matches);
    query.addEventListener('change', follow);
    return () => query.removeEventListener('change', follow);
  }, []);
  return chosen === 'auto' ? dark : chosen === 'dark';
}
