import { drawn } from '@chaperone/api/hostile';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

/** Copies a text as it is shown; where that differs from what it is, the exact text is a second choice. */
export function CopyMenu({ text }: { text: string }): JSX.Element {
  const shown = drawn(text, { lines: true });
  return (
    <span class="copy">
      <CopyButton text={shown} label="Copy" />
      {shown !== text && <CopyButton text={text} label="Copy exact" title="with all characters that are not seen" />}
    </span>
  );
}

export function CopyButton({ text, label, title }: { text: string; label: string; title?: string }): JSX.Element {
  const [said, setSaid] = useState<string>();
  const copy = async (): Promise<void> => {
    const done = await navigator.clipboard.writeText(text).then(
      () => 'Copied',
      () => 'Not allowed',
    );
    setSaid(done);
    setTimeout(() => setSaid(undefined), 2_000);
  };
  return (
    <button type="button" class="quiet" {...(title === undefined ? {} : { title })} onClick={() => void copy()}>
      <span aria-live="polite">{said ?? label}</span>
    </button>
  );
}
