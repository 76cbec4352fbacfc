/** Message numbers of RFC 4250, section 4.1.2, that the transport knows, and those of OpenSSH's PROTOCOL, section 1.9. */
export const MESSAGE = {
  disconnect: 1,
  ignore: 2,
  unimplemented: 3,
  debug: 4,
  serviceRequest: 5,
  serviceAccept: 6,
  extInfo: 7,
  kexInit: 20,
  newKeys: 21,
  /** KEXDH_INIT, KEX_ECDH_INIT, KEX_HYBRID_INIT. */
  kexShare: 30,
  /** KEXDH_REPLY and the others. */
  kexReply: 31,
  userauthSuccess: 52,
  channelData: 94,
  channelExtendedData: 95,
  ping: 192,
  pong: 193,
} as const;
