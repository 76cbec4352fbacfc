import type { Words } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { Recorded } from './recorded.tsx';

/** Words of ours, with what somebody else chose in frames. */
export function Said({ words, frame = true }: { words: Words; frame?: boolean }): JSX.Element {
  return (
    <>
      {words.map((word, at) => (typeof word === 'string' ? word : <Recorded key={at} text={word.foreign} names frame={frame} />))}
    </>
  );
}
