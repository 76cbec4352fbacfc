import type { RecordPage } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { type KeyAction, useKeys } from '../../keys.ts';
import { asServerError, get } from '../../server.ts';
import { counted } from '../../time.ts';
import { Recorded } from '../../ui/recorded.tsx';
import { Failure } from '../../ui/states.tsx';
import { Mark } from '../../ui/verdict.tsx';
import type { LeftOut } from './harmless.ts';
import { Playback, SPEEDS } from './playback.ts';
import { LinesView, ScreenView } from './screen-view.tsx';
import { Tape } from './tape.ts';

/** What was short is shown as it was at its end; what is longer is read as it is played. */
const SHORT_BYTES = 1024 * 1024;
const STEP_MS = 5_000;
/** Time that passes while nobody looks is not played. */
const MAX_TICK_MS = 1_000;

export interface PlayerProps {
  readonly session: string;
  readonly action: number;
  /** The record of the action, by number and by the session's clock. */
  readonly seq: number;
  readonly startMs: number;
  readonly lengthMs: number;
  /** What was delivered, where its end is recorded. */
  readonly bytes: number | undefined;
  /** More may come. */
  readonly live: boolean;
}

/** What a program showed, as it was seen then. */
export default function Player(props: PlayerProps): JSX.Element {
  const [playback, turn] = usePlayback(props);
  const [showsInput, setShowsInput] = useState(false);
  usePlayerKeys(playback);
  const { stage, position, lengthMs, playing, busy, error, gap } = playback;
  return (
    <section class="player" aria-label="What it showed" data-busy={busy} data-turn={turn}>
      <h3>What it showed</h3>
      {stage.screen !== undefined && <ScreenView screen={stage.screen} />}
      {stage.kind === 'lines' && <LinesView log={stage.log} cut={stage.cut} />}
      {stage.kind === 'nothing' && <p class="term term-empty">{busy ? 'Reading…' : 'Nothing was shown up to this moment.'}</p>}
      <div class="controls">
        <button type="button" class="play" onClick={() => playback.toggle()}>
          <span aria-hidden="true">{playing ? '❚❚' : '▶'}</span> {playing ? 'Pause' : 'Play'}
        </button>
        <input
          type="range"
          aria-label="Moment"
          aria-valuetext={`${clock(position, lengthMs)} of ${clock(lengthMs, lengthMs)}`}
          min={0}
          max={Math.max(1, Math.round(lengthMs))}
          step={1}
          value={Math.round(position)}
          onInput={({ currentTarget }) => void playback.seek(Number(currentTarget.value))}
          onKeyDown={(event) => slide(event, playback)}
        />
        <span class="clock">
          {clock(position, lengthMs)} / {clock(lengthMs, lengthMs)}
        </span>
      </div>
      <div class="controls">
        <label>
          Speed{' '}
          <select value={playback.speed} onChange={({ currentTarget }) => choose(playback, Number(currentTarget.value))}>
            {SPEEDS.map((speed) => (
              <option key={speed} value={speed}>
                {speed}×
              </option>
            ))}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={playback.skipIdle} onChange={() => playback.toggleIdle()} /> Skip silence
        </label>
        <label>
          <input type="checkbox" checked={showsInput} onChange={() => setShowsInput(!showsInput)} /> Show input
        </label>
        {busy && (
          <span class="mute" role="status">
            Reading…
          </span>
        )}
      </div>
      {showsInput && (
        <p class="input">
          Sent up to this moment: {stage.input === '' ? <span class="none">nothing</span> : <Recorded text={stage.input} />}
        </p>
      )}
      <LeftOutNote counts={stage.screen?.leftOut} />
      {gap && (
        <p>
          <Mark look="finding" word="Part of this is missing from the evidence: the screen may have been another." />
        </p>
      )}
      {error !== undefined && (
        <Failure error={asServerError(error)} what="The recording" onRetry={() => void playback.seek(position)} />
      )}
      <p class="mute">Shown as delivered to the agent, after masking. It is not proof of what was typed.</p>
    </section>
  );
}

