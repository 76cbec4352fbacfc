/** Every way to cut `bytes` into two pieces, the empty ones included. */
export function* twoWaySplits(bytes: Buffer): Generator<[Buffer, Buffer]> {
  for (let at = 0; at <= bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
}

/** Every way to cut the first `head` bytes (and the rest) into three pieces. */
export function* threeWaySplits(bytes: Buffer, head = bytes.length): Generator<[Buffer, Buffer, Buffer]> {
  const end = Math.min(head, bytes.length);
  for (let a = 0; a <= end; a++)
    for (let b = a; b <= end; b++) yield [bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b)];
}

/** A small deterministic generator (mulberry32): the same seed gives the same sequence on every machine. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Cuts `bytes` into segments of random length (1 to `longest`), as a network may. */
export function* randomSegments(bytes: Buffer, random: () => number, longest = 64): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + Math.floor(random() * longest));
    yield bytes.subarray(at, end);
    at = end;
  }
}
