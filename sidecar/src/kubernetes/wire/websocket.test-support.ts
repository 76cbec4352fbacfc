import { encodeFrame, type FrameToSend } from './websocket.ts';

export interface Frame extends Omit<FrameToSend, 'data'> {
  readonly data: Buffer;
}

/** A frame as it is on the wire. */
export function frameBytes({ data, ...frame }: Frame, mask?: Buffer): Buffer {
  return Buffer.concat(encodeFrame({ ...frame, data: [data] }, mask));
}
