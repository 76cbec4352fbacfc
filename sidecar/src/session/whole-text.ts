import { MAX_REQUEST_TEXT, visible } from '@chaperone/api';
import { MAX_WHOLE_TEXT_BYTES } from '@chaperone/policy';

/** All of a text, where a request has only its beginning. */
export function wholeText(text: string, show = visible): { readonly text?: string } {
  const shown = show(text, MAX_WHOLE_TEXT_BYTES);
  if (shown.length <= MAX_REQUEST_TEXT) return {};
  const bytes = Buffer.from(shown);
  if (bytes.length <= MAX_WHOLE_TEXT_BYTES) return { text: shown };
  // A character of which only a part fits is left out.
  return { text: `${new TextDecoder().decode(bytes.subarray(0, MAX_WHOLE_TEXT_BYTES - 3), { stream: true })}…` };
}
