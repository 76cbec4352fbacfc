/** The package names no module that a browser can load; this file of it is one. */
declare module '@xterm/headless/lib-headless/xterm-headless.mjs' {
  export { type IBufferCell, Terminal } from '@xterm/headless';
}
