/**
 * Names and numbers of the protocol, version 3.
 * https://www.postgresql.org/docs/18/protocol-message-formats.html
 */

/** First byte of what a client sends after the startup packet. */
export const FRONTEND = {
  Bind: 0x42, // B
  Close: 0x43, // C
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyFail: 0x66, // f
  Describe: 0x44, // D
  Execute: 0x45, // E
  Flush: 0x48, // H
  FunctionCall: 0x46, // F
  Parse: 0x50, // P
  /** PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse: only the state tells which. */
  Password: 0x70, // p
  Query: 0x51, // Q
  Sync: 0x53, // S
  Terminate: 0x58, // X
} as const;

/** First byte of what a server sends. */
export const BACKEND = {
  Authentication: 0x52, // R
  BackendKeyData: 0x4b, // K
  BindComplete: 0x32, // 2
  CloseComplete: 0x33, // 3
  CommandComplete: 0x43, // C
  CopyBothResponse: 0x57, // W
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyInResponse: 0x47, // G
  CopyOutResponse: 0x48, // H
  DataRow: 0x44, // D
  EmptyQueryResponse: 0x49, // I
  ErrorResponse: 0x45, // E
  FunctionCallResponse: 0x56, // V
  NegotiateProtocolVersion: 0x76, // v
  NoData: 0x6e, // n
  NoticeResponse: 0x4e, // N
  NotificationResponse: 0x41, // A
  ParameterDescription: 0x74, // t
  ParameterStatus: 0x53, // S
  ParseComplete: 0x31, // 1
  PortalSuspended: 0x73, // s
  ReadyForQuery: 0x5a, // Z
  RowDescription: 0x54, // T
} as const;

/** Type bytes as they come off the wire: any of 0 to 255, so a `switch` over them needs a default. */
export type FrontendType = number;
export type BackendType = number;

/** Second word of a packet that has no type byte. */
export const REQUEST = { Cancel: 80877102, Ssl: 80877103, GssEnc: 80877104 } as const;

/** Protocol 3; the minor version is added. */
export const PROTOCOL_3_0 = 3 << 16;

/** Minor versions of protocol 3 that are spoken on both legs. 2 (PostgreSQL 18) differs by longer cancel keys; 1 was never made. */
export type ProtocolMinor = 0 | 2;

/** Type byte and length word. */
export const HEADER_BYTES = 5;

/** The type byte as the documentation prints it; for error texts. */
export function typeName(type: number): string {
  return type > 0x20 && type < 0x7f ? `'${String.fromCharCode(type)}'` : `0x${type.toString(16).padStart(2, '0')}`;
}
