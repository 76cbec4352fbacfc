/** Bytes ↔ messages of the PostgreSQL protocol, versions 3.0 and 3.2. Pure: no socket, no clock. Throws ProtocolError and nothing else. */
export * from './backend.ts';
export * from './backend-encode.ts';
export { decodeText } from './cursor.ts';
export * from './data-row.ts';
export * from './error.ts';
export * from './frontend.ts';
export * from './frontend-encode.ts';
export * from './limits.ts';
export * from './protocol.ts';
export * from './reader.ts';
export {
  type CancelKey,
  decodeStartup,
  encodeCancelRequest,
  encodeSSLRequest,
  encodeStartup,
  type StartupPacket,
  type StartupResult,
} from './startup.ts';