function usePlayback({ session, action, seq, startMs, lengthMs, bytes, live }: PlayerProps): [Playback, number] {
  const [turn, setTurn] = useState(0);
  const playback = useMemo(() => {
    const stop = new AbortController();
    const load = (from: number): Promise<RecordPage> =>
      get(`/v1/sessions/${session}/stream?action=${action}&from=${from}`, stop.signal);
    let asked = false;
    const changed = (): void => {
      if (asked || stop.signal.aborted) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        if (!stop.signal.aborted) setTurn((before) => before + 1);
      });
    };
    const made = new Playback({ tape: new Tape(load), from: seq, startMs, lengthMs, changed });
    return Object.assign(made, { stop });
  }, [session, action, seq, startMs]);
  playback.live = live;
  useEffect(() => {
    void (bytes === undefined || bytes > SHORT_BYTES ? playback.seek(0) : playback.toEnd());
    return () => {
      playback.stop.abort();
      playback.end();
    };
  }, [playback]);
  useTicks(playback);
  return [playback, turn];
}

function useTicks(playback: Playback): void {
  const { playing } = playback;
  useEffect(() => {
    if (!playing) return undefined;
    let [last, frame] = [performance.now(), 0];
    const tick = (now: number): void => {
      playback.tick(Math.max(0, Math.min(MAX_TICK_MS, now - last)));
      last = now;
      frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(frame);
  }, [playback, playing]);
}

function usePlayerKeys(playback: Playback): void {
  const actions = useMemo((): KeyAction[] => {
    const faster = (by: number): void => {
      const at = SPEEDS.indexOf(playback.speed) + by;
      choose(playback, SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, at))] ?? 1);
    };
    return [
      { keys: [' '], does: 'play or pause', run: () => playback.toggle() },
      { keys: ['ArrowLeft'], does: 'five seconds back', run: () => void playback.seek(playback.position - STEP_MS) },
      { keys: ['ArrowRight'], does: 'five seconds on', run: () => void playback.seek(playback.position + STEP_MS) },
      { keys: ['.'], does: 'to the next thing that happens', run: () => void playback.step() },
      { keys: ['<'], does: 'slower', run: () => faster(-1) },
      { keys: ['>'], does: 'faster', run: () => faster(1) },
      {
        keys: Array.from('0123456789'),
        does: 'to so many tenths',
        run: ({ key }) => void playback.seek((Number(key) / 10) * playback.lengthMs),
      },
    ];
  }, [playback]);
  useKeys(actions);
}

/** The slider's own steps are too small to see. */
function slide(event: KeyboardEvent, playback: Playback): void {
  const { key } = event;
  if (key === ' ') playback.toggle();
  else if (key === 'ArrowLeft' || key === 'ArrowDown') void playback.seek(playback.position - STEP_MS);
  else if (key === 'ArrowRight' || key === 'ArrowUp') void playback.seek(playback.position + STEP_MS);
  else return;
  event.preventDefault();
}

function choose(playback: Playback, speed: number): void {
  const found = SPEEDS.find((each) => each === speed);
  if (found !== undefined) playback.setSpeed(found);
}

const LEFT_OUT_WORDS: Readonly<Record<LeftOut, readonly [one: string, many: string]>> = {
  clipboard: ['write to the clipboard', 'writes to the clipboard'],
  link: ['link', 'links'],
  title: ['window title', 'window titles'],
  query: ['query that a terminal answers', 'queries that a terminal answers'],
  other: ['sequence of another kind', 'sequences of other kinds'],
};

function LeftOutNote({ counts }: { counts: ReadonlyMap<LeftOut, number> | undefined }): JSX.Element | null {
  if (counts === undefined || counts.size === 0) return null;
  const said = [...counts].map(([what, count]) => counted(count, ...LEFT_OUT_WORDS[what]));
  return (
    <p class="hidden-note">
      <span aria-hidden="true">⚠</span> A terminal would act on what is left out here: {said.join(', ')}.
    </p>
  );
}

const two = (value: number): string => String(value).padStart(2, '0');

/** 0:41, 1:04:17, and 0:04.2 of what takes less than a minute. */
function clock(ms: number, length: number): string {
  const seconds = Math.floor(ms / 1000);
  if (length < 60_000) return `0:${two(seconds)}.${Math.floor(ms / 100) % 10}`;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
