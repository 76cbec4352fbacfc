export type Line = { readonly kind: 'line'; readonly text: string } | { readonly kind: 'bad'; readonly problem: string };

const LINE_FEED = 0x0a;

/**
 * The lines of a stream of UTF-8: ended by LF or CRLF, the last one perhaps by the end of the stream. U+2028 and U+2029 end no
 * line, since JSON allows them within. A line longer than `maxBytes` is passed over unread and told of, as is one that is not UTF-8.
 */
export async function* boundedLines(input: AsyncIterable<Buffer | string>, maxBytes: number): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let parts: Buffer[] = [];
  let bytes = 0;
  const add = (part: Buffer): void => {
    bytes += part.length;
    if (bytes <= maxBytes) parts.push(part);
    else parts = [];
  };
  const take = (): Line => {
    const line: Line =
      bytes > maxBytes ? { kind: 'bad', problem: `the line is longer than ${maxBytes} bytes` } : decode(decoder, parts);
    [parts, bytes] = [[], 0];
    return line;
  };
  for await (const chunk of input) {
    const buffer = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    let from = 0;
    for (let end = buffer.indexOf(LINE_FEED); end !== -1; end = buffer.indexOf(LINE_FEED, from)) {
      add(buffer.subarray(from, end));
      from = end + 1;
      yield take();
    }
    add(buffer.subarray(from));
  }
  if (bytes > 0) yield take();
}

function decode(decoder: TextDecoder, parts: readonly Buffer[]): Line {
  try {
    return { kind: 'line', text: decoder.decode(Buffer.concat(parts)).replace(/\r$/, '') };
  } catch {
    return { kind: 'bad', problem: 'the line is not UTF-8' };
  }
}
