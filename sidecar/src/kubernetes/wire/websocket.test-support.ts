import { encodeFrame, type Frame } from './websocket.ts';

/** A frame as it is on the wire. */
export function frameBytes({ data, ...frame }: Frame, mask?: Buffer): Buffer {
  return Buffer.concat(encodeFrame({ ...frame, data: [data] }, mask));
}
