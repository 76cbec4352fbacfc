export {
  CHANNEL_PROTOCOLS,
  CHANNELS,
  type Channel,
  type ChannelMessage,
  type ChannelProtocol,
  ChannelReader,
  chooseProtocol,
  encodeChannel,
} from './channels.ts';
export { CLOSE, type CloseCode, StreamError } from './error.ts';
export { RESET, type SpdyFrame, type SpdyHeaders, SpdyReader, SpdyWriter } from './spdy.ts';
export { acceptKey, closeData, encodeFrame, OPCODE, type WebSocketEvent, WebSocketReader } from './websocket.ts';
