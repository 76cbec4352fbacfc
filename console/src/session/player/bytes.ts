/** The bytes of what a record holds of a stream: `t:` and text, or `b:` and base64. */
export function bytesOf(data: string): Uint8Array {
  const body = data.slice(2);
  return data.startsWith('t:')
    ? new TextEncoder().encode(body)
    : Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
}
